"""Attendance: who waits for whom, and for how long.

Rule for this file: two clock readings per chunk, so it is used only where model time or an idle limit is
wanted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ldtrack.core.meter import Meter
    from ldtrack.tracking.source import Source

__all__ = ["Attendance"]

R = TypeVar("R")


class Attendance:
    """Iterates over a source, measuring how long the provider took and since when nobody has asked.

    Two clock readings per chunk: used only where model time or an idle limit is wanted.
    """

    __slots__ = ("_meter", "_now", "_source", "idle_since_ns")

    def __init__(self, source: Source[Any], meter: Meter, now: Callable[[], int]) -> None:
        self._source = source
        self._meter = meter
        self._now = now
        self._meter.model_ns = 0
        self.idle_since_ns: int | None = now()
        """When the consumer got its last chunk; ``None`` while it waits for one."""

    def __aiter__(self) -> Attendance:
        return self

    async def __anext__(self) -> Any:
        asked = self._now()
        self.idle_since_ns = None
        try:
            async for chunk in self._source.iterator or self._source:
                return chunk
            raise StopAsyncIteration
        finally:
            self._answered(asked)

    async def wait_for(self, answer: Awaitable[R]) -> R:
        """Wait for something that the provider was asked for by another way; cancelling passes to it."""
        asked = self._now()
        self.idle_since_ns = None
        try:
            return await answer
        finally:
            self._answered(asked)

    def _answered(self, asked_ns: int) -> None:
        self.idle_since_ns = self._now()
        self._meter.model_ns = (self._meter.model_ns or 0) + self.idle_since_ns - asked_ns
