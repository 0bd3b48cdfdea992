"""Where those who have asked are answered: one desk for each event loop, one for threads without a loop.

Rule for this file: how an answer gets from the writer's thread to whoever waits for it, and what they are
told when none comes.

A store comes back from every call within a third of the deadline, and the writer pauses for a tenth of it
at most. So when no call has come back for half of it the store hangs, against its contract, and whoever
waited for all of that time is told so. Their rows stay with the writer: they may be stored yet, and once.
Where nobody waits, only a counter is told, which should not count what is stored a moment later: that has
the whole deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from ldtrack.ledgers.asked import Answer, Asked, AsyncFlight, BlockingFlight, Flight, settle

if TYPE_CHECKING:
    from ldtrack.ledgers.group import GroupWriter

__all__ = ["LoopDesk", "ThreadDesk"]

_HANGS: Final = "the ledger hangs, and whether it is recorded later is open"
_NEVER: Final = -1


class LoopDesk:
    """Answers those who wait in one event loop. All but ``tell`` and ``is_deserted`` is for that loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, writer: GroupWriter) -> None:
        self.loop = loop
        self._writer = writer
        self._waiting: dict[AsyncFlight, None] = {}
        """In the order in which they have asked."""
        self._is_wound = False
        self._due = 0.0
        self._looked_ns = 0
        self._looked_before_ns = _NEVER
        """The look before that, if nothing had come back since."""
        self._calls_seen = 0

    def open(self, flight: AsyncFlight) -> None:
        """Somebody waits from now on."""
        self._waiting[flight] = None
        if not self._is_wound:
            self._looked_before_ns = _NEVER
            self._wind()

    def is_deserted(self) -> bool:
        """Whether the loop is closed."""
        return self.loop.is_closed()

    def tell(self, flights: Sequence[Flight], answers: Sequence[Answer]) -> None:
        """Pass answers on: one call for all of them."""
        try:
            self.loop.call_soon_threadsafe(self._settle, flights, answers)
        except RuntimeError:  # the loop is closed: there is nobody left to tell
            self._waiting.clear()

    def _settle(self, flights: Sequence[Flight], answers: Sequence[Answer]) -> None:
        waiting = self._waiting
        for flight, answer in zip(flights, answers, strict=True):
            waiting.pop(cast("AsyncFlight", flight), None)
            settle(flight, answer)

    def _wind(self) -> None:
        self._calls_seen = self._writer.calls
        self._looked_ns = self._writer.clock.monotonic_ns()
        self._due = self.loop.time() + self._writer.deadline / 2
        self.loop.call_at(self._due, self._look)
        self._is_wound = True

    def _look(self) -> None:
        """Give up whoever has been waiting since before the last look, if nothing has come back since.

        Where nobody waits, since before the last look but one.
        """
        # A look that comes late says nothing: the process may have been frozen.
        is_late = self.loop.time() > self._due + self._writer.deadline / 4
        is_still = not is_late and self._writer.calls == self._calls_seen
        for flight in list(self._waiting) if is_still else ():
            if flight.since_ns <= (self._looked_before_ns if flight.is_quiet else self._looked_ns):
                del self._waiting[flight]
                settle(flight, flight.failed(_HANGS))
        self._looked_before_ns = self._looked_ns if is_still else _NEVER
        self._is_wound = False
        if self._waiting:
            self._wind()


class ThreadDesk:
    """Answers threads that have no event loop, and block."""

    def tell(self, flights: Sequence[Flight], answers: Sequence[Answer]) -> None:
        """Wake them."""
        for flight, answer in zip(flights, answers, strict=True):
            settle(flight, answer)

    def is_deserted(self) -> bool:
        """They wait for as long as it takes."""
        return False

    def wait(self, asked: Asked, flight: BlockingFlight, writer: GroupWriter) -> bool:
        """Block until there is an answer."""
        while True:
            calls = writer.calls
            try:
                return flight.result(writer.deadline / 2)
            except TimeoutError:
                if writer.calls == calls:
                    raise asked.failed(_HANGS) from None
