"""Cancellation at every point where anything waits: nothing is lost, nothing is said twice, all is closed.

The scenes are stepped through once per point: the task is cancelled after no round of the loop, after one,
after two, and so on until it is too late to cancel it. Hypothesis then cancels several tasks, several times.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import attrs
import pytest
from fake_provider import KINDS, Chunk, Kind, Provider, opening, tick
from hypothesis import given
from hypothesis import strategies as st
from stage import Stage

from ldtrack.core.slots import Claim
from ldtrack.core.values import Ending, Outcome
from ldtrack.testing import RecordingLedger

CHUNKS = (Chunk("a"), Chunk("b", tools=("search",)), Chunk("c", usage=(1, 2), finish=True))
ONCE = {
    "duration:total",
    "tokens:ttf",
    "tokens:total",
    "tokens:input",
    "tokens:output",
    "feedback:user:positive",
}
OUTCOMES = {"generation:success", "generation:error"}
TOO_LATE = 200


class LateLedger(RecordingLedger):
    """Answers every claim two rounds of the loop later."""

    def submit(self, claim: Claim) -> bool | asyncio.Future[bool]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.submitted += 1
        loop.call_soon(loop.call_soon, lambda: future.set_result(self._record(claim)))
        return future


@attrs.define(eq=False)
class Case:
    """One user of ldtrack: its tracker, its provider, and how far it has come."""

    stage: Stage
    kind: Kind
    tracker: Any = None
    provider: Any = None
    seen: int = 0
    is_asked: bool = False
    """Whether it came to making its request."""
    is_entered: bool = False
    is_done: bool = False

    def __attrs_post_init__(self) -> None:
        self.tracker = self.stage.new_tracker()
        self.provider = Provider(self.stage.clock.advance, chunks=CHUNKS)

    def source(self) -> Any:
        self.is_asked = True
        return self.kind.make(self.provider)

    @property
    def names(self) -> list[str]:
        """The names of the events of this case."""
        return [
            event.key.removeprefix("$ld:ai:")
            for event in self.stage.ledger.events
            if event.data["runId"] == self.tracker.run_id
        ]


# What users write


async def alone(case: Case) -> None:
    stream = case.tracker.stream(case.source())
    await tick()
    async for _ in stream:
        case.seen += 1
        await tick()
    case.is_done = True


async def alone_inside_async_with(case: Case) -> None:
    async with case.tracker.stream(case.source()) as stream:
        await tick()
        async for _ in stream:
            case.seen += 1
            await tick()
    case.is_done = True


async def inside_a_run(case: Case) -> None:
    async with case.tracker.run() as run:
        case.is_entered = True
        await tick()
        async for _ in run.stream(case.source()):
            case.seen += 1
            await tick()
        await run.call(opening(Provider(), lambda _: "answer"))
        await run.track_feedback("positive")
        case.is_done = True


async def inside_a_run_and_async_with(case: Case) -> None:
    async with case.tracker.run() as run:
        case.is_entered = True
        async with run.stream(case.source()) as stream:
            async for _ in stream:
                case.seen += 1
                await tick()
        case.is_done = True


async def through_a_generator(case: Case) -> None:
    async def chunks() -> AsyncIterator[Any]:
        async with case.tracker.run() as run:
            case.is_entered = True
            async for chunk in run.stream(case.source()):
                case.seen += 1
                yield chunk
            case.is_done = True

    async for _ in chunks():
        await tick()


async def in_a_task_group(case: Case) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(inside_a_run, case)
        await tick()


SCENES: tuple[Callable[[Case], Awaitable[None]], ...] = (
    alone,
    alone_inside_async_with,
    inside_a_run,
    inside_a_run_and_async_with,
    through_a_generator,
    in_a_task_group,
)


def check(case: Case) -> None:
    """Whatever happened to it, a case has recorded what it knows, once, and closed what it opened."""
    counts = Counter(case.names)
    assert all(counts[name] <= 1 for name in ONCE)
    assert sum(counts[name] for name in OUTCOMES) <= 1
    assert counts["tool_call"] <= 1
    provider, summary = case.provider, case.tracker.summary
    is_begun = case.is_entered or len(provider.tasks) > 0
    assert counts["duration:total"] >= is_begun
    assert counts["tokens:ttf"] == (case.seen >= 1)
    assert counts["tool_call"] == (case.seen >= 2)
    assert counts["tokens:total"] == (case.seen >= 3)
    assert counts["generation:error"] == 0
    assert (summary.outcome is Outcome.SUCCESS) == (counts["generation:success"] == 1)
    if case.is_done:
        assert summary.outcome is Outcome.SUCCESS
    elif is_begun and case.seen < 3:  # after the third there is nothing left to miss
        assert summary.outcome is Outcome.CANCELLED
        assert summary.ending in {Ending.CANCELLED, Ending.CLOSED_EARLY, None}
    is_open = provider.is_open if case.kind.is_lazy else case.is_asked
    expected = case.kind.closing(is_opened=True, is_begun=provider.reads > 0)
    assert provider.closing == (expected if is_open else [])


def check_all(stage: Stage, cases: list[Case]) -> None:
    """Every case, and nothing left over of any."""
    for case in cases:
        check(case)
    stage.assert_clean()


async def cancelled_after(rounds: int, work: Any, cancel: Callable[[asyncio.Task[Any]], Any]) -> bool:
    """Whether it was in time to cancel this piece of work."""
    task = asyncio.create_task(work)
    for _ in range(rounds):
        await tick()
    if task.done():
        task.result()
        return False
    cancel(task)
    await asyncio.wait([task])
    return True


every_scene = pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
every_kind = pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=name.replace(" ", "_")) for name, kind in KINDS.items()]
)
every_ledger = pytest.mark.parametrize("ledger", [RecordingLedger, LateLedger])


@every_scene
@every_kind
@every_ledger
def test_cancelled_at_every_point(scene: Any, kind: Kind, ledger: type[RecordingLedger]) -> None:
    """By ``task.cancel()``, which is delivered once."""
    stage = Stage(settle_timeout=600)
    stage.ledger = stage.recorder.ledger = ledger()
    cases: list[Case] = []

    async def play(stage: Stage) -> None:
        for rounds in itertools.count():
            assert rounds < TOO_LATE
            case = Case(stage, kind)
            cases.append(case)
            tasks: list[asyncio.Task[Any]] = []

            def cancel(task: asyncio.Task[Any], tasks: Any = tasks) -> None:
                tasks.append(task)
                task.cancel()

            if not await cancelled_after(rounds, scene(case), cancel):
                assert case.is_done
                break
            assert tasks[0].cancelled(), "the cancellation passes"
            tasks.clear()
            await settled(stage)

    stage.play(play)
    assert len(cases) > 6
    check_all(stage, cases)


@every_scene
@every_kind
@every_ledger
def test_cancelled_at_every_point_by_a_scope(scene: Any, kind: Kind, ledger: type[RecordingLedger]) -> None:
    """By an anyio scope, which cancels every wait until it is left."""
    stage = Stage(settle_timeout=600)
    stage.ledger = stage.recorder.ledger = ledger()
    cases: list[Case] = []

    async def play(stage: Stage) -> None:
        for rounds in itertools.count():
            assert rounds < TOO_LATE
            case = Case(stage, kind)
            cases.append(case)
            scope = anyio.CancelScope()

            async def scoped(case: Case = case, scope: anyio.CancelScope = scope) -> None:
                with scope:
                    await scene(case)

            if not await cancelled_after(rounds, scoped(), lambda _, scope=scope: scope.cancel()):
                assert case.is_done
                break
            await settled(stage)

    stage.play(play)
    assert len(cases) > 6
    check_all(stage, cases)


async def settled(stage: Stage) -> None:
    """Wait for what late ledgers, abandoned streams and dropped generators have yet to do."""
    for _ in range(10):
        await tick()
    await stage.quiet()


# Several tasks, several times


@attrs.frozen
class User:
    """Who runs a scene, and when somebody loses patience."""

    scene: Any
    kind: str
    starts: int
    cancels: tuple[int, ...]
    """After how many more rounds each: the later ones fall into what the earlier ones set off."""
    by_scope: bool


USERS = st.builds(
    User,
    st.sampled_from(SCENES),
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 6),
    st.lists(st.integers(0, 30), max_size=3).map(tuple),
    st.booleans(),
)


async def impatient(user: User, case: Case) -> None:
    """Run one user's scene, and cancel it as drawn."""
    for _ in range(user.starts):
        await tick()
    scope = anyio.CancelScope()

    async def scoped() -> None:
        with scope:
            await user.scene(case)

    task = asyncio.create_task(scoped())
    for rounds in user.cancels:
        for _ in range(rounds):
            await tick()
        if user.by_scope:
            scope.cancel()
        else:
            task.cancel()
    await asyncio.wait([task])
    error = None if task.cancelled() else task.exception()
    assert error is None, error
    assert case.is_done or task.cancelled() or scope.cancel_called


@given(users=st.lists(USERS, min_size=1, max_size=4), late=st.booleans())
def test_several_users_lose_patience(users: list[User], late: bool) -> None:
    """However they are cancelled, none of them disturbs its own record or another's."""
    stage = Stage(settle_timeout=600)
    if late:
        stage.ledger = stage.recorder.ledger = LateLedger()
    cases = [Case(stage, KINDS[user.kind]) for user in users]

    async def play(stage: Stage) -> None:
        await asyncio.gather(*[impatient(user, case) for user, case in zip(users, cases, strict=True)])
        await settled(stage)

    stage.play(play)
    check_all(stage, cases)


@given(
    users=st.lists(USERS, min_size=1, max_size=3),
    failures=st.lists(st.integers(0, 12), max_size=4, unique=True),
    late=st.booleans(),
)
def test_several_users_and_a_ledger_that_fails(users: list[User], failures: list[int], late: bool) -> None:
    """What fails is counted and never told to anybody; what does not fail is recorded once."""
    base = LateLedger if late else RecordingLedger

    class Failing(base):  # type: ignore[misc, valid-type]  # one of two known classes
        def _record(self, claim: Claim) -> bool:
            if self.submitted in failures and claim.metric.name != "feedback":
                self.fail_next()
            return super()._record(claim)

        def submit(self, claim: Claim) -> Any:
            if not late:
                return super().submit(claim)
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            self.submitted += 1
            loop.call_soon(loop.call_soon, self.answer, claim, future)
            return future

        def answer(self, claim: Claim, future: asyncio.Future[bool]) -> None:
            try:
                future.set_result(self._record(claim))
            except Exception as error:  # noqa: BLE001 - handed on
                future.set_exception(error)

    stage = Stage(settle_timeout=600)
    stage.ledger = stage.recorder.ledger = Failing()
    cases = [Case(stage, KINDS[user.kind]) for user in users]

    async def play(stage: Stage) -> None:
        await asyncio.gather(*[impatient(user, case) for user, case in zip(users, cases, strict=True)])
        await settled(stage)

    stage.play(play)
    for case in cases:
        counts = Counter(case.names)
        assert all(counts[name] <= 1 for name in [*ONCE, "tool_call"])
        assert sum(counts[name] for name in OUTCOMES) <= 1
        assert len(case.provider.closing) == len(set(case.provider.closing))
    assert [problem for problem in stage.problems if "could not record" not in problem] == []
    assert stage.recorder.open_calls == set()
    assert stage.recorder._tasks == set()
