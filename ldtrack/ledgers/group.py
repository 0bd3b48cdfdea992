"""The way into a store: one thread, to which all callers hand their rows.

Rule for this file: the thread's life, and the way in and out. What is done with the rows is in ``shift``.

While a group of rows is being committed the next one gathers, so a lonely claim waits for one commit, and
thousands share one. All callers come through here, whatever they are: tasks of any loop, threads without
one, and finalizers, which run in the middle of anything. That is why nobody waits for a lock in here: the
queue is the one that may be re-entered, and duty is a lock that is only ever tried. Who gets it serves.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ldtrack.ledgers import exits
from ldtrack.ledgers.asked import Answer, Asking, Barrier, BlockingFlight, Desk, Flight, Inbox
from ldtrack.ledgers.desks import LoopDesk, ThreadDesk
from ldtrack.ledgers.keeper import Keeper
from ldtrack.ledgers.shift import Shift
from ldtrack.ledgers.store import Store

if TYPE_CHECKING:
    from ldtrack.ledgers.spool import Spool
    from ldtrack.typing import Clock

__all__ = ["GroupWriter"]


class GroupWriter:
    """A thread that comes when there is something to write, and goes when it is told to.

    ``deadline`` bounds how long anybody waits for a store that does not do its work, in seconds. The store
    has to come back from each call within a third of that. A queue that moves is not given up.
    """

    threads = ThreadDesk()

    def __init__(
        self, open_store: Callable[[], Store], *, deadline: float, clock: Clock, spool: Spool | None = None
    ) -> None:
        self.keeper: Keeper[Store] = Keeper(open_store, patience=deadline / 2)
        self.deadline = deadline
        self.clock = clock
        self.spool = spool
        self._begin_anew()
        _WRITERS[id(self)] = self

    def _begin_anew(self) -> None:
        self.inbox: Inbox = queue.SimpleQueue()
        self.recorded = 0
        self.last_error = ""
        self.calls = 0
        """How many calls of the store and of the spool have come back."""
        self._desks: dict[asyncio.AbstractEventLoop, LoopDesk] = {}
        self._duty = threading.Lock()
        """Held on behalf of whichever thread serves."""
        self._on_duty: int | None = None

    # The way in

    def ask(self, asked: Asking) -> None:
        """Take a row over; its flight is answered by the other thread."""
        self.inbox.put(asked)
        # Looked at after the putting: see _serve().
        if not self._duty.locked():
            self._wake()

    def barrier(self, desk: Desk | None, flight: Flight | None, *, is_last: bool = False) -> None:
        """Answer ``True`` once everything asked so far has been answered; after the last one, let go."""
        # In this order: what was not in the inbox at first was taken by somebody on duty.
        if self.inbox.empty() and not self._duty.locked():
            if desk is not None and flight is not None:
                desk.tell([flight], [True])
            return
        self.inbox.put(Barrier(self.clock.monotonic_ns(), desk, flight, is_last))
        self._wake()

    def desk_of(self, loop: asyncio.AbstractEventLoop) -> LoopDesk:
        """Where those who wait in that loop are answered."""
        desk = self._desks.get(loop)
        if desk is None:
            for other in list(self._desks):
                if other.is_closed():
                    self._desks.pop(other, None)
            desk = self._desks[loop] = LoopDesk(loop, self)
        return desk

    def is_on_duty_here(self) -> bool:
        """Whether this is the thread that serves: then a finalizer asks, and must not wait for itself."""
        return self._on_duty == threading.get_ident()

    # The thread's life

    def start(self) -> None:
        """See to it that somebody serves; an earlier process may have left something to do."""
        if self._duty.acquire(blocking=False):
            self._call_in()

    def _wake(self) -> None:
        """See to it that what is in the inbox is served, and call nobody in for what was served meanwhile.

        A thread with nothing to do would wait for ever: the last barrier may be behind it.
        """
        while not self.inbox.empty() and self._duty.acquire(blocking=False):
            if not self.inbox.empty():
                self._call_in()
                return
            self._duty.release()

    def _call_in(self) -> None:
        turn = threading.Lock()
        try:
            exits.expect(_at_exit)
            if not exits.is_near():
                threading.Thread(target=self._serve, args=(turn,), name="ldtrack ledger", daemon=True).start()
                return
        except RuntimeError:  # an interpreter that ends starts no threads
            pass
        except BaseException:  # an interrupt, say: then nobody knows whether the thread has begun
            if turn.acquire(blocking=False):
                self._duty.release()
            raise
        self._serve(turn, is_brief=True)

    def _serve(self, turn: threading.Lock, *, is_brief: bool = False) -> None:
        if not turn.acquire(blocking=False):
            return
        while True:
            self._on_duty = threading.get_ident()
            shift = Shift(self)
            try:
                shift.finish() if is_brief else shift.work()
            except Exception as error:  # noqa: BLE001 - whoever waits for an answer would wait for ever
                shift.give_up(error)
            finally:
                self._on_duty = None
                self._duty.release()
            # First off duty, then a last look. Who asks looks for somebody on duty after the putting: so
            # either this look finds what was asked, or the asking finds nobody.
            if self.inbox.empty() or not self._duty.acquire(blocking=False):
                return

    def forked(self) -> None:
        """In a forked child: what was asked is the parent's to write."""
        self._begin_anew()

    # The way out

    def tell(self, those: Sequence[Asking], answers: Sequence[Answer]) -> None:
        """Pass answers on to whoever waits for them: one call for each desk."""
        by_desk: dict[Desk, tuple[list[Flight], list[Answer]]] = {}
        for asked, answer in zip(those, answers, strict=True):
            if answer is True:
                self.recorded += 1
            elif answer is not False:
                self.last_error = str(answer)
            desk, flight = asked.desk, asked.flight
            if desk is not None and flight is not None:
                told = by_desk.get(desk)
                if told is None:
                    told = by_desk[desk] = ([], [])
                told[0].append(flight)
                told[1].append(answer)
        for desk, told in by_desk.items():
            desk.tell(*told)


_WRITERS: Final[weakref.WeakValueDictionary[int, GroupWriter]] = weakref.WeakValueDictionary()


def _all_writers() -> list[GroupWriter]:
    return [writer for reference in _WRITERS.valuerefs() if (writer := reference()) is not None]


def _at_exit() -> None:
    flights = []
    for writer in _all_writers():
        flights.append(BlockingFlight())
        writer.barrier(GroupWriter.threads, flights[-1], is_last=True)
    exits.await_all(flights)


def _forked() -> None:
    for writer in _all_writers():
        writer.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
