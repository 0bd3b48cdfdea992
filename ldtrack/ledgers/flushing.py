"""Waiting until what was recorded is delivered.

Rule for this file: what a flush may claim, and on what grounds. It delivers nothing: that is a relay's work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

import anyio

from ldtrack.core.batch import Standing
from ldtrack.exceptions import LedgerError
from ldtrack.typing import FlushResult

if TYPE_CHECKING:
    from ldtrack.ledgers.spool import Spool

__all__ = ["Flush"]

LOOKS: Final = (0.005, 0.01, 0.02, 0.05)
"""How long to wait between looks at the ledger, in seconds; the last one again and again."""


class Flush:
    """One flush. What is recorded while it waits is not its affair."""

    def __init__(self, standing: Callable[[], Awaitable[Standing]], spool: Spool | None) -> None:
        self._ask = standing
        self._spool = spool
        self._before: Standing | None = None
        self._now = Standing()
        self._is_done = False
        self._looks: Iterator[float] = chain(LOOKS, repeat(LOOKS[-1]))

    async def wait(self) -> None:
        """Wait until all that was recorded before is delivered, however long that takes.

        Cancelling changes nothing but what ``result`` says.
        """
        # Rows in the spool take their places in the ledger's order only when they get there.
        while self._is_spooled():
            await self._pause()
        self._before = before = await self._look()
        while not self._is_done:
            self._is_done = self._now.first is None or self._now.first > before.last
            if not self._is_done:
                await self._pause()
                await self._look()

    def result(self) -> FlushResult:
        """What is known by now."""
        now, before = self._now, self._before or self._now
        spooled = self._spool.pending if self._spool is not None and self._is_spooled() else 0
        return FlushResult(
            delivered=max(0, min(now.delivered - before.delivered, before.pending)),
            pending=0 if self._is_done else max(1, min(now.pending, before.pending) + spooled),
            set_aside=now.set_aside,
        )

    def _is_spooled(self) -> bool:
        return self._spool is not None and self._spool.due_at is not None

    async def _look(self) -> Standing:
        while True:
            try:
                self._now = await self._ask()
            except LedgerError:  # a ledger that cannot be reached is not flushed yet
                await self._pause()
            else:
                return self._now

    async def _pause(self) -> None:
        await anyio.sleep(next(self._looks))
