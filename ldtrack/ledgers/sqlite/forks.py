"""What becomes of a database in a forked child, and what has to be so before a process forks.

Rule for this file: locks. It never talks to SQLite.

SQLite knows a file by its inode, and what this process holds of it by tables in memory. A child inherits the
tables and none of the locks. It must not close its parent's connections, and a connection that it opens to
the same file would rely on locks that are not there: when the parent then closes, as the last as far as the
locks tell, the log that the child is writing to is deleted. So the child takes those locks itself.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Final

__all__ = ["abandon", "is_stranded"]

_abandoned: Final[list[sqlite3.Connection]] = []
_stranded: Final[set[Path]] = set()

# From SQLite's file format: the bytes of a database that whoever has it open has locked for reading, and the
# one of the shared memory. They are the same in all versions, or these could not share a file.
_SHARED: Final = (0x40000002, 510)
_ALIVE: Final = (128, 1)
_TRIES: Final = 50
_PATIENCE: Final = 0.01


def abandon(connection: sqlite3.Connection, path: Path, memory: int | None) -> None:
    """Keep the parent's connection for good, without touching it, and make the file safe to open anew.

    ``memory`` is the inode of the shared memory that the parent had.
    """
    _abandoned.append(connection)
    shared = Path(f"{path}-shm")
    if not (_lock(path, _SHARED) and _lock(shared, _ALIVE) and shared.stat().st_ino == memory):
        _stranded.add(path)


def is_stranded(path: Path) -> bool:
    """Whether the parent was just closing or losing the file when it forked: then it is not safe here."""
    return path in _stranded


def _lock(path: Path, span: tuple[int, int]) -> bool:
    """Hold the lock until this process ends: the file stays open, since closing it would let go."""
    import fcntl  # noqa: PLC0415 - there is none where there is no fork

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    for _ in range(_TRIES):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, span[1], span[0])
        except OSError:
            time.sleep(_PATIENCE)
        else:
            return True
    return False
