"""From what stands on a command line to ledgers and destinations.

Rule for this file: texts in, open-able things out. What is wrong with a text is said in a sentence, which
never repeats a password.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import attrs

from ldtrack.cli.errors import NO_LEDGER, WRONG_USAGE, CommandError
from ldtrack.delivery import LaunchDarklyEvents
from ldtrack.delivery.jsonl import JSONLines
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.sqlite import SQLiteLedger, SQLiteStore

if TYPE_CHECKING:
    from ldtrack.typing import Destination

__all__ = ["LEDGER_FORMS", "Address", "destination_of", "key_from_environment", "read_address"]

LEDGER_FORMS: Final = (
    "a file (ledger.db, sqlite:///var/lib/app/ledger.db), postgresql://host/database, redis://host:6379/0, "
    "or env:NAME for one of these in an environment variable"
)
_FROM_ENVIRONMENT: Final = "env:"
_JSON_LINES: Final = "jsonl:"
_KINDS: Final = {
    "sqlite": "sqlite",
    "postgresql": "postgres",
    "postgres": "postgres",
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
}
_LEDGERS: Final = {
    "postgres": ("ldtrack.ledgers.postgres.ledger", "PostgresLedger"),
    "redis": ("ldtrack.ledgers.redis.ledger", "RedisLedger"),
}
_SHORTEST_SECRET: Final = 4
"""Shorter ones are not worth hiding: half of what is said would be stars."""


@attrs.frozen
class Address:
    """Where a ledger is."""

    kind: str
    """``sqlite``, ``postgres`` or ``redis``."""
    target: str = attrs.field(repr=False)
    """A path, or a URL that may hold a password."""

    @property
    def shown(self) -> str:
        """For people and logs: without a password, and without whatever else a URL's query may hold."""
        if self.kind == "sqlite":
            return self.target
        parts = urlsplit(self.target)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be repeated anywhere."""
        password = None if self.kind == "sqlite" else urlsplit(self.target).password
        known = {password, unquote(password)} if password else set()
        return tuple(secret for secret in sorted(known, reverse=True) if len(secret) >= _SHORTEST_SECRET)

    def open(self, *, spool: str | None = None) -> DurableLedger:
        """The ledger; nothing is opened before its first use, which also makes a file that is not there."""
        if self.kind == "sqlite":
            if spool is not None:
                raise CommandError(
                    WRONG_USAGE, "--spool belongs to a ledger on a server; a file needs no spool"
                )
            return self._made(SQLiteLedger, self.target)
        return self._made(
            _server_ledger(self.kind), self.target, **({} if spool is None else {"spool": spool})
        )

    def view(self) -> DurableLedger:
        """The ledger for looking at: a file is neither made nor changed."""
        if self.kind != "sqlite":
            return self.open()
        self.require()
        return DurableLedger(
            partial(SQLiteStore, self.target, read_only=True, busy_timeout=5.0), deadline=15.0
        )

    def require(self) -> None:
        """Refuse a file that is not there: whoever operates on a ledger does not want a new one."""
        if self.kind == "sqlite" and not Path(self.target).is_file():
            raise CommandError(NO_LEDGER, f"there is no ledger at {self.target}")

    def files(self) -> list[Path]:
        """The files that a ledger in a file consists of right now."""
        names = (self.target, f"{self.target}-wal") if self.kind == "sqlite" else ()
        return [path for path in map(Path, names) if path.is_file()]

    def _made(
        self, make: Callable[..., DurableLedger], *arguments: object, **options: object
    ) -> DurableLedger:
        try:
            return make(*arguments, **options)
        except (TypeError, ValueError) as error:
            raise CommandError(WRONG_USAGE, f"the ledger {self.shown} cannot be used: {error}") from error


def read_address(text: str, environment: Mapping[str, str] = os.environ) -> Address:
    """Where the ledger is that a command line names."""
    if text.startswith(_FROM_ENVIRONMENT):
        name = text.removeprefix(_FROM_ENVIRONMENT)
        text = environment.get(name, "")
        if not text:
            raise CommandError(
                WRONG_USAGE, f"the environment variable {name} does not say where the ledger is"
            )
    scheme, separator, rest = text.partition("://")
    if not separator:
        if not text or text == ":memory:":
            raise CommandError(
                WRONG_USAGE, f"the ledger {text!r} is no place that lasts; give {LEDGER_FORMS}"
            )
        return Address("sqlite", str(Path(text).absolute()))
    kind = _KINDS.get(scheme.lower())
    if kind is None:
        raise CommandError(WRONG_USAGE, f"no ledger is known by {scheme}://; give {LEDGER_FORMS}")
    if kind != "sqlite":
        return Address(kind, text)
    if not rest.startswith("/") or not rest.strip("/"):
        raise CommandError(
            WRONG_USAGE,
            f"a file's URL has three slashes and its whole path: sqlite:///var/lib/app/ledger.db, not {text}",
        )
    return Address("sqlite", "/" + unquote(rest).lstrip("/"))


def _server_ledger(kind: str) -> Callable[..., DurableLedger]:
    """The class of a ledger on a server; its driver may not be installed."""
    module, name = _LEDGERS[kind]
    try:
        found: Any = getattr(import_module(module), name)
    except ImportError as error:
        raise CommandError(
            NO_LEDGER, f"the driver for {kind} is not installed: pip install 'ldtrack[{kind}]' ({error})"
        ) from error
    made: Callable[..., DurableLedger] = found
    return made


def key_from_environment(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The SDK key that an environment variable holds."""
    key = environment.get(name, "").strip()
    if not key:
        raise CommandError(
            WRONG_USAGE,
            f"there is no SDK key: set the environment variable {name}, or name a file with --sdk-key-file",
        )
    return key


def destination_of(
    text: str, key: Callable[[], str], *, events_uri: str | None = None, ca_certs: str | None = None
) -> Destination:
    """Where events go: ``launchdarkly``, or ``jsonl:path``. The key is asked for before each post."""
    if text.startswith(_JSON_LINES):
        path = text.removeprefix(_JSON_LINES)
        if not path or events_uri or ca_certs:
            raise CommandError(
                WRONG_USAGE,
                "a file of JSON lines needs a path (--to jsonl:events.jsonl) and nothing of a network",
            )
        return JSONLines(Path(path).absolute())
    if text != "launchdarkly":
        raise CommandError(WRONG_USAGE, f"events go --to launchdarkly or jsonl:path, not to {text!r}")
    options: dict[str, Any] = {"ca_certs": ca_certs}
    if events_uri:
        options["events_uri"] = events_uri
    try:
        LaunchDarklyEvents(key())  # one that cannot be a key is found now, not after an hour of waiting
        return LaunchDarklyEvents(key, **options)
    except ValueError as error:
        raise CommandError(WRONG_USAGE, str(error)) from error
