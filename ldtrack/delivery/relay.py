"""The relay: from a ledger to a destination until nothing is left, whatever happens on the way.

Rule for this file: which batch goes out when, and how many at once. What happens to one is the carrier's
affair, and how long to wait is decided in ``core/pacing.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from anyio.abc import TaskGroup

from ldtrack.core.options import (
    given,
    require_callables,
    require_clock,
    require_counts,
    require_kinds,
    require_positive,
    require_texts,
)
from ldtrack.delivery.carrier import Carrier, Terms
from ldtrack.delivery.patience import Bell
from ldtrack.delivery.relay_stats import RelayState, RelayStats
from ldtrack.ids import SystemClock, draw, new_owner
from ldtrack.limit import Limit
from ldtrack.typing import Backlog, Clock, Destination

__all__ = ["Relay", "RelayState", "RelayStats"]


class Relay:
    """Brings what a durable ledger has recorded to its destination, in batches that are on loan meanwhile.

    Any number of relays may work on one ledger, in any number of processes; what a dead one had on loan comes
    back when the loan has run out. A batch is repeated under its payload id until it is accepted. While the
    destination fails, a relay tries one batch at a time, after waits that grow up to a minute; then it goes
    back to full speed. One that begins does not wait out what others have put off.

    ``interval`` is how long it waits when there is nothing to do, in seconds, and ``loan`` how long a batch
    is its own; an attempt may take half of that. All of a relay but ``hurry`` and ``stats`` belongs to one
    event loop at a time.
    """

    def __init__(
        self,
        backlog: Backlog,
        destination: Destination,
        *,
        batch_rows: int = 1000,
        batch_chars: int = 1_000_000,
        loan: float = 60.0,
        concurrency: int = 2,
        interval: float = 1.0,
        owner: str | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = draw,
    ) -> None:
        require_kinds(
            {"backlog": Backlog, "destination": Destination}, {"backlog": backlog, "destination": destination}
        )
        require_counts(batch_rows=batch_rows, batch_chars=batch_chars, concurrency=concurrency)
        require_positive(loan=loan, interval=interval)
        require_texts(**given(owner=owner))
        require_clock(clock)
        require_callables(random=random)
        self.owner = owner or new_owner()
        """The name under which it takes batches on loan."""
        self._clock = clock or SystemClock()
        terms = Terms(owner=self.owner, rows=batch_rows, chars=batch_chars, loan=loan)
        self._carrier = Carrier(backlog, destination, terms, clock=self._clock, draw=random)
        self._concurrency = concurrency
        self._interval = interval
        self._bell = Bell()
        self._one_round = anyio.Lock()
        """Held by whoever takes batches: ``run``, ``drain`` or ``step``."""
        self._lanes = 0
        """How many batches may be on their way right now."""

    @property
    def stats(self) -> RelayStats:
        """What it has done so far, and what it is doing."""
        wait = self._carrier.wait
        if self._carrier.outlook.locked:
            state = RelayState.LOCKED
        elif wait:
            state = RelayState.WAITING
        else:
            state = RelayState.WORKING if self._lanes else RelayState.IDLE
        return self._carrier.counters.snapshot(state, self._clock.time() + wait if wait else None)

    async def run(self) -> None:
        """Deliver for ever; cancelling it gives back what is on loan, and loses nothing."""
        while True:
            async with self._one_round:
                await self._round()
            if wait := self._carrier.wait:
                await anyio.sleep(wait)
            else:
                await self._bell.wait(self._interval)

    async def drain(self, timeout: float) -> bool:
        """Deliver until nothing is due, or time is up; cancelling it gives back what is on loan.

        Returns whether it came to an end in time. What other relays have on loan is their affair.
        """
        with Limit(timeout) as limit:
            while True:
                async with self._one_round:
                    await self._round()
                wait = self._carrier.wait or self._carrier.repeats_in
                if not wait:
                    return True
                if anyio.current_time() + wait > limit.until:
                    return False
                await anyio.sleep(wait)
        return False

    async def step(self) -> bool:
        """Carry one batch, without regard to waits; returns whether there was one.

        Cancelling it gives the batch back.
        """
        async with self._one_round:
            return await self._carry()

    def hurry(self) -> None:
        """Do not wait out the interval; callable from any thread. Waits for a failing destination stay."""
        self._bell.ring()

    async def _round(self) -> None:
        """Deliver until nothing is due, or something fails."""
        carrier = self._carrier
        while not carrier.wait:
            if carrier.is_at_ease:
                await self._in_lanes()
                if carrier.is_at_ease:
                    return
            # One at a time until the destination has accepted one: many relays may be asking it.
            elif not await self._carry():
                return

    async def _in_lanes(self) -> None:
        """Keep several batches on their way; whoever finds one to carry calls for help first."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._lane, group)
        except BaseExceptionGroup as several:
            raise _first(several) from None

    async def _lane(self, group: TaskGroup) -> None:
        def call_for_help() -> None:
            if self._lanes < self._concurrency:
                group.start_soon(self._lane, group)

        while self._carrier.is_at_ease and await self._carry(call_for_help):
            pass

    async def _carry(self, *on_leased: Callable[[], Any]) -> bool:
        self._lanes += 1
        try:
            return await self._carrier.carry(*on_leased)
        finally:
            self._lanes -= 1


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = several
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
