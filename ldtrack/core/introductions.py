"""Which contexts LaunchDarkly is told about, and when again: by index events, as its SDKs do it.

Rule for this file: it remembers, and spells nothing. Time comes in with what happened at it.
"""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["Introducing", "Introductions"]

ROOM: Final = 10_000
"""How many contexts are remembered, then all are forgotten. An SDK's 1,000 would be too few for ten thousand
runs that are open at once: each of their claims would introduce its context anew."""


@attrs.frozen(kw_only=True)
class Introducing:
    """How contexts are introduced, as the configuration of an SDK's client says."""

    interval: float = 300.0
    """After how many seconds all contexts are forgotten, and introduced again when they come."""
    omits_anonymous: bool = False
    """Whether anonymous contexts are not introduced, nor the anonymous ones of several kinds."""


class Introductions:
    """The contexts that were introduced in the present interval. Any thread may ask."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._known: set[str] = set()
        self._since_ms = self._until_ms = 0

    def covers(self, at_ms: int) -> bool:
        """Whether a moment is within the present interval. It is not, either, once the clock was set back."""
        return self._since_ms <= at_ms < self._until_ms

    def begin(self, at_ms: int) -> None:
        """Forget everything, and begin an interval."""
        self._known = set()
        self._since_ms, self._until_ms = at_ms, at_ms + self._interval_ms

    def is_due(self, key: str) -> bool:
        """Whether this context is to be introduced; from then on it is known."""
        if key in self._known:
            return False
        if len(self._known) >= ROOM:
            self._known = set()
        self._known.add(key)
        return True
