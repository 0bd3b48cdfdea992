"""Asks a store one thing at a time, from worker threads.

Rule for this file: the errand and its thread. A clerk has a store of its own, so that what a relay does
never stands in the way of those who claim.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
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
        """Run the errand in a worker thread; cancelling ends the wait and not the errand."""
        try:
            return await _in_thread(partial(self._keeper.ask, errand))
        except UnavailableError as error:
            raise LedgerError(f"the ledger cannot be reached: {error}; the call may be repeated") from error

    async def look(self, errand: Callable[[Store], T]) -> T:
        """Run an errand that changes nothing; cancelled before its turn comes, it is left out.

        A store that is slow must not have a queue of questions that nobody waits for any more.
        """
        is_called_off = threading.Event()

        def unless_called_off(store: Store) -> list[T]:
            return [] if is_called_off.is_set() else [errand(store)]

        try:
            [answer] = await self.ask(unless_called_off)
        except BaseException:
            is_called_off.set()
            raise
        return answer

    async def take(self, errand: Callable[[Store], T], give_back: Callable[[Store, T], None]) -> T:
        """Run an errand that brings something; cancelled, it gives back what that brought, and then ends.

        Cancelling cannot stop a thread, and ``asyncio.run`` cancels every task there is when it ends, also
        one that was made to see the errand through.
        """
        brought: list[T] = []
        is_called_off = threading.Event()

        def bring(store: Store) -> None:
            if not is_called_off.is_set():
                brought.append(errand(store))

        def take_back(store: Store) -> None:
            for one in brought:
                give_back(store, one)

        try:
            await self.ask(bring)
        except asyncio.CancelledError:
            is_called_off.set()
            # The keeper does one errand at a time: this one comes after the other, or the other does nothing.
            with anyio.CancelScope(shield=True), contextlib.suppress(LedgerError):
                await self.ask(take_back)
            raise
        return brought[0]

    async def aclose(self) -> None:
        """Let the store go; cancelling does not stop it."""
        with anyio.CancelScope(shield=True):
            await _in_thread(self._keeper.close)


async def _in_thread(work: Callable[[], T]) -> T:
    # A limiter of its own: worker threads that the app keeps busy must not keep a relay waiting. And whoever
    # waits for so long and no longer does not wait for a store that takes its time.
    return await anyio.to_thread.run_sync(work, limiter=anyio.CapacityLimiter(1), abandon_on_cancel=True)
