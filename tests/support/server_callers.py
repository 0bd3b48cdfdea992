"""Callers that claim without a pause while their server fails over, and a relay that carries what they claim.

Rule for this file: what is asked of a ledger during a failover, and what has to be true afterwards. It knows
no server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

from ledger_kits import a_claim

from ldtrack.core.batch import Batch
from ldtrack.core.slots import DURATION
from ldtrack.delivery import Relay
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.typing import Receipt, Verdict

__all__ = ["Arrivals", "Callers", "arrivals_of", "calling", "relaying"]

PATIENCE = 60.0
"""Far longer than any failover takes."""


class Arrivals:
    """A destination that keeps which runs came in which payloads."""

    def __init__(self) -> None:
        self.payloads: dict[str, tuple[str, ...]] = {}

    async def deliver(self, batch: Batch) -> Receipt:
        events = json.loads(f"[{','.join(batch.bodies)}]")
        runs = tuple(event["data"]["runId"] for event in events)
        # A payload that is repeated is the same one, whichever server it comes from.
        assert self.payloads.setdefault(batch.payload_id, runs) == runs
        return Receipt(Verdict.DELIVERED)

    async def aclose(self) -> None:
        """Nothing is open."""

    @property
    def runs(self) -> list[str]:
        """All that LaunchDarkly would count."""
        return [run for runs in self.payloads.values() for run in runs]


class Callers:
    """Tasks each of which claims one run after another, and a run again that could not be recorded."""

    def __init__(self, ledger: DurableLedger) -> None:
        self.acknowledged: list[str] = []
        self.failures: list[LedgerError] = []
        self._ledger = ledger
        self._wanted: list[tuple[int, asyncio.Event]] = []

    async def call(self, name: str) -> None:
        number = 0
        while True:
            try:
                await self._ledger.submit(a_claim(DURATION, 1, f"{name}-{number}"))
            except LedgerError as error:
                self.failures.append(error)
            else:
                # True, or False if an earlier call was recorded after all: it is recorded.
                self.acknowledged.append(f"{name}-{number}")
                number += 1
            for count, event in self._wanted:
                if len(self.acknowledged) >= count:
                    event.set()

    async def more(self, count: int) -> None:
        """Wait until so many more claims are acknowledged."""
        enough = asyncio.Event()
        self._wanted.append((len(self.acknowledged) + count, enough))
        await asyncio.wait_for(enough.wait(), PATIENCE)

    def check(self, arrivals: Arrivals) -> None:
        """Nothing that was acknowledged is lost, and nothing counted twice."""
        arrived = arrivals.runs
        assert sorted(set(self.acknowledged) - set(arrived)) == []
        assert len(arrived) == len(set(arrived))


@contextlib.asynccontextmanager
async def calling(ledger: DurableLedger, tasks: int = 8) -> AsyncIterator[Callers]:
    """Callers for as long as the block lasts; what they asked last is answered when it ends."""
    callers = Callers(ledger)
    running = [asyncio.create_task(callers.call(f"run-{at}")) for at in range(tasks)]
    try:
        yield callers
    finally:
        for task in running:
            task.cancel()
        ended = await asyncio.gather(*running, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


@contextlib.asynccontextmanager
async def relaying(open_ledger: Callable[[], DurableLedger], arrivals: Arrivals) -> AsyncIterator[None]:
    """A relay on a host of its own for as long as the block lasts."""
    ledger = open_ledger()
    relay = asyncio.create_task(Relay(ledger, arrivals, batch_rows=20, loan=2, interval=0.01).run())
    try:
        yield
    finally:
        relay.cancel()
        await asyncio.gather(relay, return_exceptions=True)
        await ledger.aclose()


async def arrivals_of(ledger: DurableLedger, arrivals: Arrivals) -> Arrivals:
    """Deliver what is left, also what a relay had on loan that is no more."""
    relay = Relay(ledger, arrivals, interval=0.01)
    running = asyncio.create_task(relay.run())
    try:
        result = await ledger.flush(PATIENCE)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert result, result
    return arrivals
