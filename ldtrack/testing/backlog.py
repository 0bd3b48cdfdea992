"""What a relay works between: a backlog in memory, and a destination that answers as a test says.

Rule for this file: both keep what their protocols promise, the unpleasant parts too: cancelled, a backlog has
done its work nevertheless, and a destination may have.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

import attrs

from ldtrack.core.batch import Aside, Batch, Standing
from ldtrack.core.options import given, require_callables, require_clock, require_counts
from ldtrack.core.receipts import Receipt, Verdict
from ldtrack.core.row import FIRST_CLAIMANT, Row
from ldtrack.exceptions import LedgerError
from ldtrack.testing.clock import ManualClock, SequentialIds
from ldtrack.testing.memory_store import MemoryStore
from ldtrack.typing import Clock

__all__ = ["Attempt", "RecordingBacklog", "RecordingDestination"]

T = TypeVar("T")


class RecordingBacklog:
    """A backlog in memory, on a clock that a test moves. It fails on demand."""

    def __init__(self, clock: Clock | None = None) -> None:
        require_clock(clock)
        self.clock = clock or ManualClock()
        self.store = MemoryStore(self.clock, SequentialIds())
        """What is stored: ``record``, ``aside``, ``retry_aside``, ``discard_aside``."""
        self._loans: dict[str, tuple[str, float]] = {}
        self._added = 0
        self._failures = 0

    def add(self, *bodies: str, events: int = 1) -> None:
        """Record one claim for each body, of so many events each."""
        at_ms = round(self.clock.time() * 1000)
        for body in bodies:
            self._added += 1
            claimant = FIRST_CLAIMANT + self._added
            self.store.record([Row(f"run-{self._added}", 0, claimant, at_ms, events, body)])

    def fail_next(self, times: int = 1) -> None:
        """Let the next questions fail with ``LedgerError``, before anything is done."""
        self._failures += times

    async def _ask(self, errand: Callable[[], T]) -> T:
        if self._failures:
            self._failures -= 1
            raise LedgerError("the backlog failed, as it was told to")
        answer = errand()
        await asyncio.sleep(0)  # after the work: cancelling the wait does not stop it
        return answer

    async def lease(self, *, owner: str, limit: int, max_chars: int, seconds: float) -> Batch | None:
        """Take the next batch on loan. Cancelling it leaves the batch on loan."""

        def errand() -> Batch | None:
            batch = self.store.lease(owner, limit, max_chars, seconds)
            if batch is not None:
                self._loans[batch.id] = (owner, seconds)
            return batch

        return await self._ask(errand)

    async def delivered(self, batch: Batch) -> None:
        """Forget the batch's rows; cancelling the wait does not stop it."""
        await self._ask(lambda: self.store.delivered(batch))

    async def postpone(self, batch: Batch, seconds: float) -> None:
        """Give the batch back; cancelling the wait does not stop it."""
        await self._ask(lambda: self.store.postpone(batch, self._loan_of(batch)[0], seconds))

    async def hasten(self, seconds: float) -> None:
        """Make due what was postponed at least so long ago; cancelling the wait does not stop it."""
        await self._ask(lambda: self.store.hasten(seconds))

    async def split(self, batch: Batch) -> tuple[Batch, Batch] | None:
        """Halve the batch, both halves on loan; cancelling the wait does not stop it."""

        def errand() -> tuple[Batch, Batch] | None:
            loan = self._loan_of(batch)
            halves = self.store.split(batch, *loan)
            self._loans.update({half.id: loan for half in halves or ()})
            return halves

        return await self._ask(errand)

    async def set_aside(self, batch: Batch, reason: str) -> None:
        """Keep the batch's rows out of the way; cancelling the wait does not stop it."""
        await self._ask(lambda: self.store.set_aside(batch, reason))

    async def standing(self) -> Standing:
        """How much is waiting, and since when; cancelling the wait changes nothing."""
        return await self._ask(self.store.standing)

    def aside(self) -> list[Aside]:
        """The claims that were set aside, oldest first."""
        return self.store.aside(self.store.standing().set_aside)

    def _loan_of(self, batch: Batch) -> tuple[str, float]:
        return self._loans.get(batch.id, ("", 0.0))


@attrs.frozen
class Attempt:
    """A batch that was brought to a ``RecordingDestination``, and the answer."""

    batch: Batch
    answer: Receipt | Exception


class RecordingDestination:
    """A destination that keeps what it accepts, each payload once, as LaunchDarkly does.

    ``refuses`` says which bodies make it refuse a batch, ``max_chars`` how large one may be.
    """

    def __init__(self, *, refuses: Callable[[str], bool] | None = None, max_chars: int | None = None) -> None:
        require_callables(**given(refuses=refuses))
        require_counts(**given(max_chars=max_chars))
        self.attempts: list[Attempt] = []
        """All that was brought and answered, in order."""
        self.accepted: dict[str, Batch] = {}
        """What it accepted, by payload id."""
        self.is_closed = False
        self._refuses = refuses or (lambda _: False)
        self._max_chars = max_chars
        self._answers: deque[Receipt | Exception] = deque()
        self._lost = 0
        self._open = asyncio.Event()
        self._open.set()

    @property
    def bodies(self) -> list[str]:
        """The bodies of all that it accepted."""
        return [body for batch in self.accepted.values() for body in batch.bodies]

    def answer_next(self, *answers: Receipt | Verdict | Exception) -> None:
        """Give these answers next, whatever comes; an exception is raised."""
        for answer in answers:
            self._answers.append(Receipt(answer) if isinstance(answer, Verdict) else answer)

    def lose_answers(self, times: int = 1) -> None:
        """Accept the next batches, and let nobody know."""
        self._lost += times

    def hold(self) -> None:
        """Answer nothing until ``release``."""
        self._open.clear()

    def release(self) -> None:
        """Answer what was held, and at once from here on."""
        self._open.set()

    async def deliver(self, batch: Batch) -> Receipt:
        """Take one batch. Cancelling it leaves open whether the batch arrived."""
        await asyncio.sleep(0)
        await self._open.wait()
        answer = self._answers.popleft() if self._answers else self._judge(batch)
        self.attempts.append(Attempt(batch, answer))
        if isinstance(answer, Exception):
            raise answer
        if answer.verdict is Verdict.DELIVERED:
            self.accepted.setdefault(batch.payload_id, batch)
            if self._lost:
                self._lost -= 1
                answer = Receipt(Verdict.LATER, "the answer was lost")
        await asyncio.sleep(0)
        return answer

    def _judge(self, batch: Batch) -> Receipt:
        if self._max_chars is not None and batch.size > self._max_chars:
            return Receipt(Verdict.TOO_LARGE, f"more than {self._max_chars} characters")
        refused = [body for body in batch.bodies if self._refuses(body)]
        return Receipt(Verdict.REFUSED, f"refused: {refused[0]}") if refused else Receipt(Verdict.DELIVERED)

    async def aclose(self) -> None:
        """Remember that it was closed; there is no wait to cancel."""
        self.is_closed = True
