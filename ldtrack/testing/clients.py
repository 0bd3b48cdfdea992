"""Stand-ins for LaunchDarkly's clients.

Rule for this file: as the real ones behave once they are started, without evaluating anything. A context that
is invalid gets defaults and records nothing; nothing is copied; ``track`` does not wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ldtrack.core.options import given, require_kinds

if TYPE_CHECKING:
    from ldclient import Context

__all__ = ["AsyncRecordingClient", "RecordedEvent", "RecordingClient"]


@attrs.frozen
class RecordedEvent:
    """One custom event as LaunchDarkly would get it."""

    key: str
    context: Context
    data: Any
    metric_value: float | None


class _Recording:
    """Flags to serve, and the events that came."""

    def __init__(self, flags: Mapping[str, Any] | None = None) -> None:
        require_kinds({"flags": Mapping}, given(flags=flags))
        self.flags: dict[str, Any] = dict(flags or {})
        """What is served, by flag key, to every context; to be changed at any time."""
        self.events: list[RecordedEvent] = []
        """What was tracked, in order."""
        self.flushes = 0
        """How often delivery was asked for."""
        self._failures: list[Exception] = []

    def fail_next(self, *errors: Exception) -> None:
        """Let the next calls of ``track`` raise these errors, one each."""
        self._failures.extend(errors)

    def track(self, event_name: str, context: Context, data: Any = None, metric_value: Any = None) -> None:
        """Keep one event, unless its context is invalid."""
        if self._failures:
            raise self._failures.pop(0)
        if context.valid:
            self.events.append(RecordedEvent(event_name, context, data, metric_value))

    def _served(self, key: str, context: Context, default: Any) -> Any:
        return self.flags.get(key, default) if context.valid else default


class RecordingClient(_Recording):
    """Stands in for an ``LDClient``: serves the flags it is given and keeps the events it gets."""

    def variation(self, key: str, context: Context, default: Any) -> Any:
        """Serve a flag."""
        return self._served(key, context, default)

    def flush(self) -> None:
        """Count the flush."""
        self.flushes += 1


class AsyncRecordingClient(_Recording):
    """Stands in for an ``AsyncLDClient`` that has been started."""

    async def variation(self, key: str, context: Context, default: Any) -> Any:
        """Serve a flag; there is no wait to cancel."""
        return self._served(key, context, default)

    async def flush(self) -> None:
        """Count the flush; there is no wait to cancel."""
        self.flushes += 1

    async def flush_and_wait(self, timeout: float) -> bool:
        """Count the flush and say that it is done; there is no wait to cancel."""
        self.flushes += 1
        return True
