"""Where rows wait that their ledger cannot take now and that nobody waits for.

Rule for this file: a spool keeps rows and brings them to the ledger's store later. The store then says
which are first; a row that is not is a duplicate like any other, and is dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ldtrack.core.row import Row
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.sqlite import SQLiteStore
from ldtrack.ledgers.store import Store, UnavailableError

if TYPE_CHECKING:
    from ldtrack.typing import Clock

__all__ = ["Spool"]

log: Final = logging.getLogger("ldtrack")

_ROWS, _CHARS, _LOAN = 500, 4_000_000, 120.0
"""How much is brought to the ledger at once, and after how long another process may do it instead."""
_LATER_NS: Final = 5_000_000_000
"""How long to wait after a portion could not be brought to the ledger."""


class Spool:
    """A SQLite file beside a server's ledger. Used by the ledger's thread alone."""

    def __init__(
        self,
        path: Path,
        *,
        owner: str,
        clock: Clock,
        open_store: Callable[[Path], SQLiteStore] = SQLiteStore,
    ) -> None:
        self._path = path
        self._owner = owner
        self._clock = clock
        self._open_store = open_store
        self._store: SQLiteStore | None = None
        # An earlier process may have left something.
        self._due_ns: int | None = 0 if path.exists() else None

    def patience(self) -> float | None:
        """In how many seconds there is something to bring to the ledger; ``None`` if there is nothing."""
        if self._due_ns is None:
            return None
        return max(0.0, (self._due_ns - self._clock.monotonic_ns()) / 1e9)

    def keep(self, rows: Sequence[Row]) -> bool:
        """Write rows down here; whether that was possible."""
        try:
            self._opened().record(rows)
        except (LedgerError, UnavailableError) as error:
            log.warning(
                "ldtrack cannot reach its ledger, and its spool %s does not work: %s", self._path, error
            )
            return False
        self._due_ns = 0
        return True

    def drain(self, target: Store) -> None:
        """Bring one portion of the rows to the ledger."""
        store = self._opened()
        batch = store.lease(self._owner, _ROWS, _CHARS, _LOAN)
        if batch is None:
            # What another process has on loan may come back.
            self._due_ns = self._clock.monotonic_ns() + _LATER_NS if store.standing().pending else None
            return
        try:
            target.record(store.rows_of(batch))
        except (LedgerError, UnavailableError):
            self._due_ns = self._clock.monotonic_ns() + _LATER_NS
            store.postpone(batch, self._owner, 0.0)
            raise
        store.delivered(batch)

    def close(self) -> None:
        """Let go of the file."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def abandon(self) -> None:
        """In a forked child: the file stays the parent's."""
        store, self._store = self._store, None
        if store is not None:
            store.abandon()

    def _opened(self) -> SQLiteStore:
        if self._store is None:
            self._store = self._open_store(self._path)
        return self._store
