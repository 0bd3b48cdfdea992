"""The connection of a store to its server or cluster, and the running of scripts over it.

Rule for this file: the only one that holds the driver's clients. Which scripts, on which keys, is the store's
affair; what an error means is in ``errors``.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import NoScriptError, ResponseError
from redis.retry import Retry

from ldtrack.ledgers.redis.errors import DRIVER_ERRORS, understood
from ldtrack.ledgers.redis.facts import Facts
from ldtrack.ledgers.redis.scripts import Script
from ldtrack.ledgers.store import UnavailableError

__all__ = ["Call", "Command", "Link"]

log: Final = logging.getLogger("ldtrack")

Client: TypeAlias = "redis.Redis | RedisCluster"

_abandoned: Final[list[Client]] = []
"""The parent's clients, in a forked child: kept, since letting go of one would close its connection."""
_told: Final[set[tuple[str, str]]] = set()
"""What was said of which server."""


Command: TypeAlias = "tuple[str | bytes | int, ...]"


class Call(NamedTuple):
    """A script, and what it is run with."""

    script: Script
    keys: Sequence[str | bytes]
    arguments: Sequence[str | bytes | int]

    def by_digest(self) -> Command:
        """As a command that the server knows the script of."""
        return "EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.arguments

    def by_text(self) -> Command:
        """As a command that brings the script along; the server remembers it."""
        return "EVAL", self.script.text, len(self.keys), *self.keys, *self.arguments


class Link:
    """Connects when it is first used, and again after whatever broke the connection.

    A call comes back within ``timeout`` seconds or so: half of it for connecting, half for the answer.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        on_open: Callable[[], Sequence[Call]],
        check: Callable[[Facts, list[Any]], None],
        driver: Mapping[str, Any],
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._on_open = on_open
        self._check = check
        self._driver = driver
        self._client: Client | None = None
        _check_address(url)
        # Connects to nothing yet: what is wrong with the address is said right away.
        redis.Redis.from_url(url, **self._options()).close()

    def run(self, calls: Sequence[Call], *, then: Sequence[Command] = ()) -> list[Any]:
        """What each of the scripts returns, and each of the commands that follow them at once.

        If one of them fails its error is raised, though the others may have done their work.
        """
        try:
            client = self._client or self._open()
            return _ask(client, calls, then)
        except DRIVER_ERRORS as error:
            meaning = understood(error)
            # A cluster's client knows other nodes than the one in the URL, which may be the one that is away.
            if isinstance(meaning, UnavailableError) and not isinstance(self._client, RedisCluster):
                self.close()
            raise meaning from error

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(OSError, *DRIVER_ERRORS):
                client.close()

    def abandon(self) -> None:
        """In a forked child: forget the parent's connection without touching it."""
        client, self._client = self._client, None
        if client is not None:
            _abandoned.append(client)

    def _open(self) -> Client:
        client: Client
        client = asked = redis.Redis.from_url(self._url, **self._options())
        try:
            facts = _facts_of(asked)
            if facts.is_cluster:
                asked.close()
                client = RedisCluster.from_url(self._url, **self._options())
            self._check(facts, _ask(client, self._on_open(), ()))
        except BaseException:
            client.close()
            raise
        self._tell(facts)
        self._client = client
        return client

    def _options(self) -> dict[str, Any]:
        parts = urlsplit(self._url)
        own = {
            # A call may be repeated: rows name their claimants, batches their owners. So a connection that
            # was cut meanwhile is made anew at once, and a server that does not answer is not asked again.
            "retry": Retry(NoBackoff(), 1, (LostError,)),
            "socket_timeout": self._timeout / 2,
            "protocol": 2,
        }
        if parts.scheme != "unix":
            own |= {"socket_connect_timeout": self._timeout / 2, "socket_keepalive": True}
        return own | dict(self._driver)

    def _tell(self, facts: Facts) -> None:
        """Once for each server, not for each store and each time it connects."""
        parts = urlsplit(self._url)
        server = parts.netloc.rpartition("@")[2] + parts.path
        warnings = [(logging.WARNING, sentence) for sentence in facts.warnings]
        for level, sentence in [(logging.INFO, facts.durability), *warnings]:
            if (server, sentence) not in _told:
                _told.add((server, sentence))
                log.log(level, "ldtrack's Redis at %s: %s", server, sentence)


def _check_address(url: object) -> None:
    """Refuse what is no URL, without quoting it: who forgets to quote a password has it in the port."""
    if not isinstance(url, str):
        raise TypeError(f"url must be a str, such as 'redis://host:6379/0', not {type(url).__name__}")
    try:
        _ = urlsplit(url).port
    except ValueError:
        is_url = False
    else:
        is_url = url.startswith(("redis://", "rediss://", "unix://"))
    if not is_url:
        raise ValueError(
            "url is not the address of a Redis server, such as 'redis://user:password@host:6379/0'; "
            "in a password, / ? # and @ are written as %2F %3F %23 and %40"
        )


def _ask(client: Client, calls: Sequence[Call], then: Sequence[Command]) -> list[Any]:
    answers = _send(client, [*(call.by_digest() for call in calls), *then])
    unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        # What follows the scripts follows them again: it may be there to confirm them.
        texts = _send(client, [*(calls[at].by_text() for at in unknown), *then])
        for at, answer in zip([*unknown, *range(len(calls), len(answers))], texts, strict=True):
            answers[at] = answer
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _send(client: Client, commands: Sequence[Command]) -> list[Any]:
    """The answers, errors among them."""
    if isinstance(client, RedisCluster):
        # The driver's pipelines for clusters refuse scripts.
        return [_answer(client, command) for command in commands]
    pipeline: Any = client.pipeline(transaction=False)
    with pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return list(pipeline.execute(raise_on_error=False))


def _answer(client: Any, command: Command) -> Any:
    try:
        return client.execute_command(*command)
    except ResponseError as error:
        return error


def _facts_of(client: redis.Redis) -> Facts:
    """What the server tells; a user who may not ask is told nothing, and that is no error."""
    told: list[Mapping[Any, Any]] = []
    for ask in (
        client.info,
        # One at a time: Redis 6 knows no other way.
        lambda: client.config_get("appendfsync"),
        lambda: client.config_get("aof-load-truncated"),
    ):
        try:
            told.append(ask())
        except ResponseError:
            told.append({})
    info, fsync, truncated = told
    return Facts.of(info, {**fsync, **truncated})
