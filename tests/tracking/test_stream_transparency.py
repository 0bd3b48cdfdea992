"""Nobody can tell a tracked stream from the provider's own, except by what is recorded."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import sys
import traceback
import weakref
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import anyio
import pytest
from fake_provider import KINDS, Chunk, Kind, Manager, Provider, name_of_task, opening, tick
from stage import FakeReader, Stage

from ldtrack.core.reading import Wants
from ldtrack.core.values import Ending, Outcome

every_kind = pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=name.replace(" ", "_")) for name, kind in KINDS.items()]
)
with_and_without_model_time = pytest.mark.parametrize("model_time", [False, True])


def playing(scene: Any, **options: Any) -> Stage:
    """Play a scene on a stage of its own, and expect nothing to go wrong unseen."""
    stage = Stage(**options)
    stage.play(scene)
    stage.assert_clean()
    return stage


# The chunks


@every_kind
@with_and_without_model_time
@pytest.mark.parametrize("wants", list(Wants))
def test_chunks_are_the_providers_own_objects(kind: Kind, model_time: bool, wants: Wants) -> None:
    """Not copies, not wrapped; and once the next one is asked for, nothing of ours holds them."""

    async def scene(stage: Stage) -> None:
        provider = stage.new_provider(chunks=tuple(Chunk(text) for text in "abc"))
        stream = stage.tracker.stream(kind.make(provider), model_time=model_time)
        bare = sys.getrefcount(provider.chunks[1])
        at = 0
        async for chunk in stream:
            assert chunk is provider.chunks[at]
            at += 1
            if wants is not Wants.LAST:
                assert sys.getrefcount(chunk) == bare + 2, "the tuple's, this frame's, and the reader's"
        del chunk
        assert [sys.getrefcount(chunk) for chunk in provider.chunks] == [bare + 1] * 3

    playing(scene, reader=FakeReader(wants))


def test_a_chunk_dies_with_its_last_reader() -> None:
    """While the next one is awaited, the one before is gone."""

    async def scene(stage: Stage) -> None:
        alive: weakref.WeakSet[Chunk] = weakref.WeakSet()

        async def provider() -> AsyncGenerator[Chunk, None]:
            for _ in range(3):
                assert len(alive) == 0
                yield Chunk("text")

        async for chunk in stage.tracker.stream(provider()):
            alive.add(chunk)
            del chunk

    playing(scene)


def test_a_reader_of_the_last_chunk_holds_one_at_most() -> None:
    """It cannot know which is the last; once the stream is over it holds none."""

    async def provider() -> AsyncGenerator[Chunk, None]:
        for number in range(4):
            yield Chunk("text", usage=(number, 0))

    async def scene(stage: Stage) -> None:
        alive: weakref.WeakSet[Chunk] = weakref.WeakSet()
        stream = stage.tracker.stream(provider())
        async for chunk in stream:
            alive.add(chunk)
            del chunk
            assert len(alive) <= 1
        assert len(alive) == 0

    stage = playing(scene, reader=FakeReader(Wants.LAST))
    assert stage.tracker.summary.tokens is not None
    assert stage.tracker.summary.tokens.input == 3


@every_kind
@with_and_without_model_time
def test_nothing_is_read_ahead(kind: Kind, model_time: bool) -> None:
    """The provider is asked for a chunk when the consumer asks for one, and not before."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(kind.make(stage.provider), model_time=model_time)
        assert stage.provider.tasks == []
        for read in range(1, 4):
            await anext(stream)
            for _ in range(5):
                await tick()
            assert stage.provider.reads == read

    playing(scene)


@every_kind
def test_anext_and_async_for_can_be_mixed(kind: Kind) -> None:
    """A stream is an iterator: whoever asks next gets the next chunk."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(kind.make(stage.provider))
        seen = [(await anext(stream)).text]
        async for chunk in stream:
            seen.append(chunk.text)
            seen.append((await anext(aiter(stream))).text)
        assert seen == ["a", "b", "c"]
        assert await anext(stream, None) is None

    assert playing(scene).tracker.summary.ending is Ending.COMPLETED


# The consumer's task and context


@every_kind
@with_and_without_model_time
def test_the_provider_runs_in_the_consumers_own_task(kind: Kind, model_time: bool) -> None:
    """Opening, reading and closing alike."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.stream(kind.make(stage.provider), model_time=model_time) as stream:
            await anext(stream)
            await anext(stream)
        assert set(stage.provider.tasks) == {name_of_task()}

    playing(scene)


def test_a_timeout_inside_the_provider_works() -> None:
    """It belongs to the consumer's task, across chunks."""

    async def provider(stage: Stage) -> AsyncGenerator[str, None]:
        async with asyncio.timeout(None) as limit:
            yield "a"
            yield "b"
            asyncio.get_running_loop().call_soon(limit.reschedule, 0)
            await stage.provider.go_on.wait()

    async def scene(stage: Stage) -> None:
        seen = []
        with pytest.raises(TimeoutError):
            async for text in stage.tracker.stream(provider(stage)):
                seen.append(text)
        assert seen == ["a", "b"]

    assert playing(scene).tracker.summary.outcome is Outcome.ERROR


def test_an_anyio_scope_inside_the_provider_works() -> None:
    """Entered at one chunk and left at another, it is still in the task that entered it."""

    async def provider(stage: Stage) -> AsyncGenerator[str, None]:
        with anyio.CancelScope() as scope:
            yield "a"
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        yield "b"
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.lowlevel.checkpoint)
            yield "c"

    async def scene(stage: Stage) -> None:
        assert [text async for text in stage.tracker.stream(provider(stage))] == ["a", "b", "c"]

    assert playing(scene).tracker.summary.ending is Ending.COMPLETED


def test_an_anyio_scope_in_a_provider_that_is_left_early() -> None:
    """``async with`` leaves it in the task that entered it, which a scope insists on."""

    async def provider() -> AsyncGenerator[str, None]:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            yield "a"
            yield "b"

    async def scene(stage: Stage) -> None:
        # A group that is left by GeneratorExit reports it as it would without us: inside a group.
        with pytest.raises(BaseExceptionGroup) as caught:
            async with stage.tracker.stream(provider()) as stream:
                await anext(stream)
        assert isinstance(caught.value.exceptions[0], GeneratorExit)

    assert playing(scene).tracker.summary.ending is Ending.CLOSED_EARLY


def test_an_abandoned_provider_with_an_anyio_scope() -> None:
    """Closed in a task of ours it protests, as it would against the event loop: counted, not raised."""

    async def provider() -> AsyncGenerator[str, None]:
        with anyio.CancelScope():
            yield "a"
            yield "b"

    async def scene(stage: Stage) -> None:
        async for _ in stage.tracker.stream(provider()):
            break
        await stage.quiet()

    stage = Stage()
    stage.play(scene)
    assert dict(stage.recorder.failures) == {"close": 1}
    assert [problem for problem in stage.problems if not problem.startswith("log: ldtrack could not")] == []
    assert stage.tracker.summary.ending is Ending.CLOSED_EARLY


WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


@with_and_without_model_time
def test_context_is_shared_as_with_the_bare_provider(model_time: bool) -> None:
    """What the consumer sets, the provider sees; ldtrack itself sets nothing that either could see."""

    async def provider(seen: list[str]) -> AsyncIterator[str]:
        for text in "abc":
            seen.append(WHO.get())
            yield text

    async def consumed(stream: AsyncIterator[str]) -> list[str]:
        seen = []
        async for text in stream:
            seen.append(WHO.get())
            WHO.set(f"reader of {text}")
        return seen

    async def scene(stage: Stage) -> None:
        bare: list[str] = []
        tracked: list[str] = []
        bare_loop = await asyncio.create_task(consumed(provider(bare)))
        before = set(contextvars.copy_context())
        stream = stage.tracker.stream(provider(tracked), model_time=model_time)
        assert await asyncio.create_task(consumed(stream)) == bare_loop
        assert tracked == bare == ["nobody", "reader of a", "reader of b"]
        assert set(contextvars.copy_context()) == before

    playing(scene)


def test_a_run_sets_no_context() -> None:
    """Inside and after the block the context is what it was."""

    async def scene(stage: Stage) -> None:
        before = dict(contextvars.copy_context())
        async with stage.tracker.run() as run:
            assert dict(contextvars.copy_context()) == before
            async for _ in run.stream(stage.provider.generator()):
                assert dict(contextvars.copy_context()) == before
        assert dict(contextvars.copy_context()) == before

    playing(scene)


# Exceptions


@every_kind
@with_and_without_model_time
@pytest.mark.parametrize("place", [0, 1, "open"])
def test_exceptions_pass_unchanged(kind: Kind, model_time: bool, place: Any) -> None:
    """The same object, with its cause, its context and the provider's frames; nothing wrapped round it."""

    async def scene(stage: Stage) -> None:
        error = OSError("reset by peer")
        error.__cause__ = cause = ValueError("cause")
        stage.new_provider(raises_at=place, error=error)
        caught: BaseException | None = None
        try:
            async for _ in stage.tracker.stream(kind.make(stage.provider), model_time=model_time):
                pass
        except OSError as raised:
            caught = raised
        if place == "open" and not kind.is_lazy:
            assert caught is None
            return
        assert caught is error
        assert error.__cause__ is cause
        assert error.__context__ is None
        assert "pass_by" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        error.__traceback__ = None

    playing(scene)


def test_the_consumers_exceptions_pass_unchanged() -> None:
    """Through ``async with`` and a run, never inside a group."""

    async def scene(stage: Stage) -> None:
        error = KeyError("mine")
        with pytest.raises(KeyError) as caught:
            async with stage.tracker.run() as run, run.stream(stage.provider.generator()) as stream:
                async for _ in stream:
                    raise error
        assert caught.value is error
        assert error.__context__ is None
        caught = None  # type: ignore[assignment]  # lets go of the frames

    playing(scene)


def test_a_provider_that_raises_stop_iteration() -> None:
    """Python turns it into a RuntimeError; so it is with us."""

    async def provider() -> AsyncGenerator[str, None]:
        yield "a"
        raise StopIteration  # noqa: PLR1708 - what a mistaken provider does

    async def scene(stage: Stage) -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            async for _ in stage.tracker.stream(provider()):
                pass

    assert playing(scene).tracker.summary.ending is Ending.FAILED


# A generator's own protocol


async def echoing(log: list[Any]) -> AsyncGenerator[Any, Any]:
    """Yields what it is sent, and survives what is thrown in."""
    answer: Any = "ready"
    try:
        while True:
            try:
                answer = yield answer
            except LookupError as error:
                answer = f"caught {error.args[0]}"
            if answer == "end":
                return
    finally:
        log.append("finally")


@with_and_without_model_time
def test_asend_and_athrow_reach_the_generator(model_time: bool) -> None:
    """And what they answer is a chunk like any other."""
    log: list[Any] = []

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(echoing(log), model_time=model_time)
        assert await stream.asend(None) == "ready"
        assert await stream.asend("x") == "x"
        assert await anext(stream) is None
        assert await stream.athrow(LookupError("y")) == "caught y"
        with pytest.raises(StopAsyncIteration):
            await stream.asend("end")
        with pytest.raises(StopAsyncIteration):
            await stream.asend("more")
        assert await anext(stream, "over") == "over"

    stage = playing(scene)
    assert log == ["finally"]
    assert stage.tracker.summary.ending is Ending.COMPLETED
    assert stage.tracker.summary.time_to_first_token == 0


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (ValueError("mine"), Ending.FAILED),
        (asyncio.CancelledError(), Ending.CANCELLED),
        (GeneratorExit(), Ending.CLOSED_EARLY),
    ],
)
def test_what_a_generator_does_not_catch_ends_it(error: BaseException, ending: Ending) -> None:
    """``athrow`` raises the same error again, and the stream has ended by it."""
    log: list[Any] = []

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(echoing(log))
        await anext(stream)
        with pytest.raises(type(error)) as caught:
            await stream.athrow(error)
        assert caught.value is error
        caught = None  # type: ignore[assignment]  # lets go of the frames
        assert await anext(stream, "over") == "over"

    assert playing(scene).tracker.summary.ending is ending
    assert log == ["finally"]


def test_asend_into_a_stream_that_another_task_closed() -> None:
    """It ends as a read does."""

    async def provider(stage: Stage) -> AsyncGenerator[str, None]:
        yield "a"
        await stage.provider.pass_by(0, 0)
        yield "b"

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at=0)
        stream = stage.tracker.stream(provider(stage))
        await anext(stream)
        task = asyncio.create_task(stream.asend(None))
        await stage.provider.waiting.wait()
        await stream.aclose()
        stage.provider.go_on.set()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(result, StopAsyncIteration)

    assert playing(scene).tracker.summary.ending is Ending.CLOSED_EARLY


def test_asend_once_it_is_open() -> None:
    """A generator behind an awaitable has its methods as soon as there is a generator."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.stream(opening(stage.provider, Provider.generator)) as stream:
            assert await stream.asend(None) is stage.provider.chunks[0]

    assert playing(scene).tracker.summary.time_to_first_token == 110


# The same object through and through


@pytest.mark.parametrize("wrap", [None, opening, Manager])
def test_it_passes_for_an_async_iterator(wrap: Any) -> None:
    """As ``StreamingResponse`` and type checks by protocol expect."""

    async def scene(stage: Stage) -> None:
        source = stage.provider.generator() if wrap is None else wrap(stage.provider, Provider.generator)
        stream = stage.tracker.stream(source)
        assert isinstance(stream, AsyncIterator)
        assert not hasattr(type(stream), "__iter__")
        assert await aiter(stream).__anext__() is stage.provider.chunks[0]
        del stream
        await stage.quiet()

    playing(scene)


@pytest.mark.parametrize("make", [Provider.with_close, Provider.with_sync_close])
def test_its_close_keeps_the_stream_open(make: Any) -> None:
    """Whoever has put that on a stack closes what somebody else may still be reading."""

    async def scene(stage: Stage) -> None:
        close = stage.tracker.stream(make(stage.provider)).close
        await stage.quiet()
        assert stage.provider.closing == []
        if inspect.isawaitable(pending := close()):
            await pending
        assert stage.provider.closing == ["close"]

    assert playing(scene).tracker.summary.ending is Ending.CLOSED_EARLY


@pytest.mark.parametrize("name", ["texts", "asend"])
def test_what_was_taken_from_it_keeps_the_stream_open(name: str) -> None:
    """Its other ways to be read are as good as the stream itself."""

    class WithTexts:
        def __init__(self, provider: Provider) -> None:
            self.inner = provider.generator()
            self.texts = (chunk.text async for chunk in self.inner)

        def __aiter__(self) -> AsyncIterator[Any]:
            return self.inner

        async def asend(self, value: Any) -> Any:
            return (await self.inner.asend(value)).text

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(WithTexts(stage.provider))
        texts, asend = stream.texts, stream.asend
        del stream
        await stage.quiet()
        if name == "texts":
            del asend
            assert [text async for text in texts] == ["a", "b", "c"]
        else:
            del texts
            assert [await asend(None) for _ in range(3)] == ["a", "b", "c"]
            with pytest.raises(StopAsyncIteration):
                await asend(None)

    stage = Stage()
    stage.play(scene)
    assert stage.tracker.summary.ending is Ending.COMPLETED


@pytest.mark.parametrize("late", [False, True])
def test_closed_by_its_iterators_name(late: bool) -> None:
    """The call ends early, the stream is closed, and nothing more comes, whoever asks."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(stage.provider.with_aclose())
        iterator: Any = aiter(stream)
        if late:
            await anext(iterator)
        await iterator.aclose()
        assert stage.tracker.summary.ending is Ending.CLOSED_EARLY
        assert stage.provider.closing == ["close"]
        assert [chunk async for chunk in stream] == []

    assert playing(scene).tracker.summary.ending is Ending.CLOSED_EARLY


def test_the_iterator_alone_keeps_the_stream_open() -> None:
    """Dropping the stream while a loop reads it ends nothing."""

    async def scene(stage: Stage) -> None:
        iterator = aiter(stage.tracker.stream(stage.provider.generator()))
        gc.collect()
        assert [chunk.text async for chunk in iterator] == ["a", "b", "c"]

    assert playing(scene).tracker.summary.ending is Ending.COMPLETED
