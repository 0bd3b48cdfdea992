"""The ledger in PostgreSQL, which many hosts share. Needs the extra ``postgres``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldtrack.ledgers.on_demand import names_on_demand

if TYPE_CHECKING:
    from ldtrack.ledgers.postgres.ledger import PostgresLedger
    from ldtrack.ledgers.postgres.store import PostgresStore

__all__ = ["PostgresLedger", "PostgresStore"]

__getattr__ = names_on_demand(
    __name__,
    {
        "PostgresLedger": "ldtrack.ledgers.postgres.ledger",
        "PostgresStore": "ldtrack.ledgers.postgres.store",
    },
    driver="psycopg",
    extra="postgres",
)
