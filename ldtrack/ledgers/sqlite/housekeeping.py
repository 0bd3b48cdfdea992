"""What keeps a SQLite ledger's file from growing for good.

Rule for this file: short steps, so that nobody who writes has to wait for long.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Final

from ldtrack.core.row import FIRST_CLAIMANT
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.sqlite.file import DatabaseFile
from ldtrack.ledgers.store import UnavailableError

__all__ = ["Housekeeping"]

DAY_MS: Final = 86_400_000
REPEATABLE_MS: Final = 7 * DAY_MS
"""The claim of a repeatable metric serves to recognise a retry, which comes within the ledger's deadline. It
comes after months only where rows wait in a spool, and a ledger in a file has none: that is for ledgers on
servers, which remember these claims as long as all others."""
CLAIMS_AT_ONCE: Final = 4_096
PAGES_AT_ONCE: Final = 64
"""Half a megabyte. SQLite moves pages one step at a time, and another thread may run after each."""
SPARE_PAGES: Final = 4_096
"""Room that is left in the file for what comes next: 32 MB, or a quarter of the file."""
LONG_LOG, LONGEST_LOG = 48_000_000, 192_000_000
"""From how many bytes on the log is shortened when there is nothing else to do, and when there is."""
RECORDS_PER_LOOK: Final = 64
READERS_MS: Final = 100
"""For how long those who write have to wait for those who read, when the log is shortened."""

_END: Final = """
    SELECT run_id, place FROM claims WHERE (run_id, place) > (?, ?) ORDER BY run_id, place LIMIT 1 OFFSET ?
"""
_FORGET_THE_REST: Final = """
    DELETE FROM claims WHERE (run_id, place) > (?, ?) AND at_ms < CASE WHEN place < ? THEN ? ELSE ? END
"""
# A statement of its own: in one for both, SQLite would read on to the end of the table.
_FORGET_UP_TO: Final = f"{_FORGET_THE_REST} AND (run_id, place) <= (?, ?)"
_WALKED: Final = "UPDATE tally SET walk_run = ?, walk_place = ?, walked_ms = ?"


class Housekeeping:
    """Forgets old claims, gives room back, and keeps the write-ahead log short."""

    def __init__(self, file: DatabaseFile, *, keep_ms: int) -> None:
        self._file = file
        self._keep_ms = keep_ms
        self._records = 0
        self._longest = LONGEST_LOG

    def after_record(self) -> None:
        """See to what cannot wait for a quiet moment.

        SQLite copies the log into the file as it goes, but can begin it anew only in a moment in which all is
        copied. While several processes write at full speed there is no such moment unless it is made.
        """
        self._records += 1
        if self._records % RECORDS_PER_LOOK:
            return
        size = self._file.wal_size()
        if size <= self._longest:
            return
        is_short = False
        # What was recorded is recorded, whatever becomes of the log.
        with contextlib.suppress(LedgerError, UnavailableError):
            is_short = self._file.run(self._shorten)
        # While somebody reads for long, one try per so many bytes is enough.
        self._longest = LONGEST_LOG if is_short else size + LONGEST_LOG // 4

    def step(self, now_ms: int) -> bool:
        """Do something of what is to be done; returns whether there is more."""
        return self._file.run(lambda connection: self._step(connection, now_ms))

    def _step(self, connection: sqlite3.Connection, now_ms: int) -> bool:
        if self._forget(connection, now_ms):
            return True
        [(free,)] = connection.execute("PRAGMA freelist_count").fetchall()
        [(pages,)] = connection.execute("PRAGMA page_count").fetchall()
        if free > max(SPARE_PAGES, pages // 4):
            return self._give_back(connection)
        if self._file.wal_size() > LONG_LOG:
            self._shorten(connection)
        return False

    def vacuum(self) -> None:
        """Give all unused room back to the file system."""
        while self._file.run(self._give_back):
            pass
        self._file.run(self._shorten)

    def _forget(self, connection: sqlite3.Connection, now_ms: int) -> bool:
        """Walk on over the claims, once a day, and delete what is old; whether there are more."""
        [(run, place, walked_ms)] = connection.execute(
            "SELECT walk_run, walk_place, walked_ms FROM tally"
        ).fetchall()
        if walked_ms <= now_ms < walked_ms + min(DAY_MS, self._keep_ms):
            return False
        ends = connection.execute(_END, (run, place, CLAIMS_AT_ONCE - 1)).fetchall()
        oldest, oldest_repeatable = now_ms - self._keep_ms, now_ms - min(REPEATABLE_MS, self._keep_ms)
        age = FIRST_CLAIMANT, oldest, oldest_repeatable
        connection.execute("BEGIN IMMEDIATE")
        if ends:
            connection.execute(_FORGET_UP_TO, (run, place, *age, *ends[0]))
        else:
            connection.execute(_FORGET_THE_REST, (run, place, *age))
        connection.execute(_WALKED, (*ends[0], walked_ms) if ends else ("", -1, now_ms))
        connection.execute("COMMIT")
        return bool(ends)

    def _give_back(self, connection: sqlite3.Connection) -> bool:
        """Cut some free pages off the file; whether there are more."""
        [(before,)] = connection.execute("PRAGMA freelist_count").fetchall()
        connection.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})").fetchall()
        [(after,)] = connection.execute("PRAGMA freelist_count").fetchall()
        # A file that somebody else has begun may not be able to shrink.
        return bool(0 < after < before)

    def _shorten(self, connection: sqlite3.Connection) -> bool:
        """Copy the log into the file and begin it anew; whether nobody was reading it."""
        # The bulk first, while others write; what is left is copied while they wait.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        connection.execute(f"PRAGMA busy_timeout = {READERS_MS}")
        try:
            [(is_busy, _, _)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.execute("PRAGMA busy_timeout = 0")
        return not is_busy
