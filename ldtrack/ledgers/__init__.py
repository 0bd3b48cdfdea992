"""Ledgers decide which claim came first, and keep its events until they are delivered."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from ldtrack.ledgers.memory import MemoryLedger
from ldtrack.ledgers.on_demand import names_on_demand

if TYPE_CHECKING:
    from ldtrack.ledgers.postgres import PostgresLedger
    from ldtrack.ledgers.redis import RedisLedger
    from ldtrack.ledgers.sqlite import SQLiteLedger

__all__ = ["MemoryLedger", "SQLiteLedger"]

# Who asks for all gets what can be had here; who asks for one of these by name is told what to install.
if find_spec("psycopg") is not None:  # pragma: no branch - without it in a process of its own
    __all__ += ["PostgresLedger"]
if find_spec("redis") is not None:  # pragma: no branch - as above
    __all__ += ["RedisLedger"]

__getattr__ = names_on_demand(
    __name__,
    {
        "PostgresLedger": "ldtrack.ledgers.postgres",
        "RedisLedger": "ldtrack.ledgers.redis",
        "SQLiteLedger": "ldtrack.ledgers.sqlite",
    },
)
