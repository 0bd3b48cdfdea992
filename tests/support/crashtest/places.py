"""Where a ledger may be kept for a test: a file, or a server of the test's own.

Rule for this file: starting and ending; nothing that decides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import servers

from ldtrack import ledgers

__all__ = ["Place", "a_place_for", "missing", "place_on"]


class Place(NamedTuple):
    """A ledger's kind, where it is, and options that keep it apart from others there."""

    ledger: str
    where: str
    options: Mapping[str, Any] = MappingProxyType({})
    server: servers.Server | None = None

    def open(self, **options: Any) -> Any:
        """The ledger, of which nothing is open yet."""
        name = {"sqlite": "SQLiteLedger", "postgres": "PostgresLedger", "redis": "RedisLedger"}[self.ledger]
        return getattr(ledgers, name)(self.where, **{**self.options, **options})


def missing(ledger: str) -> str | None:
    """What to install before the ledger can be tried, if anything."""
    if ledger == "postgres":
        return servers.missing_postgres()
    return servers.missing_redis() if ledger == "redis" else None


def place_on(server: servers.PostgresServer | servers.RedisServer) -> Place:
    """A place of its own on a running server."""
    if isinstance(server, servers.PostgresServer):
        return Place("postgres", server.dsn(), {"schema": server.unique(), "spool": False}, server)
    return Place("redis", server.url, {"name": server.unique(), "spool": False}, server)


@contextlib.contextmanager
def a_place_for(ledger: str, folder: Path) -> Iterator[Place]:
    """A place that nobody has used before; a server is started for it, if it needs one."""
    if ledger == "postgres":
        with servers.postgres_server() as postgres:
            yield place_on(postgres)
    elif ledger == "redis":
        with servers.redis_server() as redis:
            yield place_on(redis)
    else:
        yield Place("sqlite", str(folder / "ledger.db"))
