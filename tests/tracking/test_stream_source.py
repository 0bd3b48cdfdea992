"""Whatever can be handed over as a stream: what is accepted, how it is opened, and how it is closed."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import anyio
import pytest
from fake_provider import (
    Manager,
    Provider,
    WithAclose,
    WithClose,
    WithSyncClose,
    managed,
    opening,
    tick,
)
from stage import Stage

from ldtrack.core.values import Ending, Outcome
from ldtrack.tracking.stream import TrackedStream


def playing(scene: Any, **options: Any) -> Stage:
    """Play a scene on a stage of its own, and expect nothing to go wrong unseen."""
    stage = Stage(**options)
    stage.play(scene)
    stage.assert_clean()
    return stage


def failing(kind: str, scene: Any, **options: Any) -> Stage:
    """Play a scene in which recording fails once, quietly: counted, logged, and nothing else."""
    stage = Stage(**options)
    stage.play(scene)
    assert dict(stage.recorder.failures) == {kind: 1}
    (said,) = stage.problems
    assert said.startswith(f"log: ldtrack could not record something ({kind})")
    stage.problems.clear()
    stage.recorder.failures.clear()
    stage.assert_clean()
    return stage


# What is refused


async def an_async_generator_function():
    yield


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        pytest.param(iter(["a"]), "asynchronous client", id="an iterator"),
        pytest.param(["a"], "asynchronous client", id="a list"),
        pytest.param("text", "asynchronous client", id="text"),
        pytest.param((chunk for chunk in "abc"), "asynchronous client", id="a generator"),
        pytest.param(None, "expected an async iterable", id="None"),
        pytest.param(object(), "expected an async iterable", id="an object"),
        pytest.param(an_async_generator_function, "expected an async iterable", id="a function"),
        pytest.param(WithAclose, "expected an async iterable", id="a class"),
    ],
)
def test_wrong_sources_are_refused_at_once(source: Any, remedy: str) -> None:
    """The message names what was given and what to do, and the tracker is as fresh as before."""

    async def scene(stage: Stage) -> None:
        with pytest.raises(TypeError, match=remedy) as caught:
            stage.tracker.stream(source)
        assert type(source).__name__ in str(caught.value)
        async with stage.tracker.run() as run:
            with pytest.raises(TypeError, match=remedy):
                run.stream(source)
        assert stage.tracker.summary.ending is None

    assert playing(scene).events == [("duration:total", 0), ("generation:success", 1)]


@pytest.mark.parametrize("option", [{"first_token": "yes"}, {"reader": object()}, {"reader": WithAclose}])
def test_what_cannot_look_at_chunks_is_refused_at_once(option: dict[str, Any]) -> None:
    """A predicate that cannot be called and a reader that cannot read are the caller's mistakes."""

    async def scene(stage: Stage) -> None:
        tracker = stage.new_tracker()
        with pytest.raises(TypeError, match=next(iter(option))):
            tracker.stream(stage.provider.generator(), **option)
        async with tracker.run() as run:
            with pytest.raises(TypeError, match=next(iter(option))):
                run.stream(stage.provider.generator(), **option)
        async for _ in stage.tracker.stream(stage.provider.generator()):
            pass

    assert playing(scene).tracker.summary.outcome is Outcome.SUCCESS


@pytest.mark.parametrize("wrap", [opening, Manager, managed])
def test_a_source_that_turns_out_to_be_no_stream(wrap: Any) -> None:
    """The likeliest cause is named; a manager that was entered is left again."""

    async def scene(stage: Stage) -> None:
        source = wrap(stage.provider, lambda _: {"choices": []})
        with pytest.raises(TypeError, match="Was stream=True left out"):
            await anext(stage.tracker.stream(source))

    stage = playing(scene)
    assert stage.events == [("duration:total", 100), ("generation:error", 1)]
    assert stage.provider.closing == ([] if wrap is opening else ["exit"])


# What is accepted


@pytest.mark.parametrize("make", [Provider.restarting, Provider.headless])
@pytest.mark.parametrize("model_time", [False, True])
@pytest.mark.parametrize("enter", [False, True])
def test_an_iterator_is_asked_for_its_iterator_once(make: Any, model_time: bool, enter: bool) -> None:
    """``async for`` asks once; so must whatever stands in between, however it reads."""

    async def scene(stage: Stage) -> None:
        asked: list[object] = []

        class Asked(type(make(stage.provider))):  # type: ignore[misc]  # either of two classes
            def __aiter__(self) -> Any:
                asked.append(self)
                return super().__aiter__()

        stream = stage.tracker.stream(Asked(stage.provider), model_time=model_time)
        if enter:
            async with stream:
                assert [chunk.text async for chunk in stream] == ["a", "b", "c"]
        else:
            assert [chunk.text async for chunk in stream] == ["a", "b", "c"]
        assert len(asked) == 1

    playing(scene)


@pytest.mark.parametrize("mock", [MagicMock, AsyncMock])
def test_mocks_stream_as_they_do_without_us(mock: Any) -> None:
    """Application tests hand over mocks."""

    async def scene(stage: Stage) -> None:
        source = mock()
        source.__aiter__.return_value = ["a", "b"]
        assert [text async for text in stage.tracker.stream(source)] == ["a", "b"]

    playing(scene)


def test_an_iterable_that_is_a_manager_too_is_not_entered() -> None:
    """The OpenAI package's streams are both; entering them means nothing that closing does not."""

    class Both(WithClose):
        async def __aenter__(self) -> Any:
            raise AssertionError("it is open already")

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError("it was never entered")

    async def scene(stage: Stage) -> None:
        async with stage.tracker.stream(Both(stage.provider)) as stream:
            await anext(stream)

    assert playing(scene).provider.closing == ["close"]


def test_a_manager_that_can_be_awaited_too_is_entered() -> None:
    """As aiohttp's requests are: only the manager closes what it opened."""

    class Both(Manager):
        def __await__(self) -> Any:
            raise AssertionError("entering it is enough")

    async def scene(stage: Stage) -> None:
        async with stage.tracker.stream(Both(stage.provider, Provider.generator)) as stream:
            await anext(stream)

    assert playing(scene).provider.closing == ["finally", "exit"]


def test_a_future_is_awaited() -> None:
    """A request may be under way in a task of its own."""

    async def scene(stage: Stage) -> None:
        request = asyncio.create_task(opening(stage.provider, Provider.generator))
        assert [chunk.text async for chunk in stage.tracker.stream(request)] == ["a", "b", "c"]

    playing(scene)


def test_an_exhausted_iterator_with_its_own_close() -> None:
    """A stream that cannot be closed may hand out an iterator that can."""

    class Iterable:
        def __init__(self, provider: Provider) -> None:
            self.provider = provider

        def __aiter__(self) -> AsyncIterator[Any]:
            return WithAclose(self.provider)

    async def scene(stage: Stage) -> None:
        async for _ in stage.tracker.stream(Iterable(stage.provider)):
            break
        await stage.quiet()

    assert playing(scene).provider.closing == ["close"]


def test_the_iterator_of_a_stream_that_closes_itself_is_left_to_it() -> None:
    """Closing both would close twice."""

    class Iterable(WithClose):
        def __aiter__(self) -> AsyncIterator[Any]:
            return WithAclose(self.provider)

    async def scene(stage: Stage) -> None:
        async with stage.tracker.stream(Iterable(stage.provider)) as stream:
            await anext(stream)

    assert playing(scene).provider.closing == ["close"]


def test_a_close_that_only_returns_something_to_await() -> None:
    """Not every asynchronous function is declared as one."""

    class Wrapped(WithClose):
        def close(self) -> Any:  # type: ignore[override]  # that is the point
            return super().close()

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(Wrapped(stage.provider))
        await anext(stream)
        await stream.close()
        assert not stage.recorder.open_calls
        await stream.aclose()

    assert playing(scene).provider.closing == ["close"]


class SyncLikeOpenAI(WithSyncClose):
    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self._generator = provider.generator()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._generator


@pytest.mark.parametrize("read", [0, 1])
@pytest.mark.parametrize(
    ("wrap", "make", "closing"),
    [
        (None, WithSyncClose, ["close"]),
        (opening, SyncLikeOpenAI, ["close", "finally"]),
        (Manager, WithSyncClose, ["close", "exit"]),
        (Manager, SyncLikeOpenAI, ["close", "finally", "exit"]),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_closed_by_a_synchronous_name(
    wrap: Any, make: Any, closing: list[str], read: int, late: bool
) -> None:
    """It is the provider's own, and is called as often as it is called; the rest is closed after it, once."""

    async def scene(stage: Stage) -> None:
        source = make(stage.provider) if wrap is None else wrap(stage.provider, make)
        async with stage.tracker.stream(source) as stream:
            for _ in range(read):
                await anext(stream)
            if late:
                await stream.aclose()
            assert stream.close() == "closed"
            assert not stage.recorder.open_calls
            assert await anext(stream, "over") == "over"

    closed = playing(scene).provider.closing
    expected = [entry for entry in closing if read or entry != "finally"]
    if late:
        assert [entry for entry in closed if entry != "close"] == [
            entry for entry in expected if entry != "close"
        ]
    else:
        assert closed == expected


# Several tasks


def test_two_tasks_that_open_one_stream() -> None:
    """The second is told off; the first goes on undisturbed."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at="open")
        stream = stage.tracker.stream(opening(stage.provider, Provider.generator))
        first = asyncio.create_task(anext(stream))
        await stage.provider.waiting.wait()
        with pytest.raises(RuntimeError, match="already running"):
            await anext(stream)
        stage.provider.go_on.set()
        assert [(await first).text, *[chunk.text async for chunk in stream]] == ["a", "b", "c"]

    assert playing(scene).tracker.summary.ending is Ending.COMPLETED


def test_two_tasks_that_enter_one_stream() -> None:
    """The second is told off as it enters; the first goes on undisturbed."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at="open")
        stream = stage.tracker.stream(opening(stage.provider, Provider.generator))

        async def enter() -> list[str]:
            async with stream:
                return [chunk.text async for chunk in stream]

        first = asyncio.create_task(enter())
        await stage.provider.waiting.wait()
        with pytest.raises(RuntimeError, match="another task"):
            await enter()
        stage.provider.go_on.set()
        assert await first == ["a", "b", "c"]

    assert playing(scene).tracker.summary.ending is Ending.COMPLETED


def test_a_stream_that_is_over_can_be_entered() -> None:
    """There is nothing in it; the provider is not asked."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(opening(stage.provider, Provider.generator))
        await stream.aclose()
        async with stream as entered:
            assert entered is stream
            assert [chunk async for chunk in stream] == []
        assert stage.provider.tasks == []

    playing(scene)


def test_asend_to_a_generator_that_was_closed_unread() -> None:
    """As with the generator itself: it is over."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(stage.provider.generator())
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await stream.asend(None)

    assert playing(scene).provider.reads == 0


@pytest.mark.parametrize("how", ["entering", "asend"])
def test_destroyed_while_it_waits(how: str) -> None:
    """Whoever destroys a waiting coroutine cannot wait: the stream is closed soon after."""

    async def enter(stream: TrackedStream[Any]) -> None:
        async with stream:
            pytest.fail("it is not open")

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at="open" if how == "entering" else 0)
        if how == "entering":
            work = enter(stage.tracker.stream(Manager(stage.provider, Provider.plain)))
        else:
            stream = stage.tracker.stream(Talking(stage.provider))
            work = stream.asend(None)
        work.send(None)
        work.close()
        assert not stage.recorder.open_calls
        await stage.quiet()

    stage = playing(scene)
    assert stage.provider.closing == ([] if how == "entering" else ["close"])
    assert stage.tracker.summary.ending is Ending.CLOSED_EARLY


class Talking(WithAclose):
    """A generator's methods on an object that is none."""

    async def asend(self, _: object) -> Any:
        return await self.__anext__()


def test_two_tasks_that_read_one_generator() -> None:
    """As without us: the generator refuses the second, and the first goes on undisturbed."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at=1)
        stream = stage.tracker.stream(stage.provider.generator())
        await anext(stream)
        first = asyncio.create_task(anext(stream))
        await stage.provider.waiting.wait()
        with pytest.raises(RuntimeError, match="already running"):
            await anext(stream)
        with pytest.raises(RuntimeError, match="already running"):
            await stream.asend(None)
        stage.provider.go_on.set()
        assert [(await first).text, *[chunk.text async for chunk in stream]] == ["b", "c"]

    assert playing(scene).tracker.summary.ending is Ending.COMPLETED


@pytest.mark.parametrize("make", [Provider.generator, Provider.with_aclose])
def test_closed_by_another_task_while_opening(make: Any) -> None:
    """What opens after that is closed without asking the provider for anything."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at="open")
        stream = stage.tracker.stream(opening(stage.provider, make))
        task = asyncio.create_task(anext(stream, "over"))
        await stage.provider.waiting.wait()
        await stream.aclose()
        stage.provider.go_on.set()
        assert await task == "over"

    stage = playing(scene)
    assert stage.provider.reads == 0
    assert stage.provider.closing == ([] if make is Provider.generator else ["close"])
    assert stage.events == [("duration:total", 100)]


@pytest.mark.parametrize("error", [None, ValueError("mine")])
def test_closed_by_another_task_while_entering(error: Exception | None) -> None:
    """The block is entered with a stream that is over, and closes it when it is left, however it is left."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at="open")
        stream = stage.tracker.stream(opening(stage.provider, Provider.with_aclose))

        async def enter() -> None:
            async with stream:
                assert await anext(stream, "over") == "over"
                if error is not None:
                    raise error

        task = asyncio.create_task(enter())
        await stage.provider.waiting.wait()
        await stream.aclose()
        stage.provider.go_on.set()
        assert (await asyncio.gather(task, return_exceptions=True))[0] is error

    assert playing(scene).provider.closing == ["close"]


def test_left_by_an_exception_while_another_task_waits() -> None:
    """The call ends at once; the task that waits closes the stream when its chunk has come."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at=0)
        tasks = []
        with pytest.raises(KeyError):
            async with stage.tracker.stream(stage.provider.generator()) as stream:
                tasks.append(asyncio.create_task(anext(stream, "over")))
                await stage.provider.waiting.wait()
                raise KeyError
        assert not stage.recorder.open_calls
        stage.provider.go_on.set()
        assert await tasks[0] == "over"

    stage = playing(scene)
    assert stage.provider.closing == ["finally"]
    assert stage.tracker.summary.ending is Ending.FAILED


@pytest.mark.parametrize(
    ("make", "closing"),
    [(Provider.generator, ["finally"]), (Provider.like_openai, ["finally", "close"])],
)
def test_a_stream_that_outlives_its_run_in_another_task(make: Any, closing: list[str]) -> None:
    """The run is over and recorded; the task reads on undisturbed, and what it reads is closed with it."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at=1)
        async with stage.tracker.run() as run:
            stream = run.stream(make(stage.provider))
            await anext(stream)
            task = asyncio.create_task(anext(stream))
            await stage.provider.waiting.wait()
        assert not stage.recorder.open_calls
        stage.provider.go_on.set()
        assert (await task).text == "b"
        del stream, task, run
        await stage.quiet()

    stage = playing(scene)
    assert stage.provider.closing == closing
    assert stage.events == [("duration:total", 20), ("tokens:ttf", 10)]


def test_what_comes_after_the_end_does_not_count() -> None:
    """A chunk that was on its way when the stream was closed is nobody's first token."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at=0)
        async with stage.tracker.run() as run:
            stream = run.stream(stage.provider.with_aclose())
            task = asyncio.create_task(anext(stream))
            await stage.provider.waiting.wait()
            await stream.aclose()
            stage.provider.go_on.set()
            assert await task is stage.provider.chunks[0], "as without us: an object cannot be interrupted"

    assert playing(scene).events == [("duration:total", 10)]


# Closing that goes wrong


def test_an_explicit_close_passes_what_the_provider_raises() -> None:
    """Whoever closes wants to know; the call is settled all the same."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(raises_at="close")
        stream = stage.tracker.stream(stage.provider.with_aclose())
        await anext(stream)
        with pytest.raises(ConnectionError):
            await stream.aclose()
        await stream.aclose()

    stage = playing(scene)
    assert stage.provider.closing == ["close"]
    assert stage.tracker.summary.ending is Ending.CLOSED_EARLY


def test_a_close_that_nobody_asked_for_is_quiet() -> None:
    """After exhaustion, a failing close is counted and logged, and the consumer never hears of it."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(raises_at="close")
        assert len([chunk async for chunk in stage.tracker.stream(stage.provider.with_aclose())]) == 3

    assert failing("close", scene).tracker.summary.ending is Ending.COMPLETED


def test_a_close_after_a_failure_does_not_replace_it() -> None:
    """The provider's first error is the one that passes."""

    async def scene(stage: Stage) -> None:
        provider = stage.new_provider(raises_at=0, error=ValueError("first"))
        with pytest.raises(ValueError, match="first") as caught:
            provider.raises_at = 0
            stream = stage.tracker.stream(FailsToClose(provider))
            await anext(stream)
        assert caught.value is provider.error

    failing("close", scene)


class FailsToClose(WithAclose):
    async def aclose(self) -> None:
        raise OSError("second")


def test_what_a_generator_raises_does_not_keep_its_manager_open() -> None:
    """Both are closed, whatever the first of them says."""

    async def scene(stage: Stage) -> None:
        provider = stage.new_provider(raises_at="close")
        stream = stage.tracker.stream(Manager(provider, Provider.generator))
        await anext(stream)
        with pytest.raises(ConnectionError):
            await stream.aclose()

    assert playing(scene).provider.closing == ["finally", "exit"]


def test_a_cancelled_close_is_not_repeated() -> None:
    """The provider has been told; telling it twice could break it."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at="close")
        stream = stage.tracker.stream(stage.provider.with_aclose())
        await anext(stream)
        task = asyncio.create_task(stream.aclose())
        await stage.provider.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await stream.aclose()
        assert await anext(stream, "over") == "over"

    assert playing(scene).provider.closing == ["close"]


def test_a_cancelled_close_of_a_generator_still_leaves_its_manager() -> None:
    """A cancellation stops the wait, not the tidying up."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at="close")
        stream = stage.tracker.stream(Manager(stage.provider, Provider.generator))
        await anext(stream)
        task = asyncio.create_task(stream.aclose())
        await stage.provider.waiting.wait()
        stage.provider.waits_at = None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert playing(scene).provider.closing == ["finally", "exit"]


def test_a_cancellation_during_a_quiet_close_passes() -> None:
    """Shielded from scopes is not deaf to ``task.cancel()``."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at="close")

        async def read() -> None:
            async for _ in stage.tracker.stream(stage.provider.with_aclose()):
                pass

        task = asyncio.create_task(read())
        await stage.provider.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    stage = playing(scene)
    assert stage.provider.closing == ["close"]
    assert stage.tracker.summary.ending is Ending.COMPLETED


def test_a_cancellation_that_nobody_asked_for_stays_inside() -> None:
    """A provider whose own task was cancelled raises what looks like the consumer's cancellation."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(raises_at="close", error=asyncio.CancelledError())
        assert len([chunk async for chunk in stage.tracker.stream(stage.provider.with_aclose())]) == 3

    failing("close", scene)


class NeverCloses(WithAclose):
    async def aclose(self) -> None:
        self.provider.closing.append("asked")
        await asyncio.Event().wait()


@pytest.mark.parametrize("wrap", [None, opening])
def test_a_close_that_hangs_is_given_up(wrap: Any) -> None:
    """A provider that never closes delays its consumer by the time limit, here of no time at all."""

    async def scene(stage: Stage) -> None:
        source = NeverCloses(stage.provider) if wrap is None else wrap(stage.provider, NeverCloses)
        assert len([chunk async for chunk in stage.tracker.stream(source)]) == 3

    stage = failing("close", scene, close_timeout=0)
    assert stage.provider.closing == ["asked"]
    assert stage.tracker.summary.outcome is Outcome.SUCCESS


def test_a_hanging_close_does_not_swallow_the_timeout_that_led_to_it() -> None:
    """A consumer's own ``asyncio.timeout`` still ends as a timeout, with nothing pending on the task."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at=0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                asyncio.get_running_loop().call_soon(limit.reschedule, 0)
                await anext(stage.tracker.stream(NeverCloses(stage.provider)))
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    failing("close", scene, close_timeout=0)


def test_closing_is_shielded_from_an_anyio_scope() -> None:
    """A cancelled scope cancels every wait inside it; the close still gets its turn."""

    async def scene(stage: Stage) -> None:
        with anyio.CancelScope() as scope:
            async with stage.tracker.stream(Manager(stage.provider, Provider.with_aclose)) as stream:
                await anext(stream)
                scope.cancel()
                await anext(stream)
        assert scope.cancelled_caught

    stage = playing(scene)
    assert stage.provider.closing == ["exit"]


# What is asked of the stream


def test_attributes_are_the_providers_own() -> None:
    """What the source has is there, as soon as it is open; what it has not is missing, in its own words."""

    async def scene(stage: Stage) -> None:
        for source in (stage.provider.like_openai(), opening(stage.new_provider(), Provider.like_openai)):
            async with stage.new_tracker().stream(source) as stream:
                assert stream.response == {"request_id": "req_1"}
                assert hasattr(stream, "close")
                assert not hasattr(stream, "asend")
                with pytest.raises(AttributeError, match="LikeOpenAI"):
                    stream.final_message  # noqa: B018 - reading it is the test
        generator = stage.new_provider().generator()
        stream = stage.tracker.stream(generator)
        assert not hasattr(stream, "close")
        assert hasattr(stream, "asend")
        assert stream.ag_frame is generator.ag_frame
        await stream.aclose()

    playing(scene)


def test_attributes_before_the_stream_is_open() -> None:
    """They are missing, and the message says how to get them; nothing is opened by looking."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(opening(stage.provider, Provider.like_openai))
        assert not hasattr(stream, "response")
        assert not hasattr(stream, "close")
        with pytest.raises(AttributeError, match=re.escape("enter `async with`")):
            stream.response  # noqa: B018 - reading it is the test
        with pytest.raises(AttributeError, match=r"^__len__$"):
            stream.__len__  # noqa: B018 - dunders are never forwarded
        assert stage.provider.tasks == []
        await stream.aclose()

    playing(scene)


def test_a_stream_says_what_it_is() -> None:
    """Its repr names the source and how far it is; it never awaits or opens anything."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(opening(stage.provider, Provider.like_openai))
        assert re.fullmatch(r"<TrackedStream of <coroutine object opening .*, open>", repr(stream))
        async with stream:
            assert re.fullmatch(r"<TrackedStream of <.*LikeOpenAI.*, open>", repr(stream))
        assert re.fullmatch(r"<TrackedStream of <.*LikeOpenAI.*, closed_early>", repr(stream))

    playing(scene)


# Loops, threads and memory


@pytest.mark.parametrize("make", [Provider.generator, Provider.with_aclose, Provider.like_openai])
@pytest.mark.parametrize("wrap", [None, opening, Manager])
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("end", ["exhausted", "closed", "dropped", "unread"])
def test_everything_is_freed_by_its_last_reference(make: Any, wrap: Any, alone: bool, end: str) -> None:
    """No cycle of ours keeps a run, a call, a stream or what the provider made until the collector comes."""

    async def read(stream: TrackedStream[Any]) -> None:
        if end == "unread":
            return
        async for _ in stream:
            if end != "exhausted":
                break
        if end == "closed":
            await stream.aclose()

    async def live(stage: Stage) -> None:
        tracker, provider = stage.new_tracker(), Provider()
        source = make(provider) if wrap is None else wrap(provider, make)
        if alone:
            await read(tracker.stream(source))
        else:
            async with tracker.run() as run:
                await read(run.stream(source))

    async def scene(stage: Stage) -> None:
        await live(stage)  # imports, caches and the like
        await stage.quiet()
        await tick()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await live(stage)
            await stage.quiet()
            await tick()
            gc.collect()
            kept = [thing for thing in gc.garbage if type(thing).__module__.startswith(("ldtrack", "fake"))]
            assert kept == []
        finally:
            gc.garbage.clear()
            gc.set_debug(0)
            gc.enable()

    playing(scene)


def test_dropped_unread_when_somebody_else_has_read_it_all() -> None:
    """There is nothing left to close, and still it settles."""

    async def scene(stage: Stage) -> None:
        generator = stage.provider.generator()
        stream = stage.tracker.stream(generator)
        assert len([chunk async for chunk in generator]) == 3
        del stream
        await stage.quiet()

    assert playing(scene).events == [("duration:total", 30)]


def test_a_loop_is_watched_while_something_is_open_in_it() -> None:
    """Not longer: a client that outlives many loops keeps none of them."""

    async def scene(stage: Stage) -> None:
        loop, vigils = asyncio.get_running_loop(), stage.recorder.vigils
        assert vigils._held == {}
        streams = [stage.new_tracker().stream(Provider().with_aclose()) for _ in range(3)]
        assert vigils._held == {loop: 3}
        for left in (2, 1, 0):
            await streams.pop().aclose()
            assert vigils._held == ({loop: left} if left else {})
        assert vigils._vigils == {}

    playing(scene)


def test_dropped_by_another_thread() -> None:
    """A finalizer in a foreign thread leaves the work to the stream's own loop."""

    async def scene(stage: Stage) -> None:
        cell = [stage.tracker.stream(stage.provider.with_aclose())]
        await anext(cell[0])
        await asyncio.to_thread(cell.clear)
        await stage.quiet()

    stage = playing(scene)
    assert stage.provider.closing == ["close"]
    assert stage.tracker.summary.ending is Ending.CLOSED_EARLY


def test_dropped_by_a_thread_with_another_loop() -> None:
    """A stream is closed where it was read, not where its last reference went away."""

    async def scene(stage: Stage) -> None:
        source = ClosedWhere(stage.provider)
        cell = [stage.tracker.stream(source)]
        await anext(cell[0])

        async def drop() -> None:
            cell.clear()

        await asyncio.to_thread(lambda: asyncio.run(drop()))
        await stage.quiet()
        assert source.closed_in == [asyncio.get_running_loop()]

    playing(scene)


class ClosedWhere(WithAclose):
    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self.closed_in: list[object] = []

    async def aclose(self) -> None:
        self.closed_in.append(asyncio.get_running_loop())


def test_ended_from_another_loop() -> None:
    """Whoever ends a stream of another loop leaves the closing to that loop."""

    async def scene(stage: Stage) -> None:
        source = ClosedWhere(stage.provider)
        stream = stage.tracker.stream(source)
        await anext(stream)

        async def shut_down() -> None:
            for call in stage.recorder.end_open_calls():
                await call.close_source_quietly()

        await asyncio.to_thread(lambda: asyncio.run(shut_down()))
        await stage.quiet()
        await tick()
        assert source.closed_in == [asyncio.get_running_loop()]

    playing(scene)


@pytest.mark.parametrize("make", [Provider.generator, Provider.with_aclose])
def test_dropped_between_two_rounds_of_a_loop(make: Any) -> None:
    """Nothing runs, so it is settled at once; the stream is closed as soon as the loop runs again."""
    stage = Stage()
    with stage.watched(), asyncio.Runner() as runner:
        cell = [stage.tracker.stream(make(stage.provider))]
        runner.run(anext_of(cell))
        cell.clear()
        assert not stage.recorder.open_calls
        assert stage.provider.closing == []
        runner.run(stage.quiet())
        assert stage.provider.closing == ["finally" if make is Provider.generator else "close"]
    stage.assert_clean()


async def anext_of(cell: list[TrackedStream[Any]]) -> Any:
    return await anext(cell[0])


def test_dropped_after_its_loop() -> None:
    """The loop's end has settled and closed it; there is nothing left to do, or to be done in."""
    stage = Stage()
    with stage.watched():
        cell = [stage.tracker.stream(stage.provider.with_aclose())]
        asyncio.run(anext_of(cell))
        assert stage.provider.closing == ["close"]
        cell.clear()
    stage.assert_clean()
    assert stage.tracker.summary.ending is Ending.CANCELLED


def test_dropped_after_a_loop_that_was_torn_down() -> None:
    """A loop that is closed without its shutdown leaves open streams; they still settle."""
    stage = Stage()
    loop = asyncio.new_event_loop()
    cell = [stage.tracker.stream(stage.provider.with_aclose())]
    loop.run_until_complete(anext_of(cell))
    loop.close()
    with stage.watched():
        cell.clear()
    stage.assert_clean()
    assert stage.tracker.summary.ending is Ending.CLOSED_EARLY
    assert stage.provider.closing == [], "what belongs to a closed loop cannot be closed any more"


def test_a_loop_that_closes_just_then() -> None:
    """Between asking whether a loop runs and handing it work, it may be gone."""

    class Dying:
        def is_running(self) -> bool:
            return True

        def call_soon_threadsafe(self, *_: object) -> None:
            raise RuntimeError("Event loop is closed")

    stage = Stage()
    stream = stage.tracker.stream(stage.provider.with_aclose())
    (call,) = stage.recorder.open_calls
    call.loop = Dying()  # type: ignore[assignment]  # as much of a loop as a finalizer sees
    with stage.watched():
        del stream, call
    stage.assert_clean()
    assert stage.tracker.summary.ending is Ending.CLOSED_EARLY


@pytest.mark.parametrize("wrap", [None, opening])
def test_dropped_where_there_never_was_a_loop(wrap: Any) -> None:
    """A stream may be made, and forgotten, in a thread that has none."""
    stage = Stage()

    def forget() -> None:
        source = stage.provider.with_aclose() if wrap is None else wrap(stage.provider, Provider.generator)
        stage.tracker.stream(source)

    with stage.watched():
        thread = threading.Thread(target=forget)
        thread.start()
        thread.join()
    stage.assert_clean()
    assert stage.events == ([("duration:total", 0)] if wrap is None else [])


def test_made_before_there_is_a_loop() -> None:
    """It belongs to the loop that opens it."""
    stage = Stage()
    stream = stage.tracker.stream(opening(stage.provider, Provider.with_aclose))

    async def scene(stage: Stage) -> None:
        await anext(stream)

    stage.play(scene)
    stage.assert_clean()
    assert stage.provider.closing == ["close"], "closed with the loop that opened it"


def test_made_in_one_loop_and_read_in_another() -> None:
    """It belongs to the loop that reads it."""
    stage = Stage()

    async def make() -> None:
        stage.kept.append(stage.tracker.stream(opening(stage.provider, Provider.with_aclose)))

    async def read() -> None:
        await anext(stage.kept[0])

    with stage.watched(), asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(make())
        second.run(read())
        (call,) = stage.recorder.open_calls
        assert call.loop is second.get_loop()
    stage.assert_clean()
    assert stage.provider.closing == ["close"]
