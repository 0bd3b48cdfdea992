"""A backlog with a gate: what was taken may come back, and nothing new goes out once it is closed.

Rule for this file: counting what is on loan. What a relay does with it is not its affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ldtrack.core.batch import Batch, Standing
from ldtrack.core.pacing import PROBE
from ldtrack.typing import Backlog

__all__ = ["Gate"]

SOON: Final = 1.0
LONGEST_PROBE: Final = 2 * PROBE
"""Both in seconds."""


class Gate:
    """The backlog that a relay sees. Used by one event loop.

    A batch that was put off because the destination accepts nothing from us is there again soon, although the
    relay takes its time: somebody may put the key right, and the relay be told to try at once.
    """

    def __init__(self, backlog: Backlog, *, is_locked: Callable[[], bool] = lambda: False) -> None:
        self._backlog = backlog
        self._is_locked = is_locked
        self._is_closed = False
        self._asking = 0
        self._on_loan: set[str] = set()
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    def close(self) -> None:
        """Lend nothing any more."""
        self._is_closed = True

    async def quiet(self) -> None:
        """Wait until nothing is on loan; cancelling the wait changes nothing."""
        await self._is_quiet.wait()

    def _count(self) -> None:
        if self._asking or self._on_loan:
            self._is_quiet.clear()
        else:
            self._is_quiet.set()

    async def lease(self, *, owner: str, limit: int, max_chars: int, seconds: float) -> Batch | None:
        """Take the next batch on loan, if the gate is open; cancelling it may leave a batch on loan."""
        if self._is_closed:
            return None
        self._asking += 1
        self._count()
        try:
            batch = await self._backlog.lease(owner=owner, limit=limit, max_chars=max_chars, seconds=seconds)
            if batch is not None:
                self._on_loan.add(batch.id)
            return batch
        finally:
            self._asking -= 1
            self._count()

    async def delivered(self, batch: Batch) -> None:
        """Forget the batch's rows: they have arrived; cancelling the wait does not stop it."""
        await self._backlog.delivered(batch)
        self._is_back(batch)

    async def postpone(self, batch: Batch, seconds: float) -> None:
        """Give the batch back, for nobody to take before so long; cancelling the wait does not stop it."""
        # What lets others go first for longer than that may be at fault itself, and keeps its turn.
        if seconds <= LONGEST_PROBE and self._is_locked():
            seconds = min(seconds, SOON)
        try:
            await self._backlog.postpone(batch, seconds)
        finally:
            self._is_back(batch)

    async def hasten(self, seconds: float) -> None:
        """Make due what was postponed at least so long ago; cancelling the wait does not stop it."""
        hasten = getattr(self._backlog, "hasten", None)
        if hasten is not None:
            await hasten(seconds)

    async def split(self, batch: Batch) -> tuple[Batch, Batch] | None:
        """Halve a batch, both halves still on loan; cancelling the wait does not stop it."""
        halves = None
        try:
            halves = await self._backlog.split(batch)
        finally:
            self._on_loan.update(half.id for half in halves or ())
            if batch.id not in {half.id for half in halves or ()}:
                self._is_back(batch)
        return halves

    async def set_aside(self, batch: Batch, reason: str) -> None:
        """Keep the batch's rows out of the way, with the reason; cancelling the wait does not stop it."""
        try:
            await self._backlog.set_aside(batch, reason)
        finally:
            self._is_back(batch)

    async def standing(self) -> Standing:
        """How much is waiting, and since when; cancelling the wait changes nothing."""
        return await self._backlog.standing()

    def _is_back(self, batch: Batch) -> None:
        self._on_loan.discard(batch.id)
        self._count()
