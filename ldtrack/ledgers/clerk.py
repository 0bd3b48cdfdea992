"""Asks a store one thing at a time, from worker threads.

Rule for this file: the errand and its thread. A clerk has a store of its own, so that what a relay does
never stands in the way of those who claim.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.store import Store, UnavailableError

__all__ = ["Clerk"]

T = TypeVar("T")


class Clerk:
    """Opens its store with the first errand, and again after it was closed."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._store: Store | None = None
        self._lock = threading.Lock()
        _CLERKS.add(self)

    async def ask(self, errand: Callable[[Store], T]) -> T:
        """Run the errand in a worker thread; cancelling waits until it is done, which the store bounds."""
        # A limiter of its own: worker threads that the app keeps busy must not keep a relay waiting.
        return await anyio.to_thread.run_sync(
            partial(self.ask_blocking, errand), limiter=anyio.CapacityLimiter(1)
        )

    def ask_blocking(self, errand: Callable[[Store], T]) -> T:
        """Run the errand in this thread."""
        with self._lock:
            try:
                if self._store is None:
                    self._store = self._open_store()
                return errand(self._store)
            except UnavailableError as error:
                raise LedgerError(
                    f"the ledger cannot be reached: {error}; the call may be repeated"
                ) from error

    def close(self) -> None:
        """Let the store go."""
        with self._lock:
            store, self._store = self._store, None
            if store is not None:
                store.close()

    def forked(self) -> None:
        """In a forked child: the store is the parent's, and so may the lock's holder be."""
        store, self._store, self._lock = self._store, None, threading.Lock()
        if store is not None:
            store.abandon()


_CLERKS: Final[weakref.WeakSet[Clerk]] = weakref.WeakSet()


def _forked() -> None:
    for clerk in list(_CLERKS):
        clerk.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
