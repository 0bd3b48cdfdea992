"""What a relay has done so far, and what it is doing.

Rule for this file: counting. Nothing here has a say in what happens.
"""

from __future__ import annotations

import enum

import attrs

from ldtrack.core.batch import Batch

__all__ = ["Counters", "RelayState", "RelayStats"]


class RelayState(enum.Enum):
    """What a relay is doing."""

    IDLE = "idle"
    WORKING = "working"
    WAITING = "waiting"
    """The destination or the ledger failed; it will come back to it."""
    LOCKED = "locked"
    """The destination accepts nothing from us. Somebody has to look."""


@attrs.frozen(kw_only=True)
class RelayStats:
    """A relay at one moment."""

    state: RelayState = RelayState.IDLE
    delivered: int = 0
    """Claims that the destination accepted."""
    events: int = 0
    """Their events."""
    attempts: int = 0
    """Batches that were brought to the destination, however it answered."""
    retries: int = 0
    """Those among them that had been tried before."""
    splits: int = 0
    set_aside: int = 0
    """Claims that the destination refused, and that are kept with the reason."""
    errors: int = 0
    """How often the ledger or the destination raised."""
    last_error: str | None = None
    waiting_until: float | None = None
    """When it comes back, in seconds since the epoch."""


@attrs.define
class Counters:
    """What ``RelayStats`` is made of."""

    delivered: int = 0
    events: int = 0
    attempts: int = 0
    retries: int = 0
    splits: int = 0
    set_aside: int = 0
    errors: int = 0
    last_error: str | None = None

    def count_attempt(self, batch: Batch) -> None:
        """A batch goes out."""
        self.attempts += 1
        self.retries += batch.attempts > 0

    def count_delivered(self, batch: Batch) -> None:
        """The destination has accepted it."""
        self.delivered += len(batch.bodies)
        self.events += batch.events

    def snapshot(self, state: RelayState, waiting_until: float | None) -> RelayStats:
        """The counters as they are now."""
        return RelayStats(state=state, waiting_until=waiting_until, **attrs.asdict(self))
