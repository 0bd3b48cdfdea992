"""An event loop that lives on a test's clock: nobody waits for real, and hours pass at once.

Rule for this file: the loop is asyncio's own; only its time is ours.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from ldtrack.testing import ManualClock

__all__ = ["ClockLoop", "play"]

T = TypeVar("T")

TICK = 2e-9
"""The least by which the clock leaps: it counts nanoseconds."""


class ClockLoop(asyncio.SelectorEventLoop):
    """When nobody can go on, the clock leaps to the next timer; without one, the test is stuck, and fails."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        super().__init__(_Leaper(clock))
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._clock.monotonic_ns() / 1e9


class _Leaper(selectors.SelectSelector):
    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits, and nobody for the clock")
        if not ready and timeout:
            # A timer may be due in less than the clock can tell, and would be asked for again for ever.
            self._clock.advance(max(timeout, TICK))
        return ready


def play(clock: ManualClock, scene: Coroutine[Any, Any, T]) -> T:
    """Run a scene on a loop of its own, on this clock; nothing may be left over or go wrong unseen."""
    troubles: list[str] = []
    with asyncio.Runner(loop_factory=lambda: ClockLoop(clock)) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, trouble: troubles.append(str(trouble)))
        result = runner.run(scene)
        troubles += [f"left over: {task}" for task in asyncio.all_tasks(loop)]
    assert troubles == []
    return result
