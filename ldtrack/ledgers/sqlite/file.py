"""The file of a SQLite ledger, and the connection to it.

Rule for this file: who uses the connection when, and finding out that the file is not what it was. How it is
opened is in ``opening``; which statements are executed is not its affair.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from ldtrack.ids import SystemClock
from ldtrack.ledgers.sqlite import forks
from ldtrack.ledgers.sqlite.faults import is_busy, keeps_connection, translated
from ldtrack.ledgers.sqlite.opening import Opened, Options, opened

__all__ = ["DatabaseFile"]

T = TypeVar("T")

BUSY_PAUSE: Final = 0.001
"""How long to wait before looking again whether others are done, in seconds."""
FORK_PATIENCE: Final = 10.0
"""For how long a fork waits for a running transaction, in seconds."""


class DatabaseFile:
    """Opens with the first use, and again after it was closed, lost or replaced."""

    def __init__(self, path: Path, options: Options) -> None:
        self.path = path.absolute()
        self._options = options
        self._opened: Opened | None = None
        # Held while SQLite is at work, so that no fork happens in the middle of it. Re-entrant for the fork
        # that a finalizer in this very thread might ask for.
        self._at_work = threading.RLock()
        with _registry.lock:
            _registry.files.add(self)

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do one piece of work, a statement or a transaction, from its start again while others are writing.

        What SQLite raises becomes a ``LedgerError`` or an ``UnavailableError``, an open transaction is rolled
        back, and success counts only if the file is still the one at its path.
        """
        until_ns: int | None = None
        while True:
            try:
                with self._at_work:
                    return self._try(work)
            except sqlite3.Error as error:
                now_ns = SystemClock.monotonic_ns()
                until_ns = until_ns or now_ns + int(self._options.busy_timeout * 1e9)
                if not is_busy(error) or now_ns >= until_ns:
                    raise translated(error, self.path) from error
            # SQLite would wait by itself, but the longer it has waited the less often it looks: whoever comes
            # late is served first, and eight busy processes starve one another for seconds.
            time.sleep(BUSY_PAUSE)

    def _try(self, work: Callable[[sqlite3.Connection], T]) -> T:
        now = self._opened
        if now is None:
            now = self._opened = opened(self.path, self._options)
        try:
            result = work(now.connection)
        except BaseException as error:
            if now.connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    now.connection.execute("ROLLBACK")
            if now.is_immutable or (isinstance(error, sqlite3.Error) and not keeps_connection(error)):
                self.close()
            raise
        if now.is_immutable or not now.is_still_there():
            self.close()
            now.complain()
        return result

    def wal_size(self) -> int:
        """How many bytes wait beside the file to be copied into it."""
        try:
            return 0 if self._opened is None else self._opened.wal.stat().st_size
        except OSError:
            return 0

    def close(self) -> None:
        """Let go of the file; the last one who does copies everything into it."""
        with self._at_work:
            now, self._opened = self._opened, None
            if now is not None:
                with contextlib.suppress(sqlite3.Error):
                    now.connection.close()

    def abandon(self) -> None:
        """In a forked child: forget the parent's connection without touching it."""
        self._at_work = threading.RLock()
        now, self._opened = self._opened, None
        if now is not None:
            forks.abandon(now.connection, self.path, now.memory)

    def hold(self) -> None:
        """Before a fork: wait until nobody is at work."""
        self._at_work.acquire(timeout=FORK_PATIENCE)

    def go_on(self) -> None:
        """After a fork, in the parent."""
        with contextlib.suppress(RuntimeError):  # it was at work for too long
            self._at_work.release()


class _Registry:
    """All there are, so that none is at work while the process forks."""

    def __init__(self) -> None:
        self.files: weakref.WeakSet[DatabaseFile] = weakref.WeakSet()
        self.lock = threading.RLock()
        self._held: list[DatabaseFile] = []

    def before_fork(self) -> None:
        self.lock.acquire()
        self._held = list(self.files)
        for file in self._held:
            file.hold()

    def after_fork_in_parent(self) -> None:
        for file in self._held:
            file.go_on()
        self._held = []
        self.lock.release()

    def after_fork_in_child(self) -> None:
        self.lock = threading.RLock()
        held, self._held = self._held, []
        for file in held:
            file.abandon()


_registry: Final = _Registry()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_registry.before_fork,
        after_in_parent=_registry.after_fork_in_parent,
        after_in_child=_registry.after_fork_in_child,
    )
