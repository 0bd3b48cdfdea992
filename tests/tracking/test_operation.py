"""Whole operations: ``track_duration_of`` and ``track_metrics_of`` call a function and record what it did."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from stage import Stage

from ldtrack.core.values import Ending, LDAIMetrics, Outcome, TokenUsage


class AppError(Exception):
    """What goes wrong in the application."""


def playing(scene: Any, failures: dict[str, int] | None = None, **options: Any) -> Stage:
    """Play a scene; nothing may go wrong unseen but these failures."""
    stage = Stage(**options)
    stage.play(scene)
    assert dict(stage.recorder.failures) == (failures or {})
    assert len(stage.problems) == len(failures or {})
    return stage


class Work:
    """Functions of every kind that take 12 ms and return an answer, or raise."""

    def __init__(self, stage: Stage, error: BaseException | None = None) -> None:
        self.stage = stage
        self.error = error
        self.answer = object()
        self.calls = 0

    def plain(self) -> object:
        self.calls += 1
        self.stage.clock.advance(ms=12.5)
        if self.error is not None:
            raise self.error
        return self.answer

    async def coroutine(self) -> object:
        return self.plain()

    def future(self) -> Any:
        return asyncio.ensure_future(self.coroutine())

    def __call__(self) -> object:
        return self.plain()


KINDS: dict[str, Callable[[Work], Callable[[], Any]]] = {
    "function": lambda work: work.plain,
    "coroutine function": lambda work: work.coroutine,
    "function that returns a future": lambda work: work.future,
    "callable object": lambda work: work,
    "partial": lambda work: partial(work.coroutine),
}
every_kind = pytest.mark.parametrize("kind", list(KINDS))


def found(_: object) -> LDAIMetrics:
    return LDAIMetrics(tokens=TokenUsage(3, 1, 2), tool_calls=["search"])


@every_kind
def test_a_duration_is_recorded(kind: str) -> None:
    """Of whatever can be called; what it returns passes unchanged."""

    async def scene(stage: Stage) -> None:
        work = Work(stage)
        assert await stage.tracker.track_duration_of(KINDS[kind](work)) is work.answer
        assert work.calls == 1

    assert playing(scene).events == [("duration:total", 12)]


@every_kind
@pytest.mark.parametrize("error", [AppError(), asyncio.CancelledError(), KeyboardInterrupt()])
def test_a_duration_is_recorded_on_every_exit(kind: str, error: BaseException) -> None:
    """The exception passes unchanged."""
    if kind == "function that returns a future" and not isinstance(error, Exception):
        error = AppError()  # a task would take these for its own

    async def scene(stage: Stage) -> None:
        with pytest.raises(type(error)) as caught:
            await stage.tracker.track_duration_of(KINDS[kind](Work(stage, error)))
        assert caught.value is error
        caught = None  # type: ignore[assignment]  # lets go of the frames

    assert playing(scene).events == [("duration:total", 12)]


def test_a_duration_is_recorded_when_the_wait_is_cancelled() -> None:
    """The cancellation reaches the function and passes."""

    async def scene(stage: Stage) -> None:
        started, reached = asyncio.Event(), []

        async def wait() -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                stage.clock.advance(ms=5)
                reached.append(True)

        task = asyncio.create_task(stage.tracker.track_duration_of(wait))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reached == [True]

    assert playing(scene).events == [("duration:total", 5)]


def test_a_second_duration_is_dropped() -> None:
    """Quietly: the function's result matters more than its timing."""

    async def scene(stage: Stage) -> None:
        assert await stage.tracker.track_duration(7) is True
        assert await stage.tracker.track_duration_of(lambda: "answer") == "answer"

    assert playing(scene).events == [("duration:total", 7)]


def test_a_ledger_that_fails_is_not_the_functions_fault() -> None:
    """Its result passes; the failure is counted."""

    async def scene(stage: Stage) -> None:
        stage.ledger.fail_next(1)
        assert await stage.tracker.track_duration_of(lambda: "answer") == "answer"

    assert playing(scene, {"duration": 1}).events == []


@every_kind
def test_metrics_are_recorded(kind: str) -> None:
    """Duration, outcome, tokens and tool calls, as the extractor finds them; the result passes unchanged."""

    async def scene(stage: Stage) -> None:
        work = Work(stage)
        seen: list[object] = []

        def extractor(answer: object) -> LDAIMetrics:
            seen.append(answer)
            return found(answer)

        assert await stage.tracker.track_metrics_of(extractor, KINDS[kind](work)) is work.answer
        assert seen == [work.answer]

    stage = playing(scene)
    assert stage.events == [
        ("duration:total", 12),
        ("generation:success", 1),
        ("tokens:total", 3),
        ("tokens:input", 1),
        ("tokens:output", 2),
        ("tool_call", 1),
    ]


def test_the_extractor_may_call_it_a_failure() -> None:
    """And state the duration."""

    async def scene(stage: Stage) -> None:
        await stage.tracker.track_metrics_of(
            lambda _: LDAIMetrics(success=False, duration_ms=3), Work(stage).coroutine
        )

    assert playing(scene).events == [("duration:total", 3), ("generation:error", 1)]


@every_kind
def test_an_exception_is_an_error(kind: str) -> None:
    """Timed, recorded as an error, and passed on; the extractor is not asked."""
    error = AppError()

    async def scene(stage: Stage) -> None:
        with pytest.raises(AppError) as caught:
            await stage.tracker.track_metrics_of(
                lambda answer: answer.missing, KINDS[kind](Work(stage, error))
            )
        assert caught.value is error
        caught = None  # type: ignore[assignment]  # lets go of the frames

    assert playing(scene).events == [("duration:total", 12), ("generation:error", 1)]


def test_a_cancellation_is_neither() -> None:
    """Timed, cancelled in the summary, and passed on."""

    async def scene(stage: Stage) -> None:
        started = asyncio.Event()

        async def wait() -> None:
            started.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(stage.tracker.track_metrics_of(found, wait))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    stage = playing(scene)
    assert stage.events == [("duration:total", 0)]
    assert stage.tracker.summary.outcome is Outcome.CANCELLED
    assert stage.tracker.summary.ending is Ending.CANCELLED


@pytest.mark.parametrize(
    ("extractor", "failures"),
    [
        (lambda _: None, {}),
        (lambda answer: answer.missing, {"extractor": 1}),
        (lambda _: 5, {"extractor": 1}),
    ],
)
def test_an_extractor_without_an_answer(extractor: Any, failures: dict[str, int]) -> None:
    """The result passes, and what is known is recorded."""

    async def scene(stage: Stage) -> None:
        work = Work(stage)
        assert await stage.tracker.track_metrics_of(extractor, work) is work.answer

    assert playing(scene, failures).events == [("duration:total", 12), ("generation:success", 1)]


def test_metrics_of_several_operations() -> None:
    """As with LaunchDarkly's own SDK: the first of each metric counts, tool calls all do."""

    async def scene(stage: Stage) -> None:
        for _ in range(2):
            await stage.tracker.track_metrics_of(found, Work(stage))

    stage = playing(scene)
    names = [name for name, _ in stage.events]
    assert names.count("duration:total") == names.count("generation:success") == 1


async def chunks():
    yield "a"


@pytest.mark.parametrize(
    ("func", "remedy"),
    [
        pytest.param("text", "pass the function, uncalled", id="text"),
        pytest.param(None, "pass the function, uncalled", id="None"),
        pytest.param(chunks, r"use tracker\.stream\(func\(\)\)", id="async generator function"),
    ],
)
@pytest.mark.parametrize("what", ["track_duration_of", "track_metrics_of"])
def test_what_is_no_operation_is_refused(func: Any, remedy: str, what: str) -> None:
    """Before anything is called or claimed; the message names the method and the remedy."""

    async def scene(stage: Stage) -> None:
        arguments = (func,) if what == "track_duration_of" else (found, func)
        with pytest.raises(TypeError, match=remedy) as caught:
            await getattr(stage.tracker, what)(*arguments)
        assert what in str(caught.value)
        assert await stage.tracker.track_duration_of(lambda: 1) == 1

    assert playing(scene).events == [("duration:total", 0)]


def test_a_coroutine_instead_of_a_function_is_refused() -> None:
    """The commonest slip: the function was called already. The coroutine is its caller's to await."""

    async def scene(stage: Stage) -> None:
        coroutine = Work(stage).coroutine()
        with pytest.raises(TypeError, match="uncalled"):
            await stage.tracker.track_duration_of(coroutine)
        await coroutine

    playing(scene)
