"""A store in memory that does what it is told: works, is away, hangs, refuses a row, loses an answer.

Rule for this file: it keeps a store's contract wherever it was not told to break it.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from ldtrack.core.batch import Aside, Batch, Standing
from ldtrack.core.row import Row
from ldtrack.core.slots import DURATION, Metric
from ldtrack.exceptions import LedgerError
from ldtrack.ids import new_claimant
from ldtrack.ledgers.store import UnavailableError

__all__ = ["PlainStore", "Shelf", "a_row", "away", "lost_answer", "raising"]

PATIENCE = 60.0
"""Seconds until a test that hangs is given up; no test waits for it."""


def a_row(run_id: str = "run-1", metric: Metric = DURATION, body: str = '{"key":"x"}') -> Row:
    """A row as a scribe writes it."""
    claimant = new_claimant()
    return Row(run_id, claimant if metric.slot is None else metric.slot, claimant, 0, 1, body)


@attrs.define(eq=False)
class _Lent:
    rows: list[tuple[int, Row]]
    payload_id: str
    owner: str | None
    until: float
    attempts: int = 0


Mishap = Callable[["Shelf", Sequence[Row]], None]
"""What befalls one call of ``record``."""


def away(shelf: Shelf, rows: Sequence[Row]) -> None:
    """The store cannot be reached."""
    raise UnavailableError("the shelf is away")


def lost_answer(shelf: Shelf, rows: Sequence[Row]) -> None:
    """The rows are stored, and nobody hears of it."""
    shelf.check(rows)
    shelf.store(rows)
    raise UnavailableError("the shelf did not answer")


class Shelf:
    """What one or more plain stores keep their rows on, and how they are told what to do."""

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self.now = now
        self.claims: dict[tuple[str, int], int] = {}
        self.pending: dict[int, Row] = {}
        self.lent: dict[str, _Lent] = {}
        self.asides: list[tuple[Row, str]] = []
        self.delivered = 0
        self.last = 0
        self.calls: list[list[Row]] = []
        """The rows of every call of ``record``, whatever became of it."""
        self.opened = self.closed = self.abandoned = self.tidied = 0
        self.has_more_to_tidy = False
        self.mishaps: list[Mishap] = []
        """What befalls the next calls of ``record``, one after another."""
        self.always: Mishap | None = None
        """What befalls all calls after those."""
        self.poison: set[str] = set()
        """Runs whose rows cannot be stored, and take the whole call with them."""
        self.during: Callable[[], object] = lambda: None
        """Something that happens in the middle of every call of ``record``."""
        self.entered = threading.Semaphore(0)
        """Is released by every call of ``record`` that is held."""
        self._gate: threading.Event | None = None
        self._lock = threading.Lock()
        self._ids = itertools.count(1)

    def open(self) -> PlainStore:
        """A store on this shelf."""
        self.opened += 1
        return PlainStore(self)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let every call of ``record`` hang for as long as this lasts."""
        self._gate = gate = threading.Event()
        try:
            yield
        finally:
            self._gate = None
            gate.set()

    def await_call(self) -> None:
        """Wait until a call of ``record`` hangs."""
        assert self.entered.acquire(timeout=PATIENCE), "the store was never asked"

    def record(self, rows: Sequence[Row]) -> list[bool]:
        self.calls.append(list(rows))
        self.during()
        gate = self._gate
        if gate is not None:
            self.entered.release()
            assert gate.wait(PATIENCE), "nobody let the store go on"
        mishap = self.mishaps.pop(0) if self.mishaps else self.always
        if mishap is not None:
            mishap(self, rows)
        self.check(rows)
        return self.store(rows)

    def check(self, rows: Sequence[Row]) -> None:
        """Refuse them all if one is poison."""
        for row in rows:
            if row.run_id in self.poison:
                raise LedgerError(f"{row.run_id} is poison")

    def store(self, rows: Sequence[Row]) -> list[bool]:
        """Store rows, whatever was said to befall them."""
        with self._lock:
            return [self._store(row) for row in rows]

    def _store(self, row: Row) -> bool:
        key = row.run_id, row.place
        if key not in self.claims:
            self.claims[key] = row.claimant
            self.last += 1
            self.pending[self.last] = row
        return self.claims[key] == row.claimant

    def bodies(self) -> list[str]:
        """Of the rows that are pending, in order."""
        return [row.body for _, row in sorted(self.pending.items())]

    def runs(self) -> list[str]:
        """Whose rows are pending, in order."""
        return [row.run_id for _, row in sorted(self.pending.items())]


class PlainStore:
    """A store on a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def record(self, rows: Sequence[Row]) -> list[bool]:
        return self._shelf.record(rows)

    def lease(self, owner: str, limit: int, max_chars: int, seconds: float) -> Batch | None:
        shelf, now = self._shelf, self._shelf.now()
        for batch_id, lent in shelf.lent.items():
            if lent.until <= now or (lent.owner is not None and lent.until > now + seconds):
                lent.owner, lent.until, lent.attempts = owner, now + seconds, lent.attempts + 1
                return self._batch(batch_id)
        taken = {at for lent in shelf.lent.values() for at, _ in lent.rows}
        rows: list[tuple[int, Row]] = []
        for at in sorted(set(shelf.pending) - taken)[:limit]:
            rows.append((at, shelf.pending[at]))
            if len(rows) > 1 and sum(len(row.body) for _, row in rows) > max_chars:
                rows.pop()
                break
        return self._lend(rows, owner, seconds) if rows else None

    def _lend(self, rows: list[tuple[int, Row]], owner: str, seconds: float) -> Batch:
        shelf = self._shelf
        number = next(shelf._ids)
        shelf.lent[str(number)] = _Lent(rows, f"payload-{number}", owner, shelf.now() + seconds)
        return self._batch(str(number))

    def _batch(self, batch_id: str) -> Batch:
        lent = self._shelf.lent[batch_id]
        return Batch(
            id=batch_id,
            payload_id=lent.payload_id,
            bodies=tuple(row.body for _, row in lent.rows),
            events=sum(row.events for _, row in lent.rows),
            attempts=lent.attempts,
        )

    def rows_of(self, batch: Batch) -> list[Row]:
        lent = self._shelf.lent.get(batch.id)
        return [] if lent is None else [row for _, row in lent.rows]

    def delivered(self, batch: Batch) -> None:
        self._shelf.delivered += len(self._finish(batch))

    def set_aside(self, batch: Batch, reason: str) -> None:
        self._shelf.asides += [(row, reason) for row in self._finish(batch)]

    def _finish(self, batch: Batch) -> list[Row]:
        lent = self._shelf.lent.pop(batch.id, None)
        return [] if lent is None else [self._shelf.pending.pop(at) for at, _ in lent.rows]

    def postpone(self, batch: Batch, owner: str, seconds: float) -> None:
        lent = self._shelf.lent.get(batch.id)
        if lent is not None and lent.owner == owner:
            lent.owner, lent.until = None, self._shelf.now() + seconds

    def hasten(self, seconds: float) -> None:
        for lent in self._shelf.lent.values():
            if lent.owner is None:
                lent.until = self._shelf.now()

    def split(self, batch: Batch, owner: str, seconds: float) -> tuple[Batch, Batch] | None:
        lent = self._shelf.lent.get(batch.id)
        if lent is None or lent.owner != owner:
            return None
        if len(lent.rows) < 2:
            raise ValueError("a batch of one row cannot be split")
        del self._shelf.lent[batch.id]
        half = len(lent.rows) // 2
        first, second = lent.rows[:half], lent.rows[half:]
        return self._lend(first, owner, seconds), self._lend(second, owner, seconds)

    def aside(self, limit: int) -> list[Aside]:
        return [
            Aside(run_id=row.run_id, body=row.body, reason=reason, at_ms=row.at_ms, aside_ms=0)
            for row, reason in self._shelf.asides[:limit]
        ]

    def retry_aside(self) -> int:
        rows = [row for row, _ in self._shelf.asides]
        for row in rows:
            self._shelf.last += 1
            self._shelf.pending[self._shelf.last] = row
        return self.discard_aside()

    def discard_aside(self) -> int:
        count = len(self._shelf.asides)
        self._shelf.asides.clear()
        return count

    def standing(self) -> Standing:
        shelf = self._shelf
        return Standing(
            pending=len(shelf.pending),
            set_aside=len(shelf.asides),
            delivered=shelf.delivered,
            first=min(shelf.pending, default=None),
            last=shelf.last,
        )

    def tidy(self, now_ms: int) -> bool:
        self._shelf.tidied += 1
        return self._shelf.has_more_to_tidy

    def close(self) -> None:
        self._shelf.closed += 1

    def abandon(self) -> None:
        self._shelf.abandoned += 1


def raising(error: Exception) -> Mishap:
    """A mishap that no contract foresees."""

    def mishap(shelf: Shelf, rows: Sequence[Row]) -> Any:
        raise error

    return mishap
