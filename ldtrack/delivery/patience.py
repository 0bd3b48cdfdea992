"""Waiting that a relay does: for what must not be left half-done, and for nothing in particular.

Rule for this file: waits. It knows nothing of batches.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from ldtrack.exceptions import LedgerError
from ldtrack.limit import Limit

__all__ = ["Bell", "see_through"]

T = TypeVar("T")


async def see_through(
    work: Coroutine[Any, Any, T], *, grace: float, undo: Callable[[T], Awaitable[object]] | None = None
) -> T:
    """Wait for work that cancelling does not interrupt.

    Cancelled, it gives the work ``grace`` seconds to end, undoes what it brought, and is cancelled then.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        try:
            with Limit(grace, shield=True):
                await asyncio.wait([task])
                if undo is not None and not task.cancelled() and task.exception() is None:
                    with contextlib.suppress(Exception):
                        await undo(task.result())
        finally:  # who is cancelled twice waits no longer
            if task.done():
                _look_away(task)
            else:
                task.add_done_callback(_look_away)
                task.cancel()
        raise
    if task.cancelled():
        raise LedgerError("the ledger gave up on what it was asked, without being told to; try it again")
    return task.result()


def _look_away(task: asyncio.Future[Any]) -> None:
    """Nobody is left to hear of the error; without this, asyncio would complain."""
    if not task.cancelled():
        task.exception()


class Bell:
    """Ends all waiting for it, from any thread. Rung while nobody waits, it ends the next wait."""

    def __init__(self) -> None:
        self._is_rung = False
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def ring(self) -> None:
        """End the waits."""
        self._is_rung = True
        for rung, loop in self._waiting.copy().items():
            with contextlib.suppress(RuntimeError):  # that loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(rung.set)

    async def wait(self, seconds: float) -> None:
        """Wait until it rings, or so long; cancelling it changes nothing."""
        rung = asyncio.Event()
        self._waiting[rung] = asyncio.get_running_loop()
        try:
            if not self._is_rung:  # asked after it is known who waits, or a ring would be missed
                with Limit(seconds):
                    await rung.wait()
        finally:
            del self._waiting[rung]
            self._is_rung = False
