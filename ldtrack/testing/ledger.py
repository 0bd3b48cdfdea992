"""A ledger in memory that does what a test says.

Rule for this file: the answers are those of any ledger; when they come, and whether, is for the test to say.
"""

from __future__ import annotations

import asyncio

from ldtrack.core.slots import Claim
from ldtrack.exceptions import LedgerError
from ldtrack.loops import running_loop
from ldtrack.testing.clients import RecordedEvent
from ldtrack.typing import FlushResult

__all__ = ["RecordingLedger"]


class RecordingLedger:
    """A ledger in memory that can fail and stall on demand."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        """What was recorded, in order."""
        self.submitted = 0
        """How many claims came, whatever became of them."""
        self._filled: set[tuple[str, int]] = set()
        self._failures = 0
        self._is_held = False
        self._held: list[tuple[Claim, asyncio.Future[bool]]] = []

    def fail_next(self, times: int = 1) -> None:
        """Let the next submissions fail."""
        self._failures += times

    def hold(self) -> None:
        """Answer no claim until ``release``: every ``submit`` from a running loop returns a future."""
        self._is_held = True

    def release(self) -> None:
        """Answer what was held, in order, and answer at once from here on."""
        self._is_held = False
        held, self._held = self._held, []
        for claim, future in held:
            if future.done():
                continue
            try:
                future.set_result(self._record(claim))
            except LedgerError as error:
                future.set_exception(error)

    def submit(self, claim: Claim) -> bool | asyncio.Future[bool]:
        """Take a claim over; answer at once, or after ``release``."""
        self.submitted += 1
        loop = running_loop() if self._is_held else None
        if loop is None:
            return self._record(claim)
        future = loop.create_future()
        self._held.append((claim, future))
        return future

    def _record(self, claim: Claim) -> bool:
        if self._failures:
            self._failures -= 1
            raise LedgerError(f"the {claim.metric.name} of run {claim.run_id} failed, as it was told to")
        slot = claim.metric.slot
        if slot is not None:
            if (claim.run_id, slot) in self._filled:
                return False
            self._filled.add((claim.run_id, slot))
        self.claims.append(claim)
        return True

    @property
    def recorded(self) -> int:
        """How many claims it has recorded."""
        return len(self.claims)

    @property
    def events(self) -> list[RecordedEvent]:
        """The events of all recorded claims, in order."""
        return [
            RecordedEvent(key, claim.context, dict(data), value)
            for claim in self.claims
            for key, data, value in claim.events
        ]

    async def flush(self, timeout: float) -> FlushResult:
        """Say how much is still held; there is no wait to cancel."""
        return FlushResult(delivered=len(self.claims), pending=len(self._held))

    async def aclose(self) -> None:
        """Do nothing; there is no wait to cancel."""
