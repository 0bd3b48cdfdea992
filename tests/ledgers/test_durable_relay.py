"""The side of a durable ledger that relays see."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from durable_bench import LOAN, awaited, deliver_all, ledger, shelf, until
from plain_store import PATIENCE, PlainStore, Shelf, a_row

from ldtrack.core.batch import Batch
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.spool import Spool
from ldtrack.ledgers.store import UnavailableError
from ldtrack.testing import ManualClock

__all__ = ["ledger", "shelf"]


async def test_a_batch_comes_and_goes(ledger: DurableLedger, shelf: Shelf) -> None:
    """Lent, given back, lent again, halved, delivered, set aside, retried: as the store has it."""
    for at in range(4):
        await awaited(ledger, f"run-{at}")
    batch = await ledger.lease(**LOAN)
    assert isinstance(batch, Batch)
    assert await ledger.lease(**LOAN) is None
    await ledger.postpone(batch, 0.0)
    again = await ledger.lease(**LOAN)
    assert again is not None
    assert (again.payload_id, again.attempts) == (batch.payload_id, 1)
    halves = await ledger.split(again)
    assert halves is not None
    await ledger.delivered(halves[0])
    quarters = await ledger.split(halves[1])
    assert quarters is not None
    await ledger.set_aside(quarters[0], "silly")
    await ledger.postpone(quarters[1], 0.0)
    assert [one.reason for one in await ledger.aside()] == ["silly"]
    assert await ledger.retry_aside() == 1
    assert await ledger.discard_aside() == 0
    await deliver_all(ledger)
    assert shelf.delivered == 4
    assert ledger._loans == {}


async def test_a_batch_that_somebody_else_has(ledger: DurableLedger, shelf: Shelf) -> None:
    """Nothing of it can be given back or halved by who has not lent it."""
    for at in range(2):
        await awaited(ledger, f"run-{at}")
    batch = await ledger.lease(**LOAN)
    assert batch is not None
    other = DurableLedger(shelf.open, deadline=PATIENCE)
    await other.postpone(batch, 0.0)
    assert await other.split(batch) is None
    assert await other.lease(**LOAN) is None
    await other.aclose()


async def test_a_relay_hears_that_a_ledger_is_away(
    ledger: DurableLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a ``LedgerError``, like everybody."""

    def fail(*_: object) -> Any:
        raise UnavailableError("the shelf is away")

    monkeypatch.setattr(PlainStore, "lease", fail)
    with pytest.raises(LedgerError, match="cannot be reached: the shelf is away; the call may be repeated"):
        await ledger.lease(**LOAN)


async def test_a_relay_does_not_stand_in_the_way(
    ledger: DurableLedger, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims are recorded while a relay's errand takes its time."""
    gate = threading.Event()
    monkeypatch.setattr(PlainStore, "lease", lambda *_: gate.wait(PATIENCE) and None)
    leasing = asyncio.ensure_future(ledger.lease(**LOAN))
    assert await awaited(ledger, "run-1")
    assert not leasing.done()
    gate.set()
    assert await leasing is None


async def test_a_relay_starts_what_an_earlier_process_left(shelf: Shelf, tmp_path: Path) -> None:
    """A spool is drained although nobody claims anything."""
    spooled = Shelf()
    spooled.store([a_row("run-1")])
    path = tmp_path / "spool"
    path.touch()
    spool = Spool(path, clock=ManualClock(), open_store=lambda _: spooled.open())
    ledger = DurableLedger(shelf.open, deadline=PATIENCE, spool=spool)
    ledger.start()
    ledger.start()
    await until(lambda: shelf.pending)
    assert shelf.runs() == ["run-1"]
    await ledger.aclose()
