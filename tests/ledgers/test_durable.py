"""What all durable ledgers do, over a store that does what it is told: loops, hangs, closing, writing."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from durable_bench import awaited, ledger, shelf, until
from ldclient import Context
from ledger_kits import a_claim
from plain_store import PATIENCE, Shelf, raising
from step_loop import StepLoop
from writer_bench import assert_all_gone, writer_threads

from ldtrack.core.privacy import Privacy
from ldtrack.core.slots import DURATION, OUTCOME, TOOL_CALL
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.shift import Shift
from ldtrack.testing import ManualClock

__all__ = ["ledger", "shelf"]


# Loops


async def test_flights_land_in_their_own_loops(ledger: DurableLedger, shelf: Shelf) -> None:
    """Tasks of this loop, of another thread's loop, and a thread without one, in one group."""

    def elsewhere() -> bool:
        return asyncio.run(awaited(ledger, "run-2"))

    with shelf.held():
        here = ledger.submit(a_claim(DURATION, 1, "run-1"))
        shelf.await_call()
        others = [
            asyncio.ensure_future(asyncio.to_thread(elsewhere)),
            asyncio.ensure_future(asyncio.to_thread(ledger.submit, a_claim(DURATION, 1, "run-3"))),
        ]
        await until(lambda: ledger._writer.inbox.qsize() == 2)
    assert await asyncio.gather(here, *others) == [True, True, True]
    assert len(shelf.calls) == 2


async def test_a_loop_that_closes_before_the_answer(ledger: DurableLedger, shelf: Shelf) -> None:
    """The row is stored all the same, nobody complains, and the loop is let go of."""
    references: list[weakref.ref[Any]] = []

    async def hasty() -> None:
        references.append(weakref.ref(asyncio.get_running_loop()))
        ledger.submit(a_claim(DURATION, 1, "run-1"))

    with shelf.held():
        await asyncio.to_thread(asyncio.run, hasty())
        shelf.await_call()
    assert await awaited(ledger, "run-2")
    assert shelf.runs() == ["run-1", "run-2"]
    await asyncio.to_thread(asyncio.run, awaited(ledger, "run-3"))
    await asyncio.to_thread(asyncio.run, awaited(ledger, "run-4"))
    gc.collect()
    assert references[0]() is None, "as soon as another loop comes, those that are closed go"


async def test_whoever_awaits_a_flight_may_be_cancelled(ledger: DurableLedger, shelf: Shelf) -> None:
    """The answer then finds nobody, and nothing breaks."""
    with shelf.held():
        waiting = asyncio.ensure_future(awaited(ledger, "run-1"))
        await asyncio.sleep(0)
        shelf.await_call()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await awaited(ledger, "run-1") is False


# A store that hangs, against its contract


def test_nobody_waits_for_a_store_that_hangs(shelf: Shelf) -> None:
    """In a loop whose time is played: who has waited for half the deadline and seen nothing come back."""
    ledger = DurableLedger(shelf.open, deadline=10)
    loop = StepLoop()
    flights: list[Any] = []

    def submit(claim: Any) -> None:
        loop.call_soon_threadsafe(lambda: flights.append(ledger.submit(claim)))
        loop.step()

    with shelf.held():
        submit(a_claim(DURATION, 1))
        shelf.await_call()
        assert loop.pass_time()
        loop.step()
        with pytest.raises(LedgerError, match=r"duration of run run-1 .* the ledger hangs, and whether"):
            flights[0].result()
        assert not loop.pass_time(), "nobody is left to look after"
        submit(a_claim(DURATION, 1))
    asyncio.run(ledger.aclose())
    while not flights[1].done():
        loop.step()
    assert flights[1].result() is False, "the first was stored in the end: once"


def test_a_look_that_comes_late_tells_nothing(shelf: Shelf) -> None:
    """The process was frozen, or the loop: the store gets its chance before anybody is given up."""
    ledger = DurableLedger(shelf.open, deadline=10)
    loop = StepLoop()
    flights: list[Any] = []
    with shelf.held():
        loop.call_soon_threadsafe(lambda: flights.append(ledger.submit(a_claim(DURATION, 1))))
        loop.step()
        shelf.await_call()
        loop._now = 600.0
        assert loop.pass_time()
        loop.step()
        assert not flights[0].done()
        assert loop.pass_time()
        loop.step()
        assert flights[0].exception() is not None
    asyncio.run(ledger.aclose())


def test_who_came_since_the_last_look_is_not_given_up(shelf: Shelf) -> None:
    """They have not waited for long enough yet."""
    clock = ManualClock()
    ledger = DurableLedger(shelf.open, deadline=10, clock=clock)
    loop = StepLoop()
    flights: list[Any] = []

    def submit() -> None:
        loop.call_soon_threadsafe(lambda: flights.append(ledger.submit(a_claim(TOOL_CALL, "x"))))
        loop.step()

    with shelf.held():
        submit()
        shelf.await_call()
        clock.advance(4.9)
        submit()
        clock.advance(0.1)
        loop.pass_time()
        loop.step()
        assert [flight.done() for flight in flights] == [True, False]
        clock.advance(5)
        loop.pass_time()
        loop.step()
        assert flights[1].exception() is not None
        assert flights[0].exception() is not None
    asyncio.run(ledger.aclose())


def test_where_nobody_waits_the_whole_deadline_is_given(shelf: Shelf) -> None:
    """A counter of failures is not told of what may be stored, or in the spool, a moment later."""
    clock = ManualClock()
    ledger = DurableLedger(shelf.open, deadline=10, clock=clock)
    loop = StepLoop()
    flights: list[Any] = []

    def submit() -> None:
        loop.call_soon_threadsafe(lambda: flights.append(ledger.submit_quietly(a_claim(TOOL_CALL, "x"))))
        loop.step()

    def look() -> list[bool]:
        clock.advance(1)
        loop.pass_time()
        loop.step()
        return [flight.done() for flight in flights]

    with shelf.held():
        submit()
        shelf.await_call()
        clock.advance(4)
        submit()
        assert look() == [False, False]
        clock.advance(4)
        assert look() == [True, False]
        clock.advance(4)
        assert look() == [True, True]
    asyncio.run(ledger.aclose())


def test_a_thread_does_not_wait_for_a_store_that_hangs(shelf: Shelf) -> None:
    """The same without a loop; the deadline is short, since this one does block."""
    ledger = DurableLedger(shelf.open, deadline=0.02)
    with shelf.held(), pytest.raises(LedgerError, match="the ledger hangs"):
        ledger.submit(a_claim(DURATION, 1))
    asyncio.run(ledger.aclose())


async def test_closing_does_not_wait_for_a_store_that_hangs(shelf: Shelf) -> None:
    """For longer than the deadline; the thread goes when it can."""
    assert_all_gone()
    ledger = DurableLedger(shelf.open, deadline=0.02)
    with shelf.held():
        ledger.submit_quietly(a_claim(DURATION, 1))
        shelf.await_call()
        await ledger.aclose()
        [thread] = writer_threads()
    await asyncio.to_thread(thread.join, PATIENCE)
    assert shelf.runs() == ["run-1"]
    assert shelf.closed == 1


# Closing


async def test_clients_share_a_ledger(ledger: DurableLedger, shelf: Shelf) -> None:
    """One closes it while the other goes on: nothing is lost, and nobody notices."""
    answers = []
    for turn in range(50):
        flight = ledger.submit(a_claim(TOOL_CALL, "x", f"run-{turn}"))
        closing = asyncio.ensure_future(ledger.aclose())
        answers.append(await flight)  # type: ignore[misc]  # a loop is running
        flight = ledger.submit(a_claim(TOOL_CALL, "x", f"run-{turn}"))
        await closing
        answers.append(await flight)  # type: ignore[misc]  # a loop is running
    assert answers == [True] * 100
    assert len(shelf.pending) == 100


async def test_closing_lets_go_of_everything(ledger: DurableLedger, shelf: Shelf) -> None:
    """Of both stores, as often as one likes; what was taken over is stored before."""
    await ledger.standing()
    ledger.submit_quietly(a_claim(DURATION, 1))
    await ledger.aclose()
    await ledger.aclose()
    assert shelf.runs() == ["run-1"]
    assert (shelf.opened, shelf.closed) == (2, 2)


async def test_closing_that_is_cancelled(ledger: DurableLedger, shelf: Shelf) -> None:
    """It skips the wait; the thread finishes what it was told to, and lets go."""
    await ledger.standing()
    with shelf.held():
        ledger.submit_quietly(a_claim(DURATION, 1))
        shelf.await_call()
        closing = asyncio.ensure_future(ledger.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert shelf.closed == 1, "the relay's store"
        [thread] = writer_threads()
    await asyncio.to_thread(thread.join, PATIENCE)
    assert shelf.closed == 2
    assert shelf.runs() == ["run-1"]


# What is written down


async def test_nothing_private_reaches_the_store(ledger: DurableLedger, shelf: Shelf) -> None:
    """What the client guards is gone from the row, from its very first claim on."""
    ada = Context.builder("ada").set("ssn", "123-45").set("town", "Bath").build()
    claim = a_claim(DURATION, 1, "run-1")._replace(context=ada)
    await ledger.submit(claim)  # type: ignore[misc]  # a loop is running
    ledger.guard(Privacy(private_attributes=("/ssn",)))
    ledger.guard(Privacy(private_attributes=("town",)))
    await ledger.submit(claim._replace(run_id="run-2"))  # type: ignore[misc]  # a loop is running
    before, after = shelf.bodies()
    assert "123-45" in before
    assert "123-45" not in after
    assert "Bath" not in after
    assert '"key":"ada"' in after


async def test_what_cannot_be_written_down(ledger: DurableLedger, shelf: Shelf) -> None:
    """Is refused where it is claimed, and leaves no trace."""
    claim = a_claim(DURATION, 1)
    events = tuple((key, {"x": object()}, value) for key, _, value in claim.events)
    submits: list[Callable[..., Any]] = [ledger.submit, ledger.submit_quietly]
    for submit in submits:
        with pytest.raises(LedgerError, match="duration of run run-1 could not be recorded: it cannot"):
            submit(claim._replace(events=events))
        with pytest.raises(LedgerError, match="it cannot be written"):
            submit(claim._replace(run_id="half a pair: \ud800"))
    assert shelf.calls == []
    assert await awaited(ledger, "run-1")


async def test_counters(ledger: DurableLedger, shelf: Shelf) -> None:
    """What was recorded here, and what last went wrong."""
    await awaited(ledger, "run-1")
    assert (ledger.recorded, ledger.last_error) == (1, "")
    shelf.mishaps = [raising(LedgerError("the disk is full"))]
    with pytest.raises(LedgerError, match="outcome of run run-1"):
        await ledger.submit(a_claim(OUTCOME, True, "run-1"))  # type: ignore[misc]  # a loop is running
    assert ledger.recorded == 1
    assert "the disk is full" in ledger.last_error


async def test_a_thread_that_fails_leaves_nobody_waiting(
    ledger: DurableLedger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Something that must not happen is an error for who waits, and said; the next claim finds a thread."""

    def broken(_: Shift) -> None:
        raise ZeroDivisionError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(Shift, "_record", broken)
        with pytest.raises(LedgerError, match=r"duration of run run-1 .*a defect"):
            await awaited(ledger, "run-1")
    assert "should not" in caplog.text
    assert await awaited(ledger, "run-1")
