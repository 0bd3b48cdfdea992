"""A run: what it times, what it takes in, and what it records on every way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from fake_provider import CHUNK_MS, OPEN_MS, Chunk, Manager, Plain, Provider, WithAclose, opening, tick
from stage import Stage

from ldtrack.core.values import Ending, Feedback, JudgeResult, LDAIMetrics, Outcome, TokenUsage
from ldtrack.exceptions import LedgerError, MisuseError
from ldtrack.tracking.run import Run


def playing(scene: Any, failures: dict[str, int] | None = None, **options: Any) -> Stage:
    """Play a scene; nothing may go wrong unseen but these failures, each kind logged once."""
    stage = Stage(**options)
    stage.play(scene)
    assert dict(stage.recorder.failures) == (failures or {})
    logged = [problem for problem in stage.problems if "ldtrack could not record something" in problem]
    assert len(logged) == len(failures or {})
    stage.problems = [problem for problem in stage.problems if problem not in logged]
    stage.recorder.failures.clear()
    stage.assert_clean()
    return stage


async def read(stream: Any) -> None:
    async for _ in stream:
        pass


def usage(*counts: int) -> Any:
    """A provider's only chunk, with usage."""
    return (Chunk("a", usage=counts, tools=(f"tool{counts[0]}",)),)


async def outcome_of(work: Any) -> BaseException | None:
    """What this raises, of whatever kind."""
    try:
        await work
    except BaseException as error:  # noqa: BLE001 - as it says
        return error
    return None


class AppError(Exception):
    """What goes wrong in the application."""


# The clock


@pytest.mark.parametrize(
    ("spent", "recorded"), [(0, 0), (0.9, 0), (1, 1), (1.999, 1), (2, 2), (1234.5678, 1234)]
)
def test_duration_is_rounded_down(spent: float, recorded: int) -> None:
    """Whole milliseconds that have passed."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run():
            stage.clock.advance(ms=spent)

    assert playing(scene).events == [("duration:total", recorded), ("generation:success", 1)]


def test_the_first_token_counts_from_the_start_of_the_run() -> None:
    """Including what the app did before it asked the model."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            stage.clock.advance(ms=7)
            await read(run.stream(opening(stage.provider, Provider.generator)))
            stage.clock.advance(ms=1)

    stage = playing(scene)
    assert stage.tracker.summary.time_to_first_token == 7 + OPEN_MS + CHUNK_MS
    assert stage.tracker.summary.duration_ms == 7 + OPEN_MS + 3 * CHUNK_MS + 1


@pytest.mark.parametrize(
    ("wrap", "waited_ms"),
    [
        pytest.param(None, 50, id="open"),
        pytest.param(opening, 0, id="coroutine"),
        pytest.param(Manager, 0, id="manager"),
    ],
)
@pytest.mark.parametrize("enter", [False, True])
def test_a_stream_alone_counts_from_its_request(wrap: Any, waited_ms: int, enter: bool) -> None:
    """An open source was requested before the call; an awaitable one is when it is first awaited."""

    async def scene(stage: Stage) -> None:
        source = stage.provider.generator() if wrap is None else wrap(stage.provider, Provider.generator)
        stage.clock.advance(ms=1000)
        stream = stage.tracker.stream(source)
        stage.clock.advance(ms=50)
        if enter:
            async with stream:
                await read(stream)
        else:
            await read(stream)

    stage = playing(scene)
    opening_ms = 0 if wrap is None else OPEN_MS
    assert stage.tracker.summary.time_to_first_token == waited_ms + opening_ms + CHUNK_MS
    assert stage.tracker.summary.duration_ms == waited_ms + opening_ms + 3 * CHUNK_MS


def test_a_stream_alone_ends_when_it_is_exhausted() -> None:
    """Time that passes until somebody looks does not count."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(stage.provider.generator())
        await read(stream)
        stage.clock.advance(ms=500)
        await stream.aclose()

    assert playing(scene).tracker.summary.duration_ms == 3 * CHUNK_MS


# Model time


def slowly(stage: Stage, stream: Any) -> Any:
    async def consume() -> None:
        async with stream:
            async for _ in stream:
                stage.clock.advance(ms=1000)

    return consume()


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("wrap", [None, opening, Manager])
def test_a_slow_consumer_does_not_look_like_a_slow_model(alone: bool, wrap: Any) -> None:
    """``model_ms`` counts what the provider took, opening included; the duration counts it all."""

    async def scene(stage: Stage) -> None:
        source = stage.provider.generator() if wrap is None else wrap(stage.provider, Provider.generator)
        if alone:
            await slowly(stage, stage.tracker.stream(source, model_time=True))
        else:
            async with stage.tracker.run(model_time=True) as run:
                await slowly(stage, run.stream(source))

    summary = playing(scene).tracker.summary
    model_ms = 3 * CHUNK_MS + (0 if wrap is None else OPEN_MS)
    assert summary.model_ms == model_ms
    assert summary.duration_ms == model_ms + 3000


@pytest.mark.parametrize("alone", [False, True])
def test_duration_may_be_the_models(alone: bool) -> None:
    """``duration="model"`` puts it on the wire."""

    async def scene(stage: Stage) -> None:
        if alone:
            await slowly(stage, stage.tracker.stream(stage.provider.generator(), duration="model"))
        else:
            async with stage.tracker.run(duration="model") as run:
                await slowly(stage, run.stream(stage.provider.generator()))
                await run.call(opening(stage.provider, lambda _: "answer"))

    assert playing(scene).events[0] == ("duration:total", 3 * CHUNK_MS + (0 if alone else OPEN_MS))


@pytest.mark.parametrize("options", [{}, {"model_time": False}])
def test_model_time_of_streams_is_measured_where_it_is_wanted(options: dict[str, Any]) -> None:
    """It costs two clock readings per chunk."""

    async def scene(stage: Stage) -> None:
        await read(stage.tracker.stream(stage.provider.generator(), **options))

    assert playing(scene).tracker.summary.model_ms is None
    wanted = playing(scene, model_time=True).tracker.summary.model_ms
    assert wanted == (None if options else 3 * CHUNK_MS), "set for the client, unless the run says no"


def test_model_time_of_calls_costs_nothing() -> None:
    """Two readings per call are always made."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            await run.call(opening(stage.provider, lambda _: "answer"))
            stage.clock.advance(ms=1000)
            with pytest.raises(AppError):
                await run.call(failing(stage))

    assert playing(scene).tracker.summary.model_ms == OPEN_MS + 5


async def failing(stage: Stage) -> None:
    stage.clock.advance(ms=5)
    raise AppError


def test_model_time_that_was_measured_in_part_is_none() -> None:
    """A stream whose waiting nobody measured makes the sum unknown, not small; the wall clock stands in."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            await run.call(opening(stage.provider, lambda _: "answer"))
            await read(run.stream(stage.provider.generator()))

    assert playing(scene).tracker.summary.model_ms is None

    async def observing(stage: Stage) -> None:
        async with stage.tracker.run(duration="model") as run:
            stage.clock.advance(ms=40)
            run.observe("answer")

    assert playing(observing).tracker.summary.duration_ms == 40


def test_model_time_of_asend() -> None:
    """Asking by another way is asking all the same."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.stream(stage.provider.generator(), model_time=True) as stream:
            await stream.asend(None)
            stage.clock.advance(ms=1000)
            await stream.asend(None)

    assert playing(scene).tracker.summary.model_ms == 2 * CHUNK_MS


@pytest.mark.parametrize("options", [{"duration": "cpu"}, {"cancelled_as": "error"}, {"cancelled_as": True}])
def test_wrong_options_are_refused_at_once(options: dict[str, Any]) -> None:
    """And leave the tracker as fresh as before."""

    async def scene(stage: Stage) -> None:
        with pytest.raises((TypeError, ValueError)):
            stage.tracker.run(**options)
        with pytest.raises((TypeError, ValueError)):
            stage.tracker.stream(stage.provider.generator(), **options)
        async with stage.tracker.run():
            pass

    playing(scene)


# Several calls


def test_several_calls_are_one_execution() -> None:
    """Usage is summed, tool calls are listed, the first token is the first one's."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            stage.clock.advance(ms=3)
            await read(run.stream(stage.new_provider(chunks=usage(1, 2)).generator()))
            await read(run.stream(stage.new_provider(chunks=usage(10, 20)).generator()))
            run.observe(Chunk("c", usage=(100, 200), tools=("tool100",)))
            answer = Chunk("d", usage=(1000, 2000), tools=("tool1000",))
            assert await run.call(opening(stage.new_provider(), lambda _: answer)) is answer

    stage = playing(scene)
    summary = stage.tracker.summary
    assert summary.tokens == TokenUsage(3333, 1111, 2222)
    assert summary.tool_calls == ("tool1", "tool10", "tool100", "tool1000")
    assert summary.time_to_first_token == 3 + CHUNK_MS
    assert summary.duration_ms == 3 + 2 * CHUNK_MS + OPEN_MS
    assert [name for name, _ in stage.events] == [
        "duration:total",
        "tokens:ttf",
        "generation:success",
        "tokens:total",
        "tokens:input",
        "tokens:output",
        *["tool_call"] * 4,
    ]


def test_the_first_token_of_calls_that_overlap() -> None:
    """The one that came first, whichever call it belongs to."""

    async def scene(stage: Stage) -> None:
        slow = stage.new_provider(waits_at=0)
        fast = stage.new_provider()
        async with stage.tracker.run() as run:
            task = asyncio.create_task(read(run.stream(slow.generator())))
            await slow.waiting.wait()
            await read(run.stream(fast.generator()))
            slow.go_on.set()
            await task

    assert playing(scene).tracker.summary.time_to_first_token == 2 * CHUNK_MS


@pytest.mark.parametrize(
    ("ways", "ending"),
    [
        (["fail", "ok"], Ending.COMPLETED),
        (["ok", "fail"], Ending.FAILED),
        (["ok", "break"], Ending.CLOSED_EARLY),
        (["break", "ok"], Ending.COMPLETED),
        (["fail", "fail", "ok"], Ending.COMPLETED),
    ],
)
def test_the_last_call_decides(ways: list[str], ending: Ending) -> None:
    """A retry that worked makes a success of the run."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            for way in ways:
                provider = stage.new_provider(raises_at=0 if way == "fail" else None)
                try:
                    async with run.stream(provider.generator()) as stream:
                        async for _ in stream:
                            if way == "break":
                                break
                except ConnectionError:
                    pass

    assert playing(scene).tracker.summary.ending is ending


def test_the_call_that_began_last_decides() -> None:
    """Not the one that ended last; a stream that nobody read says nothing."""

    async def scene(stage: Stage) -> None:
        early, late = stage.new_provider(), stage.new_provider(raises_at=0)
        async with stage.tracker.run() as run:
            outer = run.stream(early.generator())
            await anext(outer)
            with pytest.raises(ConnectionError):
                await read(run.stream(late.generator()))
            await read(outer)
            stage.kept.append(run.stream(Provider().generator()))

    stage = playing(scene)
    assert stage.tracker.summary.ending is Ending.FAILED
    assert stage.tracker.summary.outcome is Outcome.ERROR


def test_a_run_in_which_nobody_read_anything() -> None:
    """Its only stream was never asked: closed early."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            run.stream(stage.provider.generator())

    assert playing(scene).tracker.summary.ending is Ending.CLOSED_EARLY


def test_operations_of_a_run_are_its_calls() -> None:
    """Measured as calls, recorded when it is left; a duration is recorded at once, and is the run's."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            assert run.run_id == stage.tracker.run_id
            for tokens in (1, 10):
                found = metrics(tokens=TokenUsage(tokens), tool_calls=[f"tool{tokens}"])
                work = opening(Provider(stage.clock.advance), lambda _: "answer")
                assert await run.track_metrics_of(found, lambda work=work: work) == "answer"
            assert stage.events == []
            assert await run.track_duration_of(lambda: stage.clock.advance(ms=7)) is None
        with pytest.raises(MisuseError, match=r"run\.track_metrics_of"):
            await run.track_metrics_of(metrics(), lambda: "answer")

    stage = playing(scene)
    summary = stage.tracker.summary
    assert (summary.duration_ms, summary.success, summary.tokens) == (7, True, TokenUsage(11))
    assert summary.tool_calls == ("tool1", "tool10")
    assert summary.model_ms == 2 * OPEN_MS


def test_a_run_without_calls() -> None:
    """Timed, and a success if nothing was raised."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run():
            stage.clock.advance(ms=4)

    stage = playing(scene)
    assert stage.events == [("duration:total", 4), ("generation:success", 1)]
    assert stage.tracker.summary.ending is None


def test_runs_do_not_see_each_other() -> None:
    """Nested and concurrent: each has its own clock, calls and outcome."""

    async def scene(stage: Stage) -> None:
        outer, inner = stage.new_tracker(), stage.new_tracker()
        stage.kept += [outer, inner]
        async with outer.run() as outer_run:
            stage.clock.advance(ms=1)
            with pytest.raises(AppError):
                async with inner.run() as inner_run:
                    stage.clock.advance(ms=10)
                    await read(inner_run.stream(stage.new_provider(chunks=usage(1, 1)).generator()))
                    outer_run.observe(Chunk(usage=(7, 7)))
                    raise AppError
            stage.clock.advance(ms=100)

    stage = playing(scene)
    outer, inner = (tracker.summary for tracker in stage.kept)
    assert (outer.duration_ms, outer.success, outer.tokens) == (111 + CHUNK_MS, True, TokenUsage(14, 7, 7))
    assert (inner.duration_ms, inner.success, inner.tokens) == (10 + CHUNK_MS, False, TokenUsage(2, 1, 1))
    assert (outer.time_to_first_token, outer.tool_calls) == (None, ())


async def test_many_runs_at_once() -> None:
    """Twenty tasks, twenty runs, one recorder."""
    stage = Stage()

    async def one(number: int) -> Any:
        tracker = stage.new_tracker()
        async with tracker.run() as run:
            await read(run.stream(Provider(chunks=usage(number, 1)).generator()))
        return tracker.summary

    summaries = await asyncio.gather(*[one(number) for number in range(1, 21)])
    assert [summary.tokens.input for summary in summaries] == list(range(1, 21))
    assert len(stage.ledger.claims) == 20 * 5


# What is tracked explicitly wins


EXPLICIT: dict[str, tuple[Callable[[Run], Any], tuple[str, Any]]] = {
    "duration": (lambda run: run.track_duration(999), ("duration:total", 999)),
    "first token": (lambda run: run.track_time_to_first_token(999), ("tokens:ttf", 999)),
    "success": (lambda run: run.track_success(), ("generation:success", 1)),
    "error": (lambda run: run.track_error(), ("generation:error", 1)),
    "tokens": (lambda run: run.track_tokens(TokenUsage(999)), ("tokens:total", 999)),
    "tool call": (lambda run: run.track_tool_call("mine"), ("tool_call", 1)),
    "tool calls": (lambda run: run.track_tool_calls(["mine"]), ("tool_call", 1)),
}


@pytest.mark.parametrize("what", list(EXPLICIT))
@pytest.mark.parametrize("raises", [False, True])
def test_what_is_tracked_explicitly_wins(what: str, raises: bool) -> None:
    """The exit records the rest, and nothing twice; that is no duplicate anybody should hear of."""
    track, event = EXPLICIT[what]

    async def scene(stage: Stage) -> None:
        try:
            async with stage.tracker.run() as run:
                assert await track(run) is True
                await read(run.stream(stage.new_provider(chunks=usage(1, 2)).generator()))
                if raises:
                    raise AppError
        except AppError:
            pass

    stage = playing(scene)
    assert stage.events[0] == event
    names = [name for name, _ in stage.events]
    kinds = {"generation" if name.startswith("generation") else name for name in names}
    assert kinds == {"duration:total", "tokens:ttf", "generation", "tokens:total", "tool_call"} | (
        set() if what == "tokens" else {"tokens:input", "tokens:output"}
    )
    assert len(names) == len(kinds)
    assert stage.recorder.duplicates == 0


def test_tracking_the_same_twice_inside_a_run() -> None:
    """The second time is told apart and logged, as everywhere."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            assert await run.track_success() is True
            assert await run.track_error() is False

    stage = Stage()
    stage.play(scene)
    assert stage.recorder.duplicates == 1
    assert stage.tracker.summary.success is True
    assert "is recorded already" in stage.problems[0]


def test_feedback_and_judges_have_no_say_in_a_run() -> None:
    """They are recorded beside it."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            assert await run.track_feedback("positive")
            judged = JudgeResult(metric_key="relevance", score=0.5, success=True, sampled=True)
            assert await run.track_judge_result(judged)
            assert run.summary.feedback is Feedback.POSITIVE
            assert run.resumption_token == stage.tracker.run_id

    assert [name for name, _ in playing(scene).events] == [
        "feedback:user:positive",
        "relevance",
        "duration:total",
        "generation:success",
    ]


def test_a_wrong_value_inside_a_run_is_the_runs_error() -> None:
    """It raises at once, spends nothing, and the exit records what it knows."""

    async def scene(stage: Stage) -> None:
        with pytest.raises(ValueError, match="negative"):
            async with stage.tracker.run() as run:
                await run.track_duration(-1)

    assert playing(scene).events == [("duration:total", 0), ("generation:error", 1)]


# Ways out


ERRORS = [AppError(), KeyError("x"), BaseExceptionGroup("several", [AppError()]), TimeoutError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_left_by_an_exception(error: BaseException) -> None:
    """Duration and error; the exception passes unchanged."""

    async def scene(stage: Stage) -> None:
        with pytest.raises(type(error)) as caught:
            async with stage.tracker.run():
                stage.clock.advance(ms=2)
                raise error
        assert caught.value is error
        assert error.__context__ is None

    assert playing(scene).events == [("duration:total", 2), ("generation:error", 1)]


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(), GeneratorExit()]
)
@pytest.mark.parametrize("cancelled_as", [None, *Outcome])
def test_left_by_being_stopped(error: BaseException, cancelled_as: Outcome | None) -> None:
    """Neither success nor error, unless the run says what it counts as."""

    async def scene(stage: Stage) -> None:
        with pytest.raises(type(error)) as caught:
            async with stage.tracker.run(cancelled_as=cancelled_as):
                stage.clock.advance(ms=2)
                raise error
        assert caught.value is error

    stage = playing(scene)
    outcome = cancelled_as or Outcome.CANCELLED
    told = {Outcome.SUCCESS: ["generation:success"], Outcome.ERROR: ["generation:error"]}.get(outcome, [])
    assert [name for name, _ in stage.events] == ["duration:total", *told]
    assert stage.tracker.summary.outcome is outcome


@pytest.mark.parametrize("alone", [False, True])
def test_a_stream_that_is_closed_early_counts_as_cancelled(alone: bool) -> None:
    """``cancelled_as`` speaks of both."""

    async def scene(stage: Stage) -> None:
        options: Any = {"cancelled_as": Outcome.ERROR}
        if alone:
            async with stage.tracker.stream(stage.provider.generator(), **options) as stream:
                await anext(stream)
        else:
            async with stage.tracker.run(**options) as run:
                await anext(run.stream(stage.provider.generator()))

    stage = playing(scene)
    assert stage.events[-1] == ("generation:error", 1)
    assert stage.tracker.summary.ending is Ending.CLOSED_EARLY


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (None, Ending.CLOSED_EARLY),
        (AppError(), Ending.FAILED),
        (asyncio.CancelledError(), Ending.CANCELLED),
        (GeneratorExit(), Ending.CLOSED_EARLY),
    ],
)
@pytest.mark.parametrize("make", [Provider.generator, Provider.with_aclose, Provider.like_openai])
def test_what_is_open_ends_with_the_run(error: BaseException | None, ending: Ending, make: Any) -> None:
    """Its streams are settled with it and closed before the block is left."""

    async def scene(stage: Stage) -> None:
        async def block() -> None:
            async with stage.tracker.run() as run:
                stage.kept.append(run.stream(make(stage.provider)))
                await anext(stage.kept[0])
                if error is not None:
                    raise error

        assert await outcome_of(block()) is error
        assert stage.provider.closing != []
        assert not stage.recorder.open_calls
        assert await anext(stage.kept[0], "over") == "over"

    stage = playing(scene)
    assert stage.tracker.summary.ending is ending
    assert stage.tracker.summary.time_to_first_token == CHUNK_MS


@pytest.mark.parametrize(
    ("finish", "after", "outcome"),
    [
        pytest.param(True, False, Outcome.SUCCESS, id="after the mark"),
        pytest.param(False, False, Outcome.CANCELLED, id="before the mark"),
        pytest.param(True, True, Outcome.CANCELLED, id="between two calls"),
    ],
)
def test_left_with_the_generator_that_hands_the_chunks_on(
    finish: bool, after: bool, outcome: Outcome
) -> None:
    """What a web framework closes when its client has gone: only a finished answer is a success."""

    async def scene(stage: Stage) -> None:
        provider = stage.new_provider(chunks=(Chunk("a", finish=finish), Chunk("b")))

        async def answer() -> AsyncIterator[str]:
            async with stage.tracker.run() as run:
                async for chunk in run.stream(provider.generator()):
                    yield chunk.text
                yield "now for the second call"

        chunks = answer()
        for _ in range(3 if after else 1):
            await anext(chunks)
        await chunks.aclose()
        await stage.quiet()

    assert playing(scene).tracker.summary.outcome is outcome


def test_left_with_the_generator_without_a_stream() -> None:
    """Closed before it asked a model: cancelled."""

    async def scene(stage: Stage) -> None:
        async def answer() -> AsyncIterator[str]:
            async with stage.tracker.run():
                yield "soon"

        chunks = answer()
        await anext(chunks)
        await chunks.aclose()

    assert playing(scene).tracker.summary.outcome is Outcome.CANCELLED


def test_cancelled_by_an_anyio_scope() -> None:
    """Every wait inside it is cancelled, and still the streams are closed and the run is recorded."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at=1)
        with anyio.CancelScope() as scope:
            async with stage.tracker.run() as run:
                stream = run.stream(Manager(stage.provider, Provider.with_aclose))
                await anext(stream)
                scope.cancel()
                await anext(stream)
        assert scope.cancelled_caught

    stage = playing(scene)
    assert stage.provider.closing == ["exit"]
    assert stage.tracker.summary.outcome is Outcome.CANCELLED


# Answers that do not stream


def metrics(**fields: Any) -> Callable[[Any], LDAIMetrics]:
    """An extractor that finds these."""
    return lambda answer: LDAIMetrics(**fields)


@pytest.mark.parametrize("how", ["call", "observe"])
def test_an_answer_is_read_by_its_reader(how: str) -> None:
    """The same readers know chunks and answers."""
    answer = Chunk("a", usage=(3, 4), tools=("search",))

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            if how == "call":
                assert await run.call(opening(stage.provider, lambda _: answer)) is answer
            else:
                run.observe(answer)

    summary = playing(scene).tracker.summary
    assert (summary.tokens, summary.tool_calls) == (TokenUsage(7, 3, 4), ("search",))
    assert (summary.time_to_first_token, summary.ending) == (None, Ending.COMPLETED)


@pytest.mark.parametrize("how", ["call", "observe"])
def test_an_extractor_replaces_the_reader(how: str) -> None:
    """It says what happened, down to success and duration."""
    found = metrics(success=False, tokens=TokenUsage(5), tool_calls=["a", "a"], duration_ms=77)

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            if how == "call":
                await run.call(opening(stage.provider, lambda _: Chunk(usage=(1, 1))), found)
            else:
                run.observe(Chunk(usage=(1, 1)), found)

    stage = playing(scene)
    assert stage.events == [
        ("duration:total", 77),
        ("generation:error", 1),
        ("tokens:total", 5),
        ("tool_call", 1),
        ("tool_call", 1),
    ]
    assert stage.reader.seen == []


def test_stated_durations_are_added_up_only_if_all_are_stated() -> None:
    """Otherwise the wall clock knows better."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            run.observe("one", metrics(duration_ms=30))
            run.observe("two", metrics(duration_ms=40))
            stage.clock.advance(ms=500)
            for extractor in stage.kept:
                run.observe("three", extractor)

    assert playing(scene).tracker.summary.duration_ms == 70
    stage = Stage()
    stage.kept.append(metrics())
    stage.play(scene)
    assert stage.tracker.summary.duration_ms == 500


@pytest.mark.parametrize(
    ("extractor", "failures"),
    [
        pytest.param(lambda _: None, {}, id="None"),
        pytest.param(lambda answer: answer.missing, {"extractor": 1}, id="raises"),
        pytest.param(lambda _: {"tokens": 5}, {"extractor": 1}, id="another type"),
        pytest.param(metrics(duration_ms=-5), {"extractor": 1}, id="negative duration"),
        pytest.param(metrics(tokens={"total": 5}), {"extractor": 1}, id="tokens of another type"),
        pytest.param(lambda: None, {"extractor": 1}, id="another signature"),
    ],
)
@pytest.mark.parametrize("how", ["call", "observe"])
def test_an_extractor_without_an_answer(extractor: Any, failures: dict[str, int], how: str) -> None:
    """The answer passes, and the run is timed and a success."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            if how == "call":
                assert await run.call(opening(stage.provider, lambda _: "answer"), extractor) == "answer"
            else:
                stage.clock.advance(ms=OPEN_MS)
                run.observe("answer", extractor)

    assert playing(scene, failures).events == [("duration:total", OPEN_MS), ("generation:success", 1)]


def test_a_reader_that_fails_at_an_answer() -> None:
    """The answer passes all the same."""

    async def scene(stage: Stage) -> None:
        stage.reader.read = lambda item: item.missing  # type: ignore[method-assign]
        async with stage.tracker.run() as run:
            run.observe(Chunk("a"))

    assert playing(scene, {"reader": 1}).tracker.summary.outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (AppError(), Ending.FAILED),
        (asyncio.CancelledError(), Ending.CANCELLED),
        (KeyboardInterrupt(), Ending.CANCELLED),
    ],
)
@pytest.mark.parametrize("caught_inside", [False, True])
def test_a_call_that_raises(error: BaseException, ending: Ending, caught_inside: bool) -> None:
    """The call has ended by it; caught inside the block, it is still how the last call ended."""

    async def raising() -> None:
        raise error

    async def scene(stage: Stage) -> None:
        async def block() -> None:
            async with stage.tracker.run() as run:
                if caught_inside:
                    assert await outcome_of(run.call(raising())) is error
                else:
                    await run.call(raising())

        assert await outcome_of(block()) is (None if caught_inside else error)

    assert playing(scene).tracker.summary.ending is ending


def test_a_cancelled_call() -> None:
    """The cancellation reaches what is awaited, and passes."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at="open")

        async def ask() -> None:
            async with stage.tracker.run() as run:
                await run.call(opening(stage.provider, lambda _: "answer"))

        task = asyncio.create_task(ask())
        await stage.provider.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    stage = playing(scene)
    assert stage.events == [("duration:total", OPEN_MS)]
    assert stage.tracker.summary.model_ms == OPEN_MS


def test_a_call_that_is_destroyed() -> None:
    """A coroutine that is closed while it waits settles without waiting."""

    async def scene(stage: Stage) -> None:
        async def ask() -> None:
            async with stage.tracker.run() as run:
                await run.call(opening(stage.provider, lambda _: "answer"))

        step = ask()
        step.send(None)
        step.close()

    summary = playing(scene).tracker.summary
    assert (summary.outcome, summary.ending) == (Outcome.CANCELLED, Ending.CLOSED_EARLY)


@pytest.mark.parametrize("answer", ["text", None, 5])
def test_what_cannot_be_awaited_is_refused(answer: Any) -> None:
    """The message says what it was given and what to do; no call was made."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            with pytest.raises(TypeError, match=r"run\.observe"):
                await run.call(answer)

    stage = playing(scene)
    assert stage.tracker.summary.ending is None
    assert stage.tracker.summary.success is True


@pytest.mark.parametrize("extractor", [None, lambda _: None])
def test_an_answer_that_is_a_stream(extractor: Any) -> None:
    """It passes unchanged, with a hint; an extractor may know what to do with it."""

    async def scene(stage: Stage) -> None:
        generator = stage.provider.generator()
        async with stage.tracker.run() as run:
            assert await run.call(opening(stage.provider, lambda _: generator), extractor) is generator

    stage = Stage()
    stage.play(scene)
    assert ["run.stream" in problem for problem in stage.problems] == ([] if extractor else [True])


# Misuse


def test_a_run_is_entered_once() -> None:
    """The second time says what to do instead, and changes nothing."""

    async def scene(stage: Stage) -> None:
        run = stage.tracker.run()
        async with run:
            stage.clock.advance(ms=3)
            for again in (run, stage.tracker.run()):
                with pytest.raises(MisuseError, match="create_tracker"):
                    async with again:
                        pytest.fail("it was entered")
            with pytest.raises(MisuseError, match="create_tracker"):
                stage.tracker.stream(stage.provider.generator())
            stage.clock.advance(ms=4)

    assert playing(scene).events == [("duration:total", 7), ("generation:success", 1)]


def test_a_stream_alone_is_made_once() -> None:
    """Its tracker stands for one execution."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(stage.provider.generator())
        with pytest.raises(MisuseError, match="create_tracker"):
            stage.tracker.stream(Provider().generator())
        with pytest.raises(MisuseError, match="create_tracker"):
            async with stage.tracker.run():
                pytest.fail("it was entered")
        await read(stream)

    assert playing(scene).tracker.summary.outcome is Outcome.SUCCESS


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", ["stream", "call", "observe"])
def test_a_run_takes_calls_while_it_is_open(when: str, what: str) -> None:
    """Before and after, the message says so, nothing is recorded and nothing is begun."""

    async def use(run: Run, source: Any) -> None:
        if what == "call":
            await run.call(source)
        else:
            getattr(run, what)(source)

    async def scene(stage: Stage) -> None:
        run = stage.tracker.run()
        source = stage.provider.plain() if what == "stream" else asyncio.get_running_loop().create_future()
        if when == "after":
            async with run:
                pass
        match = "before `async with`" if when == "before" else "is over"
        with pytest.raises(MisuseError, match=match):
            await use(run, source)

    stage = playing(scene)
    assert stage.events == ([] if when == "before" else [("duration:total", 0), ("generation:success", 1)])


def test_a_run_that_is_left_by_hand_twice() -> None:
    """The second time there is nothing left to record."""

    async def scene(stage: Stage) -> None:
        run = stage.tracker.run()
        async with run:
            pass
        await run.__aexit__(None, None, None)

    assert playing(scene).events == [("duration:total", 0), ("generation:success", 1)]


def test_tracking_after_the_run() -> None:
    """Late feedback is what resumption is for; it works on the run itself too."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            pass
        assert await run.track_feedback(Feedback.NEGATIVE) is True

    assert playing(scene).events[-1] == ("feedback:user:negative", 1)


def test_a_run_says_what_it_is() -> None:
    """Its repr names the run and how far it is."""

    async def scene(stage: Stage) -> None:
        run = stage.tracker.run()
        run_id = stage.tracker.run_id
        assert repr(run) == f"<Run {run_id}, new, calls=0>"
        async with run:
            run.observe("answer")
            assert repr(run) == f"<Run {run_id}, open, calls=1>"
        assert repr(run) == f"<Run {run_id}, settled, calls=1>"

    playing(scene)


# Ledgers that stall and fail


def test_a_ledger_that_fails_at_the_exit() -> None:
    """Counted per metric, logged once per kind, never raised; the block's own exception passes."""

    async def scene(stage: Stage) -> None:
        for _ in range(2):
            stage.ledger.fail_next(2)
            with pytest.raises(AppError):
                async with stage.new_tracker().run():
                    raise AppError

    stage = playing(scene, {"duration": 2, "outcome": 2})
    assert stage.events == []


def test_a_ledger_that_fails_under_a_stream() -> None:
    """The consumer reads to the end and never hears of it."""

    async def scene(stage: Stage) -> None:
        stage.ledger.fail_next(1)
        await read(stage.tracker.stream(stage.provider.generator()))

    stage = playing(scene, {"duration": 1})
    assert stage.events == [("tokens:ttf", 10), ("generation:success", 1)]
    assert stage.tracker.summary.duration_ms is None


def test_a_metric_that_failed_at_the_exit_may_be_tracked_again() -> None:
    """Its slot is free."""

    async def scene(stage: Stage) -> None:
        stage.ledger.fail_next(2)
        async with stage.tracker.run():
            pass
        assert await stage.tracker.track_success() is True

    assert playing(scene, {"duration": 1, "outcome": 1}).events == [("generation:success", 1)]


def test_a_ledger_that_stalls_does_not_hold_the_exit_up() -> None:
    """Beyond the time limit, here of no time at all; what it has taken over is recorded when it answers."""

    async def scene(stage: Stage) -> None:
        stage.ledger.hold()
        async with stage.tracker.run() as run:
            await read(run.stream(stage.provider.generator()))
        assert stage.events == []
        assert stage.tracker.summary.outcome is None
        stage.ledger.release()
        await tick()

    stage = playing(scene, settle_timeout=0)
    assert [name for name, _ in stage.events] == ["duration:total", "tokens:ttf", "generation:success"]
    assert stage.tracker.summary.outcome is Outcome.SUCCESS


def test_a_ledger_that_answers_in_time_is_waited_for() -> None:
    """What is recorded when the block is left is recorded for good."""

    async def scene(stage: Stage) -> None:
        stage.ledger.hold()

        async def release() -> None:
            for _ in range(5):
                await tick()
            stage.ledger.release()

        task = asyncio.create_task(release())
        async with stage.tracker.run():
            pass
        assert stage.tracker.summary.outcome is Outcome.SUCCESS
        await task

    playing(scene, settle_timeout=600)


def test_a_ledger_that_stalls_and_then_fails() -> None:
    """Counted when it answers; the slot is free again."""

    async def scene(stage: Stage) -> None:
        stage.ledger.hold()
        async with stage.tracker.run():
            pass
        stage.ledger.fail_next(2)
        stage.ledger.release()
        await tick()
        assert await stage.tracker.track_success() is True

    playing(scene, {"duration": 1, "outcome": 1})


def test_a_cancelled_exit_loses_nothing() -> None:
    """Everything was handed over before the first wait."""

    async def scene(stage: Stage) -> None:
        stage.ledger.hold()

        async def ask() -> None:
            async with stage.tracker.run() as run:
                await read(run.stream(stage.provider.generator()))

        task = asyncio.create_task(ask())
        while not stage.ledger.submitted:
            await tick()
        await tick()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stage.ledger.release()
        await tick()

    stage = playing(scene, settle_timeout=600)
    assert [name for name, _ in stage.events] == ["duration:total", "tokens:ttf", "generation:success"]


def test_an_explicit_metric_in_flight_wins_too() -> None:
    """The exit queues behind it, and takes over only if it fails."""

    async def scene(stage: Stage) -> None:
        for fails in (False, True):
            tracker = stage.new_tracker()
            stage.kept.append(tracker)
            stage.ledger.hold()
            async with tracker.run() as run:
                task = asyncio.create_task(run.track_duration(999))
                await tick()
                stage.clock.advance(ms=5)
            stage.ledger.fail_next(1 if fails else 0)
            stage.ledger.release()
            if fails:
                with pytest.raises(LedgerError, match="duration"):
                    await task
            else:
                assert await task is True
            await tick()

    stage = playing(scene)
    assert [tracker.summary.duration_ms for tracker in stage.kept] == [999, 5]


def test_an_explicit_tool_call_in_flight_wins_too() -> None:
    """A ledger that has yet to answer has been told of it all the same."""

    async def scene(stage: Stage) -> None:
        stage.ledger.hold()
        async with stage.tracker.run() as run:
            task = asyncio.create_task(run.track_tool_call("mine"))
            await tick()
            run.observe(Chunk(tools=("theirs",)))
        stage.ledger.release()
        assert await task is True

    assert playing(scene).tracker.summary.tool_calls == ("mine",)


# Several open streams


class Hanging(WithAclose):
    """Notes by when it would have to be closed, and never is."""

    def __init__(self, provider: Provider, limits: list[float]) -> None:
        super().__init__(provider)
        self.limits = limits

    async def aclose(self) -> None:
        self.limits.append(anyio.current_effective_deadline())
        self.provider.closing.append("asked")
        await tick()


def test_all_streams_of_a_run_are_closed_within_one_limit() -> None:
    """The second has what the first left of it, however many there are."""
    limits: list[float] = []

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            for _ in range(3):
                stage.kept.append(run.stream(Hanging(stage.provider, limits)))
                await anext(stage.kept[-1])

    playing(scene)
    assert len(limits) == 3
    assert len(set(limits)) == 1


class Slow(Plain):
    """Takes 600 ms of the loop's time to close."""

    def __init__(self, provider: Provider, now: list[float]) -> None:
        super().__init__(provider)
        self.now = now

    async def aclose(self) -> None:
        self.now[0] += 0.6
        self.provider.closing.append(f"at {self.now[0]:.1f} s")


def test_an_exit_waits_no_longer_than_its_limit_for_streams_that_do_close() -> None:
    """Two of them take up the second there is; the third is closed in a task, after the block is left."""

    async def scene(stage: Stage) -> None:
        now = [0.0]
        asyncio.get_running_loop().time = lambda: now[0]  # type: ignore[method-assign]  # a clock of ours
        async with stage.tracker.run() as run:
            for _ in range(3):
                stage.kept.append(run.stream(Slow(stage.provider, now)))
                await anext(stage.kept[-1])
        assert stage.provider.closing == ["at 0.6 s", "at 1.2 s"]
        await stage.quiet()
        assert stage.provider.closing == ["at 0.6 s", "at 1.2 s", "at 1.8 s"]

    playing(scene, close_timeout=1.0)


@pytest.mark.parametrize("count", [2, 3])
def test_streams_that_are_left_after_the_limit_are_closed_in_tasks(count: int) -> None:
    """The exit waits for none of them, and each is still asked to close."""
    limits: list[float] = []

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            for _ in range(count):
                stage.kept.append(run.stream(Hanging(stage.provider, limits)))
                await anext(stage.kept[-1])
        await stage.quiet()

    stage = playing(scene, failures={"close": count}, close_timeout=0)
    assert stage.provider.closing == ["asked"] * count


def test_an_exit_that_is_cancelled_while_it_closes_one_stream() -> None:
    """The others are closed all the same."""

    async def scene(stage: Stage) -> None:
        hanging = stage.new_provider(waits_at="close")
        others = [stage.new_provider(), stage.new_provider()]
        stage.kept += others

        async def block() -> None:
            async with stage.tracker.run() as run:
                for provider in (hanging, *others):
                    stage.kept.append(run.stream(provider.with_aclose()))
                    await anext(stage.kept[-1])

        task = asyncio.create_task(block())
        await hanging.waiting.wait()
        task.cancel()
        assert isinstance(await outcome_of(task), asyncio.CancelledError)
        await stage.quiet()
        assert [provider.closing for provider in others] == [["close"], ["close"]]

    playing(scene)
