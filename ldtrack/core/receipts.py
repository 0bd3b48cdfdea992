"""What a destination says to a batch.

Rule for this file: the table from answers to verdicts. What follows from a verdict is the relay's affair.
"""

from __future__ import annotations

import enum
from typing import Final

import attrs

__all__ = ["Receipt", "Verdict", "verdict_of"]


class Verdict(enum.Enum):
    """How a delivery went."""

    DELIVERED = "delivered"
    LATER = "later"
    """Nobody's fault that lasts: the same batch, after a while."""
    TOO_LARGE = "too large"
    """The same rows, in smaller batches."""
    REFUSED = "refused"
    """Something in this batch is not accepted; without it the rest would be."""
    LOCKED = "locked"
    """Nothing is accepted from us: the key, the address. Somebody has to look; all is kept meanwhile."""


@attrs.frozen
class Receipt:
    """A verdict, and what is known about it."""

    verdict: Verdict
    reason: str = ""
    after: float | None = None
    """Seconds that the destination asked to wait for."""


_BY_STATUS: Final = {
    400: Verdict.REFUSED,
    408: Verdict.LATER,
    413: Verdict.TOO_LARGE,
    422: Verdict.REFUSED,
    425: Verdict.LATER,
    429: Verdict.LATER,
}
_BY_HUNDREDS: Final = {2: Verdict.DELIVERED, 5: Verdict.LATER}
"""For all other statuses. What is in neither table is locked: an address that redirects, a key that fails."""


def verdict_of(status: int) -> Verdict:
    """What an HTTP status means for the batch that it answers."""
    return _BY_STATUS.get(status) or _BY_HUNDREDS.get(status // 100, Verdict.LOCKED)
