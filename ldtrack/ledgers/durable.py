"""What all durable ledgers do, whatever they store rows in.

Rule for this file: the ``Ledger`` that trackers claim from and the ``Backlog`` that relays deliver from,
over a ``Store``. Everything that waits for a file or a network does so in a thread.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ldtrack.core.batch import Aside, Batch, Standing
from ldtrack.core.introductions import Introducing
from ldtrack.core.privacy import Privacy
from ldtrack.core.slots import Claim
from ldtrack.ids import SystemClock
from ldtrack.ledgers.asked import Asked, AsyncFlight, BlockingFlight
from ldtrack.ledgers.clerk import Clerk
from ldtrack.ledgers.flushing import Flush
from ldtrack.ledgers.group import GroupWriter
from ldtrack.ledgers.scribe import Scribe
from ldtrack.ledgers.store import Store
from ldtrack.limit import Limit
from ldtrack.loops import running_loop
from ldtrack.typing import FlushResult

if TYPE_CHECKING:
    from ldtrack.ledgers.spool import Spool
    from ldtrack.typing import Clock

__all__ = ["DurableLedger"]


class DurableLedger:
    """Records claims where they survive the process, and keeps their events until they are delivered.

    An answer of ``True`` means that the claim is stored. It may be used from any thread and any event loop.
    ``aclose`` lets go of what is open; the next use takes it up again, so several clients may share one.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        *,
        deadline: float,
        privacy: Privacy | None = None,
        clock: Clock | None = None,
        spool: Spool | None = None,
    ) -> None:
        if privacy is not None and not isinstance(privacy, Privacy):
            raise TypeError(f"privacy must be a Privacy, not {type(privacy).__name__}")
        self._clock = clock or SystemClock()
        self._deadline = deadline
        self._scribe = Scribe(self._clock, privacy or Privacy())
        self._writer = GroupWriter(open_store, deadline=deadline, clock=self._clock, spool=spool)
        self._clerk = Clerk(open_store, patience=deadline / 2)
        self._loans: dict[str, tuple[str, float]] = {}
        self.last_standing = Standing()
        """How the ledger stood when that was last looked at."""
        # Who forgets to close a ledger leaves no thread behind for good.
        weakref.finalize(self, self._writer.barrier, None, None, is_last=True).atexit = False

    @property
    def recorded(self) -> int:
        """How many claims this process has recorded."""
        return self._writer.recorded

    @property
    def last_error(self) -> str:
        """What last kept a claim from being recorded, or empty."""
        return self._writer.last_error

    @property
    def spooled(self) -> int | None:
        """How many rows wait in the spool, as of the last look; ``None`` without one."""
        spool = self._writer.spool
        return None if spool is None else spool.pending

    def guard(self, privacy: Privacy) -> None:
        """Redact what this says is private as well. An ``AIClient`` says so of its client's configuration."""
        self._scribe.guard(privacy)

    def introduce(self, introducing: Introducing) -> None:
        """Introduce contexts to LaunchDarkly, by an index event in front of the first claim of each.

        An ``AIClient`` asks for it as its client's configuration says. A client's ``track`` does the same.
        """
        self._scribe.introduce(introducing)

    # What trackers ask

    def submit(self, claim: Claim) -> bool | AsyncFlight:
        """Take a claim over; see ``Ledger``."""
        loop = running_loop()
        if loop is not None:
            return self._take_over(claim, loop)
        writer = self._writer
        if writer.is_on_duty_here():
            return self.submit_quietly(claim)
        flight = BlockingFlight()
        asked = Asked(
            self._scribe.row_of(claim), claim.metric, self._clock.monotonic_ns(), writer.threads, flight
        )
        writer.ask(asked)
        return writer.threads.wait(asked, flight, writer)

    def submit_quietly(self, claim: Claim) -> bool | AsyncFlight:
        """Take a claim over that nobody waits for: it never blocks, and an error would be lost on anybody.

        With no loop running the claim is taken to be the first.
        """
        loop = running_loop()
        if loop is not None:
            return self._take_over(claim, loop, is_quiet=True)
        row = self._scribe.row_of(claim)
        self._writer.ask(Asked(row, claim.metric, self._clock.monotonic_ns(), None, None, is_quiet=True))
        return True

    def _take_over(
        self, claim: Claim, loop: asyncio.AbstractEventLoop, *, is_quiet: bool = False
    ) -> AsyncFlight:
        row = self._scribe.row_of(claim)
        desk = self._writer.desk_of(loop)
        flight = AsyncFlight(row, claim.metric, self._clock.monotonic_ns(), desk, is_quiet)
        desk.open(flight)
        self._writer.ask(flight)
        return flight

    async def flush(self, timeout: float) -> FlushResult:
        """Wait until what was recorded before is delivered, or time is up; cancelling loses nothing.

        It is a relay that delivers, here or elsewhere. Counted in claims.
        """
        if self._writer.spool is not None:
            self.start()  # what an earlier process left in the spool is waited for as well
        flush = Flush(self.standing, self._writer.spool)
        with Limit(timeout):
            await self._passed(is_last=False)
            await flush.wait()
        return flush.result()

    async def aclose(self) -> None:
        """Store what was taken over, then let go of files and connections; cancelling skips the wait."""
        try:
            with Limit(self._deadline):
                await self._passed(is_last=True)
        finally:
            await self._clerk.aclose()

    async def _passed(self, *, is_last: bool) -> None:
        """Wait until all that was asked so far is answered."""
        loop = asyncio.get_running_loop()
        passed: asyncio.Future[bool] = loop.create_future()
        self._writer.barrier(self._writer.desk_of(loop), passed, is_last=is_last)
        await passed

    # What relays ask

    def start(self) -> None:
        """Take up what an earlier process left behind. A relay says so when it begins."""
        self._writer.start()

    async def lease(self, *, owner: str, limit: int, max_chars: int, seconds: float) -> Batch | None:
        """Take the next batch on loan; see ``Backlog``. Cancelling it gives back what it has taken."""

        def give_back(store: Store, taken: Batch | None) -> None:
            if taken is not None:
                store.postpone(taken, owner, 0.0)

        batch = await self._clerk.take(lambda store: store.lease(owner, limit, max_chars, seconds), give_back)
        if batch is not None:
            self._loans[batch.id] = (owner, seconds)
        return batch

    async def delivered(self, batch: Batch) -> None:
        """Forget the batch's rows: they have arrived; cancelling the wait does not stop it."""
        self._loans.pop(batch.id, None)
        await self._clerk.ask(lambda store: store.delivered(batch))

    async def postpone(self, batch: Batch, seconds: float) -> None:
        """Give the batch back, for nobody to take before so long; cancelling does not stop it."""
        owner, _ = self._loans.pop(batch.id, _NOBODY)
        await self._clerk.ask(lambda store: store.postpone(batch, owner, seconds))

    async def hasten(self, seconds: float) -> None:
        """Make due what was postponed at least so long ago; cancelling the wait does not stop it."""
        await self._clerk.ask(lambda store: store.hasten(seconds))

    async def split(self, batch: Batch) -> tuple[Batch, Batch] | None:
        """Halve a batch, both halves on loan; ``None`` if the loan was lost. Cancelling does not stop it."""
        loan = self._loans.pop(batch.id, _NOBODY)
        halves = await self._clerk.ask(lambda store: store.split(batch, *loan))
        for half in halves or ():
            self._loans[half.id] = loan
        return halves

    async def set_aside(self, batch: Batch, reason: str) -> None:
        """Keep the batch's rows out of the way, with the reason; cancelling does not stop it."""
        self._loans.pop(batch.id, None)
        await self._clerk.ask(lambda store: store.set_aside(batch, reason))

    async def standing(self) -> Standing:
        """How much is waiting, and since when; cancelling the wait changes nothing."""
        self.last_standing = standing = await self._clerk.look(lambda store: store.standing())
        return standing

    # What operators ask

    async def aside(self, limit: int = 100) -> list[Aside]:
        """The claims that the destination refused, oldest first; cancelling the wait changes nothing."""
        return await self._clerk.look(lambda store: store.aside(limit))

    async def retry_aside(self) -> int:
        """Make refused claims pending again, and say how many; cancelling the wait does not stop it."""
        return await self._clerk.ask(lambda store: store.retry_aside())

    async def discard_aside(self) -> int:
        """Delete the refused claims' events, and say how many; cancelling the wait does not stop it."""
        return await self._clerk.ask(lambda store: store.discard_aside())


_NOBODY: Any = ("", 0.0)
"""The loan of a batch that this ledger has not lent."""
