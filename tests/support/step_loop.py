"""An event loop that takes one step at a time, when it is told to.

Rule for this file: a loop as asyncio's tasks, futures and locks need it, first in first out like every other,
without sockets, threads or a clock of its own. Several of them may stand side by side in one thread; a call
that reaches from one into another is noted as a trespass, since in real life it would be a race.
"""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import Context
from typing import Any

__all__ = ["StepLoop", "pause", "run_dry"]


@types.coroutine
def pause() -> Generator[None]:
    """Let others go first, once."""
    yield


class StepLoop(asyncio.AbstractEventLoop):
    """Runs one ready callback per ``step``; time passes only by ``pass_time``."""

    def __init__(self) -> None:
        self.errors: list[dict[str, Any]] = []
        """What callbacks and forgotten tasks raised."""
        self.trespasses: list[str] = []
        """Calls from another loop that did not use ``call_soon_threadsafe``."""
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[asyncio.TimerHandle] = []
        self._now = 0.0

    # What a test does

    def step(self) -> bool:
        """Run the callback that is next in line; ``False`` if there is none."""
        while self._ready:
            handle = self._ready.popleft()
            if not handle.cancelled():
                with self._running():
                    handle._run()
                return True
        return False

    def pass_time(self) -> bool:
        """Let the next timer go off; ``False`` if there is none."""
        due = [timer for timer in self._timers if not timer.cancelled()]
        if not due:
            return False
        first = min(due, key=lambda timer: timer.when())
        self._timers.remove(first)
        self._now = max(self._now, first.when())
        self._ready.append(first)
        return True

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(before)

    # What asyncio asks of a loop

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        running = asyncio._get_running_loop()
        if running is not None and running is not self:
            self.trespasses.append(f"{callback!r} was called into a loop that is not its own")
        return self.call_soon_threadsafe(callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers.append(timer)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing to do: a cancelled timer is never due."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, **options)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)


def run_dry(loops: list[StepLoop], limit: int = 20_000) -> None:
    """Step the loops in turn until nothing is ready and no timer is left."""
    for _ in range(limit):
        moved = [loop.step() for loop in loops]
        timed = [] if any(moved) else [loop.pass_time() for loop in loops]
        if not any(moved + timed):
            return
    raise AssertionError(f"the loops were still busy after {limit} steps each")
