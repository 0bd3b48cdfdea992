"""One store, and who may use it when.

Rule for this file: a store is opened by its first errand, does one errand at a time, and is closed while the
process forks.

SQLite knows its files by process: a child that opens a file which its parent had open at the fork believes
the parent's locks to be its own. It waits for good if the parent was writing, and writes into a log that is
already deleted if the parent closes first. No care in the child helps; only that nothing was open.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from ldtrack.ledgers.store import Store

__all__ = ["Keeper"]

S = TypeVar("S", bound=Store)
T = TypeVar("T")


class Keeper(Generic[S]):
    """Keeps one store.

    ``patience`` is for how many seconds a fork waits for an errand to be over. A child that was forked in
    the middle of one abandons the store, which is the best that is left to do.
    """

    def __init__(self, open_store: Callable[[], S], *, patience: float) -> None:
        self._open_store = open_store
        self._patience = patience
        self._begin_anew()
        _KEEPERS[id(self)] = self

    def _begin_anew(self) -> None:
        self._store: S | None = None
        # Re-entrant: whoever forks may be interrupted by a finalizer that has an errand.
        self._lock = threading.RLock()
        self._is_held = False

    def ask(self, errand: Callable[[S], T]) -> T:
        """Do the errand with the store, as soon as no other is being done."""
        with self._lock:
            if self._store is None:
                self._store = self._open_store()
                _be_first_to_know_of_forks(type(self._store))
            return errand(self._store)

    def close(self) -> None:
        """Let the store go; the next errand opens it again."""
        with self._lock:
            store, self._store = self._store, None
            if store is not None:
                store.close()

    def hold(self) -> None:
        """Before a fork: let the store go, and no errand begin."""
        if not self._is_held and self._lock.acquire(timeout=self._patience):
            self._is_held = True
            with contextlib.suppress(Exception):
                self.close()

    def go_on(self) -> None:
        """After a fork, in the parent."""
        if self._is_held:
            self._is_held = False
            self._lock.release()

    def forked(self) -> None:
        """After a fork, in the child: who holds the lock may be a thread that is no more."""
        store = self._store
        self._begin_anew()
        if store is not None:
            store.abandon()


_KEEPERS: Final[weakref.WeakValueDictionary[int, Keeper[Any]]] = weakref.WeakValueDictionary()


def _all(step: Callable[[Keeper[Any]], None]) -> None:
    # Not the dictionary's own iteration: other threads may make keepers meanwhile.
    for reference in _KEEPERS.valuerefs():
        keeper = reference()
        if keeper is not None:
            step(keeper)


_known: Final[set[type]] = set()


def _be_first_to_know_of_forks(kind: type) -> None:
    """Hold the keepers before any other locks are taken for a fork.

    Who registers last is called first, and a kind of store may have registered something of its own when it
    was imported. So this is done again for each kind; what is held already stays as it is.
    """
    if kind not in _known and hasattr(os, "register_at_fork"):
        _known.add(kind)
        os.register_at_fork(
            before=lambda: _all(Keeper.hold),
            after_in_parent=lambda: _all(Keeper.go_on),
            after_in_child=lambda: _all(Keeper.forked),
        )
