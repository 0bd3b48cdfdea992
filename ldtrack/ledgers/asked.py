"""What is asked of a ledger's writer, and what it answers.

Rule for this file: values that pass between threads.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol, TypeAlias

import attrs

from ldtrack.core.row import Row
from ldtrack.core.slots import Metric
from ldtrack.exceptions import LedgerError

__all__ = ["Answer", "Asked", "AsyncFlight", "Barrier", "BlockingFlight", "Desk", "Flight", "Inbox", "settle"]

BlockingFlight = concurrent.futures.Future[bool]
Answer: TypeAlias = bool | LedgerError


class AsyncFlight:
    """A claim that is not answered yet, for the tasks of one event loop.

    As much of an ``asyncio.Future`` as is used, but its callbacks are called when it is settled, in its
    loop: thousands of claims are answered together, and a turn of the loop for each callback, with a context
    of its own, would cost more than the claim. For the same reason nothing here can be cancelled.
    """

    __slots__ = ("__weakref__", "_answer", "_callback", "_loop", "_more")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answer: Answer | None = None
        self._callback: Callable[[Any], object] | None = None
        self._more: tuple[Callable[[Any], object], ...] = ()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop in which it is settled."""
        return self._loop

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
            self._loop.call_soon(callback, self)
        elif self._callback is None:
            self._callback = callback
        else:
            self._more += (callback,)

    def set_result(self, result: bool, /) -> None:  # noqa: FBT001 - as a Future has it
        """Settle it, in its loop."""
        self._settle(result)

    def set_exception(self, error: LedgerError) -> None:
        """Settle it, in its loop."""
        self._settle(error)

    def _settle(self, answer: Answer) -> None:
        self._answer = answer
        callback, more = self._callback, self._more
        self._callback, self._more = None, ()
        if callback is not None:
            self._call(callback)
        for one in more:
            self._call(one)

    def _call(self, callback: Callable[[Any], object]) -> None:
        try:
            callback(self)
        except Exception as error:  # noqa: BLE001 - the others are to hear of their answers all the same
            self._loop.call_exception_handler({"message": "a flight's callback failed", "exception": error})

    def __await__(self) -> Generator[Any, None, bool]:
        if self._answer is None:
            waiter = self._loop.create_future()
            self.add_done_callback(lambda _: None if waiter.done() else waiter.set_result(None))
            yield from waiter.__await__()
        return self.result()


Flight: TypeAlias = AsyncFlight | BlockingFlight


class Desk(Protocol):
    """Where answers are given out."""

    def tell(self, told: list[tuple[Flight, Answer]]) -> None:
        """Pass answers on, from whatever thread."""
        ...

    def is_deserted(self) -> bool:
        """Whether nobody will come here for an answer any more."""
        ...


@attrs.define(eq=False)
class Asked:
    """A row, and who wants to know whether it was the first."""

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
        return LedgerError(
            f"the {self.metric.name} of run {self.row.run_id} could not be recorded: {reason}; "
            "the slot is free again, the call may be repeated"
        )


class Barrier(NamedTuple):
    """Is passed when everything that was asked before it has been answered."""

    since_ns: int
    desk: Desk | None
    flight: Flight | None
    is_last: bool
    """Whether the writer is to let go of everything then."""


Inbox: TypeAlias = "queue.SimpleQueue[Asked | Barrier]"


def settle(flight: Flight, answer: Answer) -> None:
    """Give the answer to whoever waits, unless they have one or have gone."""
    if not flight.done():
        if isinstance(answer, LedgerError):
            flight.set_exception(answer)
        else:
            flight.set_result(answer)
