"""What is asked of a ledger's writer, and what it answers.

Rule for this file: values that pass between threads.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

import attrs

from ldtrack.core.row import Row
from ldtrack.core.slots import Metric
from ldtrack.exceptions import LedgerError

__all__ = [
    "Answer",
    "Asked",
    "Asking",
    "AsyncFlight",
    "Barrier",
    "BlockingFlight",
    "Desk",
    "Flight",
    "Inbox",
    "settle",
]

BlockingFlight = concurrent.futures.Future[bool]
Answer: TypeAlias = bool | LedgerError


class Desk(Protocol):
    """Where answers are given out."""

    def tell(self, flights: Sequence[Flight], answers: Sequence[Answer]) -> None:
        """Pass answers on, one for each flight, from whatever thread."""
        ...

    def is_deserted(self) -> bool:
        """Whether nobody will come here for an answer any more."""
        ...


class LoopsDesk(Desk, Protocol):
    """The desk of one event loop."""

    loop: asyncio.AbstractEventLoop


def failure(row: Row, metric: Metric, reason: object) -> LedgerError:
    """The error for whoever waits for a row."""
    return LedgerError(
        f"the {metric.name} of run {row.run_id} could not be recorded: {reason}; "
        "the slot is free again, the call may be repeated"
    )


class AsyncFlight:
    """A row that is asked for in an event loop, and is not answered yet.

    As much of an ``asyncio.Future`` as is used, but its callbacks are called when it is settled, in its
    loop: thousands of claims are answered together, and a turn of the loop for each callback, with a context
    of its own, would cost more than the claim. For the same reason it is one object with what is asked, and
    nothing here can be cancelled but the wait for it: ten thousand may be in flight, and the collector walks
    over every object of them.
    """

    __slots__ = ("_answer", "_callback", "_more", "_waiter", "desk", "is_quiet", "metric", "row", "since_ns")

    def __init__(self, row: Row, metric: Metric, since_ns: int, desk: LoopsDesk, is_quiet: bool) -> None:  # noqa: FBT001 - five words per claim would be paid for
        self.row = row
        self.metric = metric
        self.since_ns = since_ns
        self.desk = desk
        self.is_quiet = is_quiet
        self._answer: Answer | None = None
        self._callback: Callable[[Any], object] | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._more: tuple[Callable[[Any], object], ...] = ()

    @property
    def flight(self) -> AsyncFlight:
        """Where the answer goes."""
        return self

    def is_left(self) -> bool:
        """Whether nobody waits for the answer, or not any more."""
        waiter = self._waiter
        return self.is_quiet or (waiter is not None and waiter.cancelled()) or self.desk.is_deserted()

    def failed(self, reason: object) -> LedgerError:
        """The error for whoever waits."""
        return failure(self.row, self.metric, reason)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop in which it is settled."""
        return self.desk.loop

    def done(self) -> bool:
        """Whether there is an answer."""
        return self._answer is not None

    def cancelled(self) -> bool:
        """Nobody gives up a row that this ledger has taken over."""
        return False

    def exception(self) -> LedgerError | None:
        """Why it could not be recorded."""
        return self._answer if isinstance(self._answer, LedgerError) else None

    def result(self) -> bool:
        """Whether it was the first."""
        if self._answer is None:
            raise asyncio.InvalidStateError("the ledger has not answered yet")
        if isinstance(self._answer, LedgerError):
            raise self._answer
        return self._answer

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Have this called in the loop once there is an answer."""
        if self._answer is not None:
            self.desk.loop.call_soon(callback, self)
        elif self._callback is None:
            self._callback = callback
        else:
            self._more += (callback,)

    def waiter(self) -> asyncio.Future[bool]:
        """A future to await in its place. Cancelling the first one says that nobody waits any more."""
        waiter = self.desk.loop.create_future()
        if self._waiter is None and self._answer is None:
            self._waiter = waiter
        else:
            self.add_done_callback(partial(self._pass_on, waiter))
        return waiter

    def _pass_on(self, waiter: asyncio.Future[bool], _: AsyncFlight) -> None:
        assert self._answer is not None, "callbacks are called when there is an answer"
        settle(waiter, self._answer)

    def set_result(self, result: bool, /) -> None:  # noqa: FBT001 - as a Future has it
        """Settle it, in its loop."""
        self._settle(result)

    def set_exception(self, error: LedgerError) -> None:
        """Settle it, in its loop."""
        self._settle(error)

    def _settle(self, answer: Answer) -> None:
        self._answer = answer
        callback, self._callback = self._callback, None
        if callback is not None:
            self._call(callback)
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            settle(waiter, answer)
        if self._more:
            more, self._more = self._more, ()
            for one in more:
                self._call(one)

    def _call(self, callback: Callable[[Any], object]) -> None:
        try:
            callback(self)
        except Exception as error:  # noqa: BLE001 - the others are to hear of their answers all the same
            self.desk.loop.call_exception_handler(
                {"message": "a flight's callback failed", "exception": error}
            )

    def __await__(self) -> Generator[Any, None, bool]:
        return self.waiter().__await__()


Flight: TypeAlias = "AsyncFlight | BlockingFlight | asyncio.Future[bool]"


@attrs.define(eq=False)
class Asked:
    """A row that is asked for with no event loop around, and who wants to know whether it was the first."""

    row: Row
    metric: Metric
    since_ns: int
    desk: Desk | None
    """``None``, like the flight, if nobody wants to know."""
    flight: Flight | None
    is_quiet: bool = False
    """Whether nobody would hear of an error: better to keep the row somewhere else than to fail."""

    def is_left(self) -> bool:
        """Whether nobody waits for the answer, or not any more."""
        return self.is_quiet or self.desk is None or self.desk.is_deserted()

    def failed(self, reason: object) -> LedgerError:
        """The error for whoever waits."""
        return failure(self.row, self.metric, reason)


Asking: TypeAlias = Asked | AsyncFlight


class Barrier(NamedTuple):
    """Is passed when everything that was asked before it has been answered."""

    since_ns: int
    desk: Desk | None
    flight: Flight | None
    is_last: bool
    """Whether the writer is to let go of everything then."""


Inbox: TypeAlias = "queue.SimpleQueue[Asking | Barrier]"


def settle(flight: Flight, answer: Answer) -> None:
    """Give the answer to whoever waits, unless they have one or have gone."""
    if flight.done():
        return
    if not isinstance(answer, LedgerError):
        flight.set_result(answer)
        return
    flight.set_exception(answer)
    if isinstance(flight, asyncio.Future):
        flight.exception()  # a task that is cancelled right now never asks for it
