"""What a durable ledger asks of the place that it stores rows in.

Rule for this file: the protocol and its error. A store is synchronous, may block, and is used by one thread
at a time; a ledger has two, one for those who claim and one for the relay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ldtrack.core.batch import Aside, Batch, Standing
from ldtrack.core.row import Row

__all__ = ["Store", "UnavailableError"]


class UnavailableError(Exception):
    """The store cannot be reached right now; the same call may be repeated, with the same rows.

    Whether it did its work is open. That is why rows name their claimant.
    """


class Store(Protocol):
    """Rows, each the first for its run and place, kept until a relay has delivered them.

    Every call is one atomic step. It raises ``UnavailableError`` when trying again may help, and
    ``LedgerError`` when it will not.
    """

    def record(self, rows: Sequence[Row]) -> list[bool]:
        """Store those rows that are the first for their run and place, all in one step.

        A row whose claimant holds the place already was stored by an earlier try, and is first as well.
        """
        ...

    def lease(self, owner: str, limit: int, max_chars: int, seconds: float) -> Batch | None:
        """Take a batch on loan: a stored one whose loan has run out or that is due again, or a new one.

        A new one has at most ``limit`` rows and ``max_chars`` characters, but one row at least. It is
        stored with its payload id before it is returned. A loan that ends later than ``seconds`` from now
        has run out too: then the clock was set back.
        """
        ...

    def delivered(self, batch: Batch) -> None:
        """Delete the batch and its rows, and count them; their claims stay. Nothing if it is gone."""
        ...

    def postpone(self, batch: Batch, owner: str, seconds: float) -> None:
        """Give the batch back; nobody takes it before so long. Nothing if the loan was lost."""
        ...

    def hasten(self, seconds: float) -> None:
        """Make due what was postponed at least so long ago. What is on loan stays on loan."""
        ...

    def split(self, batch: Batch, owner: str, seconds: float) -> tuple[Batch, Batch] | None:
        """Halve the batch into two on loan to the same owner; ``None`` if the loan was lost."""
        ...

    def set_aside(self, batch: Batch, reason: str) -> None:
        """Move the batch's rows to those that were refused. Nothing if it is gone."""
        ...

    def aside(self, limit: int) -> list[Aside]:
        """The rows that were refused, oldest first."""
        ...

    def retry_aside(self) -> int:
        """Make the refused rows pending again; returns how many."""
        ...

    def discard_aside(self) -> int:
        """Delete the refused rows; their claims stay. Returns how many."""
        ...

    def standing(self) -> Standing:
        """How much is waiting, and since when."""
        ...

    def tidy(self, now_ms: int) -> bool:
        """Do one short step of housekeeping; returns whether there is more to do."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...

    def abandon(self) -> None:
        """In a forked child: forget the parent's files and connections without touching them."""
        ...
