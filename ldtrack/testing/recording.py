"""An ``AIClient`` over fakes, ready to be handed to the code under test.

Rule for this file: it puts the fakes together and answers what a test asks of them afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import attrs

from ldtrack.client import AIClient
from ldtrack.core.events import SDK_INFO
from ldtrack.testing.clients import AsyncRecordingClient, RecordedEvent, RecordingClient
from ldtrack.testing.clock import ManualClock, SequentialIds
from ldtrack.testing.ledger import RecordingLedger
from ldtrack.tracking.recorder import STRICT

__all__ = ["Recording", "recording", "strict"]

_PREFIX = SDK_INFO.removesuffix("sdk:info")


@attrs.frozen
class Recording:
    """An ``AIClient`` over fakes, and the fakes. Made by ``recording()``."""

    ai: AIClient
    client: RecordingClient | AsyncRecordingClient
    clock: ManualClock
    ledger: RecordingLedger | None = None

    async def __aenter__(self) -> Self:
        """Enter the client; there is no wait to cancel."""
        await self.ai.__aenter__()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client; cancelling it skips what is left of the flush."""
        await self.aclose()

    async def aclose(self) -> None:
        """End open streams and close the client; cancelling it skips what is left of the flush."""
        await self.ai.aclose()

    def set_flag(self, key: str, value: Any) -> None:
        """Serve this value for a flag from now on, as LaunchDarkly would."""
        self.client.flags[key] = value

    @property
    def events(self) -> list[RecordedEvent]:
        """What LaunchDarkly would have got, in order."""
        return [*self.client.events, *(self.ledger.events if self.ledger else ())]

    def keys(self, run_id: str | None = None) -> list[str]:
        """The keys of the events, of all runs or of one."""
        return [event.key for event in self.events if run_id is None or _run_id_of(event) == run_id]

    def names(self, run_id: str | None = None) -> list[str]:
        """The keys of the events, without the beginning that they all have in common."""
        return [key.removeprefix(_PREFIX) for key in self.keys(run_id)]

    def values(self, run_id: str | None = None) -> dict[str, float | None]:
        """The metric values by name; of events of one name the last one's."""
        return {
            event.key.removeprefix(_PREFIX): event.metric_value
            for event in self.events
            if run_id is None or _run_id_of(event) == run_id
        }


def _run_id_of(event: RecordedEvent) -> object:
    return event.data.get("runId") if isinstance(event.data, Mapping) else None


def recording(
    flags: Mapping[str, Any] | None = None,
    *,
    client: RecordingClient | AsyncRecordingClient | None = None,
    ledger: RecordingLedger | None = None,
    **options: Any,
) -> Recording:
    """An ``AIClient`` over a recording client, a manual clock and sequential ids.

    ``client=AsyncRecordingClient()`` is for code that runs on an ``AsyncLDClient``. ``ledger`` is for a test
    in which recording has to fail or to stall. The other options are those of ``AIClient``; events about
    the library itself are off.
    """
    if client is not None and not isinstance(client, RecordingClient | AsyncRecordingClient):
        raise TypeError(
            f"client must be a RecordingClient or an AsyncRecordingClient, not {type(client).__name__}: "
            "for another, make an AIClient"
        )
    client = client or RecordingClient()
    client.flags.update(flags or {})
    clock = options.setdefault("clock", ManualClock())
    options = {"usage_events": False, "run_ids": SequentialIds(), **options}
    return Recording(AIClient(client, ledger=ledger, **options), client, clock, ledger)


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Inside this block, tracking a once-only metric twice raises ``DuplicateError``.

    It holds for the current context, as ``contextvars`` have it: for tasks begun inside the block, and for
    ``asyncio.to_thread``; not for threads that the code under test starts by other means.
    """
    token = STRICT.set(True)
    try:
        yield
    finally:
        STRICT.reset(token)
