"""A stretch of time in which a store cannot be reached.

Rule for this file: when to try again, and for whom that is too late. Plain arithmetic.
"""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["Trouble"]

FIRST_PAUSE: Final = 0.05
LAST_PAUSE: Final = 1.0


@attrs.frozen
class Trouble:
    """Times are seconds of one clock."""

    since: float
    pause: float
    retry_at: float
    deadline: float

    @classmethod
    def begun(cls, began: float, now: float, deadline: float) -> Trouble:
        """The first call to fail was made at ``began``, and has failed now."""
        # Who waited in a queue that moved has not waited for the store. And a call that seems to have taken
        # longer than it may was frozen, and the process with it: nobody has waited for so long either.
        return cls._until(max(began, now - deadline / 3), FIRST_PAUSE, now, deadline)

    def gone_on(self, now: float) -> Trouble:
        """Another call has failed now."""
        return self._until(self.since, self.pause * 2, now, self.deadline)

    @classmethod
    def _until(cls, since: float, pause: float, now: float, deadline: float) -> Trouble:
        pause = min(pause, LAST_PAUSE, deadline / 10)
        return cls(since, pause, now + pause, deadline)

    def is_too_long_for(self, asked_at: float) -> bool:
        """Whether the next try might come back later than somebody is prepared to wait."""
        return max(asked_at, self.since) + self.deadline < self.retry_at + self.deadline / 3
