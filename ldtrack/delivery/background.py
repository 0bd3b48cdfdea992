"""What an ``AIClient`` runs in the background for its ledger.

Rule for this file: tasks and their ends. How batches are delivered is the relay's affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ldtrack.delivery.relay import Relay
from ldtrack.typing import Backlog, FlushResult, Ledger

if TYPE_CHECKING:
    from ldtrack.typing import Destination

__all__ = ["BackgroundRelay"]

LOOK_EVERY: Final = 5.0
"""How often the ledger is asked how it stands, in seconds, for the counters."""
HURRY_EVERY: Final = 0.05
"""How often a relay is told not to wait while somebody waits for it, in seconds."""
PARTING: Final = 2.0
"""How long a task that was told to end is waited for, in seconds."""

Failed = Callable[[str, BaseException], None]
"""Is told of what went wrong, by kind; nothing here is ever raised into the app."""


class BackgroundRelay:
    """A ledger's deliveries and counters, while a client is entered."""

    def __init__(self, ledger: Ledger, destination: Destination | None, failed: Failed) -> None:
        self._ledger = ledger
        self._backlog = ledger if isinstance(ledger, Backlog) else None
        self._destination = destination
        self._failed = failed
        self._tasks: list[asyncio.Task[None]] = []
        self._pid = os.getpid()
        self._is_closed = False
        """Whether nothing was started or flushed since it was closed: then closing has nothing to deliver."""
        self.relay: Relay | None = None
        if destination is not None:
            if self._backlog is None:
                raise TypeError(
                    "destination= says where a durable ledger's events are delivered to, and "
                    f"{type(ledger).__name__} keeps none: give ledger=SQLiteLedger(path) as well"
                )
            self.relay = Relay(self._backlog, destination)

    def start(self) -> None:
        """Start delivering and counting in the running loop, if there is anything to deliver from."""
        self._is_closed = False
        if self._backlog is None or self._is_running():
            return
        start = getattr(self._ledger, "start", None)
        if start is not None:
            start()
        create_task = asyncio.get_running_loop().create_task
        self._tasks = [create_task(self._look_forever(self._backlog))]
        if self.relay is not None:
            self._tasks.append(create_task(self.relay.run()))

    def _is_running(self) -> bool:
        """Whether it delivers already. A loop that has ended took its tasks along; so did a fork.

        What a relay of the parent's was about to do is not its child's to go on with.
        """
        if self._pid != os.getpid():
            self._pid, self._tasks = os.getpid(), []
            if self._backlog is not None and self._destination is not None:
                self.relay = Relay(self._backlog, self._destination)
        return any(not task.done() and not task.get_loop().is_closed() for task in self._tasks)

    async def flush(self, timeout: float) -> FlushResult:
        """Deliver what was recorded before, for at most so long; cancelling loses nothing."""
        self._is_closed = False
        is_running = self._is_running()
        if self.relay is None:
            return await self._ledger.flush(timeout)
        here = asyncio.get_running_loop()
        # If nothing runs in the background, then it is done right here.
        tasks = [here.create_task(self._hurry(self.relay))]
        if not is_running:
            tasks.append(here.create_task(self.relay.run()))
        try:
            return await self._ledger.flush(timeout)
        finally:
            await _ended(tasks)

    async def _hurry(self, relay: Relay) -> None:
        # What the ledger takes over while the relay looks would wait for its next round.
        while True:
            relay.hurry()
            await asyncio.sleep(HURRY_EVERY)

    async def aclose(self, timeout: float) -> None:
        """Deliver for at most so long, then stop; cancelling skips what is left of the delivery.

        Without a relay of its own it does not wait for one: what is recorded is stored, and that is all.
        """
        steps = [self._stop, self._ledger.aclose]
        # Once: who closes in a block that closes as well has said for how long to deliver.
        if not self._is_closed and (self.relay is not None or self._backlog is None):
            steps.insert(0, lambda: self._quietly_flush(timeout))
        if self._destination is not None:
            steps.insert(-1, self._destination.aclose)
        try:
            for step in steps:
                try:
                    await step()
                except Exception as error:  # noqa: BLE001 - C5: closing must not hide what the app raised
                    self._failed("close", error)
        except BaseException:
            for task in self._tasks:
                task.cancel()
            raise
        self._is_closed = True

    async def _quietly_flush(self, timeout: float) -> None:
        try:
            await self.flush(timeout)
        except Exception as error:  # noqa: BLE001 - C5: as above
            self._failed("flush", error)

    async def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        await _ended(tasks)

    async def _look_forever(self, backlog: Backlog) -> None:
        while True:
            with contextlib.suppress(Exception):  # the relay will say what is wrong with the ledger
                await backlog.standing()
            await asyncio.sleep(LOOK_EVERY)


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    here = asyncio.get_running_loop()
    ours = [task for task in tasks if task.get_loop() is here]
    for task in ours:
        task.cancel()
    for task in tasks:
        if task not in ours:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended already
                task.get_loop().call_soon_threadsafe(task.cancel)
    if ours:
        await asyncio.wait(ours, timeout=PARTING)
