"""Where rows wait that their ledger cannot take now and that nobody waits for.

Rule for this file: a spool keeps rows and brings them to the ledger's store later. The store then says
which are first; a row that is not is a duplicate like any other, and is dropped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from ldtrack.core.batch import Batch
from ldtrack.core.options import require_clock
from ldtrack.core.row import Row
from ldtrack.exceptions import LedgerError
from ldtrack.ids import new_payload_id
from ldtrack.ledgers.keeper import Keeper
from ldtrack.ledgers.store import Store, UnavailableError

if TYPE_CHECKING:
    from ldtrack.typing import Clock

__all__ = ["Spool", "SpoolStore", "spool_at"]

log: Final = logging.getLogger("ldtrack")

T = TypeVar("T")

ROWS, CHARS = 500, 4_000_000
"""How much is brought to the ledger at once."""
LOAN: Final = 120.0
"""After how many seconds another process may bring a portion to the ledger: this one seems to have died."""
PAUSE: Final = 5.0
"""How many seconds pass after a portion could not be brought to the ledger."""
REST: Final = 600.0
"""For how many seconds a row is left alone that the ledger refuses."""
LOOK_EVERY: Final = 60.0
"""How often to look whether another process has left something, in seconds."""
PATIENCE: Final = 10.0


class SpoolStore(Store, Protocol):
    """A store that gives back rows as they were recorded."""

    def rows_of(self, batch: Batch) -> list[Row]:
        """The batch's rows; none if it is gone."""
        ...


class Spool:
    """A file beside a server's ledger, which several processes may share. Used by the writer's thread."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        open_store: Callable[[Path], SpoolStore] | None = None,
    ) -> None:
        # It is opened when it is first needed, and by then the process may have gone to another folder.
        self._path = path = path.absolute()
        self._clock = clock
        self._keeper: Keeper[SpoolStore] = Keeper(
            lambda: (open_store or _open_sqlite)(path), patience=PATIENCE
        )
        self._name = new_payload_id()
        self.due_at: float | None = 0.0 if os.path.exists(path) else None  # noqa: PTH110 - answers where Path.exists raises
        """When there is something to bring to the ledger, in seconds of the clock; ``None`` if there is
        nothing. At first an earlier process may have left something."""
        self._look_at = self._now() + LOOK_EVERY
        self.pending = 0
        """How many rows were in it when last looked at."""

    @property
    def wanted_at(self) -> float:
        """When there is something to do, if only to look."""
        return self._look_at if self.due_at is None else self.due_at

    def look(self) -> None:
        """Find out now and then whether there is something that another process, gone by now, has left."""
        now = self._now()
        if self.due_at is None and now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            if os.path.exists(self._path):  # noqa: PTH110 - as above
                self.due_at = now

    def keep(self, rows: Sequence[Row]) -> bool:
        """Write rows down here; whether that was possible."""
        try:
            self._keeper.ask(lambda store: store.record(rows))
        except Exception as error:  # noqa: BLE001 - whatever it is, the ledger's thread must outlive it
            self._complain("could not be written down in", error)
            return False
        self.pending += len(rows)
        self.due_at = self._now()
        return True

    def drain(self, ledger: Keeper[Store]) -> bool:
        """Bring one portion of the rows to the ledger; whether it took them.

        Raises ``UnavailableError`` if the ledger is away, and that alone.
        """
        try:
            batch, rows = self._keeper.ask(self._borrow)
        except Exception as error:  # noqa: BLE001 - as in keep
            self._complain("could not be read from", error)
            self.due_at = self._now() + PAUSE
            return False
        if batch is None:
            # What another process has on loan may come back.
            self.due_at = self._now() + PAUSE if self.pending else None
            return False
        try:
            ledger.ask(lambda store: store.record(rows))
        except UnavailableError:
            self._give_back(batch, 0.0)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the rows stay safe in here
            self._refused(batch, error)
            return False
        self._do(lambda store: store.delivered(batch))
        self.pending -= len(rows)
        return True

    def _borrow(self, store: SpoolStore) -> tuple[Batch | None, list[Row]]:
        batch = store.lease(self._owner(), ROWS, CHARS, LOAN)
        self.pending = store.standing().pending
        return batch, [] if batch is None else store.rows_of(batch)

    def _refused(self, batch: Batch, error: Exception) -> None:
        """One row that the ledger refuses must not hold up the others: it is tried again now and then."""
        self._complain("were refused: they stay in", error)
        if len(batch.bodies) == 1:
            self._give_back(batch, REST)
        else:
            for half in self._do(lambda store: store.split(batch, self._owner(), LOAN)) or ():
                self._give_back(half, 0.0)
        self.due_at = self._now() + PAUSE

    def _give_back(self, batch: Batch, seconds: float) -> None:
        self._do(lambda store: store.postpone(batch, self._owner(), seconds))

    def _do(self, errand: Callable[[SpoolStore], T]) -> T | None:
        """What may fail: the loan runs out by itself, and a row that comes twice is recognised."""
        try:
            return self._keeper.ask(errand)
        except Exception as error:  # noqa: BLE001 - as in keep
            self._complain("are still on loan from", error)
            return None

    def close(self) -> None:
        """Let go of the file."""
        self._keeper.close()

    def _complain(self, what: str, error: Exception) -> None:
        log.warning("claims that wait for ldtrack's ledger %s the spool %s: %s", what, self._path, error)

    def _owner(self) -> str:
        # A forked child is somebody else.
        return f"{self._name}:{os.getpid()}"

    def _now(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _open_sqlite(path: Path) -> SpoolStore:
    from ldtrack.ledgers.sqlite import SQLiteStore  # noqa: PLC0415 - that package imports the ledgers' frame

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"the folder of the spool {path} cannot be made: {error}; give spool=..."
        ) from error
    return SQLiteStore(path)


def spool_at(path: Path | None, clock: Clock) -> Spool | None:
    """The spool of that path, or none."""
    require_clock(clock)
    return None if path is None else Spool(path, clock=clock)
