"""A ledger's writer without a thread: a test takes its turns, on a clock that stands still.

Rule for this file: the writer, its shift and its spool are the real ones; what they store in is plain.
"""

from __future__ import annotations

import threading
from pathlib import Path

from plain_store import PATIENCE, Shelf, a_row

from ldtrack.core.row import Row
from ldtrack.core.slots import DURATION, TOOL_CALL
from ldtrack.ledgers import group
from ldtrack.ledgers.asked import Asked, BlockingFlight
from ldtrack.ledgers.group import GroupWriter
from ldtrack.ledgers.shift import Shift
from ldtrack.ledgers.spool import Spool
from ldtrack.testing import ManualClock

__all__ = ["DEADLINE", "THREAD", "Bench", "answers", "assert_all_gone", "writer_threads"]

DEADLINE = 6.0
THREAD = "ldtrack ledger"


class Bench:
    """A writer without a thread: a test takes its turns."""

    def __init__(self, tmp_path: Path | None = None, *, spools: bool = False) -> None:
        self.clock = ManualClock()
        self.shelf = Shelf(self.clock.time)
        self.spooled = Shelf(self.clock.time)
        self.spool: Spool | None = None
        if spools:
            nowhere = Path("/nowhere/at/all")
            self.spool = Spool(nowhere, clock=self.clock, open_store=lambda _: self.spooled.open())
        self.writer = GroupWriter(self.shelf.open, deadline=DEADLINE, clock=self.clock, spool=self.spool)
        assert self.writer._duty.acquire(blocking=False)
        del group._WRITERS[id(self.writer)]  # the end of the process need not wait for it
        self.shift = Shift(self.writer)

    def ask(self, row: Row | None = None, *, is_quiet: bool = False) -> BlockingFlight:
        """Somebody asks for a row."""
        flight = BlockingFlight()
        row = row or a_row()
        metric = DURATION if row.place == DURATION.slot else TOOL_CALL
        since_ns = self.clock.monotonic_ns()
        self.writer.ask(Asked(row, metric, since_ns, self.writer.threads, flight, is_quiet))
        return flight

    def ask_many(self, count: int) -> list[BlockingFlight]:
        """So many ask, each for a run of their own."""
        return [self.ask(a_row(f"run-{at}")) for at in range(count)]

    def barrier(self, *, is_last: bool = False) -> BlockingFlight:
        """Somebody waits for all of that."""
        passed = BlockingFlight()
        self.writer.barrier(self.writer.threads, passed, is_last=is_last)
        return passed

    def turn(self) -> bool:
        """Whatever has come, and one turn; whether the shift is over."""
        return self.shift._turn(is_idle=not self.shift._gather(0.0))

    def pass_time(self) -> bool:
        """Let time pass until there is something to do; whether there will be."""
        patience = self.shift._patience()
        if patience is not None:
            self.clock.advance(patience + 1e-6)
        return patience is not None

    def until_answered(self, *flights: BlockingFlight) -> None:
        """Take turns until all of them have their answer."""
        for _ in range(1_000):
            self.turn()
            if all(flight.done() for flight in flights):
                return
            assert self.pass_time(), "nothing will ever happen again"
        raise AssertionError("still no answer")


def answers(flights: list[BlockingFlight]) -> list[object]:
    """What they were told: yes, no, or the kind of error."""
    return [type(flight.exception(0)) if flight.exception(0) else flight.result(0) for flight in flights]


def writer_threads() -> list[threading.Thread]:
    """The threads of all writers."""
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def assert_all_gone() -> None:
    """All writers' threads have left, or do now."""
    for thread in writer_threads():
        thread.join(PATIENCE)
    assert writer_threads() == []
