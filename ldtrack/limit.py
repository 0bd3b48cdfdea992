"""How long something may take.

Rule for this file: time limits, and nothing of what is limited.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import anyio

__all__ = ["Limit"]


class Limit:
    """``with Limit(seconds) as limit:`` ends its block when time is up, and says so in ``is_over``.

    As ``anyio.CancelScope`` does: who goes on waiting all the same is told again. But before anyio 4.16 a
    cancellation that comes in the same turn of the loop as a scope's end is taken for the end, and is lost.
    ``until`` is on the clock of the loop. Shielded, anyio's own cancellations wait until then; a task that
    is cancelled is not kept from it.
    """

    def __init__(self, seconds: float = 0.0, *, until: float | None = None, shield: bool = False) -> None:
        self.until = anyio.current_time() + seconds if until is None else until
        self.is_over = False
        """Whether the block was ended, for being late."""
        self._scope = anyio.CancelScope(deadline=self.until, shield=shield)
        self._cancelled_before = _cancellations()

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        is_caught = bool(self._scope.__exit__(kind, error, trace))
        # The scope has taken its own ones back: whatever there is more of is somebody else's.
        self.is_over = is_caught and _cancellations() <= self._cancelled_before
        return self.is_over


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
