"""Time and ids that do what a test says.

Rule for this file: nothing in it asks the machine.
"""

from __future__ import annotations

from ldtrack.core.options import require_seconds

__all__ = ["ManualClock", "SequentialIds"]


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        require_seconds(start=start)
        self._epoch = start
        self._now_ns = 0

    def monotonic_ns(self) -> int:
        """Nanoseconds since this clock was made."""
        return self._now_ns

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._epoch + self._now_ns / 1e9

    def advance(self, seconds: float = 0.0, *, ms: float = 0.0) -> None:
        """Let time pass."""
        if seconds < 0 or ms < 0:
            raise ValueError(f"time does not go back: advance({seconds!r}, ms={ms!r})")
        self._now_ns += round(seconds * 1e9) + round(ms * 1e6)


class SequentialIds:
    """Run ids that count: valid UUIDs, the same in every test."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self) -> str:
        """The next id."""
        self._count += 1
        return f"00000000-0000-4000-8000-{self._count:012d}"
