"""The way into a store: one thread, to which all callers hand their rows.

Rule for this file: the thread's life, and the way in. What is done with the rows is in ``shift``.

While a group of rows is being committed the next one gathers, so a lonely claim waits for one commit, and
thousands share one. All callers come through here, whatever they are: tasks of any loop, threads without
one, and finalizers, which run in the middle of anything. That is why the way in is a ``SimpleQueue``, the
one queue that may be re-entered, and why nothing here is done in an event loop.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import os
import queue
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.asked import Answer, Asked, AsyncFlight, Barrier, BlockingFlight, Inbox
from ldtrack.ledgers.shift import Shift
from ldtrack.ledgers.store import Store

if TYPE_CHECKING:
    from ldtrack.ledgers.spool import Spool
    from ldtrack.typing import Clock

__all__ = ["GroupWriter"]

EXIT_PATIENCE: Final = 5.0
"""For how long an interpreter that ends waits for what was not written yet, in seconds."""


class GroupWriter:
    """A thread that comes when there is something to write, and goes when it is told to.

    ``deadline`` bounds how long anybody waits for an answer, in seconds. The store has to come back from
    each call within a third of that.
    """

    def __init__(
        self, open_store: Callable[[], Store], *, deadline: float, clock: Clock, spool: Spool | None = None
    ) -> None:
        self._open_store = open_store
        self.deadline = deadline
        self.clock = clock
        self.spool = spool
        self.recorded = 0
        self.last_error = ""
        self._begin_anew()
        _WRITERS.add(self)

    def _begin_anew(self) -> None:
        self.inbox: Inbox = queue.SimpleQueue()
        self.left: set[AsyncFlight] = set()
        """Flights that nobody waits for any more."""
        self._thread: threading.Thread | None = None
        # Re-entrant: a finalizer may ask while this thread is starting the other one.
        self._life = threading.RLock()
        self._shift: Shift | None = None

    def ask(self, asked: Asked) -> None:
        """Take a row over; its flight is answered by the other thread."""
        self.inbox.put(asked)
        # Looked at after the putting: see _leave().
        if self._thread is None:
            self.start()

    def start(self) -> None:
        """Start the thread, if it does not run: it may have something to do that an earlier process left."""
        with self._life:
            if self._thread is None:
                self._shift = shift = Shift(self, self._open_store)
                thread = threading.Thread(target=self._run, args=(shift,), name="ldtrack ledger", daemon=True)
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:
                    # An interpreter that ends starts no threads: what is still asked is done right here.
                    self._thread = None
                    shift.finish()
                    self._shift = None

    @property
    def is_own_thread(self) -> bool:
        """Whether it is this writer's thread that asks: a finalizer, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def barrier(self, *, is_last: bool = False) -> BlockingFlight:
        """Is passed once everything asked so far has been answered; after the last one the thread goes."""
        passed = BlockingFlight()
        with self._life:
            if self._thread is None and self.inbox.empty():
                passed.set_result(True)
                return passed
            self.inbox.put(Barrier(passed, is_last))
            self.start()
        return passed

    def _run(self, shift: Shift) -> None:
        inbox = self.inbox
        while True:
            shift.work()
            # First gone, then a last look: who asks looks for the thread after the putting, so either this
            # look finds what was asked, or the asking finds no thread.
            with self._life:
                if self.inbox is not inbox:
                    return
                thread, self._thread = self._thread, None
                if inbox.empty():
                    self._shift = None
                    return
                self._thread = thread

    def tell(self, answered: list[tuple[Asked, Answer]]) -> None:
        """Pass answers on to whoever waits for them: one call for each event loop."""
        by_loop: dict[object, list[tuple[AsyncFlight, Answer]]] = {}
        for asked, answer in answered:
            flight = asked.flight
            if answer is True:
                self.recorded += 1
            elif answer is not False:
                self.last_error = str(answer)
            if isinstance(flight, concurrent.futures.Future):
                _settle(flight, answer)
            elif flight is not None:
                by_loop.setdefault(flight.get_loop(), []).append((flight, answer))
        for told in by_loop.values():
            # A loop that is closed has nobody left to tell.
            with contextlib.suppress(RuntimeError):
                told[0][0].get_loop().call_soon_threadsafe(self._tell_loop, told)

    def _tell_loop(self, told: list[tuple[AsyncFlight, Answer]]) -> None:
        for flight, answer in told:
            if not flight.done():
                _settle(flight, answer)
        if self.left:
            self.left.difference_update([flight for flight, _ in told])

    def forked(self) -> None:
        """In a forked child: what was asked is the parent's to write, and so are its connections."""
        if self._shift is not None:
            self._shift.abandon()
        self._begin_anew()


def _settle(flight: AsyncFlight | BlockingFlight, answer: Answer) -> None:
    if isinstance(answer, LedgerError):
        flight.set_exception(answer)
    else:
        flight.set_result(answer)


_WRITERS: Final[weakref.WeakSet[GroupWriter]] = weakref.WeakSet()


def _at_exit() -> None:
    for passed in [writer.barrier(is_last=True) for writer in list(_WRITERS)]:
        with contextlib.suppress(Exception):
            passed.result(EXIT_PATIENCE)


def _forked() -> None:
    for writer in list(_WRITERS):
        writer.forked()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
