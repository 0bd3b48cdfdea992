"""Where the queue begins.

Rule for this file: numbers and moments; no SQL.

A row that was taken leaves a mark in the index until the server has cleaned up, which a backup may keep it
from for hours. Looking for the front from the very beginning would pass all of those marks, so a store
remembers where it is. But rows are committed in another order than their ids were given out in: one may turn
up before the front that was found last. So there are two: near, which may miss rows for a moment, and sure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["Front"]

LOOK_BACK_EVERY: Final = 2.0
"""How long a row that was committed late, or given back, may stay unseen, in seconds."""
SURE_AFTER: Final = 120.0
"""No statement is under way for so long, in seconds: whatever was being stored then is stored or is not."""


class Front:
    """What one store knows of where the queue begins. ``now`` gives seconds that never go back."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._near = 0
        self._looked_back_at = 0.0
        self._candidate = 0
        self._looked_at: float | None = None
        self.sure = 0
        """No row of the queue is before this, nor will be."""
        self.batches = 0
        """No batch begins before this, nor will one."""

    def tries(self) -> Iterator[int]:
        """From where to take rows: where some were last; if none are there, or it is time, from the front."""
        now = self._now()
        if self._near > self.sure and now - self._looked_back_at < LOOK_BACK_EVERY:
            yield self._near
        self._looked_back_at = now
        yield self.sure

    def took(self, first: int) -> None:
        """Rows were taken, this one first."""
        self._near = first

    @property
    def wants_look(self) -> bool:
        """Whether it is time to look where the first row is."""
        return self._looked_at is None or self._now() - self._looked_at >= SURE_AFTER

    def looked(self, stored: int, first: int | None, next_id: int, batch: int | None) -> bool:
        """The first row there is, if any, the next id to be given out, and where the first batch begins.

        What is before both the first row of an earlier look and that of this one is gone: then it was gone
        or not yet stored, and now it would be seen. A batch is made of rows of the queue or of a batch, so
        none will begin before both. Returns whether the front has moved from where it is stored.
        """
        before = self.sure = max(self.sure, stored)
        here = next_id if first is None else first
        if self._looked_at is not None:
            self.sure = max(before, min(self._candidate, here))
        self._candidate = here
        self.batches = max(self.batches, self.sure if batch is None else min(batch, self.sure))
        self._looked_at = self._now()
        return self.sure > before
