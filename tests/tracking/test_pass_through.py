"""Streams that only pass on what a generator within them yields, and those that do more than that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_provider import LikeOpenAI
from stage import Stage

from ldtrack.core.values import Outcome
from ldtrack.tracking.pass_through import chunks_of


class Subclass(LikeOpenAI):
    """Changes nothing."""


class Shouting(LikeOpenAI):
    """Passes on something else."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for item in self._iterator:
            item.text = item.text.upper()
            yield item


class Counting(LikeOpenAI):
    """Passes on the same, and does something beside."""

    count = 0

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for item in self._iterator:
            self.count += 1
            yield item


class Tidying(LikeOpenAI):
    """Passes on the same, and does something at the end."""

    is_tidy = False

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for item in self._iterator:
                yield item
        finally:
            self.is_tidy = True


class Elsewhere(LikeOpenAI):
    """Passes on what another attribute holds."""

    def __init__(self, provider: Any) -> None:
        super().__init__(provider)
        self._other, self._iterator = self._iterator, None  # type: ignore[assignment]  # what is tested

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for item in self._other:
            yield item


class NoGenerator(LikeOpenAI):
    """Passes on what an iterator yields that is not a generator."""

    def __init__(self, provider: Any) -> None:
        super().__init__(provider)
        self._iterator = provider.with_aclose()


@pytest.mark.parametrize("kind", [LikeOpenAI, Subclass])
def test_what_is_only_passed_on_is_read_at_its_source(kind: Any) -> None:
    """A class is known by what its code does: not by its name, and not by where it is written."""

    async def scene(stage: Stage) -> None:
        stream = kind(stage.provider)
        assert chunks_of(stream) is stream._iterator
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
        texts = [chunk.text async for chunk in stage.tracker.stream(stream)]
        assert texts == (["A", "B", "C"] if kind is Shouting else ["a", "b", "c"])
        assert getattr(stream, "count", 3) == 3
        assert getattr(stream, "is_tidy", True)

    stage = Stage()
    stage.play(scene)
    stage.assert_clean()


def test_an_instrumented_class_keeps_its_instrumentation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who puts a function of theirs into somebody else's class wants it called."""
    seen: list[str] = []
    original = LikeOpenAI.__aiter__

    async def instrumented(self: LikeOpenAI) -> AsyncIterator[Any]:
        async for item in original(self):
            seen.append(item.text)
            yield item

    monkeypatch.setattr(LikeOpenAI, "__aiter__", instrumented)

    async def scene(stage: Stage) -> None:
        async for _ in stage.tracker.stream(stage.provider.like_openai()):
            pass

    stage = Stage()
    stage.play(scene)
    stage.assert_clean()
    assert seen == ["a", "b", "c"]


def test_a_function_that_is_not_python_is_left_alone() -> None:
    """Compiled code says nothing of what it does."""

    class Compiled:
        __aiter__ = iter  # type: ignore[assignment]  # any function that is built in

    with pytest.raises(TypeError):
        chunks_of(Compiled())


def test_an_early_close_closes_the_generator_within() -> None:
    """Nothing is left for the event loop to close when the collector finds it."""

    async def scene(stage: Stage) -> None:
        stream = stage.provider.like_openai()
        tracked = stage.tracker.stream(stream)
        await anext(tracked)
        await tracked.aclose()
        assert stage.provider.closing == ["finally", "close"]
        assert stream._iterator.ag_frame is None
        assert len(asyncio.all_tasks()) == 1

    stage = Stage()
    stage.play(scene)
    stage.assert_clean()
