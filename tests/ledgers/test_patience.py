"""Whoever waits for so long and no longer does so also while a store takes its time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from ldtrack.core.batch import Standing
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.sqlite import SQLiteStore


class SlowStore(SQLiteStore):
    """Takes its time when it is looked at: a server that does not answer, within what it may take."""

    may_end: threading.Event
    looked: Callable[[], None]

    def standing(self) -> Standing:
        self.looked()
        assert self.may_end.wait(10)
        return super().standing()


@pytest.fixture
def may_end() -> Iterator[threading.Event]:
    """Lets the store come back, when the test is over at the latest."""
    event = threading.Event()
    yield event
    event.set()


class Looks:
    """Counts how often the store was looked at, for a test that waits for the first time."""

    def __init__(self) -> None:
        self.count = 0
        self.first = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> None:
        self.count += 1
        self._loop.call_soon_threadsafe(self.first.set)


@pytest.fixture
async def looks() -> Looks:
    """What the store was asked."""
    return Looks()


@pytest.fixture
def slow(tmp_path: Path, may_end: threading.Event, looks: Looks) -> DurableLedger:
    """A ledger over a store that takes its time."""

    def opened() -> SlowStore:
        store = SlowStore(tmp_path / "ledger.db")
        store.may_end, store.looked = may_end, looks
        return store

    return DurableLedger(opened, deadline=60.0)


async def test_a_flush_does_not_wait_for_a_slow_store(slow: DurableLedger, may_end: threading.Event) -> None:
    """Its time runs out, whatever the store does, and then it is falsy: nobody knows."""
    result = await slow.flush(0.05)
    assert not may_end.is_set()
    assert not result
    may_end.set()
    await slow.aclose()


async def test_a_cancel_scope_ends_a_wait_for_a_slow_store(
    slow: DurableLedger, may_end: threading.Event
) -> None:
    """The thread goes on by itself."""
    with anyio.move_on_after(0.05) as scope:
        await slow.standing()
    assert scope.cancelled_caught
    may_end.set()
    await slow.aclose()


async def test_looks_that_nobody_waits_for_do_not_queue_up(
    slow: DurableLedger, may_end: threading.Event, looks: Looks
) -> None:
    """One is under way; those behind it are left out, so that closing need not wait for them."""
    waits = [asyncio.ensure_future(slow.standing()) for _ in range(5)]
    await looks.first.wait()
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)
    may_end.set()
    await slow.aclose()
    assert looks.count == 1
