"""Streams that only pass on what a generator within them yields, and those that do more than that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_provider import LikeOpenAI, Provider
from stage import Stage

from ldtrack.core.values import Ending, Outcome
from ldtrack.tracking.pass_through import _PassThrough, passed_on


class PassingOn:
    """Written as the OpenAI package's own stream class is."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._iterator: Any = provider.generator()

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for item in self._iterator:
            yield item

    async def close(self) -> None:
        await self.provider.closed("close")

    async def until_done(self) -> None:
        async for _ in self:
            pass


class Subclass(PassingOn):
    """Changes nothing."""


class Shouting(PassingOn):
    """Passes on something else."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for item in self._iterator:
            item.text = item.text.upper()
            yield item


class Counting(PassingOn):
    """Passes on the same, and does something beside."""

    count = 0

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for item in self._iterator:
            self.count += 1
            yield item


class Tidying(PassingOn):
    """Passes on the same, and does something at the end."""

    is_tidy = False

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for item in self._iterator:
                yield item
        finally:
            self.is_tidy = True


class Elsewhere(PassingOn):
    """Passes on what another attribute holds."""

    def __init__(self, provider: Any) -> None:
        super().__init__(provider)
        self._other, self._iterator = self._iterator, None

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for item in self._other:
            yield item


class NoGenerator(PassingOn):
    """Passes on what an iterator yields that is not a generator."""

    def __init__(self, provider: Any) -> None:
        super().__init__(provider)
        self._iterator = provider.with_aclose()


def test_the_pattern_that_classes_are_compared_with_passes_on() -> None:
    """Else there would be nothing to conclude from being the same."""

    async def scene(stage: Stage) -> None:
        pattern: Any = _PassThrough()
        pattern._iterator = stage.provider.generator()
        assert [chunk.text async for chunk in pattern] == ["a", "b", "c"]
        assert passed_on(pattern) is pattern._iterator

    Stage().play(scene)


@pytest.mark.parametrize("kind", [PassingOn, Subclass])
def test_what_is_only_passed_on_is_read_at_its_source(kind: Any) -> None:
    """A class is known by what its code does: not by its name, and not by where it is written."""

    async def scene(stage: Stage) -> None:
        stream = kind(stage.provider)
        assert passed_on(stream) is stream._iterator
        assert [chunk.text async for chunk in stage.tracker.stream(stream)] == ["a", "b", "c"]

    stage = Stage()
    stage.play(scene)
    stage.assert_clean()
    assert stage.tracker.summary.outcome is Outcome.SUCCESS
    assert stage.provider.closing == ["finally", "close"]


@pytest.mark.parametrize("kind", [Shouting, Counting, Tidying, Elsewhere, NoGenerator])
def test_who_does_more_than_passing_on_is_iterated_over(kind: Any) -> None:
    """Whatever a class does in its ``__aiter__`` is done."""

    async def scene(stage: Stage) -> None:
        stream = kind(stage.provider)
        assert passed_on(stream) is None
        texts = [chunk.text async for chunk in stage.tracker.stream(stream)]
        assert texts == (["A", "B", "C"] if kind is Shouting else ["a", "b", "c"])
        assert getattr(stream, "count", 3) == 3
        assert getattr(stream, "is_tidy", True)

    stage = Stage()
    stage.play(scene)
    stage.assert_clean()


def test_a_class_that_returns_another_iterator_is_asked_for_it() -> None:
    """It passes nothing on: its chunks are somebody else's."""
    assert passed_on(LikeOpenAI(Stage().provider)) is None


def test_an_instrumented_class_keeps_its_instrumentation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who puts a function of theirs into somebody else's class wants it called."""
    seen: list[str] = []
    original = PassingOn.__aiter__

    async def instrumented(self: PassingOn) -> AsyncIterator[Any]:
        async for item in original(self):
            seen.append(item.text)
            yield item

    monkeypatch.setattr(PassingOn, "__aiter__", instrumented)

    async def scene(stage: Stage) -> None:
        async for _ in stage.tracker.stream(PassingOn(stage.provider)):
            pass

    stage = Stage()
    stage.play(scene)
    stage.assert_clean()
    assert seen == ["a", "b", "c"]


def test_a_function_that_is_not_python_is_left_alone() -> None:
    """Compiled code says nothing of what it does."""

    class Compiled:
        __aiter__ = iter  # any function that is built in

    assert passed_on(Compiled()) is None


# Who reads, and who closes


async def settled(stage: Stage, *tasks: asyncio.Task[Any]) -> None:
    """Let tasks end that have nothing to wait for any more; how they end is not what is tested."""
    stage.provider.go_on.set()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_an_early_close_closes_the_stream() -> None:
    """The generator is the stream's: it is closed as the stream closes it."""

    async def scene(stage: Stage) -> None:
        tracked = stage.tracker.stream(PassingOn(stage.provider))
        await anext(tracked)
        await tracked.aclose()
        assert stage.provider.closing == ["close"]

    stage = Stage()
    stage.play(scene)
    assert stage.tracker.summary.ending is Ending.CLOSED_EARLY


def test_a_close_while_a_chunk_is_waited_for_is_left_to_who_waits() -> None:
    """As with any generator that is being read."""

    async def scene(stage: Stage) -> None:
        stage.provider.waits_at = 1
        tracked = stage.tracker.stream(PassingOn(stage.provider))
        await anext(tracked)
        reading = asyncio.ensure_future(anext(tracked))
        await stage.provider.waiting.wait()
        with pytest.raises(RuntimeError, match="already running"):
            await anext(tracked)  # a second reader, who is told off and is no concern of the first one's
        await tracked.aclose()
        assert stage.provider.closing == []
        await settled(stage, reading)
        assert isinstance(reading.exception(), StopAsyncIteration)
        assert stage.provider.closing == ["close"]

    stage = Stage()
    stage.play(scene)
    assert stage.tracker.summary.ending is Ending.CLOSED_EARLY


@pytest.mark.parametrize("how", ["a method of ours", "past us"])
def test_a_close_while_somebody_reads_by_another_way_closes_at_once(how: str) -> None:
    """The generator runs, but not for a chunk of ours: nobody would close the stream when it has one."""

    async def scene(stage: Stage) -> None:
        stage.provider.waits_at = 1
        stream = PassingOn(stage.provider)
        tracked = stage.tracker.stream(stream)
        await anext(tracked)
        read = tracked.until_done if how == "a method of ours" else stream.until_done
        reading = asyncio.ensure_future(read())
        await stage.provider.waiting.wait()
        again = asyncio.ensure_future(tracked.until_done())
        await asyncio.wait([again])
        await tracked.aclose()
        assert stage.provider.closing == ["close"]
        await settled(stage, reading)

    stage = Stage()
    stage.play(scene)


@pytest.mark.parametrize("goes_on", [True, False])
def test_who_was_told_off_for_reading_beside_somebody_can_go_on(goes_on: bool) -> None:
    """A reader past us is no concern of ours: the rest is read as ever, or dropped, which ends the call."""

    async def scene(stage: Stage) -> None:
        stage.provider.waits_at = 1
        stream = PassingOn(stage.provider)
        tracked = stage.tracker.stream(stream)
        assert (await anext(tracked)).text == "a"
        past = asyncio.ensure_future(anext(stream._iterator))
        await stage.provider.waiting.wait()
        with pytest.raises(RuntimeError, match="already running"):
            await anext(tracked)
        stage.provider.go_on.set()
        assert (await past).text == "b"
        if goes_on:
            assert [chunk.text async for chunk in tracked] == ["c"]
        del tracked
        await stage.quiet()
        assert stage.provider.closing[-1] == "close"

    stage = Stage()
    stage.play(scene)
    assert stage.tracker.summary.ending is (Ending.COMPLETED if goes_on else Ending.CLOSED_EARLY)


async def unclosing(provider: Provider) -> AsyncIterator[Any]:
    """Has nothing to wait for when it is closed, which who is destroyed could not do."""
    while True:
        yield await provider.next_chunk()


@pytest.mark.parametrize("by", ["a chunk", "a method"])
def test_a_reader_that_is_destroyed_is_no_reader(by: str) -> None:
    """Up to Python 3.12, the generator that it waited for says for ever that it is running."""

    async def scene(stage: Stage) -> None:
        stage.provider.waits_at = 1
        stream = PassingOn(stage.provider)
        stream._iterator = unclosing(stage.provider)
        tracked = stage.tracker.stream(stream)
        await anext(tracked)
        waiting: Any = tracked.until_done() if by == "a method" else tracked.__anext__()
        while not asyncio.isfuture(waiting.send(None)):
            pass
        waiting.close()
        await tracked.aclose()
        assert stage.provider.closing == ["close"]

    stage = Stage()
    stage.play(scene)
    assert stage.tracker.summary.ending is Ending.CLOSED_EARLY
