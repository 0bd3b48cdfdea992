"""What is asked of a ledger's writer, and what it answers.

Rule for this file: values that pass between threads.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
from typing import NamedTuple, Protocol, TypeAlias

import attrs

from ldtrack.core.row import Row
from ldtrack.core.slots import Metric
from ldtrack.exceptions import LedgerError

__all__ = ["Answer", "Asked", "AsyncFlight", "Barrier", "BlockingFlight", "Desk", "Flight", "Inbox", "settle"]

AsyncFlight: TypeAlias = asyncio.Future[bool]
BlockingFlight = concurrent.futures.Future[bool]
Flight: TypeAlias = AsyncFlight | BlockingFlight
Answer: TypeAlias = bool | LedgerError


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
