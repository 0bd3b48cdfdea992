"""A child that delivers until it is killed; and the relay that delivers the rest when all are dead.

Rule for this file: the relay and the destination are the real ones, with less patience.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from typing import Any

from crashtest import frauds
from crashtest.plan import LOAN, Plan
from ldtrack.delivery import LaunchDarklyEvents, Relay

__all__ = ["carry_forever", "deliver_the_rest"]

_KEY = "sdk-crash-test"


def carry_forever(plan: Plan, number: int) -> None:
    """Deliver until killed."""
    asyncio.run(_carry_forever(plan, number))


async def _carry_forever(plan: Plan, number: int) -> None:
    parent = os.getppid()
    backlog = frauds.backlog_of(plan)
    backlog.start()
    relaying = asyncio.create_task(_relay(plan, backlog, number).run())
    while os.getppid() == parent:  # a supervisor that is gone can end nobody
        await asyncio.wait([relaying], timeout=1)
        if relaying.done():
            relaying.result()


async def deliver_the_rest(plan: Plan, patience: float) -> bool:
    """Deliver what is left; returns whether the ledger then says that all is delivered."""
    ledger = plan.open_ledger()
    relaying = asyncio.create_task(_relay(plan, frauds.backlog_of(plan, ledger), -1).run())
    try:
        return bool(await ledger.flush(patience))
    finally:
        relaying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await relaying
        await ledger.aclose()


def _relay(plan: Plan, backlog: Any, number: int) -> Relay:
    chance = random.Random(f"{plan.seed} carrier {number}")
    destination = LaunchDarklyEvents(
        _KEY, events_uri=plan.events_uri, connect_timeout=1, read_timeout=0.3, total_timeout=0.4
    )
    return Relay(
        backlog,
        frauds.destination_of(plan, destination),
        # Many small ones where a fraud is to be found out, so that it is.
        batch_rows=100 if plan.fraud else chance.choice((50, 300, 1000)),
        loan=LOAN,
        interval=0.02,
        # Waits are a twentieth of the usual: what comes after a setback is the test, not the wait.
        random=lambda: chance.random() / 20,
    )
