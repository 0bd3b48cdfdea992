"""The writer's thread: when it comes and goes, who may wake it, and who never waits for it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from baton import Baton
from ledger_kits import a_claim
from plain_store import PATIENCE, Shelf, a_row
from writer_bench import THREAD, assert_all_gone, writer_threads

from ldtrack.core.slots import DURATION, OUTCOME, TOOL_CALL
from ldtrack.ledgers import desks, exits, group, keeper
from ldtrack.ledgers.asked import Asked, BlockingFlight
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.group import GroupWriter
from ldtrack.testing import ManualClock


@pytest.fixture
def shelf() -> Shelf:
    """Where the rows go."""
    return Shelf()


@pytest.fixture
def ledger(shelf: Shelf) -> Iterator[DurableLedger]:
    """A ledger with a real thread, which is gone afterwards."""
    assert_all_gone()
    ledger = DurableLedger(shelf.open, deadline=PATIENCE)
    yield ledger
    asyncio.run(ledger.aclose())
    assert_all_gone()


def ask(writer: GroupWriter, run_id: str = "run-1") -> BlockingFlight:
    """Somebody without an event loop asks."""
    flight = BlockingFlight()
    writer.ask(Asked(a_row(run_id), DURATION, 0, writer.threads, flight))
    return flight


# Coming and going


def test_the_thread_comes_with_the_first_claim_and_goes_at_the_end(
    ledger: DurableLedger, shelf: Shelf
) -> None:
    """And comes back with the next: a ledger that was closed is as good as new."""
    assert writer_threads() == []
    for turn in range(3):
        assert ledger.submit(a_claim(DURATION, 1, f"run-{turn}")) is True
        [thread] = writer_threads()
        asyncio.run(ledger.aclose())
        thread.join(PATIENCE)
        assert writer_threads() == []
    assert (shelf.opened, shelf.closed) == (3, 3)


def test_closing_what_is_closed_starts_nothing(ledger: DurableLedger, shelf: Shelf) -> None:
    """Nor does it open anything."""
    asyncio.run(ledger.aclose())
    asyncio.run(ledger.aclose())
    assert writer_threads() == []
    assert shelf.opened == 0


def test_what_comes_during_a_commit_shares_the_next(ledger: DurableLedger, shelf: Shelf) -> None:
    """A group commit: one call for the first, one for all the others."""
    with shelf.held():
        flights = [ask(ledger._writer)]
        shelf.await_call()
        flights += [ask(ledger._writer, f"run-{at}") for at in range(2, 8)]
    assert [flight.result(PATIENCE) for flight in flights] == [True] * 7
    assert [len(rows) for rows in shelf.calls] == [1, 6]


def test_a_ledger_that_is_forgotten_leaves_no_thread(shelf: Shelf) -> None:
    """What was taken over is stored, then the thread goes."""
    assert_all_gone()
    ledger = DurableLedger(shelf.open, deadline=PATIENCE)
    ledger.submit_quietly(a_claim(DURATION, 1))
    [thread] = writer_threads()
    del ledger
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert shelf.runs() == ["run-1"]
    assert shelf.closed == 1


def test_an_interpreter_that_ends_starts_no_threads(
    ledger: DurableLedger, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then whoever asks does the work."""

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    assert ledger.submit(a_claim(DURATION, 1)) is True
    assert ledger.submit(a_claim(DURATION, 1)) is False
    assert ledger.submit_quietly(a_claim(OUTCOME, True)) is True
    assert len(shelf.pending) == 2
    assert shelf.closed == 3


def test_near_the_end_no_thread_is_even_tried(
    ledger: DurableLedger, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 3.12 it would be started, and never run."""
    monkeypatch.setattr(exits, "is_near", lambda: True)
    assert ledger.submit(a_claim(DURATION, 1)) is True
    assert writer_threads() == []


@pytest.mark.parametrize("has_begun", [True, False])
def test_an_interrupt_while_the_thread_starts(
    ledger: DurableLedger, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, has_begun: bool
) -> None:
    """Whether it has begun or not: there is one on duty afterwards, and nothing is lost."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if has_begun or thread.name != THREAD:
            start(thread)
        if thread.name == THREAD:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.submit_quietly(a_claim(DURATION, 1, "run-1"))
    assert ledger.submit(a_claim(DURATION, 1, "run-2")) is True
    assert sorted(shelf.runs()) == ["run-1", "run-2"]
    assert len(writer_threads()) == 1


# No wake-up is lost


class BriefShift:
    """Takes what is there and goes: the thread leaves all the time."""

    def __init__(self, writer: GroupWriter) -> None:
        self._inbox = writer.inbox
        self._served = SERVED

    def work(self) -> None:
        while not self._inbox.empty():
            self._served.append(self._inbox.get())


SERVED: list[Any] = []
STARTED: list[Callable[[], None]] = []


class PlayedThread:
    """A thread that a test plays."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], **_: object) -> None:
        self._work = lambda: target(*args)

    def start(self) -> None:
        STARTED.append(self._work)


def play(turns: list[tuple[int, int]], *, finely: bool) -> int:
    """Somebody asks while the thread leaves, at the points given; how many points there were."""
    SERVED.clear()
    STARTED.clear()
    writer = GroupWriter(Shelf().open, deadline=1, clock=ManualClock())
    del group._WRITERS[id(writer)]
    assert writer._duty.acquire(blocking=False)
    baton = Baton([group.__file__], turns, finely=finely)
    baton.run([lambda: writer._serve(threading.Lock()), lambda: ask(writer) and None])
    assert len(STARTED) <= 1, "two threads serve"
    assert writer._duty.locked() == bool(STARTED)
    assert bool(STARTED) != writer.inbox.empty(), f"there is nothing left to do for it: {turns}"
    for work in STARTED:
        work()
    assert len(SERVED) == 1, f"nobody has heard of it: {turns}"
    return baton.points


def test_nothing_is_asked_unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """However asking and leaving interleave: whoever asks finds somebody on duty, or is found.

    And nobody is called in for nothing.
    """
    monkeypatch.setattr(group, "Shift", BriefShift)
    played = SimpleNamespace(Thread=PlayedThread, Lock=threading.Lock, get_ident=threading.get_ident)
    monkeypatch.setattr(group, "threading", played)
    finest = play([], finely=True)
    assert finest > 25
    for first in range(finest + 1):
        play([(first, 0)], finely=True)
    coarse = play([], finely=False)
    for first in range(coarse + 1):
        for second in range(coarse + 1):
            play([(first, 0), (second, 0)], finely=False)


# Finalizers


class Dying:
    """Has something to record when it goes, and goes when it is told to."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._me: Dying | None = self  # only the collector finds it

    def __del__(self) -> None:
        self._act()


def test_a_finalizer_in_the_writers_own_thread(ledger: DurableLedger, shelf: Shelf) -> None:
    """In the middle of a call of the store: it is taken over, and neither waits nor deadlocks."""
    answered: list[object] = []
    acts: list[Callable[[], object]] = [
        lambda: answered.append(ledger.submit_quietly(a_claim(TOOL_CALL, "quiet"))),
        lambda: answered.append(ledger.submit(a_claim(TOOL_CALL, "loud"))),
    ]

    def during() -> None:
        if acts:
            Dying(acts.pop())
            gc.collect()

    shelf.during = during
    for _ in range(3):
        ledger.submit(a_claim(TOOL_CALL, "x"))
    asyncio.run(ledger.aclose())
    assert answered == [True, True]
    assert len(shelf.pending) == 5


def test_a_finalizer_while_the_thread_is_started(
    ledger: DurableLedger, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread is started, not two, and both rows are stored."""
    start = threading.Thread.start
    started = []

    def start_and_collect(thread: threading.Thread) -> None:
        if thread.name == THREAD:
            started.append(thread)
            Dying(lambda: ledger.submit_quietly(a_claim(TOOL_CALL, "before")))
            gc.collect()
            start(thread)
            Dying(lambda: ledger.submit_quietly(a_claim(TOOL_CALL, "after")))
            gc.collect()
        else:
            start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_and_collect)
    assert ledger.submit(a_claim(TOOL_CALL, "x")) is True
    asyncio.run(ledger.aclose())
    assert len(started) == 1
    assert len(shelf.pending) == 3


def test_a_finalizer_at_every_instruction(shelf: Shelf) -> None:
    """Wherever in the frame a finalizer strikes, in whichever of its threads: no deadlock, nothing lost."""
    for point in range(0, 600, 3):
        shelf = Shelf()
        ledger = DurableLedger(shelf.open, deadline=PATIENCE)
        strike = _Striking(point, lambda each=ledger: each.submit_quietly(a_claim(TOOL_CALL, "finalizer")))
        with strike:
            for _ in range(2):
                assert ledger.submit(a_claim(TOOL_CALL, "x")) is True
            last = BlockingFlight()
            ledger._writer.barrier(ledger._writer.threads, last, is_last=True)
            assert last.result(PATIENCE)
        ledger._writer.barrier(None, None, is_last=True)
        assert_all_gone()
        assert len(shelf.pending) == 2 + strike.strikes


class _Striking:
    """Lets something happen at one point, in whichever thread comes by."""

    def __init__(self, point: int, act: Callable[[], object]) -> None:
        self._left = point
        self._act = act
        self.strikes = 0
        self._files = {module.__file__ for module in (group, exits, keeper, desks)}

    def __enter__(self) -> None:
        # What was there may be what measures coverage.
        self._before_in_threads = threading.gettrace()
        threading.settrace(self._watch)
        self._before = sys.gettrace()
        sys.settrace(self._watch)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)
        threading.settrace(self._before_in_threads)  # type: ignore[arg-type]  # None switches it off

    def _watch(self, frame: Any, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in self._files:
            return None
        frame.f_trace_opcodes = True
        if event in {"line", "opcode"}:  # 3.13.0 tells of lines alone
            self._left -= 1
            if self._left == 0:
                self.strikes += 1
                self._act()
        return self._watch


def test_a_finalizer_during_a_relays_errand(ledger: DurableLedger, shelf: Shelf) -> None:
    """It holds the relay's store meanwhile: claims do not care."""

    async def errand() -> Any:
        def strike(store: Any) -> bool | Any:
            Dying(lambda: ledger.submit_quietly(a_claim(DURATION, 1)))
            gc.collect()
            return store.standing()

        return await ledger._clerk.ask(strike)

    asyncio.run(errand())
    asyncio.run(ledger.aclose())
    assert shelf.runs() == ["run-1"]


# The end of the process


def test_at_the_end_all_ledgers_are_asked_at_once(shelf: Shelf, ledger: DurableLedger) -> None:
    """And what is in their inboxes is stored."""
    other_shelf = Shelf()
    other = DurableLedger(other_shelf.open, deadline=PATIENCE)
    for one in (ledger, other):
        one.submit_quietly(a_claim(DURATION, 1))
    group._at_exit()
    assert shelf.runs() == other_shelf.runs() == ["run-1"]
    assert (shelf.closed, other_shelf.closed) == (1, 1)


def test_the_end_does_not_wait_for_ever(
    ledger: DurableLedger,
    shelf: Shelf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A ledger that hangs is reported and left."""
    monkeypatch.setattr(exits, "PATIENCE", 0.0)
    with shelf.held():
        flight = ask(ledger._writer)
        shelf.await_call()
        group._at_exit()
        assert "is lost with this process" in caplog.text
    assert flight.result(PATIENCE) is True
