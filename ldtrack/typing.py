"""The protocols that parts plug in through. Each asks for the least it needs.

Rule for this file: protocols and the named types in their signatures, so that who writes a reader or a
ledger finds all of it here; nothing that runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport, Wants
from ldtrack.core.slots import Claim

if TYPE_CHECKING:
    import asyncio

    from ldclient import Context

    from ldtrack.core.values import TokenUsage

__all__ = [
    "CONTENT",
    "Claim",
    "Clock",
    "Destination",
    "Estimator",
    "FlushResult",
    "LaunchDarklyClient",
    "Ledger",
    "Reader",
    "Reading",
    "ToolCall",
    "UsageReport",
    "Wants",
]


@attrs.frozen(kw_only=True)
class FlushResult:
    """What a flush can honestly say: truthy only if all that was recorded before is known to be delivered."""

    delivered: int = 0
    pending: int = 0
    set_aside: int = 0
    """Refused by LaunchDarkly and kept, with the reason."""
    unconfirmed: int = 0
    """Handed to an SDK that never says whether it delivered them."""

    def __bool__(self) -> bool:
        return not (self.pending or self.set_aside or self.unconfirmed)


class Clock(Protocol):
    """Where time comes from: asked a few times per run, not per chunk."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since whenever, never going back."""
        ...

    def time(self) -> float:
        """Seconds since the epoch; only tokens that expire ask for it."""
        ...


@runtime_checkable
class Ledger(Protocol):
    """Decides which claim came first, and keeps its events until they are delivered."""

    @property
    def recorded(self) -> int:
        """How many claims it has recorded, as far as this process knows."""
        ...

    def submit(self, claim: Claim) -> bool | asyncio.Future[bool]:
        """Take a claim over, at once and without waiting.

        ``True``: it was the first and is recorded. ``False``: another one was. A ledger that has to wait
        answers with a future of the running loop; with no loop running it answers at once, blocking if it
        must. It raises ``LedgerError`` (or lets the future raise it) when it cannot record; the claim has
        then left no trace. A metric without a slot is always first.
        """
        ...

    async def flush(self, timeout: float) -> FlushResult:
        """Bring what was recorded to its destination; cancelling the wait loses nothing."""
        ...

    async def aclose(self) -> None:
        """Let go of files and connections; cancelling it leaves nothing half-written."""
        ...


class Destination(Protocol):
    """Where events go."""

    def send(self, claim: Claim) -> None:
        """Hand all of a claim's events over, at once and without waiting, or raise and hand over none."""
        ...

    async def flush(self, timeout: float) -> FlushResult:
        """Push what was handed over on its way; cancelling the wait loses nothing."""
        ...


@runtime_checkable
class Reader(Protocol):
    """Knows one provider's chunks and answers."""

    wants: Wants
    marks_end: bool
    """Whether the provider always ends a stream with a finish mark, so that its absence means truncation."""
    usage_hint: str
    """How to make the provider report usage while streaming, or empty."""

    def recognises(self, item: object) -> bool:
        """Whether this chunk or answer is the provider's; decided without importing the provider."""
        ...

    def read(self, item: Any) -> Reading | None:
        """What a chunk or a whole answer says; ``None`` if it says nothing of interest."""
        ...


class Estimator(Protocol):
    """Guesses the usage of a call whose provider reported none. Its figures are marked as estimates."""

    def see(self, chunk: Any) -> None:
        """Take one chunk into account."""
        ...

    def usage(self) -> TokenUsage | None:
        """The estimate so far, or ``None``."""
        ...


class LaunchDarklyClient(Protocol):
    """What is asked of an ``LDClient`` or an ``AsyncLDClient``."""

    def track(self, event_name: str, context: Context, data: Any = None, metric_value: Any = None) -> None:
        """Queue one custom event."""
        ...

    def variation(self, key: str, context: Context, default: Any) -> Any:
        """Evaluate a flag; a coroutine on the asynchronous client."""
        ...

    def flush(self) -> Any:
        """Ask for delivery soon."""
        ...


NewRunId = Callable[[], str]
"""Makes a fresh run id."""
