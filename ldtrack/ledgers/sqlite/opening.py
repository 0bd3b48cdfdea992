"""How the file of a SQLite ledger is opened, and how it is known again.

Rule for this file: from a path to a connection that is ready for use, or to a sentence that says why not.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import attrs

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.sqlite import forks
from ldtrack.ledgers.sqlite.faults import READ_ONLY
from ldtrack.ledgers.sqlite.schema import OLDEST_SQLITE, VERSIONS, bring_up_to_date, version_of
from ldtrack.ledgers.store import UnavailableError

__all__ = ["Opened", "Options", "Synchronous", "opened"]

Synchronous = Literal["FULL", "NORMAL"]

_PRAGMAS: Final = (
    "cache_size = -8192",  # in KiB
    "wal_autocheckpoint = 2000",  # in pages: 16 MB
    "journal_size_limit = 67108864",
    "temp_store = MEMORY",  # a full /tmp must not fail a claim
    "secure_delete = FAST",
    "cell_size_check = ON",
)


LOOKS_FOR_A_CLOSE_ONE: Final = 64
"""At every so-manieth look at the file, the log beside it is looked at closely as well."""


@attrs.frozen
class Options:
    """What a store was made with, as far as its file is concerned."""

    synchronous: Synchronous
    busy_timeout: float
    is_read_only: bool


@attrs.frozen
class Opened:
    """A connection, and by what its files are known again."""

    connection: sqlite3.Connection
    path: Path
    wal: Path
    memory: int | None
    """The inode of the memory that all who have the file open share."""
    is_immutable: bool
    """Whether nobody was writing, and nothing beside the file could be written to tell that we read."""
    _identity: tuple[int, ...] | None
    _looks: Iterator[int] = attrs.field(factory=itertools.count)

    @classmethod
    def of(cls, connection: sqlite3.Connection, path: Path, *, is_immutable: bool) -> Opened:
        """The connection, and the files that are there now."""
        # SQLite follows links before it looks for the files beside a database.
        beside = os.path.realpath(path)
        try:
            memory = Path(f"{beside}-shm").stat().st_ino
        except OSError:
            memory = None
        wal = Path(f"{beside}-wal")
        identity = _stand_still(path) if is_immutable else _identity_of(path, wal)
        return cls(connection, path, wal, memory, is_immutable, identity)

    def is_still_there(self) -> bool:
        """Whether what this connection writes to is what others find at the path.

        That the log is there is asked each time, which one it is only now and then: a log whose times were
        asked for has to write them down at its next sync, and a commit then takes half as long again.
        """
        if self._identity is None:
            return False
        if self.is_immutable:
            return self._identity == _stand_still(self.path)
        if next(self._looks) % LOOKS_FOR_A_CLOSE_ONE:
            return self._identity[:2] == _identity_of(self.path) and os.access(self.wal, os.F_OK)
        return self._identity == _identity_of(self.path, self.wal)

    def complain(self) -> None:
        """Say what became of the file, unless it is still there."""
        if self.is_still_there():
            return
        if self.is_immutable:
            raise UnavailableError(f"{self.path} was written while it was being read")
        raise LedgerError(
            f"{self.path} was deleted or replaced while the ledger had it open: what was recorded in it is "
            "wherever it went; the next call begins with the file that is there then"
        )


def _identity_of(*paths: Path) -> tuple[int, ...] | None:
    """Which files are there: the device and number of each."""
    try:
        stats = [path.stat() for path in paths]
    except OSError:
        return None
    return tuple(number for one in stats for number in (one.st_dev, one.st_ino))


def _stand_still(path: Path) -> tuple[int, ...] | None:
    """Which file is there, and in which state."""
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_dev, now.st_ino, now.st_mtime_ns, now.st_size


def opened(path: Path, options: Options) -> Opened:
    """A connection to the file, which is made if need be."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise LedgerError(
            f"this Python comes with SQLite {sqlite3.sqlite_version}, and the ledger needs "
            f"{'.'.join(map(str, OLDEST_SQLITE))} or newer; use a newer build of Python"
        )
    if not path.parent.is_dir():
        raise LedgerError(f"{path} cannot be opened: there is no folder {path.parent}; make it first")
    if forks.is_stranded(path):
        raise LedgerError(
            f"{path} cannot be used in this forked child: it was being closed or replaced while the process "
            "forked; start the child again"
        )
    return _read_only(path) if options.is_read_only else _writable(path, options)


def _writable(path: Path, options: Options) -> Opened:
    _make(path)
    if not os.access(path, os.W_OK):
        # SQLite would open it for reading, and leave files beside it that are as read-only for good.
        raise LedgerError(f"{path} cannot be opened for writing: {READ_ONLY}")
    connection = _connected(path, "mode=rw")
    with _closing_on_error(connection):
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA synchronous = {options.synchronous}")
        if version_of(connection, path) < len(VERSIONS):
            bring_up_to_date(connection, path)
        now = Opened.of(connection, path, is_immutable=False)
        # Read again: if the file was replaced meanwhile, this looks at the log that is gone.
        version_of(connection, path)
    return now


def _read_only(path: Path) -> Opened:
    # Without the files beside it nobody is writing. To make them would be to write, and to make them ours.
    is_immutable = not Path(f"{os.path.realpath(path)}-wal").exists()
    connection = _connected(path, "mode=ro&immutable=1" if is_immutable else "mode=ro")
    with _closing_on_error(connection):
        now = Opened.of(connection, path, is_immutable=is_immutable)
        version = version_of(connection, path)
        if version < len(VERSIONS):
            raise LedgerError(
                f"{path} was written by an older ldtrack, or never: its schema has version {version}, and "
                f"this one reads {len(VERSIONS)}; open it for writing once"
            )
    return now


def _connected(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?{how}",
        uri=True,
        timeout=0,  # how to wait for others is decided by who executes
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )


@contextlib.contextmanager
def _closing_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        raise


def _make(path: Path) -> None:
    """An empty file that only its owner may read; the files that SQLite puts beside it are as private."""
    try:
        try:
            # Closing a file lets go of all locks that this process has on it, so it is made unopened.
            os.mknod(path, 0o600 | stat.S_IFREG)
        except (AttributeError, PermissionError):
            # Not everywhere may everybody do that, and it may be there after all.
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be made: {error.strerror}; see the permissions of its folder"
        ) from error
