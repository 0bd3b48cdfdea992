"""Where a ledger may be kept for a test: a file, or a server of the test's own.

Rule for this file: starting and ending; nothing that decides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import servers

__all__ = ["missing", "place_for"]


def missing(ledger: str) -> str | None:
    """What to install before the ledger can be tried, if anything."""
    if ledger == "postgres":
        return servers.missing_postgres()
    return servers.missing_redis() if ledger == "redis" else None


@contextlib.contextmanager
def place_for(ledger: str, folder: Path) -> Iterator[str]:
    """A place that nobody has used before."""
    if ledger == "postgres":
        with servers.postgres_server() as postgres:
            yield postgres.dsn()
    elif ledger == "redis":
        with servers.redis_server() as redis:
            yield redis.url
    else:
        yield str(folder / "ledger.db")
