"""A flush tells the truth, and a wait that is given up loses nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from durable_bench import LOAN, awaited, deliver_all, ledger, shelf, until
from ledger_kits import a_claim
from plain_store import PATIENCE, PlainStore, Shelf, away
from stage import Stage

from ldtrack.core.slots import DURATION
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.spool import Spool
from ldtrack.ledgers.store import UnavailableError
from ldtrack.testing import ManualClock

__all__ = ["ledger", "shelf"]


# Flushing


async def test_a_flush_waits_for_the_relay(ledger: DurableLedger) -> None:
    """And says what became of what was recorded before."""
    for at in range(3):
        ledger.submit_quietly(a_claim(DURATION, 1, f"run-{at}"))
    flushing = asyncio.ensure_future(ledger.flush(PATIENCE))
    await until(lambda: ledger.last_standing.pending)
    await deliver_all(ledger)
    result = await flushing
    assert result
    assert (result.delivered, result.pending) == (3, 0)


async def test_a_flush_that_runs_out_of_time(ledger: DurableLedger) -> None:
    """It is falsy, and says how much is left."""
    for at in range(3):
        await awaited(ledger, f"run-{at}")
    result = await ledger.flush(0.05)
    assert not result
    assert result.pending == 3


async def test_a_flush_cares_about_what_was_recorded_before(ledger: DurableLedger, shelf: Shelf) -> None:
    """Others go on recording: it is over as soon as everything older is delivered."""
    await awaited(ledger, "run-0")
    flushing = asyncio.ensure_future(ledger.flush(PATIENCE))
    await until(lambda: ledger.last_standing.pending)
    for at in range(1, 200):
        await awaited(ledger, f"run-{at}")
    batch = await ledger.lease(**LOAN | {"limit": 1})
    assert batch is not None
    await ledger.delivered(batch)
    result = await flushing
    assert result
    assert result.delivered == 1
    assert len(shelf.pending) == 199


async def test_a_flush_admits_what_was_set_aside(ledger: DurableLedger) -> None:
    """What was refused is not delivered."""
    await awaited(ledger, "run-1")
    batch = await ledger.lease(**LOAN)
    assert batch is not None
    await ledger.set_aside(batch, "too silly")
    result = await ledger.flush(PATIENCE)
    assert not result
    assert (result.pending, result.set_aside) == (0, 1)


async def test_a_flush_of_a_ledger_that_cannot_be_reached(
    ledger: DurableLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not flushed as far as anybody knows; when the ledger is back in time, it is."""

    def fail(_: PlainStore) -> Any:
        raise UnavailableError("no")

    with monkeypatch.context() as patch:
        patch.setattr(PlainStore, "standing", fail)
        assert not await ledger.flush(0.05)
        flushing = asyncio.ensure_future(ledger.flush(PATIENCE))
        await asyncio.sleep(0)
    assert await flushing


async def test_a_flush_knows_what_is_in_the_spool(shelf: Shelf, tmp_path: Path) -> None:
    """It is recorded, and not even in the ledger yet."""
    spooled = Shelf()
    clock = ManualClock()
    spool = Spool(tmp_path / "spool", clock=clock, open_store=lambda _: spooled.open())
    ledger = DurableLedger(shelf.open, deadline=PATIENCE, clock=clock, spool=spool)
    shelf.always = away
    assert await ledger.submit_quietly(a_claim(DURATION, 1)) is True  # type: ignore[misc]  # in a loop
    result = await ledger.flush(0.05)
    assert not result
    assert (result.pending, ledger.spooled) == (1, 1)
    shelf.always = None
    flushing = asyncio.ensure_future(ledger.flush(PATIENCE))
    while not ledger.last_standing.pending:
        clock.advance(1)
        await asyncio.sleep(0)
    await deliver_all(ledger)
    assert await flushing
    assert (len(spooled.pending), ledger.spooled, shelf.delivered) == (0, 0, 1)
    await ledger.aclose()


# Waits that are given up


async def test_a_wait_that_is_given_up_spills(shelf: Shelf, tmp_path: Path) -> None:
    """The claim goes to the spool rather than fail; whoever still waits for theirs gets the error."""
    spooled = Shelf()
    clock = ManualClock()
    spool = Spool(tmp_path / "spool", clock=clock, open_store=lambda _: spooled.open())
    ledger = DurableLedger(shelf.open, deadline=PATIENCE, clock=clock, spool=spool)
    stage = Stage()
    stage.recorder.ledger = ledger
    tracker, other = stage.new_tracker(), stage.new_tracker()
    with shelf.held():
        waits = [asyncio.ensure_future(one.track_duration(5)) for one in (tracker, other)]
        await asyncio.sleep(0)
        shelf.await_call()
        shelf.always = away
        waits[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits[0]
    await until(lambda: spooled.pending)
    await until(lambda: clock.advance(1) or waits[1].done())
    with pytest.raises(LedgerError, match="the shelf is away"):
        await waits[1]
    assert spooled.runs() == [tracker.run_id]
    shelf.always = None
    again = asyncio.gather(other.track_duration(6), tracker.track_duration(6))
    await until(lambda: clock.advance(1) or again.done())
    assert await again == [True, False], "the slot of the one that failed is free again"
    await ledger.aclose()


async def test_leaving_what_has_landed(ledger: DurableLedger) -> None:
    """Changes nothing."""
    flight: Any = ledger.submit(a_claim(DURATION, 1))
    assert await flight
    flight.is_quiet = True
