"""The address of a ledger.

Rule for this file: from what somebody wrote to what it names, and what of it may be shown. What is wrong with
it is said in a sentence, which never repeats a password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from ldtrack.cli.errors import WRONG_USAGE, CommandError

__all__ = ["HIDDEN", "LEDGER_FORMS", "Address", "read_address"]

LEDGER_FORMS: Final = (
    "a file (ledger.db, sqlite:///var/lib/app/ledger.db), postgresql://host/database, redis://host:6379/0, "
    "or env:NAME for one of these in an environment variable"
)
HIDDEN: Final = "<hidden>"
"""Stands for what is not shown."""
_FROM_ENVIRONMENT: Final = "env:"
_KINDS: Final = {
    "sqlite": "sqlite",
    "postgresql": "postgres",
    "postgres": "postgres",
    "redis": "redis",
    "rediss": "redis",
    "redis+sentinel": "redis",
    "rediss+sentinel": "redis",
    "unix": "redis",
}
_KEYWORDS: Final = re.compile(r"\s*(host|hostaddr|port|dbname|user|password|service)\s*=")
"""How PostgreSQL's other form of a connection string begins."""
_PASSWORD: Final = re.compile(r"password\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S+))")
_SHORTEST_SECRET: Final = 4
"""Shorter ones are not worth hiding: half of what is said would be hidden."""


@attrs.frozen
class Address:
    """Where a ledger is."""

    kind: str
    """``sqlite``, ``postgres`` or ``redis``."""
    target: str = attrs.field(repr=False)
    """A path, or what a server's driver understands, which may hold a password."""
    options: Mapping[str, object] = attrs.field(factory=dict)
    """What else tells one ledger on a server from another."""

    @property
    def is_file(self) -> bool:
        """Whether it is a file of this machine."""
        return self.kind == "sqlite"

    @property
    def shown(self) -> str:
        """For people and logs: without a password, and without whatever else a query may hold."""
        if self.is_file:
            return self.target
        parts = urlsplit(self.target)
        if not parts.scheme:
            return self.kind
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be repeated anywhere."""
        if self.is_file:
            return ()
        parts = urlsplit(self.target)
        found = {
            parts.password or "",
            *(value for name, value in parse_qsl(parts.query) if name == "password"),
        }
        found |= {quoted or bare for quoted, bare in _PASSWORD.findall(self.target)}
        found |= {unquote(secret) for secret in found}
        return tuple(
            secret for secret in sorted(found, key=len, reverse=True) if len(secret) >= _SHORTEST_SECRET
        )

    def hide(self, text: str) -> str:
        """The same text without them."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def files(self) -> list[Path]:
        """The files that a ledger in a file consists of right now."""
        names = (self.target, f"{self.target}-wal") if self.is_file else ()
        return [path for path in map(Path, names) if path.is_file()]


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
    if _KEYWORDS.match(text):
        return Address("postgres", text)
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
        try:
            urlsplit(text)
        except ValueError as error:  # which tells of one part of it: not of a password, but who knows
            raise CommandError(WRONG_USAGE, f"the ledger's {scheme}:// address is no URL") from error
        return Address(kind, text)
    if not rest.startswith("/") or not rest.strip("/"):
        raise CommandError(
            WRONG_USAGE,
            f"a file's URL has three slashes and its whole path: sqlite:///var/lib/app/ledger.db, not {text}",
        )
    return Address("sqlite", "/" + unquote(rest).lstrip("/"))
