"""Fakes for testing code that uses ldtrack: no network, no waiting, the same ids every time.

    async def test_my_handler(ldtrack):                    # a fixture of the pytest plugin
        await my_handler(ldtrack.ai)
        assert ldtrack.keys() == ["$ld:ai:duration:total", "$ld:ai:generation:success"]

Rule for this file: fakes that behave, not mocks that are told what to say. Each passes the contract of the
thing it stands in for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ldtrack.client import AIClient
from ldtrack.core.slots import Claim
from ldtrack.exceptions import LedgerError
from ldtrack.tracking.recorder import STRICT
from ldtrack.typing import FlushResult

if TYPE_CHECKING:
    from ldclient import Context

__all__ = [
    "ManualClock",
    "RecordedEvent",
    "Recording",
    "RecordingClient",
    "RecordingLedger",
    "SequentialIds",
    "recording",
    "strict",
]


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self._epoch = start
        self._now_ns = 0

    def monotonic_ns(self) -> int:
        """Nanoseconds since this clock was made."""
        return self._now_ns

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._epoch + self._now_ns / 1e9

    def advance(self, seconds: float = 0.0, *, ms: float = 0.0) -> None:
        """Let time pass."""
        if seconds < 0 or ms < 0:
            raise ValueError(f"time does not go back: advance({seconds!r}, ms={ms!r})")
        self._now_ns += round(seconds * 1e9) + round(ms * 1e6)


class SequentialIds:
    """Run ids that count: valid UUIDs, the same in every test."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self) -> str:
        """The next id."""
        self._count += 1
        return f"00000000-0000-4000-8000-{self._count:012d}"


@attrs.frozen
class RecordedEvent:
    """One custom event as LaunchDarkly would get it."""

    key: str
    context: Context
    data: Any
    metric_value: float | None


class RecordingClient:
    """Stands in for an ``LDClient``: serves the flags it is given and keeps the events it gets."""

    def __init__(self, flags: Mapping[str, Any] | None = None) -> None:
        self.flags: dict[str, Any] = dict(flags or {})
        self.events: list[RecordedEvent] = []
        self.flushes = 0
        self._failures: list[Exception] = []

    def fail_next(self, *errors: Exception) -> None:
        """Let the next calls of ``track`` raise these errors, one each."""
        self._failures.extend(errors)

    def track(self, event_name: str, context: Context, data: Any = None, metric_value: Any = None) -> None:
        """Keep one event."""
        if self._failures:
            raise self._failures.pop(0)
        self.events.append(RecordedEvent(event_name, context, data, metric_value))

    def variation(self, key: str, context: Context, default: Any) -> Any:
        """Serve a flag."""
        return self.flags.get(key, default)

    def flush(self) -> None:
        """Count the flush."""
        self.flushes += 1


class RecordingLedger:
    """A ledger in memory that can fail and stall on demand."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.submitted = 0
        self._filled: set[tuple[str, int]] = set()
        self._failures = 0
        self._is_held = False
        self._held: list[tuple[Claim, asyncio.Future[bool]]] = []

    def fail_next(self, times: int = 1) -> None:
        """Let the next submissions fail."""
        self._failures += times

    def hold(self) -> None:
        """Answer no claim until ``release``: every ``submit`` returns a future."""
        self._is_held = True

    def release(self) -> None:
        """Answer what was held, in order, and answer at once from here on."""
        self._is_held = False
        held, self._held = self._held, []
        for claim, future in held:
            if future.done():
                continue
            try:
                future.set_result(self._record(claim))
            except LedgerError as error:
                future.set_exception(error)

    def submit(self, claim: Claim) -> bool | asyncio.Future[bool]:
        """Take a claim over; answer at once, or after ``release``."""
        self.submitted += 1
        if not self._is_held:
            return self._record(claim)
        future = asyncio.get_running_loop().create_future()
        self._held.append((claim, future))
        return future

    def _record(self, claim: Claim) -> bool:
        if self._failures:
            self._failures -= 1
            raise LedgerError(f"the {claim.metric.name} of run {claim.run_id} failed, as it was told to")
        slot = claim.metric.slot
        if slot is not None:
            if (claim.run_id, slot) in self._filled:
                return False
            self._filled.add((claim.run_id, slot))
        self.claims.append(claim)
        return True

    @property
    def recorded(self) -> int:
        """How many claims it has recorded."""
        return len(self.claims)

    @property
    def events(self) -> list[RecordedEvent]:
        """The events of all recorded claims, in order."""
        return [
            RecordedEvent(key, claim.context, dict(data), value)
            for claim in self.claims
            for key, data, value in claim.events
        ]

    async def flush(self, timeout: float) -> FlushResult:
        """Say how much is still held; there is no wait to cancel."""
        return FlushResult(delivered=len(self.claims), pending=len(self._held))

    async def aclose(self) -> None:
        """Do nothing; there is no wait to cancel."""


@attrs.frozen
class Recording:
    """An ``AIClient`` over fakes, and the fakes."""

    ai: AIClient
    client: RecordingClient
    clock: ManualClock

    @property
    def events(self) -> list[RecordedEvent]:
        """What LaunchDarkly would have got, in order."""
        return self.client.events

    def keys(self, run_id: str | None = None) -> list[str]:
        """The keys of the events, of all runs or of one."""
        return [event.key for event in self.events if run_id is None or event.data["runId"] == run_id]


def recording(flags: Mapping[str, Any] | None = None, **options: Any) -> Recording:
    """An ``AIClient`` over a recording client, a manual clock and sequential ids.

    The options are those of ``AIClient``.
    """
    client = RecordingClient(flags)
    clock = ManualClock()
    options = {"usage_events": False, "clock": clock, "run_ids": SequentialIds(), **options}
    return Recording(AIClient(client, **options), client, clock)


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Inside this block, tracking a once-only metric twice raises ``DuplicateError``."""
    token = STRICT.set(True)
    try:
        yield
    finally:
        STRICT.reset(token)
