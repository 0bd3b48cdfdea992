"""Vigils: what hears of it when an event loop shuts down.

Rule for this file: it knows loops, and how often each is held; what there is to do is somebody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["Vigils"]

Loop = asyncio.AbstractEventLoop


class Vigils:
    """Keeps a vigil in every loop that is held, and calls ``at_shutdown`` when such a loop shuts down.

    A loop closes, at its shutdown, every asynchronous generator that was begun in it: one that waits for
    that moment hears of it. It is there only while the loop is held, so that it keeps no loop alive and
    nobody has to tidy it up.
    """

    def __init__(self, at_shutdown: Callable[[Loop], Awaitable[None]]) -> None:
        self._at_shutdown = at_shutdown
        self._held: dict[Loop, int] = {}
        self._vigils: dict[Loop, AsyncGenerator[None, None]] = {}
        # Re-entrant: a finalizer may release while this thread holds.
        self._lock = threading.RLock()

    def hold(self, loop: Loop) -> None:
        """Care for a loop's shutdown once more; to be called in that loop."""
        with self._lock:
            times = self._held.get(loop, 0)
            self._held[loop] = times + 1
            if not times:
                vigil = self._vigils[loop] = self._vigil(loop)
                _step(vigil.__anext__())

    def release(self, loop: Loop) -> None:
        """Care for it once less; the last time ends the vigil."""
        with self._lock:
            times = self._held.get(loop, 0)
            if times > 1:
                self._held[loop] = times - 1
            elif times:
                del self._held[loop]
                _step(self._vigils.pop(loop).aclose())

    async def _vigil(self, loop: Loop) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._lock:
                is_held = self._held.pop(loop, 0) > 0
                self._vigils.pop(loop, None)
            if is_held:
                await self._at_shutdown(loop)


def _step(step: Awaitable[None]) -> None:
    """Take a step of a generator that is known not to wait."""
    with contextlib.suppress(StopIteration):
        step.__await__().__next__()
