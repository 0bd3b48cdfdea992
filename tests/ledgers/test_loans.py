"""Loans of a relay that ends: what it had not begun to deliver is there for the next one, at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ldclient import Context

from ldtrack import AIClient
from ldtrack.ledgers import SQLiteLedger
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.sqlite import SQLiteStore
from ldtrack.testing import RecordingClient

LOAN = {"owner": "relay", "limit": 10, "max_chars": 10**6, "seconds": 3600.0}


class SlowStore(SQLiteStore):
    """Lends while the test looks on: a thread that nobody can stop."""

    def __init__(self, path: Any, entered: Callable[[], None], may_end: threading.Event) -> None:
        super().__init__(path)
        self._entered = entered
        self._may_end = may_end

    def lease(self, *terms: Any) -> Any:
        self._entered()
        assert self._may_end.wait(60)
        return super().lease(*terms)


async def test_a_loan_that_nobody_waits_for_any_more_is_given_back(tmp_path) -> None:
    """Cancelled as at the end of `asyncio.run`: the thread that takes the loan brings it back."""
    path = tmp_path / "ledger.db"
    ledger = SQLiteLedger(path)
    ai = AIClient(RecordingClient(), ledger=ledger)
    assert await (await ai.completion_config("chat", Context.create("ada"))).create_tracker().track_success()

    entered, may_end = asyncio.Event(), threading.Event()
    tell = asyncio.get_running_loop().call_soon_threadsafe
    slow = DurableLedger(lambda: SlowStore(path, lambda: tell(entered.set), may_end), deadline=60)
    task = asyncio.create_task(slow.lease(**LOAN))
    await entered.wait()
    task.cancel()
    asyncio.get_running_loop().call_soon(may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    await slow.aclose()

    batch = await ledger.lease(**LOAN | {"owner": "another"})
    assert batch is not None
    await ledger.aclose()


async def test_a_loan_that_was_called_off_before_it_was_taken_is_not_taken(tmp_path) -> None:
    """Cancelled before its thread began, it takes nothing."""
    path = tmp_path / "ledger.db"
    ledger = SQLiteLedger(path)
    ai = AIClient(RecordingClient(), ledger=ledger)
    assert await (await ai.completion_config("chat", Context.create("ada"))).create_tracker().track_success()

    task = asyncio.create_task(ledger.lease(**LOAN))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    batch = await ledger.lease(**LOAN | {"owner": "another"})
    assert batch is not None
    await ledger.aclose()
