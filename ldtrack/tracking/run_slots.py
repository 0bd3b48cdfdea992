"""The slots of one run in this process, each guarded by its own asyncio lock.

Rule for this file: who may hand a claim to the ledger, and who waits for whose answer. All trackers of a
run in a process share one of these.

A claim is decided and handed over by ``claim``, a plain function: there is no point at which a
cancellation could fall between the decision and the hand-over. Only the answer of a ledger that has to
wait is awaited; for as long, the claimant holds the slot's lock, and later callers queue behind it.

The locks belong to event loops, the decision does not: a caller from another loop or thread goes to the
ledger, whose answer is one atomic step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ldtrack.core.slots import TOOL_CALL, Claim, Metric, SlotSheet, SlotState, Step
from ldtrack.core.values import Ending, Outcome
from ldtrack.exceptions import LedgerError

if TYPE_CHECKING:
    from ldtrack.tracking.recorder import Recorder

__all__ = ["Flight", "RunSlots", "landed"]

_FREE, _CLAIMED = SlotState.FREE, SlotState.CLAIMED
Flight = asyncio.Future[bool]
"""A claim that the ledger has taken over and not answered yet."""


class RunSlots:
    """What has been claimed and recorded for one run, by whichever tracker of it."""

    __slots__ = (
        "__weakref__",
        "_flights",
        "_locks",
        "_recorder",
        "cancelled_as_such",
        "ending",
        "is_run",
        "model_ms",
        "sheet",
        "tool_calls",
    )

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._flights: dict[Metric, Flight] = {}
        self._locks: dict[tuple[Metric, asyncio.AbstractEventLoop], asyncio.Lock] = {}
        self.sheet = SlotSheet()
        self.tool_calls: list[str] = []
        self.is_run = False
        """Whether a run of this tracker was begun; there is one at most."""
        self.cancelled_as_such = False
        """Whether the run ended as cancelled, which no event says."""
        self.ending: Ending | None = None
        self.model_ms: int | None = None

    def outcome(self, recorded: bool | None) -> Outcome | None:  # noqa: FBT001 - the slot's value
        """The run's outcome: what was recorded, or that it was cancelled."""
        if recorded is not None:
            return Outcome.SUCCESS if recorded else Outcome.ERROR
        return Outcome.CANCELLED if self.cancelled_as_such else None

    def claim(self, claim: Claim, value: object) -> bool | Flight | None:
        """Decide, and hand the claim over to the ledger if it may be the first.

        Returns whether it was the first; or the flight of a claim that the ledger has yet to answer; or
        ``None`` if another claim for the slot is in flight in this loop, whose answer has to come first.
        """
        metric = claim.metric
        state = self.sheet.state(metric)
        if state is not _FREE and (state is not _CLAIMED or self._is_in_flight_here(metric)):
            return None if state is _CLAIMED else False
        self.sheet.advance(metric, Step.CLAIM)
        try:
            answer = self._recorder.ledger.submit(claim)
        except BaseException:
            self.sheet.advance(metric, Step.FAIL)
            raise
        if answer is True:
            self._confirm(metric, value)
        elif answer is False:
            self.sheet.advance(metric, Step.REFUSE)
        else:
            if metric.slot is not None:
                # In flight from another loop already: then that one stays the one to queue behind.
                self._flights.setdefault(metric, answer)
            answer.add_done_callback(partial(self._land, metric, value))
        return answer

    async def record(self, claim: Claim, value: object, mine: Flight | None) -> bool:
        """Wait for the answer to ``claim``; cancelling the wait neither loses nor repeats the claim."""
        metric = claim.metric
        if metric.slot is None and mine is not None:
            return await landed(mine)
        async with self._lock(metric):
            answer: bool | Flight | None = mine
            while answer is None:
                flight = self._flights.get(metric)
                if flight is not None:
                    await asyncio.wait([flight])
                answer = self.claim(claim, value)
            return answer if isinstance(answer, bool) else await landed(answer)

    def claim_quietly(self, claim: Claim, value: object, failed: Callable[[BaseException], None]) -> Flight | None:
        """Claim without waiting and without raising; a failure is told to ``failed``."""
        try:
            answer = self.claim(claim, value)
        except Exception as error:  # noqa: BLE001 - C5: implicit recording never raises into the app
            failed(error)
            return None
        if answer is None:
            # If the claim in flight fails, this one takes over.
            again = partial(self._claim_again, claim, value, failed)
            self._flights[claim.metric].add_done_callback(again)
        elif not isinstance(answer, bool):
            answer.add_done_callback(partial(_tell_failure, failed))
            return answer
        return None

    def _claim_again(self, claim: Claim, value: object, failed: Callable[[BaseException], None], _: Flight) -> None:
        self.claim_quietly(claim, value, failed)

    def _confirm(self, metric: Metric, value: Any) -> None:
        self.sheet.confirm(metric, value)
        self._recorder.recorded += 1
        if metric is TOOL_CALL:
            self.tool_calls.append(value)

    def _land(self, metric: Metric, value: object, flight: Flight) -> None:
        """Take the ledger's answer in; this happens whether or not anybody still waits for it."""
        if self._flights.get(metric) is flight:
            del self._flights[metric]
        if flight.cancelled() or flight.exception() is not None:
            self.sheet.advance(metric, Step.FAIL)
        elif flight.result():
            self._confirm(metric, value)
        else:
            self.sheet.advance(metric, Step.REFUSE)

    def _is_in_flight_here(self, metric: Metric) -> bool:
        flight = self._flights.get(metric)
        if flight is None:
            return False
        try:
            return flight.get_loop() is asyncio.get_running_loop()
        except RuntimeError:  # no loop in this thread
            return False

    def _lock(self, metric: Metric) -> asyncio.Lock:
        """The slot's lock in the running loop, made when there is first something to wait for."""
        return self._locks.setdefault((metric, asyncio.get_running_loop()), asyncio.Lock())


async def landed(flight: Flight) -> bool:
    """Wait for a flight without tying it to this task: cancelling the wait does not cancel the flight."""
    await asyncio.wait([flight])
    if flight.cancelled():
        raise LedgerError("the ledger gave a claim up before it was recorded; the call may be repeated")
    return flight.result()


def _tell_failure(failed: Callable[[BaseException], None], flight: Flight) -> None:
    if flight.cancelled():
        failed(LedgerError("the ledger gave a claim up before it was recorded"))
    elif (error := flight.exception()) is not None:
        failed(error)
