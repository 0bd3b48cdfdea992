"""The default ledger: claims in memory, events straight to the outlet.

Rule for this file: no waiting. The answer to a claim is known when ``submit`` returns.
"""

from __future__ import annotations

import threading

import attrs

from ldtrack.core.options import require_counts, require_methods
from ldtrack.core.slots import Claim
from ldtrack.exceptions import LedgerError
from ldtrack.typing import FlushResult, Outlet

__all__ = ["MemoryLedger"]


class MemoryLedger:
    """Remembers which slots of which runs are filled, for this process and for the newest runs.

    It promises once within the process, and of delivery what its outlet promises: with an
    ``LDClient`` that is a bounded queue in memory. ``max_runs`` bounds the memory: when more runs than
    that have been claimed, the oldest are forgotten.
    """

    def __init__(self, outlet: Outlet, *, max_runs: int = 100_000) -> None:
        require_methods("outlet", outlet, ("send", "flush"), "an Outlet, such as LDClientDestination(client)")
        require_counts(max_runs=max_runs)
        self._send = outlet.send
        self._flush = outlet.flush
        self.recorded = 0
        """How many claims it has recorded."""
        self._half = (max_runs + 1) // 2
        # Two generations of runs: when the newer is full the older is forgotten. A single dict that forgets
        # its oldest key has to step over all the forgotten ones each time.
        self._newer: dict[str, int] = {}
        self._older: dict[str, int] = {}
        # Re-entrant: a finalizer may settle another run while this thread is inside submit().
        self._lock = threading.RLock()

    def submit(self, claim: Claim) -> bool:
        """Take a claim over and say at once whether it was the first."""
        run_id, metric, _, _ = claim
        slot, send = metric.slot, self._send
        bit = 0 if slot is None else 1 << slot
        with self._lock:
            newer = self._newer
            filled = newer.get(run_id)
            if filled is None:
                filled = self._older.get(run_id, 0)
            if filled & bit:
                return False
            # Before the claim is sent: a finalizer may claim the same slot from within the sending.
            newer[run_id] = filled | bit
            if len(newer) > self._half:
                self._older, self._newer = newer, {}
            try:
                send(claim)
            except Exception as error:
                self._free(run_id, bit)
                raise LedgerError(
                    f"the {metric.name} of run {run_id} could not be recorded: the outlet refused it "
                    f"({error}); the slot is free again, the call may be repeated"
                ) from error
            self.recorded += 1
        return True

    def _free(self, run_id: str, bit: int) -> None:
        for runs in (self._newer, self._older):
            if run_id in runs:
                runs[run_id] &= ~bit

    async def flush(self, timeout: float) -> FlushResult:
        """Pass the flush on to the outlet; cancelling the wait loses nothing."""
        return attrs.evolve(await self._flush(timeout), unconfirmed=self.recorded)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to let go of, and nothing to cancel."""
