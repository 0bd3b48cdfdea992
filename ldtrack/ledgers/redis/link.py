"""The connection of a store to its server or cluster, and the running of scripts over it.

Rule for this file: the only one that uses the driver's clients; ``address`` makes them. Which scripts, on
which keys, is the store's affair; what an error means is in ``errors``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import redis
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, ResponseError

from ldtrack.ledgers.redis.address import Address, Client, let_go
from ldtrack.ledgers.redis.errors import DRIVER_ERRORS, understood
from ldtrack.ledgers.redis.facts import Facts
from ldtrack.ledgers.redis.scripts import Script
from ldtrack.ledgers.store import UnavailableError

__all__ = ["Call", "Command", "Link"]

log: Final = logging.getLogger("ldtrack")

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
        self._address = Address(url, timeout=timeout, driver=driver)
        self._on_open = on_open
        self._check = check
        self._client: Client | None = None
        # Connects to nothing yet: what is wrong with the options is said right away.
        let_go(self._address.server())

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
            let_go(client)

    def abandon(self) -> None:
        """In a forked child: forget the parent's connection without touching it."""
        client, self._client = self._client, None
        if client is not None:
            _abandoned.append(client)

    def _open(self) -> Client:
        client: Client
        client = asked = self._address.server()
        try:
            facts = _facts_of(asked)
            if facts.is_cluster:
                let_go(asked)
                client = self._address.cluster()
            self._check(facts, _ask(client, self._on_open(), ()))
        except BaseException:
            let_go(client)
            raise
        self._tell(facts)
        self._client = client
        return client

    def _tell(self, facts: Facts) -> None:
        """Once for each server, not for each store and each time it connects."""
        server = self._address.shown
        warnings = [(logging.WARNING, sentence) for sentence in facts.warnings]
        for level, sentence in [(logging.INFO, facts.durability), *warnings]:
            if (server, sentence) not in _told:
                _told.add((server, sentence))
                log.log(level, "ldtrack's Redis at %s: %s", server, sentence)


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
