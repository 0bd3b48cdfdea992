"""Every shape of stream, ended in every way: what is recorded, and what became of the provider's stream.

The table has three columns: shapes (``fake_provider.KINDS``), exits (below), and whether the stream stands
alone (``tracker.stream``) or inside a run. For every cell: the exact events, the summary, the provider's
stream closed once and at once, nothing left over, and nothing said behind anybody's back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import attrs
import pytest
from fake_provider import CHUNK_MS, KINDS, OPEN_MS, Kind, tick
from stage import Stage

from ldtrack.core.values import OUTCOME_OF, Ending, Outcome
from ldtrack.tracking.stream import TrackedStream

LAZY, CLOSE, NO_GENERATOR = "lazy", "close", "no generator"
Play = Callable[[Stage, TrackedStream[Any]], Awaitable[None]]


@attrs.frozen
class Exit:
    """One way in which a stream ends."""

    play: Callable[[Stage, Callable[[], TrackedStream[Any]]], Awaitable[None]]
    ending: Ending
    reads: int
    """How many chunks the provider was asked for."""
    chunks: int
    """How many of them came."""
    opened: bool = True
    asked: bool = True
    """Whether anybody asked the provider for anything."""
    provider: dict[str, Any] = attrs.field(factory=dict)
    needs: str = ""
    """What a source must have for this exit to be possible."""
    is_by_loop: bool = False
    """Whether the loop closes all generators at once: then nobody knows which comes first."""


EXITS: dict[str, Exit] = {}


def an_exit(ending: Ending, *, reads: int, chunks: int | None = None, **options: Any) -> Callable[[Any], Any]:
    """Put a scene into the table."""

    def add(play: Any) -> Any:
        came = reads if chunks is None else chunks
        EXITS[play.__name__] = Exit(play, ending, reads, came, **options)
        return play

    return add


class ConsumerError(Exception):
    """What goes wrong in the application."""


# Exhaustion


@an_exit(Ending.COMPLETED, reads=3)
async def exhausted(stage, stream):
    assert [chunk.text async for chunk in stream()] == ["a", "b", "c"]


@an_exit(Ending.COMPLETED, reads=3)
async def exhausted_inside_async_with(stage, stream):
    async with stream() as tracked:
        assert [chunk.text async for chunk in tracked] == ["a", "b", "c"]


@an_exit(Ending.COMPLETED, reads=3)
async def exhausted_and_asked_again(stage, stream):
    tracked = stream()
    first = await anext(tracked)
    assert [first.text, *[chunk.text async for chunk in tracked]] == ["a", "b", "c"]
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(tracked)
        assert await anext(tracked, None) is None
    await tracked.aclose()


# Left by the consumer


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def left_by_break(stage, stream):
    async for _ in stream():
        break
    await stage.quiet()


@an_exit(Ending.CLOSED_EARLY, reads=2)
async def left_by_return(stage, stream):
    async def second() -> Any:
        first = True
        async for chunk in stream():
            if not first:
                return chunk
            first = False
        return None

    assert (await second()).text == "b"
    await stage.quiet()


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def left_by_break_inside_async_with(stage, stream):
    async with stream() as tracked:
        async for _ in tracked:
            break
    assert not stage.recorder.open_calls, "settled on the way out, not later"


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def left_by_break_inside_aclosing(stage, stream):
    async with contextlib.aclosing(stream()) as tracked:
        async for _ in tracked:
            break
    assert not stage.recorder.open_calls, "settled on the way out, not later"


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def closed_twice(stage, stream):
    tracked = stream()
    await anext(tracked)
    await tracked.aclose()
    await tracked.aclose()
    assert await anext(tracked, "over") == "over"


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def closed_and_then_left(stage, stream):
    async with stream() as tracked:
        await anext(tracked)
        await tracked.aclose()


@an_exit(Ending.CLOSED_EARLY, reads=1, needs=CLOSE)
async def closed_by_the_providers_own_name(stage, stream):
    tracked = stream()
    await anext(tracked)
    answer = tracked.close()
    if not isinstance(answer, str):
        await answer
    await tracked.aclose()
    assert await anext(tracked, "over") == "over"
    del tracked
    await stage.quiet()


@an_exit(Ending.CLOSED_EARLY, reads=0, opened=False, asked=False)
async def closed_unopened(stage, stream):
    tracked = stream()
    await tracked.aclose()
    assert await anext(tracked, "over") == "over"


@an_exit(Ending.CLOSED_EARLY, reads=0)
async def opened_and_left(stage, stream):
    async with stream():
        pass


@an_exit(Ending.CLOSED_EARLY, reads=0, opened=False, asked=False)
async def never_started(stage, stream):
    stream()
    await stage.quiet()


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def dropped(stage, stream):
    gc.disable()
    try:
        tracked = stream()
        await anext(tracked)
        del tracked
        await stage.quiet()
        assert not stage.recorder.open_calls, "freed by its last reference, not by the collector"
    finally:
        gc.enable()


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def dropped_in_a_cycle(stage, stream):
    cycle: list[Any] = [stream()]
    await anext(cycle[0])
    cycle.append(cycle)
    del cycle
    gc.collect()
    await stage.quiet()


@an_exit(Ending.CLOSED_EARLY, reads=0, opened=False, asked=False)
async def dropped_unstarted_in_a_cycle(stage, stream):
    cycle: list[Any] = [stream()]
    cycle.append(cycle)
    del cycle
    gc.collect()
    await stage.quiet()


@an_exit(Ending.CLOSED_EARLY, reads=1, is_by_loop=True)
async def dropped_at_the_very_end(stage, stream):
    tracked = stream()
    await anext(tracked)
    del tracked


@an_exit(Ending.CLOSED_EARLY, reads=0, opened=False, asked=False)
async def dropped_unstarted_at_the_very_end(stage, stream):
    stream()


# Exceptions


async def fails(stage, stream, error, chunks):
    seen = []
    with pytest.raises(type(error)) as caught:
        async for chunk in stream():
            seen.append(chunk)
    assert caught.value is error
    assert len(seen) == chunks
    caught = None


@an_exit(Ending.FAILED, reads=1, chunks=0, provider={"raises_at": 0})
async def failed_at_the_first_chunk(stage, stream):
    await fails(stage, stream, stage.provider.error, 0)


@an_exit(Ending.FAILED, reads=2, chunks=1, provider={"raises_at": 1})
async def failed_at_a_later_chunk(stage, stream):
    await fails(stage, stream, stage.provider.error, 1)


@an_exit(Ending.FAILED, reads=0, opened=False, provider={"raises_at": "open"}, needs=LAZY)
async def failed_while_opening(stage, stream):
    await fails(stage, stream, stage.provider.error, 0)


@an_exit(Ending.FAILED, reads=0, opened=False, provider={"raises_at": "open"}, needs=LAZY)
async def failed_while_entering(stage, stream):
    with pytest.raises(ConnectionError):
        async with stream():
            pytest.fail("it is not open")


@an_exit(Ending.FAILED, reads=2, chunks=1, provider={"raises_at": 1})
async def failed_inside_async_with(stage, stream):
    with pytest.raises(ConnectionError):
        async with stream() as tracked:
            async for _ in tracked:
                pass


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def consumer_failed(stage, stream):
    with contextlib.suppress(ConsumerError):
        async for _ in stream():
            raise ConsumerError
    await stage.quiet()


@an_exit(Ending.FAILED, reads=1)
async def consumer_failed_inside_async_with(stage, stream):
    with pytest.raises(ConsumerError):
        async with stream() as tracked:
            async for _ in tracked:
                raise ConsumerError
    assert not stage.recorder.open_calls


@an_exit(Ending.CANCELLED, reads=2, chunks=1, provider={"raises_at": 1, "error": KeyboardInterrupt()})
async def interrupted(stage, stream):
    with pytest.raises(KeyboardInterrupt):
        async for _ in stream():
            pass


@an_exit(Ending.CANCELLED, reads=1)
async def system_exit_inside_async_with(stage, stream):
    with pytest.raises(SystemExit):
        async with stream() as tracked:
            async for _ in tracked:
                raise SystemExit


# Cancellation


async def read_all(stream):
    async for _ in stream():
        pass


async def cancelled(stage, work):
    task = asyncio.create_task(work)
    await stage.provider.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not stage.recorder.open_calls, "settled before the cancellation is out"


@an_exit(Ending.CANCELLED, reads=0, opened=False, provider={"waits_at": "open"}, needs=LAZY)
async def cancelled_while_opening(stage, stream):
    await cancelled(stage, read_all(stream))


@an_exit(Ending.CANCELLED, reads=0, opened=False, provider={"waits_at": "open"}, needs=LAZY)
async def cancelled_while_entering(stage, stream):
    async def enter() -> None:
        async with stream():
            pytest.fail("it is not open")

    await cancelled(stage, enter())


@an_exit(Ending.CANCELLED, reads=1, chunks=0, provider={"waits_at": 0})
async def cancelled_while_waiting_for_the_first_chunk(stage, stream):
    await cancelled(stage, read_all(stream))


@an_exit(Ending.CANCELLED, reads=2, chunks=1, provider={"waits_at": 1})
async def cancelled_while_waiting_for_a_later_chunk(stage, stream):
    await cancelled(stage, read_all(stream))


@an_exit(Ending.CANCELLED, reads=2, chunks=1, provider={"waits_at": 1})
async def cancelled_while_waiting_inside_async_with(stage, stream):
    async def read() -> None:
        async with stream() as tracked:
            async for _ in tracked:
                pass

    await cancelled(stage, read())


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def cancelled_between_chunks(stage, stream):
    busy = asyncio.Event()

    async def read() -> None:
        async for _ in stream():
            busy.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await busy.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    del task
    await stage.quiet()


@an_exit(Ending.CANCELLED, reads=1)
async def cancelled_between_chunks_inside_async_with(stage, stream):
    busy = asyncio.Event()

    async def read() -> None:
        async with stream() as tracked:
            async for _ in tracked:
                busy.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await busy.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@an_exit(Ending.CANCELLED, reads=2, chunks=1, provider={"waits_at": 1})
async def timed_out(stage, stream):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            tracked = stream()
            await anext(tracked)
            asyncio.get_running_loop().call_soon(limit.reschedule, 0)
            await anext(tracked)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@an_exit(Ending.CANCELLED, reads=2, chunks=1, provider={"waits_at": 1})
async def cancelled_by_an_anyio_scope(stage, stream):
    with anyio.CancelScope() as scope:
        tracked = stream()
        await anext(tracked)
        asyncio.get_running_loop().call_soon(scope.cancel)
        await anext(tracked)
    assert scope.cancelled_caught
    await tick()


@an_exit(Ending.CANCELLED, reads=1)
async def cancelled_by_an_anyio_scope_between_chunks(stage, stream):
    with anyio.CancelScope() as scope:
        async with stream() as tracked:
            await anext(tracked)
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught


# Other tasks, enclosing generators, and ends of worlds


@an_exit(Ending.CLOSED_EARLY, reads=1, chunks=0, provider={"waits_at": 0})
async def closed_by_another_task(stage, stream):
    tracked = stream()
    task = asyncio.create_task(anext(tracked, "over"))
    await stage.provider.waiting.wait()
    await tracked.aclose()
    assert not stage.recorder.open_calls, "settled at once, not when the chunk comes"
    await tracked.aclose()
    stage.provider.go_on.set()
    await task


@an_exit(Ending.CLOSED_EARLY, reads=1, chunks=0, provider={"waits_at": 0})
async def closed_by_another_task_and_cancelled(stage, stream):
    tracked = stream()
    task = asyncio.create_task(anext(tracked, "over"))
    await stage.provider.waiting.wait()
    await tracked.aclose()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@an_exit(Ending.CLOSED_EARLY, reads=0, opened=False, provider={"waits_at": "open"}, needs=LAZY)
async def closed_by_another_task_while_opening(stage, stream):
    tracked = stream()
    task = asyncio.create_task(anext(tracked, "over"))
    await stage.provider.waiting.wait()
    await tracked.aclose()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def chunks_of(stream: Callable[[], TrackedStream[Any]]) -> AsyncIterator[Any]:
    async for chunk in stream():
        yield chunk


async def chunks_inside_async_with(stream: Callable[[], TrackedStream[Any]]) -> AsyncIterator[Any]:
    async with stream() as tracked:
        async for chunk in tracked:
            yield chunk


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def enclosing_generator_closed(stage, stream):
    enclosing = chunks_of(stream)
    await anext(enclosing)
    await enclosing.aclose()
    await stage.quiet()


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def enclosing_generator_closed_inside_async_with(stage, stream):
    enclosing = chunks_inside_async_with(stream)
    await anext(enclosing)
    await enclosing.aclose()
    assert not stage.recorder.open_calls, "settled on the way out, not later"


@an_exit(Ending.CLOSED_EARLY, reads=1)
async def enclosing_generator_dropped(stage, stream):
    enclosing = chunks_inside_async_with(stream)
    await anext(enclosing)
    del enclosing
    for _ in range(10):
        await tick()
    await stage.quiet()


@an_exit(Ending.CLOSED_EARLY, reads=1, is_by_loop=True)
async def enclosing_generator_held_at_loop_shutdown(stage, stream):
    enclosing = chunks_inside_async_with(stream)
    await anext(enclosing)
    stage.kept.append(enclosing)


@an_exit(Ending.CLOSED_EARLY, reads=1, is_by_loop=True)
async def bare_enclosing_generator_held_at_loop_shutdown(stage, stream):
    enclosing = chunks_of(stream)
    await anext(enclosing)
    stage.kept.append(enclosing)


@an_exit(Ending.CLOSED_EARLY, reads=1, chunks=0, provider={"waits_at": 0}, needs=NO_GENERATOR)
async def reader_destroyed(stage, stream):
    tracked = stream()
    step = tracked.__anext__().__await__()
    while not stage.provider.waiting.is_set():
        next(step)
        await tick()
    step.close()
    del step
    await stage.quiet()


@an_exit(Ending.CANCELLED, reads=1, is_by_loop=True)
async def held_at_loop_shutdown(stage, stream):
    tracked = stream()
    await anext(tracked)
    stage.kept.append(tracked)


@an_exit(Ending.CANCELLED, reads=0, opened=False, asked=False, is_by_loop=True)
async def held_unstarted_at_loop_shutdown(stage, stream):
    stage.kept.append(stream())


@an_exit(Ending.CANCELLED, reads=2, chunks=1, provider={"waits_at": 1}, is_by_loop=True)
async def waiting_at_loop_shutdown(stage, stream):
    stage.kept.append(asyncio.create_task(read_all(stream)))
    await stage.provider.waiting.wait()


@an_exit(Ending.CANCELLED, reads=1)
async def held_at_client_shutdown(stage, stream):
    tracked = stream()
    await anext(tracked)
    for call in stage.recorder.end_open_calls():
        await call.close_source_quietly()
    await stage.recorder.drain()
    assert await anext(tracked, "over") == "over"


@an_exit(Ending.CANCELLED, reads=0, opened=False, asked=False)
async def held_unstarted_at_client_shutdown(stage, stream):
    tracked = stream()
    for call in stage.recorder.end_open_calls():
        await call.close_source_quietly()
    assert await anext(tracked, "over") == "over"


# The table


def is_possible(way: Exit, kind: Kind) -> bool:
    """Whether a source of this kind can end in this way at all."""
    if way.needs == LAZY:
        return kind.is_lazy
    if way.needs == CLOSE:
        return kind.close is not None
    return way.needs != NO_GENERATOR or "finally" not in kind.when_begun


CELLS = [
    pytest.param(kind, way, id=f"{way_name}-{kind_name}".replace(" ", "_"))
    for way_name, way in EXITS.items()
    for kind_name, kind in KINDS.items()
    if is_possible(way, kind)
]


def expected_closing(kind: Kind, way: Exit) -> list[str]:
    """What the provider should have noted about being closed."""
    closing = kind.closing(is_opened=way.opened, is_begun=way.reads > 0)
    is_by_hand = way.needs == CLOSE and kind.close == "synchronous" and kind.is_managed
    return ["close", *closing] if is_by_hand else closing


def expected_events(kind: Kind, way: Exit, outcome: Outcome) -> list[tuple[str, Any]]:
    """What a stream that stands alone sends."""
    opening_ms = OPEN_MS if kind.is_lazy else 0
    if kind.is_lazy and not way.asked:
        return []
    events: list[tuple[str, Any]] = [("duration:total", opening_ms + way.reads * CHUNK_MS)]
    if way.chunks:
        events.append(("tokens:ttf", opening_ms + CHUNK_MS))
    if outcome is not Outcome.CANCELLED:
        events.append(("generation:success" if outcome is Outcome.SUCCESS else "generation:error", 1))
    return events


@pytest.mark.parametrize(("kind", "way"), CELLS)
def test_every_shape_ends_in_every_way(kind: Kind, way: Exit) -> None:
    """The exact events and summary; the provider's stream closed once; nothing left and nothing said."""
    stage = Stage()
    provider = stage.new_provider(**way.provider)

    async def scene(stage: Stage) -> None:
        await way.play(stage, lambda: stage.tracker.stream(kind.make(provider)))

    stage.play(scene)

    outcome = OUTCOME_OF[way.ending]
    assert stage.events == expected_events(kind, way, outcome)
    summary = stage.tracker.summary
    assert summary.outcome is outcome
    assert summary.ending is way.ending or (way.is_by_loop and summary.ending is Ending.CANCELLED)
    assert [value for name, value in stage.events if name == "duration:total"] == (
        [] if summary.duration_ms is None else [summary.duration_ms]
    )
    assert provider.reads == way.reads
    in_order = sorted if way.is_by_loop else list
    assert in_order(provider.closing) == in_order(expected_closing(kind, way))
    stage.assert_clean()
