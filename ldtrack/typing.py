"""The protocols that parts plug in through. Each asks for the least it needs.

Rule for this file: protocols and the named types in their signatures, so that who writes a reader or a
ledger finds all of it here; nothing that runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs

from ldtrack.core.batch import Aside, Batch, Standing
from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport, Wants
from ldtrack.core.receipts import Receipt, Verdict
from ldtrack.core.slots import Claim

if TYPE_CHECKING:
    import asyncio

    from ldclient import Context

    from ldtrack.core.ended import EndedRun
    from ldtrack.core.introductions import Introducing
    from ldtrack.core.privacy import Privacy
    from ldtrack.core.values import TokenUsage

__all__ = [
    "CONTENT",
    "Aside",
    "Backlog",
    "Batch",
    "Claim",
    "Clock",
    "Destination",
    "Estimator",
    "Flight",
    "FlushResult",
    "HastyBacklog",
    "LaunchDarklyClient",
    "Ledger",
    "Observer",
    "Outlet",
    "PatientFlight",
    "PatientLedger",
    "Reader",
    "Reading",
    "Receipt",
    "Standing",
    "ToolCall",
    "UsageReport",
    "Verdict",
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


class Flight(Protocol):
    """A claim that a ledger has taken over and not answered yet: of an ``asyncio.Future``, what is used."""

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it will be answered in."""
        ...

    def done(self) -> bool:
        """Whether there is an answer."""
        ...

    def cancelled(self) -> bool:
        """Whether the ledger gave the claim up."""
        ...

    def exception(self) -> BaseException | None:
        """Why the claim could not be recorded, or ``None`` if there is a result."""
        ...

    def result(self) -> bool:
        """Whether the claim was the first."""
        ...

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Have this called with the flight, in its loop, once there is an answer."""
        ...


@runtime_checkable
class Ledger(Protocol):
    """Decides which claim came first, and keeps its events until they are delivered."""

    @property
    def recorded(self) -> int:
        """How many claims it has recorded, as far as this process knows."""
        ...

    def submit(self, claim: Claim) -> bool | Flight:
        """Take a claim over, at once and without waiting.

        ``True``: it was the first and is recorded. ``False``: another one was. A ledger that has to wait
        answers with a flight, such as a future of the running loop; with no loop running it answers at
        once, blocking if it must. It raises ``LedgerError`` (or lets the flight raise it) when it cannot
        record; the claim has then left no trace. A metric without a slot is always first.
        """
        ...

    async def flush(self, timeout: float) -> FlushResult:
        """Bring what was recorded to its destination; cancelling the wait loses nothing."""
        ...

    async def aclose(self) -> None:
        """Let go of files and connections; cancelling it leaves nothing half-written."""
        ...


class Outlet(Protocol):
    """Takes claims as they are made, without a backlog in between: where a ``MemoryLedger`` sends."""

    def send(self, claim: Claim) -> None:
        """Hand all of a claim's events over, at once and without waiting, or raise and hand over none."""
        ...

    async def flush(self, timeout: float) -> FlushResult:
        """Push what was handed over on its way; cancelling the wait loses nothing."""
        ...


class PatientFlight(Flight, Protocol):
    """What a flight may offer besides."""

    def waiter(self) -> asyncio.Future[bool]:
        """A future to await in its place; cancelling that leaves the claim alone, as a quiet one."""
        ...


class PatientLedger(Ledger, Protocol):
    """What a ledger may offer besides when its answers take time. Whoever claims looks for each of these."""

    def submit_quietly(self, claim: Claim) -> bool | Flight:
        """``submit`` for a claim that nobody waits for: it never blocks, and an error reaches nobody.

        A ledger that cannot record such a claim keeps it somewhere else if it can. With no loop running it
        answers ``True`` once the claim is taken over.
        """
        ...

    def guard(self, privacy: Privacy) -> None:
        """Redact what this says is private as well, before anything is written."""
        ...

    def introduce(self, introducing: Introducing) -> None:
        """Put an index event in front of a context's first claim, as the SDK's client would post one."""
        ...


@runtime_checkable
class Backlog(Protocol):
    """What a relay asks of a durable ledger. A batch is on loan to one relay at a time."""

    async def lease(self, *, owner: str, limit: int, max_chars: int, seconds: float) -> Batch | None:
        """Take the next batch on loan for so long: one that another relay left behind, or a new one.

        ``limit`` and ``max_chars`` bound a new batch, which holds at least one row. Cancelling it may leave
        a batch on loan, which comes back when the loan has run out.
        """
        ...

    async def delivered(self, batch: Batch) -> None:
        """Forget the batch's rows: they have arrived; cancelling the wait does not stop it."""
        ...

    async def postpone(self, batch: Batch, seconds: float) -> None:
        """Give the batch back, for nobody to take before so long; cancelling the wait does not stop it."""
        ...

    async def split(self, batch: Batch) -> tuple[Batch, Batch] | None:
        """Halve a batch of at least two rows, both halves still on loan; ``None`` if the loan was lost.

        Cancelling the wait does not stop it.
        """
        ...

    async def set_aside(self, batch: Batch, reason: str) -> None:
        """Keep the batch's rows out of the way, with the reason; cancelling the wait does not stop it."""
        ...

    async def standing(self) -> Standing:
        """How much is waiting, and since when; cancelling the wait changes nothing."""
        ...


class HastyBacklog(Backlog, Protocol):
    """What a backlog may offer besides. A relay that begins looks for it."""

    async def hasten(self, seconds: float) -> None:
        """Make due what was postponed at least so long ago; cancelling the wait does not stop it."""
        ...


@runtime_checkable
class Destination(Protocol):
    """Where a relay brings batches: LaunchDarkly's event endpoint, an ``LDClient``, a file."""

    async def deliver(self, batch: Batch) -> Receipt:
        """Bring one batch, and say how it went; what a network does is a verdict and never raises.

        Cancelling it leaves open whether the batch arrived: it will be repeated under the same payload id.
        """
        ...

    async def aclose(self) -> None:
        """Let go of files and connections; cancelling it leaves nothing half-written."""
        ...


@runtime_checkable
class Reader(Protocol):
    """Knows one provider's chunks and answers.

    It may have a static ``is_plain(item) -> bool`` besides: whether ``read(item)`` would say no more than
    ``CONTENT``. Chunks for which that is true are not read; one for which it raises is read.
    """

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


@runtime_checkable
class Observer(Protocol):
    """Is told of the runs of a client."""

    def run_ended(self, run: EndedRun) -> None:
        """Take note of a run that is over.

        It is called once for each, where the run ends: in a task, in a thread without a loop, or in a
        finalizer. So it must be quick and wait for nothing. What it raises is counted, in ``stats.failures``.
        """
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
