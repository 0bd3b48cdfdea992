"""What SQLite's errors mean for a ledger.

Rule for this file: the table from error codes to sentences.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.store import UnavailableError

__all__ = ["READ_ONLY", "is_busy", "keeps_connection", "translated"]

READ_ONLY: Final = (
    "it can only be read: see the permissions of the file and of its folder, and whether the file system is "
    "mounted read-only"
)
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_SENTENCES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; make room, then repeat the call",
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: see whether the folder exists, and the permissions of "
    "both",
    sqlite3.SQLITE_PERM: "the permissions of the file forbid it",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it out of the way (with the files beside it ending in -wal "
    "and -shm) and restore a backup, or let a new one be made",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database; give the ledger a file of its own",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write, or is full",
}


def _code_of(error: sqlite3.Error) -> int:
    # The lower byte is the kind; the others say more than a table can.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether it is only that somebody else is writing."""
    return _code_of(error) in _BUSY


def keeps_connection(error: sqlite3.Error) -> bool:
    """Whether the connection is as good as before, so that the next call may use it."""
    return is_busy(error) or _code_of(error) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT}


def translated(error: sqlite3.Error, path: Path) -> LedgerError | UnavailableError:
    """The error as a ledger raises it."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if is_busy(error):
        return UnavailableError(f"{path} is being written by others all the time ({name})")
    sentence = _SENTENCES.get(_code_of(error))
    if sentence is None:
        return LedgerError(f"SQLite failed on {path}: {error} ({name})")
    return LedgerError(f"SQLite failed on {path} ({name}): {sentence}")
