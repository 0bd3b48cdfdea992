"""The ledger in PostgreSQL, which many hosts share. Needs the extra ``postgres``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldtrack.ledgers.postgres.ledger import PostgresLedger
    from ldtrack.ledgers.postgres.store import PostgresStore

__all__ = ["PostgresLedger", "PostgresStore"]

_ELSEWHERE = {
    "PostgresLedger": "ldtrack.ledgers.postgres.ledger",
    "PostgresStore": "ldtrack.ledgers.postgres.store",
}
"""Imported when first asked for, so that the package can be looked through without the driver."""


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_ELSEWHERE[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        raise ImportError(f"{name} needs the driver psycopg: pip install 'ldtrack[postgres]'") from error
