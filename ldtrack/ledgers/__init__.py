"""Ledgers decide which claim came first, and keep its events until they are delivered."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ldtrack.ledgers.memory import MemoryLedger

if TYPE_CHECKING:
    from ldtrack.ledgers.postgres import PostgresLedger
    from ldtrack.ledgers.redis import RedisLedger
    from ldtrack.ledgers.sqlite import SQLiteLedger

__all__ = ["MemoryLedger", "PostgresLedger", "RedisLedger", "SQLiteLedger"]

_ELSEWHERE = {
    "PostgresLedger": "ldtrack.ledgers.postgres",
    "RedisLedger": "ldtrack.ledgers.redis",
    "SQLiteLedger": "ldtrack.ledgers.sqlite",
}
"""Imported when first asked for: each brings a driver along, which may be an extra that is not installed."""


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        return getattr(import_module(_ELSEWHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
