"""Relays that are cancelled: at every point at which they wait, in both ways there are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from clock_loop import play

from ldtrack.delivery import Relay
from ldtrack.testing import RecordingBacklog, RecordingDestination
from ldtrack.typing import Batch, Receipt, Verdict

ROWS = 30
Work = Callable[[Relay], Awaitable[Any]]
WAYS: dict[str, Work] = {
    "step": lambda relay: relay.step(),
    "drain": lambda relay: relay.drain(60),
    "run": lambda relay: relay.run(),
}


class Scene:
    def __init__(self, *answers: Verdict | Receipt) -> None:
        self.backlog = RecordingBacklog()
        self.backlog.add(*(f'"{number}"' for number in range(ROWS)))
        self.destination = RecordingDestination(refuses=lambda body: body == '"13"', max_chars=30)
        self.destination.answer_next(*answers)
        self.relay = self.another()

    def another(self) -> Relay:
        return Relay(self.backlog, self.destination, clock=self.backlog.clock, batch_rows=10)

    @property
    def lent(self) -> int:
        """How many batches are on loan."""
        return sum(stored.owner is not None for stored in self.backlog.store._batches.values())


async def end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def in_a_scope(work: Work, relay: Relay, scope: anyio.CancelScope) -> None:
    with scope:
        await work(relay)


async def interrupted(scene: Scene, work: Work, ticks: int, *, by_scope: bool) -> bool:
    """Work for so many turns of the loop, then be cancelled; returns whether it was still working."""
    scope = anyio.CancelScope()
    task = asyncio.ensure_future(in_a_scope(work, scene.relay, scope))
    for _ in range(ticks):
        await asyncio.sleep(0)
    was_busy = not task.done()
    if by_scope:
        scope.cancel()
    else:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return was_busy


@pytest.mark.parametrize("by_scope", [False, True], ids=["native", "scope"])
@pytest.mark.parametrize("way", WAYS)
def test_wherever_it_is_cancelled_it_gives_back(way: str, by_scope: bool) -> None:
    """Nothing stays on loan, nothing is lost, nothing counts twice, and the next relay goes on."""
    ticks, busy = 0, True
    while busy and ticks < 400:
        scene = Scene()

        async def scenario(scene: Scene = scene, ticks: int = ticks) -> bool:
            was_busy = await interrupted(scene, WAYS[way], ticks, by_scope=by_scope)
            assert scene.lent == 0, f"after {ticks} ticks"
            assert await scene.another().drain(500) is True
            return was_busy

        busy = play(scene.backlog.clock, scenario())
        standing = scene.backlog.store.standing()
        assert (standing.pending, standing.delivered, standing.set_aside) == (0, ROWS - 1, 1)
        assert sorted(scene.destination.bodies) == sorted(f'"{n}"' for n in range(ROWS) if n != 13)
        ticks += 1
    assert ticks > 8, "it was interrupted at several points"


@pytest.mark.parametrize("verdict", [Verdict.LATER, Verdict.LOCKED])
@pytest.mark.parametrize("ticks", range(25))
def test_cancelled_while_it_postpones(verdict: Verdict, ticks: int) -> None:
    """The batch is put back either way, and comes again under its payload id."""
    scene = Scene(Receipt(verdict, "busy", 5.0))

    async def scenario() -> None:
        await interrupted(scene, WAYS["step"], ticks, by_scope=False)
        assert scene.lent == 0
        await asyncio.sleep(100)
        assert await scene.another().drain(100) is True

    play(scene.backlog.clock, scenario())
    by_payload = {attempt.batch.payload_id: attempt.batch.bodies for attempt in scene.destination.attempts}
    assert all(
        by_payload[attempt.batch.payload_id] == attempt.batch.bodies for attempt in scene.destination.attempts
    )
    assert len(scene.destination.bodies) == len(set(scene.destination.bodies)) == ROWS - 1


@pytest.mark.parametrize("method", ["lease", "postpone", "delivered", "split", "set_aside"])
def test_a_ledger_that_keeps_silent_does_not_hold_up_the_end(method: str) -> None:
    """The relay ends within its grace; what it could not give back comes back when the loan has run out."""
    scene = Scene()
    works = getattr(scene.backlog, method)

    async def silent(*arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(3600)

    async def scenario() -> None:
        await scene.relay.step()
        setattr(scene.backlog, method, silent)
        if method == "postpone":
            scene.destination.hold()
        task = asyncio.create_task(scene.relay.run())
        await asyncio.sleep(1)
        before = scene.backlog.clock.monotonic_ns()
        await end(task)
        assert task.cancelled()
        assert (scene.backlog.clock.monotonic_ns() - before) / 1e9 <= 3.1
        setattr(scene.backlog, method, works)
        scene.destination.release()
        await asyncio.sleep(61)
        assert await scene.another().drain(500) is True

    play(scene.backlog.clock, scenario())
    assert len(scene.destination.bodies) == len(set(scene.destination.bodies)) == ROWS - 1


def test_a_ledger_that_fails_while_it_ends() -> None:
    """Neither the error nor the lease that came too late leaves a trace."""
    scene = Scene()
    lease = scene.backlog.lease

    async def scenario(*, fails: bool) -> None:
        async def slow(**options: Any) -> Batch | None:
            await asyncio.sleep(1)
            if fails:
                scene.backlog.fail_next()
            return await lease(**options)

        scene.backlog.lease = slow
        task = asyncio.create_task(scene.relay.run())
        await asyncio.sleep(0.5)
        await end(task)
        assert task.cancelled()
        assert scene.lent == 0

    play(scene.backlog.clock, scenario(fails=True))
    play(scene.backlog.clock, scenario(fails=False))
    assert len(scene.backlog.store._batches) == 1


def test_a_batch_that_cannot_be_given_back_comes_back_by_itself() -> None:
    """The ledger is away when the relay is cancelled: then the loan runs out."""
    scene = Scene()
    scene.destination.hold()

    async def scenario() -> None:
        task = asyncio.create_task(scene.relay.run())
        await asyncio.sleep(1)
        scene.backlog.fail_next()
        await end(task)
        assert task.cancelled()
        assert scene.lent == 1
        scene.destination.release()
        await asyncio.sleep(60)
        assert await scene.another().drain(500) is True

    play(scene.backlog.clock, scenario())
    first = next(iter(scene.destination.accepted.values()))
    assert len(scene.destination.bodies) == ROWS - 1
    assert first.payload_id


def test_a_process_that_stood_still_posts_nothing() -> None:
    """Frozen between taking and posting: by now another relay may have the batch, and have split it."""
    scene = Scene()

    async def scenario() -> None:
        task = asyncio.create_task(scene.relay.step())
        for _ in range(20):
            if scene.lent:
                break
            await asyncio.sleep(0)
        scene.backlog.clock.advance(30)
        assert await task is True
        assert scene.destination.attempts == []
        assert scene.relay.stats.errors == 1
        assert scene.lent == 0

    play(scene.backlog.clock, scenario())


def test_cancelled_twice_it_ends_at_once() -> None:
    """Who insists does not have to wait; the loan runs out by itself."""
    scene = Scene()

    async def silent(*arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(3600)

    async def scenario() -> None:
        scene.backlog.postpone = silent
        scene.destination.hold()
        task = asyncio.create_task(scene.relay.run())
        await asyncio.sleep(1)
        before = scene.backlog.clock.monotonic_ns()
        task.cancel()
        await asyncio.sleep(0)
        await end(task)
        assert scene.backlog.clock.monotonic_ns() == before

    play(scene.backlog.clock, scenario())
