"""The slots of one run in this process, each guarded by its own asyncio lock.

Rule for this file: who may hand a claim to the ledger, and who waits for whose answer. All trackers of a
run in a process share one of these.

A claim is decided and handed over by ``claim``, a plain function: there is no point at which a
cancellation could fall between the decision and the hand-over. Only the answer of a ledger that has to
wait is awaited. Later callers queue for the slot's lock, and its holder waits for the flight of the claim
before; if that one fails, the holder is the next to claim.

The locks belong to event loops, the decision does not: a caller from another loop or thread goes to the
ledger, whose answer is one atomic step. What several threads write in here is written in one step as well:
an item set, appended or removed, and never a changed copy put in the place of what was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, cast

from ldtrack.core.meter import Totals
from ldtrack.core.slots import TOOL_CALL, Claim, Metric, SlotSheet, SlotState, Step
from ldtrack.core.values import Ending, Outcome
from ldtrack.exceptions import LedgerError
from ldtrack.loops import running_loop
from ldtrack.typing import Flight, Ledger

__all__ = ["RunSlots", "Waiter", "landed"]

_FREE, _CLAIMED, _RECORDED = SlotState.FREE, SlotState.CLAIMED, SlotState.RECORDED
Place = tuple[Metric, asyncio.AbstractEventLoop]
"""A slot as one event loop sees it."""

Failed = Callable[[BaseException], None]
"""Is told what went wrong with a claim that nobody waits for."""


class RunSlots(SlotSheet):
    """What has been claimed and recorded for one run, by whichever tracker of it.

    One of these is made per run. What most runs never need is a class attribute until it is needed.
    """

    is_cancelled = False
    """Whether the run ended as cancelled, which no event says."""
    ending: Ending | None = None
    totals = Totals()
    """What the run's calls amounted to, once it has ended."""
    _tool_calls: Sequence[str] = ()
    _locks: Mapping[Place, asyncio.Lock] = MappingProxyType({})

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._airborne: list[_Airborne] = []
        """In the order of their claims."""
        self._may_begin = True
        """Taken away by who begins the run: of several threads only one can."""

    @property
    def tool_calls(self) -> tuple[str, ...]:
        """The tool calls that were recorded, in their order."""
        return tuple(self._tool_calls)

    def expected(self, metric: Metric) -> Any:
        """The value that was recorded, or else that of the first claim that is in flight, or ``None``."""
        value = self.value(metric)
        if value is None:
            value = next((one.value for one in self._airborne.copy() if one.metric is metric), None)
        return value

    @property
    def expected_tool_calls(self) -> tuple[str, ...]:
        """The tool calls that were recorded, and then those that are in flight."""
        keys = list(self._tool_calls)
        for one in self._airborne.copy():
            if one.metric is TOOL_CALL:
                keys += _keys_in(one.value)
        return tuple(keys)

    @property
    def has_tool_calls(self) -> bool:
        """Whether a tool call was recorded, or may yet be: the ledger has to answer."""
        return bool(self._tool_calls) or any(one.metric is TOOL_CALL for one in self._airborne.copy())

    @property
    def is_run(self) -> bool:
        """Whether the run was begun; there is one at most."""
        return not hasattr(self, "_may_begin")

    def begin_run(self) -> bool:
        """Begin the run; ``False`` if it was begun already, in whichever thread."""
        try:
            del self._may_begin
        except AttributeError:
            return False
        return True

    def outcome_of(self, success: bool | None) -> Outcome | None:  # noqa: FBT001 - the value itself, no option
        """The run's outcome: what was recorded of its success, or that it was cancelled."""
        if success is not None:
            return Outcome.SUCCESS if success else Outcome.ERROR
        return Outcome.CANCELLED if self.is_cancelled else None

    def claim(self, claim: Claim, value: object, *, is_quiet: bool = False) -> bool | Flight | None:
        """Decide, and hand the claim over to the ledger if it may be the first.

        A quiet one is for a ledger's ``submit_quietly``, if it has that.

        Returns whether it was the first; or the flight of a claim that the ledger has yet to answer; or
        ``None`` if another claim for the slot is in flight in this loop, whose answer has to come first.
        Raises if the ledger cannot take it, and then nothing has changed.
        """
        metric = claim.metric
        slot = metric.slot
        if slot is not None and (state := self.states[slot]) is not _FREE:
            if state is not _CLAIMED:
                return False
            if self._flight_here(metric) is not None:
                return None
        ledger = self._ledger
        submit = getattr(ledger, "submit_quietly", ledger.submit) if is_quiet else ledger.submit
        answer = submit(claim)
        if answer is True:
            if slot is None:
                self._confirm(metric, value)
            else:  # what that does, without the call: this is done five times per run
                self.values[slot] = value
                self.states[slot] = _RECORDED
        elif answer is False:
            self.advance(metric, Step.REFUSE)
        else:
            self.advance(metric, Step.CLAIM)
            airborne = _Airborne(self, metric, value, answer)
            self._airborne.append(airborne)
            answer.add_done_callback(airborne)
        return answer

    def _confirm(self, metric: Metric, value: object) -> None:
        slot = metric.slot
        if slot is not None:  # what the table says of a confirmed claim, wherever the slot stands
            self.values[slot] = value
            self.states[slot] = _RECORDED
        elif metric is TOOL_CALL:
            self._list_tool_calls(value)

    async def answer_after(self, claim: Claim, value: object) -> bool:
        """Wait for the claim in flight, and for the answer to this one if that fails.

        Cancelling the wait neither loses nor repeats the claim.
        """
        async with self._lock(claim.metric):
            answer: bool | Flight | None = None
            while answer is None:
                flight = self._flight_here(claim.metric)
                if flight is not None:
                    await landed([flight])
                answer = self.claim(claim, value)
        return answer if isinstance(answer, bool) else await self.waiter(answer)

    def waiter(self, flight: Flight) -> asyncio.Future[bool]:
        """What a claimant awaits instead of the flight."""
        own: Callable[[], asyncio.Future[bool]] | None = getattr(flight, "waiter", None)
        return Waiter(flight) if own is None else own()

    def claim_quietly(self, claim: Claim, value: object, failed: Failed) -> Flight | None:
        """Claim without waiting and without raising; a failure is told to ``failed``."""
        try:
            answer = self.claim(claim, value, is_quiet=True)
        except Exception as error:  # noqa: BLE001 - C5: implicit recording never raises into the app
            failed(error)
            return None
        if answer is None:
            flight = self._flight_here(claim.metric)
            assert flight is not None, "that is what None says, and no other loop takes it away"
            # If the claim in flight fails, this one takes over.
            flight.add_done_callback(partial(self._claim_again, claim, value, failed))
        elif not isinstance(answer, bool):
            answer.add_done_callback(partial(_tell_failure, failed))
            return answer
        return None

    def _claim_again(self, claim: Claim, value: object, failed: Failed, _: Flight) -> None:
        self.claim_quietly(claim, value, failed)

    def land(self, airborne: _Airborne) -> None:
        """Take the ledger's answer in; this happens whether or not anybody still waits for it."""
        self._airborne.remove(airborne)
        metric = airborne.metric
        try:
            is_first = airborne.flight.result()
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - whoever waits hears of it, or was quiet
            self.advance(metric, Step.FAIL)
            return
        if is_first:
            self._confirm(metric, airborne.value)
        else:
            self.advance(metric, Step.REFUSE)

    def _flight_here(self, metric: Metric) -> Flight | None:
        """The first claim for the metric's slot that is in flight in the running loop.

        Nobody may wait for a flight that belongs to another one.
        """
        loop = running_loop()
        for one in self._airborne.copy():
            if one.metric is metric and one.flight.get_loop() is loop:
                return one.flight
        return None

    def _list_tool_calls(self, keys: object) -> None:
        vars(self).setdefault("_tool_calls", []).extend(_keys_in(keys))

    def _lock(self, metric: Metric) -> asyncio.Lock:
        """The slot's lock in the running loop, made when there is first something to wait for."""
        place = (metric, asyncio.get_running_loop())
        lock = self._locks.get(place)
        if lock is None:
            lock = asyncio.Lock()
            cast("dict[Place, asyncio.Lock]", vars(self).setdefault("_locks", {}))[place] = lock
        return lock


def _keys_in(value: object) -> list[str]:
    """The key of one tool call, or those of several that were claimed together."""
    return [value] if isinstance(value, str) else cast("list[str]", value)


class _Airborne:
    """A claim that the ledger has yet to answer; called when it has."""

    __slots__ = ("_slots", "flight", "metric", "value")

    def __init__(self, slots: RunSlots, metric: Metric, value: object, flight: Flight) -> None:
        self._slots = slots
        self.metric = metric
        self.value = value
        self.flight = flight

    def __call__(self, _: Flight) -> None:
        """Tell the slots."""
        self._slots.land(self)


class Waiter(asyncio.Future[bool]):
    """Waits for a flight without being tied to it: cancelling the wait does not cancel the flight.

    What ``asyncio.wait`` is for, at a tenth of its cost: thousands may wait at once.
    """

    def __init__(self, flight: Flight) -> None:
        super().__init__(loop=flight.get_loop())
        flight.add_done_callback(self)

    def __call__(self, flight: Flight) -> None:
        """Take the flight's answer over."""
        if self.done():
            return
        if flight.cancelled():
            self.set_exception(
                LedgerError("the ledger gave a claim up before it was recorded; the call may be repeated")
            )
        elif (error := flight.exception()) is not None:
            self.set_exception(error)
            self.exception()  # a task that is cancelled right now never asks for it
        else:
            self.set_result(flight.result())


async def landed(flights: Sequence[Flight], timeout: float | None = None) -> None:
    """Wait until all of them have landed, or time is up; cancelling the wait cancels none of them."""
    loop = asyncio.get_running_loop()
    everybody = loop.create_future()
    airborne = len(flights)

    def one_less(_: object) -> None:
        nonlocal airborne
        airborne -= 1
        if not airborne:
            stop()

    def stop() -> None:
        if not everybody.done():
            everybody.set_result(None)

    # Those that are done as well: who else was told of them first has then taken note.
    for flight in flights:
        flight.add_done_callback(one_less)
    limit = None if timeout is None else loop.call_later(timeout, stop)
    try:
        await everybody
    finally:
        if limit is not None:
            limit.cancel()


def _tell_failure(failed: Failed, flight: Flight) -> None:
    if flight.cancelled():
        failed(LedgerError("the ledger gave a claim up before it was recorded"))
    elif (error := flight.exception()) is not None:
        failed(error)
