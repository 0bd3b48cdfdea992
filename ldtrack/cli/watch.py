"""Looks at a relay and its ledger from outside, and says what has changed.

Rule for this file: looking. What it leads to is that lines are written, and that a new key is tried at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from ldtrack.cli.deliveries import Deliveries
from ldtrack.cli.key import Key
from ldtrack.cli.lines import Lines
from ldtrack.core.batch import Standing
from ldtrack.delivery import RelayState, RelayStats
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.durable import DurableLedger

__all__ = ["Onlooker", "Watch"]

LOOK_EVERY: Final = 1.0
TELL_EVERY: Final = 60.0
"""How often the counters are told, in seconds, if there is something to tell."""
_PATIENCE: Final = 2.0
"""How long to wait for a ledger that is slow to say how it stands, in seconds."""


class Onlooker:
    """Asks the ledger how it stands, one question at a time, however many want to know."""

    def __init__(self, ledger: DurableLedger, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._monotonic = monotonic
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = 0.0
        self.standing: Standing | None = None
        self.error: str | None = None

    async def look(self, *, max_age: float = 0.5) -> None:
        """Have figures that are no older than so many seconds, or know why not; it waits for 2 s at most.

        Cancelling the wait changes nothing.
        """
        now = self._monotonic()
        task = self._asking
        if task is None or (task.done() and now - self._asked_at >= max_age):
            self._asked_at = now
            task = self._asking = asyncio.get_running_loop().create_task(self._ask())
        await asyncio.wait([task], timeout=_PATIENCE)
        if not task.done():
            self.error = f"the ledger has not answered for {self._monotonic() - self._asked_at:.0f} seconds"

    async def _ask(self) -> None:
        try:
            self.standing = await self._ledger.standing()
            self.error = None
        except LedgerError as error:
            self.error = str(error)

    async def aclose(self) -> None:
        """Wait for an answer that is under way, since it cannot be called back; cancelling skips that."""
        if self._asking is not None:
            await asyncio.wait([self._asking])


class Watch:
    """Compares what is with what was, once a second."""

    def __init__(self, deliveries: Deliveries, onlooker: Onlooker, key: Key, lines: Lines) -> None:
        self._deliveries = deliveries
        self._onlooker = onlooker
        self._key = key
        self._lines = lines
        self._key_changes = key.changes
        self._key_problem: str | None = None
        self._trouble: RelayStats | None = None
        """How things were when something began to fail."""
        self._told = RelayStats()

    async def run(self) -> None:
        """Look for ever; cancelling it stops that."""
        looks = 0
        while True:
            await asyncio.sleep(LOOK_EVERY)
            looks += 1
            await self.look()
            if looks * LOOK_EVERY % TELL_EVERY == 0:
                await self.tell_progress()

    async def look(self) -> None:
        """Look once; cancelling it leaves the rest for the next time."""
        await asyncio.to_thread(self._key.look)
        self._look_at_key()
        self._look_at_relay(self._deliveries.stats)

    def _look_at_key(self) -> None:
        key = self._key
        if key.changes != self._key_changes:
            self._key_changes = key.changes
            self._lines.info("key_changed")
            if self._deliveries.is_locked:
                self._deliveries.try_now()
        if key.problem != self._key_problem:
            self._key_problem = key.problem
            if key.problem is not None:
                self._lines.warning("key_not_read", message=f"{key.problem}; the one before it stays in use")

    def _look_at_relay(self, stats: RelayStats) -> None:
        before = self._trouble
        if stats.state is RelayState.LOCKED:
            if before is None or before.state is not RelayState.LOCKED:
                self._lines.error("locked", reason=stats.last_error)
                self._trouble = stats
        elif stats.state is RelayState.WAITING:
            if before is None:
                self._lines.warning("failing", reason=stats.last_error)
                self._trouble = stats
        elif before is not None and stats.delivered > before.delivered:
            self._lines.info("recovered", delivered=stats.delivered)
            self._trouble = None

    async def tell_progress(self) -> None:
        """Say what was done since it was said last, if anything; cancelling it says nothing."""
        stats = self._deliveries.stats
        if (stats.attempts, stats.errors) == (self._told.attempts, self._told.errors):
            return
        self._told = stats
        await self._onlooker.look()
        standing = self._onlooker.standing
        self._lines.info("progress", **figures_of(stats), pending=standing and standing.pending)


def figures_of(stats: RelayStats) -> dict[str, int]:
    """The counters that a line shows."""
    return {
        "delivered": stats.delivered,
        "events": stats.events,
        "attempts": stats.attempts,
        "retries": stats.retries,
        "set_aside": stats.set_aside,
    }
