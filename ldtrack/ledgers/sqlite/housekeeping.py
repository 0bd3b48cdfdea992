"""What keeps a SQLite ledger's file from growing for good.

Rule for this file: short steps, so that nobody who writes has to wait for long.
"""

from __future__ import annotations

from ldtrack.ledgers.sqlite.file import DatabaseFile

__all__ = ["Housekeeping"]


class Housekeeping:
    """Forgets old claims, gives room back, and keeps the write-ahead log short."""

    def __init__(self, file: DatabaseFile, *, keep_ms: int) -> None:
        self._file = file
        self._keep_ms = keep_ms

    def after_record(self) -> None:
        """What cannot wait for a quiet moment."""

    def step(self, now_ms: int) -> bool:
        """Do something of what is to be done; returns whether there is more."""
        return False

    def vacuum(self) -> None:
        """Give all unused room back to the file system."""
