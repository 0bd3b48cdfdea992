"""The file of a SQLite ledger, and the connection to it.

Rule for this file: opening, letting go, and finding out that the file is not what it was. Which statements
are executed is not its affair.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.sqlite import forks
from ldtrack.ledgers.sqlite.faults import is_busy, keeps_connection, translated
from ldtrack.ledgers.sqlite.schema import OLDEST_SQLITE, VERSIONS, bring_up_to_date, version_of

__all__ = ["DatabaseFile", "Synchronous"]

Synchronous = Literal["FULL", "NORMAL"]
Identity = tuple[int, int, int, int]

_PATIENCE: Final = 0.01
"""Seconds between tries of what SQLite does not wait for by itself."""
_PRAGMAS: Final = (
    "cache_size = -8192",  # in KiB
    "wal_autocheckpoint = 2000",  # in pages: 16 MB
    "journal_size_limit = 67108864",
    "temp_store = MEMORY",  # a full /tmp must not fail a claim
    "secure_delete = FAST",
    "cell_size_check = ON",
)


class DatabaseFile:
    """Opens with the first use, and again after it was closed, lost or replaced.

    Used as ``with file as connection``: what SQLite raises inside becomes a ``LedgerError`` or an
    ``UnavailableError``, an open transaction is rolled back, and success counts only if the file is still
    the one at its path.
    """

    def __init__(
        self, path: Path, *, synchronous: Synchronous, busy_timeout: float, is_read_only: bool
    ) -> None:
        self._path = path.absolute()
        self.name = str(path)
        self._wal = f"{self._path}-wal"
        self._synchronous = synchronous
        self._busy_timeout = busy_timeout
        self._is_read_only = is_read_only
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None

    def __enter__(self) -> sqlite3.Connection:
        return self._connection or self._open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            if self._identity != self._look():
                self._drop()
                raise LedgerError(
                    f"{self.name} was deleted or replaced while the ledger had it open: what was recorded in "
                    "it is wherever it went; the next call begins with the file that is there then"
                )
            return
        connection = self._connection
        if connection is not None and connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            if not keeps_connection(error):
                self._drop()
            raise translated(error, self.name) from error

    def wal_size(self) -> int:
        """How many bytes wait beside the file to be copied into it."""
        try:
            return os.stat(self._wal).st_size  # noqa: PTH116 - asked after every call, and Path.stat costs twice
        except OSError:
            return 0

    def close(self) -> None:
        """Let go of the file; the last one who does copies all into it."""
        self._drop()

    def abandon(self) -> None:
        """In a forked child: forget the parent's connection without touching it."""
        connection, self._connection, self._identity = self._connection, None, None
        if connection is not None:
            forks.abandon(connection, self._path)

    def _drop(self) -> None:
        connection, self._connection, self._identity = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _look(self) -> Identity | None:
        """Which files are at the path now."""
        try:
            main = os.stat(self._path)  # noqa: PTH116 - as above
            wal = os.stat(self._wal)  # noqa: PTH116 - as above
        except OSError:
            return None
        return main.st_dev, main.st_ino, wal.st_dev, wal.st_ino

    # Opening

    def _open(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise LedgerError(
                f"this Python comes with SQLite {sqlite3.sqlite_version}, and the ledger needs "
                f"{'.'.join(map(str, OLDEST_SQLITE))} or newer; use a newer build of Python"
            )
        if not self._path.parent.is_dir():
            raise LedgerError(f"{self.name} cannot be made: the folder {self._path.parent} does not exist")
        tries_left = int(self._busy_timeout / _PATIENCE)
        connection: sqlite3.Connection | None = None
        while connection is None:
            try:
                connection = self._connected()
            except sqlite3.Error as error:
                # Nobody waits for the lock that a change of the journal's mode needs, hence this loop.
                if not is_busy(error) or not tries_left:
                    raise translated(error, self.name) from error
                tries_left -= 1
                time.sleep(_PATIENCE)
        self._connection, self._identity = connection, self._look()
        return connection

    def _connected(self) -> sqlite3.Connection:
        if not self._is_read_only:
            self._make()
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode={'ro' if self._is_read_only else 'rw'}",
            uri=True,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
        )
        try:
            self._prepare(connection)
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
            raise
        return connection

    def _make(self) -> None:
        """An empty file that only its owner may read; the files that SQLite puts beside it are as private."""
        with contextlib.suppress(FileExistsError):
            try:
                # Closing a file lets go of all locks that this process has on it, so it is made unopened.
                os.mknod(self._path, 0o600 | stat.S_IFREG)
            except (AttributeError, PermissionError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                pass

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if self._is_read_only:
            version = version_of(connection, self.name)
            if version < len(VERSIONS):
                raise LedgerError(f"{self.name} is of an older version; open it for writing once")
            return
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        if version_of(connection, self.name) < len(VERSIONS):
            bring_up_to_date(connection, self.name)
