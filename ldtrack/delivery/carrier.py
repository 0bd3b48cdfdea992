"""One batch at a time, from the ledger to the destination and to what follows.

Rule for this file: what happens to one batch. Which comes when, and how many at once, is the relay's affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from ldtrack.core.batch import Batch
from ldtrack.core.pacing import MARGIN, PROBE, RESTED, Action, Outlook, backoff, decide
from ldtrack.core.receipts import Receipt, Verdict
from ldtrack.delivery.doubts import Doubts
from ldtrack.delivery.patience import see_through
from ldtrack.delivery.relay_stats import Counters
from ldtrack.exceptions import LedgerError
from ldtrack.limit import Limit
from ldtrack.typing import Backlog, Clock, Destination

__all__ = ["Carrier", "Terms"]

log: Final = logging.getLogger("ldtrack")

GRACE: Final = 1.5
"""How many seconds a cancelled relay takes to give back what it has on loan."""


@attrs.frozen(kw_only=True)
class Terms:
    """On what terms batches are taken on loan."""

    owner: str
    rows: int
    chars: int
    loan: float


class Carrier:
    """Takes a batch on loan, brings it to the destination, and does what follows from the answer.

    Neither a ledger nor a destination that raises gets further than here: it is counted, told once per kind,
    and waited out.
    """

    def __init__(
        self,
        backlog: Backlog,
        destination: Destination,
        terms: Terms,
        *,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        self.outlook = Outlook()
        self.counters = Counters()
        self._backlog = backlog
        self._destination = destination
        self._terms = terms
        self._clock = clock
        self._draw = draw
        self._wait_until_ns = self._repeat_at_ns = clock.monotonic_ns()
        self._stumbles = 0
        """How often in a row the ledger failed."""
        self._doubts = Doubts()
        self._is_new_here = True
        """Whether it has yet to take up what its predecessors have postponed."""
        self._accepted: deque[Batch] = deque()
        """Accepted, and the ledger does not know yet. It learns of them before anything new is taken: few."""
        self._told: set[str] = set()

    @property
    def is_at_ease(self) -> bool:
        """Whether all goes well, so that several batches may go out at once."""
        return self.outlook.accepts and not self._stumbles

    @property
    def wait(self) -> float:
        """For how many more seconds no batch is to be taken; 0 at most times."""
        return max(0, self._wait_until_ns - self._clock.monotonic_ns()) / 1e9

    @property
    def repeats_in(self) -> float:
        """In how many seconds all that is to be repeated as it is will be due; others may go before."""
        return max(0, self._repeat_at_ns - self._clock.monotonic_ns()) / 1e9

    async def carry(self, on_leased: Callable[[], None] = lambda: None) -> bool:
        """Carry one batch; returns whether there was one.

        Cancelled, it gives the batch back; if that fails, the loan runs out by itself.
        """
        batch, before = None, self.outlook
        try:
            await self._settle_accepted()
            await self._take_up()
            asked_ns = self._clock.monotonic_ns()
            batch = await self._lease()
            if batch is None:
                self._stumbles = 0
                return False
            limit = await self._limit(batch, asked_ns)
            self._stumbles = 0
            on_leased()
            receipt = await self._deliver(batch, limit)
            await self._follow_up(batch, receipt, before)
        except Exception as error:  # noqa: BLE001 - the ledger's, whatever it is; the relay outlives it
            self._stumbles += 1
            self._complain("the ledger", error)
            self._wait(backoff(self._stumbles, self._draw()) + MARGIN)
        return batch is not None

    async def _take_up(self) -> None:
        """Do not wait out the pauses of relays that are gone: what this one is about to find out is news."""
        hasten = getattr(self._backlog, "hasten", None)
        if self._is_new_here and hasten is not None:
            await see_through(hasten(RESTED), grace=GRACE)
        self._is_new_here = False

    async def _lease(self) -> Batch | None:
        terms = self._terms
        return await see_through(
            self._backlog.lease(
                owner=terms.owner, limit=terms.rows, max_chars=terms.chars, seconds=terms.loan
            ),
            grace=GRACE,
            undo=self._give_back,
        )

    async def _limit(self, batch: Batch, asked_ns: int) -> float:
        """How long an attempt may take: until half of the loan is over, which began when it was asked for."""
        limit = self._terms.loan / 2 - (self._clock.monotonic_ns() - asked_ns) / 1e9
        if limit > 0:
            return limit
        # A ledger that is slow, or a process that stood still: another relay may have the batch by now.
        await self._give_back(batch)
        raise LedgerError(f"taking a batch took more than half of its loan of {self._terms.loan:g} s")

    async def _deliver(self, batch: Batch, limit: float) -> Receipt:
        self.counters.count_attempt(batch)
        try:
            with Limit(limit):
                return _checked(await self._destination.deliver(batch))
            return Receipt(Verdict.LATER, f"the destination did not answer within {limit:.3g} s")
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                await self._give_back(batch)
                raise
            # Nobody cancelled the relay: something within the destination was.
            return self._raised(error)
        except Exception as error:  # noqa: BLE001 - a destination must not raise, and the relay outlives it
            return self._raised(error)

    def _raised(self, error: BaseException) -> Receipt:
        self._complain("the destination", error)
        return Receipt(Verdict.LATER, f"the destination raised {error!r}")

    async def _follow_up(self, batch: Batch, receipt: Receipt, before: Outlook) -> None:
        """Decide, then act. What is known is kept before anything is awaited."""
        rows, outlook = len(batch.bodies), self.outlook
        decision = decide(
            receipt,
            rows=rows,
            attempts=batch.attempts,
            before=before,
            outlook=outlook,
            draw=self._draw(),
            doubt=self._doubts.about(batch),
        )
        self.outlook = decision.outlook
        self._doubts.learn(batch, receipt)
        self._tell_of_lock(receipt, was_locked=outlook.locked)
        if decision.action is not Action.SETTLE:
            self.counters.last_error = receipt.reason or receipt.verdict.value
        match decision.action:
            case Action.SETTLE:
                self._doubts.forget(batch)
                self.counters.count_delivered(batch)
                self._accepted.append(batch)
                await self._settle_accepted()
            case Action.SPLIT:
                await self._split(batch)
            case Action.SET_ASIDE:
                await see_through(self._backlog.set_aside(batch, receipt.reason), grace=GRACE)
                self._doubts.forget(batch)
                self.counters.set_aside += rows
                self._tell_of_aside(receipt)
            case Action.REPEAT:
                await see_through(self._backlog.postpone(batch, decision.postponed), grace=GRACE)
                due_ns = self._clock.monotonic_ns() + round((decision.postponed + MARGIN) * 1e9)
                self._repeat_at_ns = max(self._repeat_at_ns, due_ns)
            case Action.POSTPONE | Action.LOCK:
                try:
                    await see_through(self._backlog.postpone(batch, decision.postponed), grace=GRACE)
                finally:
                    # Counted from when the batch was put back: the relay must not be there before it is due.
                    self._wait(decision.wait)

    async def _settle_accepted(self) -> None:
        while self._accepted:
            batch = self._accepted.popleft()
            try:
                await see_through(self._backlog.delivered(batch), grace=GRACE)
            except BaseException:
                self._accepted.append(batch)
                raise

    async def _split(self, batch: Batch) -> None:
        halves = await see_through(self._backlog.split(batch), grace=GRACE, undo=self._give_back_all)
        if halves is not None:
            self.counters.splits += 1
            self._doubts.forget(batch)
            self._doubts.made(halves)
            # They are next in line: what was taken before comes before what is new.
            await see_through(self._give_back_all(halves), grace=GRACE)

    async def _give_back_all(self, batches: tuple[Batch, ...] | None) -> None:
        for batch in batches or ():
            await self._backlog.postpone(batch, 0.0)

    async def _give_back(self, batch: Batch | None) -> None:
        if batch is not None:
            with Limit(GRACE, shield=True), contextlib.suppress(Exception):
                await self._backlog.postpone(batch, 0.0)

    def _wait(self, seconds: float) -> None:
        until_ns = self._clock.monotonic_ns() + round(seconds * 1e9)
        self._wait_until_ns = max(self._wait_until_ns, until_ns)

    def _complain(self, who: str, error: BaseException) -> None:
        self.counters.errors += 1
        self.counters.last_error = f"{type(error).__name__}: {error}"
        if self._is_new(f"{who} {type(error).__name__}"):
            log.warning(
                "%s raised %s: %s. Nothing is lost, and it is tried again; further ones are only counted.",
                who,
                type(error).__name__,
                error,
                exc_info=error,
            )

    def _tell_of_lock(self, receipt: Receipt, *, was_locked: bool) -> None:
        if self.outlook.locked and not was_locked:
            log.error(
                "The destination accepts nothing from us: %s. Check the SDK key and the address that events "
                "go to. Everything is kept, and tried again about every %g seconds; claims that were set "
                "aside meanwhile can be retried.",
                receipt.reason or receipt.verdict.value,
                PROBE,
            )
        elif was_locked and not self.outlook.locked:
            log.warning("The destination accepts events again; what was kept is on its way.")

    def _tell_of_aside(self, receipt: Receipt) -> None:
        if self._is_new("set aside"):
            log.warning(
                "The destination refused a claim: %s. It is set aside with the reason, its neighbours are "
                "delivered; further ones are only counted.",
                receipt.reason or receipt.verdict.value,
            )

    def _is_new(self, kind: str) -> bool:
        if kind in self._told:
            return False
        self._told.add(kind)
        return True


def _checked(receipt: object) -> Receipt:
    if not isinstance(receipt, Receipt):
        raise TypeError(f"a destination's deliver() must return a Receipt, got {receipt!r}")
    return receipt
