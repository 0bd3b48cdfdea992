"""The ledger in a file: SQLite, in a shape that many threads and processes can share."""

from ldtrack.ledgers.sqlite.ledger import SQLiteLedger
from ldtrack.ledgers.sqlite.store import SQLiteStore

__all__ = ["SQLiteLedger", "SQLiteStore"]
