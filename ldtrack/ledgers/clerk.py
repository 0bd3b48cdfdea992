"""Asks a store one thing at a time, from worker threads.

Rule for this file: the errand and its thread. A clerk has a store of its own, so that what a relay does
never stands in the way of those who claim.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.keeper import Keeper
from ldtrack.ledgers.store import Store, UnavailableError

__all__ = ["Clerk"]

T = TypeVar("T")


class Clerk:
    """Opens its store with the first errand, and again after it was closed."""

    def __init__(self, open_store: Callable[[], Store], *, patience: float) -> None:
        self._keeper: Keeper[Store] = Keeper(open_store, patience=patience)

    async def ask(self, errand: Callable[[Store], T]) -> T:
        """Run the errand in a worker thread; cancelling does not stop it, and the store bounds it."""
        try:
            return await _in_thread(partial(self._keeper.ask, errand))
        except UnavailableError as error:
            raise LedgerError(f"the ledger cannot be reached: {error}; the call may be repeated") from error

    async def aclose(self) -> None:
        """Let the store go; cancelling does not stop it."""
        with anyio.CancelScope(shield=True):
            await _in_thread(self._keeper.close)


async def _in_thread(work: Callable[[], T]) -> T:
    # A limiter of its own: worker threads that the app keeps busy must not keep a relay waiting.
    return await anyio.to_thread.run_sync(work, limiter=anyio.CapacityLimiter(1))
