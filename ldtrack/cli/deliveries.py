"""A relay that can begin anew, and what all of its beginnings have done.

Rule for this file: a relay's life. What it does in it is its own affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import attrs

from ldtrack.delivery import Relay, RelayState, RelayStats

__all__ = ["Deliveries"]

_COUNTED: Final = ("delivered", "events", "attempts", "retries", "splits", "set_aside", "errors")
_FAILING: Final = (RelayState.WAITING, RelayState.LOCKED)


class Deliveries:
    """Runs one relay after another. A new one waits for nothing, whatever the last one was waiting for."""

    def __init__(self, new_relay: Callable[[], Relay]) -> None:
        self._new_relay = new_relay
        self._relay = new_relay()
        self._before = RelayStats()
        self._anew = asyncio.Event()

    @property
    def stats(self) -> RelayStats:
        """What all of them have done, and what the present one is doing."""
        stats, before = self._relay.stats, self._before
        sums = {name: getattr(stats, name) + getattr(before, name) for name in _COUNTED}
        return attrs.evolve(stats, last_error=stats.last_error or before.last_error, **sums)

    @property
    def is_locked(self) -> bool:
        """Whether the destination accepts nothing from us."""
        return self._relay.stats.state is RelayState.LOCKED

    def try_now(self) -> None:
        """Ask at once, instead of waiting for a destination that failed."""
        if self._relay.stats.state in _FAILING:
            self._anew.set()
        else:
            self._relay.hurry()

    async def run(self) -> None:
        """Deliver for ever; cancelling it gives back what is on loan, and loses nothing."""
        while True:
            tasks = [asyncio.ensure_future(work) for work in (self._relay.run(), self._anew.wait())]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            for task in done:
                task.result()  # a relay does not end, so this raises
            self._before, self._relay = self.stats, self._new_relay()
            self._anew.clear()
