"""Waits that a relay is made of: what must not be left half-done, and a bell."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from clock_loop import play

from ldtrack.delivery.patience import Bell, see_through
from ldtrack.exceptions import LedgerError
from ldtrack.testing import ManualClock


def timed(scene: Any) -> float:
    """How many seconds a scene takes on the clock."""
    clock = ManualClock()
    play(clock, scene)
    return clock.monotonic_ns() / 1e9


async def answer_after(seconds: float, answer: Any, seen: list[Any] | None = None) -> Any:
    await asyncio.sleep(seconds)
    if seen is not None:
        seen.append("done")
    if isinstance(answer, Exception):
        raise answer
    return answer


def test_undisturbed_it_is_what_the_work_is() -> None:
    """Its result is the work's result, and its error the work's error."""

    async def scene() -> None:
        assert await see_through(answer_after(9, "fine"), grace=1) == "fine"
        with pytest.raises(KeyError):
            await see_through(answer_after(9, KeyError("x")), grace=1)

    assert timed(scene()) == pytest.approx(18)


def test_cancelled_twice_it_ends_at_once() -> None:
    """Who does not want to wait for the grace takes the work along, and leaves nothing that runs on."""
    seen: list[Any] = []

    async def scene() -> None:
        task = asyncio.create_task(see_through(answer_after(9, "fine", seen), grace=5))
        for _ in range(2):
            await asyncio.sleep(1)
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await asyncio.sleep(0)

    assert timed(scene()) == pytest.approx(2)
    assert seen == []


@pytest.mark.parametrize(
    ("answer", "seen"), [("fine", ["done", "fine"]), (KeyError("x"), ["done"])], ids=["result", "error"]
)
def test_cancelled_it_ends_what_it_began(answer: Any, seen: list[str]) -> None:
    """The work is done before the cancellation goes on, and what it brought is undone."""
    happened: list[Any] = []

    async def undo(result: Any) -> None:
        happened.append(result)
        raise OSError("and that it fails is nobody's business")

    async def scene() -> None:
        task = asyncio.create_task(see_through(answer_after(2, answer, happened), grace=1.5, undo=undo))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    assert timed(scene()) == pytest.approx(2)
    assert happened == seen


@pytest.mark.parametrize("answer", ["fine", KeyError("x")], ids=["result", "error"])
def test_cancelled_it_does_not_wait_for_ever(answer: Any) -> None:
    """After the grace it lets go, and no task stays behind."""
    happened: list[Any] = []

    async def scene() -> None:
        task = asyncio.create_task(see_through(answer_after(60, answer, happened), grace=1.5))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await asyncio.sleep(0)

    assert timed(scene()) == pytest.approx(2.5)
    assert happened == []


def test_work_that_gives_itself_up_is_an_error() -> None:
    """Only who was cancelled is cancelled."""

    async def gives_up() -> None:
        raise asyncio.CancelledError

    async def scene() -> None:
        with pytest.raises(LedgerError, match="gave up"):
            await see_through(gives_up(), grace=1)

    timed(scene())


def test_a_bell_that_does_not_ring() -> None:
    """The wait is over when it is over."""
    assert timed(Bell().wait(7)) == pytest.approx(7)


def test_a_bell_that_rings() -> None:
    """It ends the wait of another thread's loop."""

    async def scene() -> None:
        bell = Bell()
        waiting = asyncio.create_task(bell.wait(3600))
        await asyncio.sleep(5)
        thread = threading.Thread(target=bell.ring)
        thread.start()
        thread.join()
        await waiting

    assert timed(scene()) == pytest.approx(5)


def test_a_bell_for_several() -> None:
    """It ends the waits of all, whoever came first or has left."""

    async def scene() -> None:
        bell = Bell()
        first, leaving, last = (asyncio.create_task(bell.wait(3600)) for _ in range(3))
        await asyncio.sleep(2)
        leaving.cancel()
        await asyncio.wait([leaving])
        await asyncio.sleep(3)
        bell.ring()
        await asyncio.gather(first, last)

    assert timed(scene()) == pytest.approx(5)


def test_a_bell_that_rang_before() -> None:
    """It ends the next wait, and only that one."""

    async def scene() -> None:
        bell = Bell()
        bell.ring()
        bell.ring()
        await bell.wait(3600)
        await bell.wait(7)

    assert timed(scene()) == pytest.approx(7)


def test_a_wait_for_a_bell_that_is_cancelled() -> None:
    """The bell is as good as new."""

    async def scene() -> None:
        bell = Bell()
        waiting = asyncio.create_task(bell.wait(3600))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting])
        bell.ring()
        await bell.wait(3600)
        await bell.wait(7)

    assert timed(scene()) == pytest.approx(8)
