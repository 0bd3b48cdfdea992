"""The default ledger: claims in memory, events straight to the destination.

Rule for this file: no waiting. The answer to a claim is known when ``submit`` returns.
"""

from __future__ import annotations

import threading

from ldtrack.core.slots import Claim
from ldtrack.exceptions import LedgerError
from ldtrack.typing import Destination, FlushResult

__all__ = ["MemoryLedger"]


class MemoryLedger:
    """Remembers which slots of which runs are filled, for this process and for the newest runs.

    It promises once within the process, and of delivery what its destination promises: with an
    ``LDClient`` that is a bounded queue in memory. ``max_runs`` bounds the memory: when more runs than
    that have been claimed, the oldest are forgotten.
    """

    def __init__(self, destination: Destination, *, max_runs: int = 100_000) -> None:
        if max_runs < 1:
            raise ValueError(f"max_runs must be at least 1, got {max_runs!r}")
        self._destination = destination
        self._max_runs = max_runs
        self._filled: dict[str, int] = {}
        # Re-entrant: a finalizer may settle another run while this thread is inside submit().
        self._lock = threading.RLock()

    def submit(self, claim: Claim) -> bool:
        """Take a claim over and say at once whether it was the first."""
        slot = claim.metric.slot
        if slot is None:
            self._send(claim)
            return True
        run_id = claim.run_id
        with self._lock:
            before = self._filled.get(run_id, 0)
            after = before | 1 << slot
            if before == after:
                return False
            self._filled[run_id] = after
            try:
                self._send(claim)
            except BaseException:
                self._filled[run_id] &= ~(1 << slot)
                raise
            if len(self._filled) > self._max_runs:
                del self._filled[next(iter(self._filled))]
        return True

    def _send(self, claim: Claim) -> None:
        try:
            self._destination.send(claim)
        except Exception as error:
            raise LedgerError(
                f"the {claim.metric.name} of run {claim.run_id} could not be recorded: the destination "
                f"refused it ({error}); the slot is free again, the call may be repeated"
            ) from error

    async def flush(self, timeout: float) -> FlushResult:
        """Pass the flush on to the destination; cancelling the wait loses nothing."""
        return await self._destination.flush(timeout)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to let go of, and nothing to cancel."""
