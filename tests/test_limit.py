"""Time limits: the end of a block, and everything that may come in the same turn of the loop as the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
from clock_loop import play

from ldtrack.delivery.patience import Bell, see_through
from ldtrack.limit import Limit
from ldtrack.testing import ManualClock

END = 1.0


def test_the_end_is_the_end_of_the_block() -> None:
    """What is late is ended, and said to be; what comes in time is not, and its errors are its own."""

    async def scene() -> None:
        with Limit(END) as limit:
            await asyncio.sleep(END / 2)
        assert not limit.is_over
        with Limit(END) as limit:
            await asyncio.sleep(END * 2)
        assert limit.is_over
        with pytest.raises(TimeoutError, match="its own"), Limit(END) as limit:
            raise TimeoutError("its own")
        assert not limit.is_over
        with Limit(until=asyncio.get_running_loop().time() - 1) as limit:
            await asyncio.sleep(0)
        assert limit.is_over

    clock = ManualClock()
    play(clock, scene())
    assert clock.monotonic_ns() / 1e9 == pytest.approx(END * 1.5)


def test_who_goes_on_waiting_is_told_again() -> None:
    """A block that does not listen cannot outstay its limit by waiting for something else."""
    told = 0

    async def scene() -> None:
        nonlocal told
        with Limit(END):
            while told < 3:
                try:
                    await asyncio.sleep(END * 9)
                except asyncio.CancelledError:
                    told += 1

    clock = ManualClock()
    play(clock, scene())
    assert told == 3
    assert clock.monotonic_ns() / 1e9 == pytest.approx(END)


async def limited() -> None:
    with Limit(END):
        await asyncio.sleep(END * 9)


async def shielded() -> None:
    with Limit(END, shield=True):
        await asyncio.sleep(END * 9)


async def within_another() -> None:
    with Limit(END * 9), Limit(END):
        await asyncio.sleep(END * 9)


async def waiting_for_a_bell() -> None:
    await Bell().wait(END)


async def seeing_through() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    await see_through(asyncio.sleep(END * 9), grace=END)


@pytest.mark.parametrize("early", [2e-7, 0.0, -2e-7], ids=["just before", "together", "just after"])
@pytest.mark.parametrize(
    "wait",
    [limited, shielded, within_another, waiting_for_a_bell, seeing_through],
    ids=lambda it: it.__name__,
)
def test_a_cancellation_in_the_same_turn_as_the_end_is_not_lost(
    wait: Callable[[], Coroutine[Any, Any, None]], early: float
) -> None:
    """A task that waits for ever, a limit at a time, ends when it is cancelled, at whatever instant."""

    async def forever() -> None:
        while True:
            await wait()

    async def scene() -> bool:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(forever())
        # Timers that are less than the clock's resolution apart are called in one turn of the loop.
        loop.call_at(loop.time() + END - early, task.cancel)
        done, _ = await asyncio.wait([task], timeout=END * 20.5)
        was_lost = not done
        task.cancel()  # at an instant of its own
        await asyncio.wait([task])
        return was_lost

    assert not play(ManualClock(), scene())


def test_a_scope_around_it_that_ends_in_the_same_turn_is_heard() -> None:
    """Cancelled by a scope of the app's at the instant of its own end, it goes on with the scope's."""

    async def scene() -> list[str]:
        happened = []
        with anyio.move_on_after(END) as scope:
            with Limit(END):
                await asyncio.sleep(END * 9)
            await asyncio.sleep(0)
            happened.append("went on inside")
        assert scope.cancelled_caught
        task = asyncio.current_task()
        assert task is not None
        happened.append(f"{task.cancelling()} left")
        return happened

    assert play(ManualClock(), scene()) == ["0 left"]
