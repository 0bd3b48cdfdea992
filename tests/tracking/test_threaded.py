"""Synchronous streams in a thread: what is read, when it is closed, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from ldclient import Context
from tracked import FLAG, new_run, tracked_stream

from ldtrack import AICompletionConfigDefault, Ending, in_thread
from ldtrack.testing import recording
from ldtrack.tracking.threaded import ThreadedStream

NAME = "ldtrack-stream"


class Body:
    """A synchronous body that says when it reads, and reads when it may."""

    def __init__(self, *items: Any, waits: bool = False) -> None:
        self.items = [*items]
        self.waits = waits
        self.may_read = threading.Event()
        self.loop = asyncio.get_running_loop()
        self.reading = asyncio.Event()
        self.threads: set[str] = set()
        self.reads = 0
        self.closed = 0
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.threads.add(threading.current_thread().name)
        self.reads += 1
        self.loop.call_soon_threadsafe(self.reading.set)
        if self.waits:
            self.may_read.wait()
            self.may_read.clear()
        if self.error is not None:
            raise self.error
        if not self.items:
            raise StopIteration
        return self.items.pop(0)

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed += 1


class Shuttable(Body):
    """A body whose connection can be shut down from outside."""

    def shutdown(self) -> None:
        self.error = ConnectionError("the connection was shut down")
        self.may_read.set()


class Holder(Body):
    """A body that keeps what can be shut down to itself, as botocore does."""

    @property
    def _raw_stream(self) -> Any:
        return self

    shutdown = Shuttable.shutdown


class Obstinate(Body):
    """A body that cannot be shut down just now."""

    def shutdown(self) -> None:
        self.may_read.set()
        raise ValueError("it is over already")


def threads() -> list[str]:
    """The threads of streams that there are."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(NAME)]


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    """No test leaves a thread."""
    yield
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith(NAME):
            thread.join(timeout=10)
    assert threads() == []


async def rest_of(stream: AsyncIterator[Any]) -> list[Any]:
    """What a stream still has."""
    return [item async for item in stream]


async def test_every_item_in_one_other_thread() -> None:
    """In order; then the body is closed, in the same thread, and the thread ends."""
    body = Body(1, None, 3)
    assert await rest_of(in_thread(body)) == [1, None, 3]
    assert len(body.threads) == 1
    assert body.threads != {threading.current_thread().name}
    assert body.closed == 1
    assert threads() == []


async def test_nothing_is_read_ahead() -> None:
    """An item is read when it is asked for."""
    body = Body(1, 2, 3)
    stream = in_thread(body)
    assert body.reads == 0
    assert await anext(stream) == 1
    assert body.reads == 1
    await stream.aclose()
    assert body.items == [2, 3]


async def test_a_function_opens_it_in_the_thread() -> None:
    """It is called with the first read, once."""
    calls: list[str] = []

    def opening() -> Iterator[int]:
        calls.append(threading.current_thread().name)
        return iter([1, 2])

    stream = in_thread(opening)
    assert calls == []
    assert await rest_of(stream) == [1, 2]
    assert len(calls) == 1
    assert calls[0].startswith(NAME)


async def test_a_function_that_raises() -> None:
    """What opening raises passes, and leaves no thread."""

    def opening() -> Iterator[int]:
        raise PermissionError("no such model")

    stream = in_thread(opening)
    with pytest.raises(PermissionError, match="no such model"):
        await anext(stream)
    await stream.aclose()


async def test_an_error_passes() -> None:
    """Unchanged; what follows is up to the body."""
    body = Body(1)
    body.error = ConnectionError("the line is dead")
    stream = in_thread(body)
    with pytest.raises(ConnectionError, match="the line is dead"):
        await anext(stream)
    body.error = None
    assert await rest_of(stream) == [1]


async def test_a_cancelled_wait_loses_no_item() -> None:
    """The read goes on, and whoever asks next gets its item."""
    body = Body(1, 2, waits=True)
    stream = in_thread(body)
    waiting = asyncio.create_task(anext(stream))
    await body.reading.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    body.may_read.set()
    assert await anext(stream) == 1
    assert body.reads == 1
    body.waits = False
    assert await rest_of(stream) == [2]


async def test_two_readers_at_once() -> None:
    """The second is told off, the first gets the item."""
    body = Body(1, waits=True)
    stream = in_thread(body)
    waiting = asyncio.create_task(anext(stream))
    await body.reading.wait()
    with pytest.raises(RuntimeError, match="another task waits"):
        await anext(stream)
    body.may_read.set()
    assert await waiting == 1
    await stream.aclose()


async def test_closing_is_done_once() -> None:
    """Before or after the first read, and again; then there is nothing more."""
    for reads in (0, 1):
        body = Body(1, 2)
        stream = in_thread(body)
        for _ in range(reads):
            await anext(stream)
        await stream.aclose()
        await stream.aclose()
        assert body.closed == 1
        assert await rest_of(stream) == []
        assert body.reads == reads


@pytest.mark.parametrize("kind", [Shuttable, Holder])
async def test_closing_breaks_off_a_read(kind: type[Body]) -> None:
    """The body is shut down, which wakes the thread; the read's error is nobody's news."""
    body = kind(1, waits=True)
    stream = in_thread(body)
    waiting = asyncio.create_task(rest_of(stream))
    await body.reading.wait()
    await stream.aclose()
    assert await waiting == []
    assert body.closed == 1
    assert threads() == []


async def test_closing_a_body_that_is_at_its_end_already() -> None:
    """That it cannot be shut down any more does not matter, and a late item is dropped."""
    body = Obstinate(1, waits=True)
    stream = in_thread(body)
    waiting = asyncio.create_task(rest_of(stream))
    await body.reading.wait()
    await stream.aclose()
    assert await waiting == []
    assert body.closed == 1


async def test_closing_waits_for_a_read_that_cannot_be_broken_off() -> None:
    """The body is never touched by two threads; cancelling the close leaves it to the thread."""
    body = Body(1, waits=True)
    stream = in_thread(body)
    waiting = asyncio.create_task(rest_of(stream))
    await body.reading.wait()
    closing = asyncio.create_task(stream.aclose())
    await asyncio.sleep(0)
    assert body.closed == 0
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert threads() != []
    body.may_read.set()
    assert await waiting == []
    for thread in threading.enumerate():
        if thread.name.startswith(NAME):
            thread.join(timeout=10)
    assert body.closed == 1


async def test_what_closing_raises_passes() -> None:
    """And the thread has ended all the same."""

    class Odd(Body):
        def close(self) -> None:
            raise OSError("it does not close")

    stream = in_thread(Odd(1))
    await anext(stream)
    with pytest.raises(OSError, match="does not close"):
        await stream.aclose()
    assert threads() == []


@pytest.mark.parametrize("end", [StopIteration, StopAsyncIteration])
async def test_opening_that_raises_the_end_of_an_iterator(end: type[Exception]) -> None:
    """It is an error that says so: no future can hold it, and whoever waits would wait forever."""

    def opening() -> Iterator[int]:
        raise end

    stream = in_thread(opening)
    with pytest.raises(RuntimeError, match=f"opening the synchronous stream raised {end.__name__}"):
        await asyncio.wait_for(anext(stream), 10)
    await stream.aclose()


async def test_closing_that_raises_the_end_of_an_iterator() -> None:
    """As opening that does; the thread ends all the same."""

    class Odd(Body):
        def close(self) -> None:
            raise StopIteration

    stream = in_thread(Odd(1, 2))
    await anext(stream)
    with pytest.raises(RuntimeError, match="closing the synchronous stream raised StopIteration"):
        await asyncio.wait_for(stream.aclose(), 10)
    assert threads() == []


@pytest.mark.parametrize("error", [OSError("it does not close"), StopIteration()], ids=repr)
async def test_an_exhausted_body_that_does_not_close(error: Exception) -> None:
    """All was read, so its consumer hears nothing of it, and the run is as good as its chunks."""

    class Odd(Body):
        def close(self) -> None:
            super().close()
            raise error

    body = Odd("a", "b")
    tracked = await tracked_stream(in_thread(body))
    assert tracked.chunks == ["a", "b"]
    assert body.closed == 1
    assert tracked.summary.ending is Ending.COMPLETED
    assert threads() == []


async def test_a_body_and_its_iterator_are_both_closed() -> None:
    """The generator that reads before what it reads from."""
    order: list[str] = []

    class Stream:
        def __iter__(self) -> Iterator[int]:
            try:
                yield 1
                yield 2
            finally:
                order.append("generator")

        def close(self) -> None:
            order.append("body")

    stream = in_thread(Stream())
    await anext(stream)
    await stream.aclose()
    assert order == ["generator", "body"]


async def test_a_dropped_stream_leaves_no_thread() -> None:
    """Its thread ends when it is garbage."""
    stream = in_thread(Body(1, 2))
    await anext(stream)
    assert threads() != []
    del stream
    # the fixture sees to the rest


async def test_an_error_after_a_cancelled_wait_is_no_complaint(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody asks for it any more, and asyncio does not log it."""
    body = Shuttable(1, waits=True)
    stream = in_thread(body)
    waiting = asyncio.create_task(rest_of(stream))
    await body.reading.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await stream.aclose()
    del stream, waiting
    gc.collect()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("odd", "remedy"),
    [
        ({"ResponseMetadata": {}, "stream": [1]}, r"ResponseMetadata, stream.*\[\"stream\"\]"),
        (5, "needs an iterable, or a function that returns one, not 5"),
        (None, "needs an iterable"),
    ],
    ids=["an answer", "a number", "nothing"],
)
async def test_what_is_no_stream_is_refused(odd: Any, remedy: str) -> None:
    """At once, with the remedy, and without a thread."""
    with pytest.raises(TypeError, match=remedy):
        in_thread(odd)


async def test_a_function_that_returns_an_answer_is_refused() -> None:
    """At every read, with the remedy: the answer's keys are not its stream."""
    stream = in_thread(lambda: {"ResponseMetadata": {}, "stream": [1]})
    for _ in range(2):
        with pytest.raises(
            TypeError, match=r'returned a mapping \(ResponseMetadata, stream.*response\["stream"\]'
        ):
            await anext(stream)
    await stream.aclose()


async def test_what_is_asynchronous_already_is_refused() -> None:
    """It needs no thread."""
    with pytest.raises(TypeError, match="asynchronous already"):
        in_thread(in_thread([1]))  # type: ignore[arg-type]  # that is the point


async def test_a_tracked_stream_closes_it() -> None:
    """Read in part, through a run."""
    body = Body("a", "b", "c")
    tracked = await tracked_stream(in_thread(body), until=2)
    assert tracked.chunks == ["a", "b"]
    assert body.closed == 1
    assert tracked.summary.ending is Ending.CLOSED_EARLY


@pytest.mark.parametrize(("is_function", "waited"), [(True, 0), (False, 5000)], ids=["function", "body"])
async def test_the_clock_starts_with_the_request(is_function: bool, waited: int) -> None:
    """A function issues it in the first read, however late that is; an open body has issued it before."""
    ld = recording({"k": FLAG})
    config = await ld.ai.completion_config("k", Context.create("ada"), AICompletionConfigDefault())
    tracker = config.create_tracker()
    body = Body("a")
    stream = tracker.stream(in_thread((lambda: body) if is_function else body))
    ld.clock.advance(ms=5000)
    assert await rest_of(stream) == ["a"]
    assert tracker.summary.time_to_first_token == waited
    assert tracker.summary.duration_ms == waited


async def test_a_cancelled_run_closes_it() -> None:
    """While it waits for an item: the read is broken off, the body closed."""
    body = Shuttable("a", waits=True)
    tracked = await new_run()
    reading = asyncio.create_task(tracked_stream(in_thread(body), into=tracked))
    await body.reading.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert body.closed == 1
    assert tracked.summary.ending is Ending.CANCELLED


async def test_streams_do_not_wait_for_each_other() -> None:
    """However many are waiting: each has its own thread."""
    bodies = [Body(number, waits=True) for number in range(60)]
    streams: list[ThreadedStream[Any]] = [in_thread(body) for body in bodies]
    waiting = [asyncio.create_task(rest_of(stream)) for stream in streams]
    for body in bodies:
        await body.reading.wait()
    for body in bodies:
        body.waits = False
        body.may_read.set()
    assert await asyncio.gather(*waiting) == [[number] for number in range(60)]
