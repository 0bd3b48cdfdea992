"""A relay as a process: from its start to an end in good order.

Rule for this file: what is started, in which order it is stopped, and the exit code. Each of the parts is
somewhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, Final

import anyio
import attrs

from ldtrack.cli.deliveries import Deliveries
from ldtrack.cli.errors import DONE, NO_LEDGER, PENDING, REFUSED, SET_ASIDE, CommandError
from ldtrack.cli.gate import Gate
from ldtrack.cli.health import Answer, HealthServer
from ldtrack.cli.key import Key
from ldtrack.cli.lines import Lines
from ldtrack.cli.report import Report, health_of, metrics_of
from ldtrack.cli.signals import Signals
from ldtrack.cli.watch import Onlooker, Watch, figures_of
from ldtrack.delivery import Relay
from ldtrack.exceptions import LedgerError
from ldtrack.ids import VERSION
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.limit import Limit
from ldtrack.typing import Backlog, Destination, FlushResult

__all__ = ["Plan", "Service"]

_LOCK_LOOKS: Final = 0.05
"""How often a drain looks whether the destination refuses us, in seconds."""
_SECOND_TRY: Final = 1.0
"""After how long a drain asks a ledger again that failed, in seconds."""
_PARTING: Final = 5.0
"""How long each part that is told to end is waited for, in seconds."""


@attrs.frozen(kw_only=True)
class Plan:
    """What the process is to do."""

    ledger: str
    """Where it is, for people."""
    new_relay: Callable[[Backlog, Destination], Relay]
    health: tuple[str, int] | None = None
    drains: bool = False
    """Whether it ends once all is delivered."""
    timeout: float = 300.0
    """How long that may take."""
    grace: float = 10.0
    """How long batches under way may take once it was told to end."""


class Service:
    """Delivers until it is told to stop, or until all is delivered. Made inside a running event loop."""

    def __init__(
        self, plan: Plan, ledger: DurableLedger, destination: Destination, key: Key, lines: Lines
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._destination = destination
        self._key = key
        self._lines = lines
        self._gate = Gate(ledger, is_locked=lambda: self._deliveries.is_locked)
        self._deliveries = Deliveries(lambda: plan.new_relay(self._gate, destination))
        self._onlooker = Onlooker(ledger)
        self._watch = Watch(self._deliveries, self._onlooker, key, lines)
        self._stopping = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._started = time.monotonic()

    async def run(self) -> int:
        """Do it all and return the exit code; cancelling it lets go of everything at once."""
        with Signals(self._stop, self._look_again):
            try:
                if not await self._opened():
                    return DONE
                async with contextlib.AsyncExitStack() as stack:
                    if self._plan.health is not None:
                        pages = {"/health": self._say_health, "/metrics": self._say_metrics}
                        server = await stack.enter_async_context(HealthServer(*self._plan.health, pages))
                        self._lines.info("listening", address=server.address)
                    return await self._work()
            finally:
                await self._let_go()

    # From signals

    def _stop(self, name: str) -> None:
        self._lines.info("stopping", signal=name)
        self._gate.close()
        self._stopping.set()

    def _look_again(self) -> None:
        self._looking = asyncio.get_running_loop().create_task(self._watch.look())
        self._deliveries.try_now()

    # From start to end

    async def _opened(self) -> bool:
        """Whether the ledger is there; ``False`` if the process was told to end meanwhile."""
        opening = asyncio.ensure_future(self._ledger.standing())
        await self._first_of(opening)
        if not opening.done():
            opening.cancel()
            return False
        try:
            standing = opening.result()
        except LedgerError as error:
            raise CommandError(NO_LEDGER, f"the ledger cannot be opened: {error}") from error
        self._ledger.start()
        self._lines.info(
            "started",
            ledger=self._plan.ledger,
            destination=repr(self._destination),
            pending=standing.pending,
            set_aside=standing.set_aside,
            version=VERSION,
            pid=os.getpid(),
        )
        return True

    async def _work(self) -> int:
        delivering = asyncio.ensure_future(self._deliveries.run())
        watching = asyncio.ensure_future(self._watch.run())
        try:
            code = await (self._drain(delivering) if self._plan.drains else self._until_stopped(delivering))
            await self._wind_down()
        finally:
            for task in (delivering, watching):
                task.cancel()
            await asyncio.wait([delivering, watching], timeout=_PARTING)
        return await self._told_end(code)

    async def _wind_down(self) -> None:
        """Let what is under way arrive. What does not in time is given back, and comes again."""
        self._gate.close()
        with Limit(self._plan.grace):
            await self._gate.quiet()

    async def _until_stopped(self, delivering: asyncio.Future[None]) -> int:
        await self._first_of(delivering)
        if delivering.done():
            delivering.result()
        return DONE

    async def _drain(self, delivering: asyncio.Future[None]) -> int:
        flushing = asyncio.ensure_future(self._flushed())
        try:
            while not (flushing.done() or self._stopping.is_set() or delivering.done()):
                await self._first_of(flushing, delivering, timeout=_LOCK_LOOKS)
                if self._deliveries.is_locked:
                    return REFUSED
        finally:
            flushing.cancel()
            await asyncio.wait([flushing])
        if delivering.done():
            delivering.result()
        if flushing.cancelled():
            await self._wind_down()
            return await self._pending_code()
        try:
            flushed = flushing.result()
        except LedgerError as error:
            raise CommandError(NO_LEDGER, f"the ledger stopped answering: {error}") from error
        return PENDING if flushed.pending else self._end_code()

    async def _flushed(self) -> FlushResult:
        """Wait until all that is there is delivered; a ledger that fails is asked again in time."""
        deadline = anyio.current_time() + self._plan.timeout
        while True:
            try:
                return await self._ledger.flush(max(0.0, deadline - anyio.current_time()))
            except LedgerError:
                if anyio.current_time() + _SECOND_TRY >= deadline:
                    raise
                await anyio.sleep(_SECOND_TRY)

    async def _pending_code(self) -> int:
        await self._onlooker.look(max_age=0)
        standing = self._onlooker.standing
        return PENDING if standing is None or standing.pending else self._end_code()

    def _end_code(self) -> int:
        return SET_ASIDE if self._deliveries.stats.set_aside else DONE

    async def _told_end(self, code: int) -> int:
        await self._onlooker.look(max_age=0)
        standing, stats = self._onlooker.standing, self._deliveries.stats
        pending = None if standing is None else standing.pending
        reason = stats.last_error if code not in {DONE, SET_ASIDE} else None
        self._lines.info("stopped", code=code, **figures_of(stats), pending=pending, reason=reason)
        return code

    async def _let_go(self) -> None:
        for close in (self._onlooker.aclose, self._destination.aclose):
            with Limit(_PARTING):
                await close()
        await self._ledger.aclose()

    async def _first_of(self, *works: asyncio.Future[Any], timeout: float | None = None) -> None:
        """Wait until one of the works is done, the process is told to end, or time is up."""
        stopping: asyncio.Future[Any] = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([stopping, *works], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    # What health says

    async def _report(self) -> Report:
        await self._onlooker.look()
        stats, onlooker = self._deliveries.stats, self._onlooker
        return Report(
            ledger=self._plan.ledger,
            stats=stats,
            standing=onlooker.standing,
            spooled=self._ledger.spooled,
            ledger_error=self._hidden(onlooker.error),
            last_error=self._hidden(stats.last_error),
            key_problem=self._key.problem,
            is_stopping=self._stopping.is_set(),
            now=time.time(),
            uptime=time.monotonic() - self._started,
        )

    def _hidden(self, text: str | None) -> str | None:
        return None if text is None else str(self._lines.hide(text))

    async def _say_health(self) -> Answer:
        return health_of(await self._report())

    async def _say_metrics(self) -> Answer:
        return metrics_of(await self._report())
