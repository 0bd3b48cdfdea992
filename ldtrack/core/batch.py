"""What travels between a ledger and a relay.

Rule for this file: frozen values, and nothing that decides.
"""

from __future__ import annotations

import attrs

__all__ = ["Aside", "Batch", "Standing"]


@attrs.frozen(kw_only=True)
class Batch:
    """Rows that are posted together, under a payload id that stays theirs for good.

    Both are stored before the first attempt: whoever repeats the batch, after whatever crash, repeats the
    very same payload, and LaunchDarkly recognises it.
    """

    id: str
    """How the ledger finds it again."""
    payload_id: str
    bodies: tuple[str, ...] = attrs.field(repr=False)
    """The rows' events: JSON objects, those of one row joined by commas."""
    events: int
    """How many events of claims there are in all."""
    attempts: int = 0
    """How often it was leased before."""

    @property
    def size(self) -> int:
        """The characters that its bodies hold."""
        return sum(map(len, self.bodies))


@attrs.frozen(kw_only=True)
class Standing:
    """How a ledger stands, counted in claims."""

    pending: int = 0
    """Recorded and not delivered yet."""
    set_aside: int = 0
    """Refused by the destination, and kept with the reason."""
    delivered: int = 0
    """Delivered since the ledger was made."""
    oldest_ms: int | None = None
    """When the oldest of the pending ones was recorded, in milliseconds since the epoch."""
    first: int | None = None
    """Where the oldest of the pending ones stands in the ledger's order, batched or not."""
    last: int = 0
    """Where the newest row stands that was ever stored. What was recorded before a moment is delivered once
    ``first`` is beyond what ``last`` was then."""


@attrs.frozen(kw_only=True)
class Aside:
    """A claim that the destination refused."""

    run_id: str
    body: str
    reason: str
    at_ms: int
    """When it was recorded."""
    aside_ms: int
    """When it was set aside."""
