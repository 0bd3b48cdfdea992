"""A store in memory that does what every ``Store`` promises, on a clock that a test moves.

Rule for this file: the promises of ``ledgers/store.py``, in the plainest way. How fast it is does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from ldtrack.core.batch import Aside, Batch, Standing
from ldtrack.core.row import Row
from ldtrack.typing import Clock

__all__ = ["MemoryStore"]


@attrs.define
class _Stored:
    """A batch, and who has it until when."""

    batch: Batch
    numbers: list[int]
    """Its rows."""
    owner: str | None
    """``None``: it was postponed."""
    since: float
    until: float

    def is_due(self, now: float, seconds: float) -> bool:
        # A clock that was set back: it is from the future, or on loan for longer than anybody asks.
        was_set_back = self.since > now + 1 if self.owner is None else self.until > now + seconds
        return self.until <= now or was_set_back


class MemoryStore:
    """Rows and batches in dictionaries. It lasts as long as it is held."""

    def __init__(self, clock: Clock, new_payload_id: Callable[[], str]) -> None:
        self._clock = clock
        self._new_payload_id = new_payload_id
        self._claimants: dict[tuple[str, int], int] = {}
        self._pending: dict[int, Row] = {}
        """Rows by number, in the order of the numbers."""
        self._batches: dict[str, _Stored] = {}
        self._in_batches: set[int] = set()
        self._aside: list[tuple[Row, Aside]] = []
        self._last = 0
        self._delivered = 0

    def record(self, rows: Sequence[Row]) -> list[bool]:
        """Store those rows that are the first for their run and place."""
        return [self._record(row) for row in rows]

    def _record(self, row: Row) -> bool:
        key = (row.run_id, row.place)
        is_new = key not in self._claimants
        if is_new:
            self._claimants[key] = row.claimant
            self._append(row)
        return self._claimants[key] == row.claimant

    def _append(self, row: Row) -> None:
        self._last += 1
        self._pending[self._last] = row

    def lease(self, owner: str, limit: int, max_chars: int, seconds: float) -> Batch | None:
        """Take a batch on loan: a stored one whose loan has run out or that is due again, or a new one."""
        if limit < 1:
            raise ValueError(f"a batch has at least one row, got limit={limit!r}")
        now = self._clock.time()
        for stored in sorted(self._batches.values(), key=lambda stored: stored.numbers[0]):
            if stored.is_due(now, seconds):
                stored.owner, stored.since, stored.until = owner, now, now + seconds
                stored.batch = attrs.evolve(stored.batch, attempts=stored.batch.attempts + 1)
                return stored.batch
        numbers = self._next_numbers(limit, max_chars)
        return self._store(numbers, owner, seconds) if numbers else None

    def _next_numbers(self, limit: int, max_chars: int) -> list[int]:
        numbers: list[int] = []
        chars = 0
        for number, row in self._pending.items():
            if number not in self._in_batches:
                chars += len(row.body)
                if len(numbers) == limit or (numbers and chars > max_chars):
                    break
                numbers.append(number)
        return numbers

    def _store(self, numbers: list[int], owner: str, seconds: float) -> Batch:
        rows = [self._pending[number] for number in numbers]
        payload_id = self._new_payload_id()
        batch = Batch(
            id=f"batch-{payload_id}",
            payload_id=payload_id,
            bodies=tuple(row.body for row in rows),
            events=sum(row.events for row in rows),
        )
        now = self._clock.time()
        self._batches[batch.id] = _Stored(batch, numbers, owner, now, now + seconds)
        self._in_batches.update(numbers)
        return batch

    def _lent(self, batch: Batch, owner: str) -> _Stored | None:
        stored = self._batches.get(batch.id)
        return stored if stored is not None and stored.owner == owner else None

    def _take_out(self, batch: Batch) -> list[Row]:
        stored = self._batches.pop(batch.id, None)
        numbers = [] if stored is None else stored.numbers
        self._in_batches.difference_update(numbers)
        return [self._pending.pop(number) for number in numbers]

    def delivered(self, batch: Batch) -> None:
        """Delete the batch and its rows, and count them; their claims stay. Nothing if it is gone."""
        self._delivered += len(self._take_out(batch))

    def postpone(self, batch: Batch, owner: str, seconds: float) -> None:
        """Give the batch back; nobody takes it before so long. Nothing if the loan was lost."""
        stored = self._lent(batch, owner)
        if stored is not None:
            now = self._clock.time()
            stored.owner, stored.since, stored.until = None, now, now + seconds

    def hasten(self, seconds: float) -> None:
        """Make due what was postponed at least so long ago. What is on loan stays on loan."""
        now = self._clock.time()
        for stored in self._batches.values():
            if stored.owner is None and stored.since <= now - seconds:
                stored.until = min(stored.until, now)

    def split(self, batch: Batch, owner: str, seconds: float) -> tuple[Batch, Batch] | None:
        """Halve the batch into two on loan to the same owner; ``None`` if the loan was lost."""
        half = len(batch.bodies) // 2
        if not half:
            raise ValueError("a batch of one row cannot be split")
        stored = self._lent(batch, owner)
        if stored is None:
            return None
        del self._batches[batch.id]
        first, second = stored.numbers[:half], stored.numbers[half:]
        return self._store(first, owner, seconds), self._store(second, owner, seconds)

    def set_aside(self, batch: Batch, reason: str) -> None:
        """Move the batch's rows to those that were refused. Nothing if it is gone."""
        now_ms = round(self._clock.time() * 1000)
        self._aside.extend(
            (row, Aside(run_id=row.run_id, body=row.body, reason=reason, at_ms=row.at_ms, aside_ms=now_ms))
            for row in self._take_out(batch)
        )

    def aside(self, limit: int) -> list[Aside]:
        """The rows that were refused, oldest first."""
        return [refused for _, refused in self._aside[:limit]]

    def retry_aside(self) -> int:
        """Make the refused rows pending again; returns how many."""
        aside, self._aside = self._aside, []
        for row, _ in aside:
            self._append(row)
        return len(aside)

    def discard_aside(self) -> int:
        """Delete the refused rows; their claims stay. Returns how many."""
        aside, self._aside = self._aside, []
        return len(aside)

    def standing(self) -> Standing:
        """How much is waiting, and since when."""
        return Standing(
            pending=len(self._pending),
            set_aside=len(self._aside),
            delivered=self._delivered,
            oldest_ms=min((row.at_ms for row in self._pending.values()), default=None),
            first=min(self._pending, default=None),
            last=self._last,
        )

    def tidy(self, now_ms: int) -> bool:
        """Nothing to do: nothing is kept that would have to be forgotten."""
        return False

    def close(self) -> None:
        """Nothing to let go of: what is stored stays."""

    def abandon(self) -> None:
        """Nothing to forget: a forked child has a copy of its own."""
