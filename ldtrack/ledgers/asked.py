"""What is asked of a ledger's thread, and what it answers.

Rule for this file: values that pass between threads.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
from typing import NamedTuple, TypeAlias

from ldtrack.core.row import Row
from ldtrack.core.slots import Metric
from ldtrack.exceptions import LedgerError

__all__ = ["Answer", "Asked", "AsyncFlight", "Barrier", "BlockingFlight", "Inbox"]

Answer: TypeAlias = bool | LedgerError
AsyncFlight: TypeAlias = asyncio.Future[bool]
BlockingFlight = concurrent.futures.Future[bool]


class Asked(NamedTuple):
    """A row, and who wants to know whether it was the first."""

    row: Row
    metric: Metric
    flight: AsyncFlight | BlockingFlight | None
    """``None``: nobody waits."""
    since_ns: int
    is_quiet: bool = False
    """Whether nobody would hear of an error: better to keep the row somewhere else than to fail."""

    def failed(self, reason: object) -> LedgerError:
        """The error for whoever waits."""
        return LedgerError(
            f"the {self.metric.name} of run {self.row.run_id} could not be recorded: {reason}; "
            "the slot is free again, the call may be repeated"
        )


class Barrier(NamedTuple):
    """Is passed when everything that was asked before it has been answered."""

    passed: BlockingFlight
    is_last: bool


Inbox: TypeAlias = "queue.SimpleQueue[Asked | Barrier]"
