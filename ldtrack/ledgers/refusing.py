"""A ledger that records nothing and says why.

Rule for this file: the null object for runs that nothing can be recorded for.
"""

from __future__ import annotations

from typing import NoReturn

from ldtrack.core.slots import Claim
from ldtrack.exceptions import LedgerError
from ldtrack.typing import FlushResult

__all__ = ["RefusingLedger"]


class RefusingLedger:
    """Refuses every claim for one reason."""

    recorded = 0

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def submit(self, claim: Claim) -> NoReturn:
        """Refuse the claim."""
        raise LedgerError(f"the {claim.metric.name} of run {claim.run_id} cannot be recorded: {self._reason}")

    async def flush(self, timeout: float) -> FlushResult:
        """Report that nothing is under way; there is no wait to cancel."""
        return FlushResult()

    async def aclose(self) -> None:
        """Do nothing; there is no wait to cancel."""
