"""A durable ledger over a plain store, with its real thread, and who uses it.

Rule for this file: what the tests of durable ledgers share.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from ledger_kits import a_claim
from plain_store import PATIENCE, Shelf
from writer_bench import assert_all_gone

from ldtrack.core.slots import DURATION
from ldtrack.ledgers.durable import DurableLedger

__all__ = ["LOAN", "awaited", "deliver_all", "ledger", "shelf", "until"]

LOAN: dict[str, Any] = {"owner": "me", "limit": 100, "max_chars": 10_000, "seconds": 60.0}


@pytest.fixture
def shelf() -> Shelf:
    """Where the rows go."""
    return Shelf()


@pytest.fixture
async def ledger(shelf: Shelf) -> AsyncIterator[DurableLedger]:
    """A ledger over it, and no thread left afterwards."""
    assert_all_gone()
    ledger = DurableLedger(shelf.open, deadline=PATIENCE)
    yield ledger
    await ledger.aclose()
    assert_all_gone()


async def deliver_all(ledger: DurableLedger) -> None:
    """As a relay does."""
    while (batch := await ledger.lease(**LOAN)) is not None:
        await ledger.delivered(batch)


async def awaited(ledger: DurableLedger, run_id: str) -> bool:
    """Submit, and wait."""
    return await ledger.submit(a_claim(DURATION, 1, run_id))  # type: ignore[misc]  # a loop is running


async def until(is_so: Callable[[], object]) -> None:
    """Let others go on until something is so."""
    while not is_so():  # noqa: ASYNC110 - other threads bring it about, and they set no event
        await asyncio.sleep(0)
