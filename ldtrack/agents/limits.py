"""A time limit that holds, whatever a task does when it is told to stop.

Rule for this file: who waits is let go in time; what becomes of a task that goes on is for its owner to say.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import attrs

__all__ = ["Limit"]

PARTING: Final = 0.5
"""How long a task that was told to end is waited for, in seconds."""


@attrs.define(eq=False)
class Limit:
    """How long one task may take, in seconds, unless the limit is lifted before."""

    seconds: float
    _is_lifted: bool = attrs.field(default=False, init=False)

    def lift(self) -> None:
        """Let the task take its time from here on."""
        self._is_lifted = True

    async def hold(self, task: asyncio.Task[Any]) -> None:
        """Wait until a task is done, or has been told to end and has had some time for it.

        Cancelling the wait tells it to end at once.
        """
        try:
            await asyncio.wait([task], timeout=self.seconds)
            if self._is_lifted and not task.done():
                await asyncio.wait([task])
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=PARTING)
