"""What a store should hold, in plain lists and dicts: every store is compared with this.

Rule for this file: it knows the contract and no store. Where the contract leaves something open, it takes
what the store did and checks that it was allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ldtrack.core.batch import Aside, Batch, Standing
from ldtrack.core.row import Row

__all__ = ["Lent", "Model", "Waiting"]


@attrs.define(eq=False)
class Waiting:
    """A row that is to be delivered."""

    row: Row
    call: int
    """Rows of one call may be stored in any order; rows of a later call come after them."""


@attrs.define(eq=False)
class Lent:
    """A batch as the store should have it."""

    batch: Batch
    waiting: list[Waiting]
    owner: str | None
    until: float
    seconds: float
    since: float = 0.0
    """When it was postponed."""


class Model:
    """Plain and slow."""

    def __init__(self) -> None:
        self.now = 0.0
        self.claims: dict[tuple[str, int], int] = {}
        self.unbatched: list[Waiting] = []
        self.lent: dict[str, Lent] = {}
        self.aside: list[tuple[Row, str]] = []
        self.delivered = 0
        self.payload_ids: set[str] = set()
        self._calls = 0
        self._marks: list[tuple[int, list[Waiting]]] = []

    # What is asked of it

    def record(self, rows: Sequence[Row]) -> list[bool]:
        """The first for its key wins; who holds it already is answered as before."""
        self._calls += 1
        answers = []
        for row in rows:
            key = row.run_id, row.place
            if key not in self.claims:
                self.claims[key] = row.claimant
                self.unbatched.append(Waiting(row, self._calls))
            answers.append(self.claims[key] == row.claimant)
        return answers

    def leased(self, owner: str, limit: int, max_chars: int, seconds: float, batch: Batch | None) -> None:
        """Check what came of a lease, and remember it."""
        free = {
            payload_id: lent
            for payload_id, lent in self.lent.items()
            if lent.until <= self.now or (lent.owner and lent.until > self.now + seconds)
        }
        if free:
            assert batch is not None, "a batch could have been taken over"
            assert batch.payload_id in free, "a batch that can be taken over goes before a new one"
            lent = free[batch.payload_id]
            assert batch == attrs.evolve(lent.batch, attempts=lent.batch.attempts + 1)
        elif not self.unbatched:
            assert batch is None, "there was nothing to lend"
            return
        else:
            assert batch is not None, "there were rows in no batch"
            lent = Lent(batch, self._take_rows(batch, limit, max_chars), owner, 0, 0)
            assert batch.attempts == 0
            self._check_new(lent)
        self.lent[batch.payload_id] = attrs.evolve(
            lent, batch=batch, owner=owner, until=self.now + seconds, seconds=seconds
        )

    def _take_rows(self, batch: Batch, limit: int, max_chars: int) -> list[Waiting]:
        count = len(batch.bodies)
        assert 1 <= count <= limit
        assert batch.size <= max_chars or count == 1
        taken: list[Waiting] = []
        for body in batch.bodies:
            call = self.unbatched[0].call
            found = next((one for one in self.unbatched if one.row.body == body and one.call == call), None)
            assert found is not None, "older rows go first"
            self.unbatched.remove(found)
            taken.append(found)
        if self.unbatched and count < limit:
            call = self.unbatched[0].call
            longest = max(len(one.row.body) for one in self.unbatched if one.call == call)
            assert batch.size + longest > max_chars, "there was room for another row"
        return taken

    def _check_new(self, lent: Lent) -> None:
        batch = lent.batch
        assert batch.payload_id not in self.payload_ids, "a payload id was used twice"
        self.payload_ids.add(batch.payload_id)
        assert batch.bodies == tuple(one.row.body for one in lent.waiting)
        assert batch.events == sum(one.row.events for one in lent.waiting)

    def finish(self, batch: Batch) -> None:
        """The batch was delivered."""
        if lent := self.lent.pop(batch.payload_id, None):
            self.delivered += len(lent.waiting)

    def refuse(self, batch: Batch, reason: str) -> None:
        """The batch was set aside."""
        if lent := self.lent.pop(batch.payload_id, None):
            self.aside += [(one.row, reason) for one in lent.waiting]

    def postpone(self, batch: Batch, owner: str, seconds: float) -> None:
        """The batch was given back."""
        if lent := self._held(batch, owner):
            lent.owner, lent.since, lent.until = None, self.now, self.now + seconds

    def hasten(self, seconds: float) -> None:
        """Those that have rested are due."""
        for lent in self.lent.values():
            if lent.owner is None and lent.since <= self.now - seconds:
                lent.until = min(lent.until, self.now)

    def was_split(self, batch: Batch, owner: str, seconds: float, halves: tuple[Batch, Batch] | None) -> None:
        """Check what came of a split, and remember it."""
        lent = self._held(batch, owner)
        assert (halves is None) == (lent is None)
        if lent is None or halves is None:
            return
        del self.lent[batch.payload_id]
        left, right = halves
        assert left.bodies + right.bodies == batch.bodies
        assert abs(len(left.bodies) - len(right.bodies)) <= 1
        middle = len(left.bodies)
        for half, waiting in ((left, lent.waiting[:middle]), (right, lent.waiting[middle:])):
            assert half.attempts == 0
            one = Lent(half, waiting, owner, self.now + seconds, seconds)
            self._check_new(one)
            self.lent[half.payload_id] = one

    def _held(self, batch: Batch, owner: str) -> Lent | None:
        lent = self.lent.get(batch.payload_id)
        return lent if lent is not None and lent.owner == owner else None

    def retry_aside(self) -> int:
        """All that was refused waits again, behind the others."""
        self._calls += 1
        self.unbatched += [Waiting(row, self._calls) for row, _ in self.aside]
        return self.discard_aside()

    def discard_aside(self) -> int:
        """Nothing is set aside any more."""
        count = len(self.aside)
        self.aside = []
        return count

    # What is compared

    def waiting(self) -> list[Waiting]:
        """All rows that are still to be delivered."""
        return [one for lent in self.lent.values() for one in lent.waiting] + self.unbatched

    def check_standing(self, standing: Standing) -> None:
        """The store's figures are right, and so is where it says that rows stand."""
        waiting = self.waiting()
        assert standing.pending == len(waiting)
        assert standing.set_aside == len(self.aside)
        assert standing.delivered == self.delivered
        # The oldest may be the one that has waited longest, or the one that was recorded first.
        oldest = {min((one.row.at_ms for one in waiting), default=None)}
        oldest |= {one.row.at_ms for one in waiting if one.call == min(two.call for two in waiting)}
        assert standing.oldest_ms in oldest
        assert (standing.first is None) == (not waiting)
        assert standing.first is None or standing.first <= standing.last
        self._marks.append((standing.last, waiting))
        still = set(map(id, waiting))
        for last, rows in self._marks[-20:]:
            is_done = standing.first is None or standing.first > last
            assert is_done == (not any(id(one) in still for one in rows)), (
                "a mark was passed too early or late"
            )

    def check_aside(self, aside: list[Aside]) -> None:
        """What was refused can be read, with the reason."""
        found = sorted((one.run_id, one.body, one.reason, one.at_ms) for one in aside)
        assert found == sorted((row.run_id, row.body, reason, row.at_ms) for row, reason in self.aside)
