"""A claim as a durable ledger stores it.

Rule for this file: the row is the wire. What is stored is what will be posted, so that delivering it later,
by another process, needs nothing but the row.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["FIRST_CLAIMANT", "Row"]

FIRST_CLAIMANT: Final = 1 << 20
"""Claimants start here, far above the numbers of the slots, since they share a column with them."""


class Row(NamedTuple):
    """One claim, ready to be stored and to be sent."""

    run_id: str
    place: int
    """The slot's number; for a repeatable metric the claimant's, so that every row has a key of its own."""
    claimant: int
    """Drawn for each submission. Who asks again after a lost connection recognises its own claim by it."""
    at_ms: int
    """When it was recorded, in milliseconds since the epoch."""
    events: int
    """How many events it holds that count: those of the claim."""
    body: str
    """The events as JSON objects, joined by commas. Private attributes are redacted already. In front there
    may be the index event that introduces the claim's context."""
