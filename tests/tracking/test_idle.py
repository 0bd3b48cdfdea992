"""The idle limit: a stream that somebody holds and nobody reads is ended all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_provider import CHUNK_MS, KINDS, OPEN_MS, Kind, Provider, opening
from stage import ADA, Stage

from ldtrack.core.values import Ending, Outcome
from ldtrack.exceptions import MisuseError
from ldtrack.testing import recording

LIMIT = 30.0


def sweep(stage: Stage) -> None:
    """What the client does from time to time."""
    assert stage.recorder.idle_limit is not None
    limit_ns = int(stage.recorder.idle_limit * 1e9)
    stage.recorder.end_idle_calls(stage.clock.monotonic_ns() - limit_ns)


def playing(scene: Any, **options: Any) -> Stage:
    """Play a scene with an idle limit, and expect nothing to go wrong unseen."""
    stage = Stage(**{"idle_limit": LIMIT, **options})
    stage.play(scene)
    stage.assert_clean()
    return stage


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=name.replace(" ", "_")) for name, kind in KINDS.items()]
)
@pytest.mark.parametrize("read", [0, 1])
def test_a_stream_that_is_held_and_not_asked(kind: Kind, read: int) -> None:
    """It is settled and closed by the first sweep after the limit; who comes back is told so."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(kind.make(stage.provider))
        for _ in range(read):
            await anext(stream)
        stage.clock.advance(LIMIT - 0.001)
        sweep(stage)
        assert len(stage.recorder.open_calls) == 1
        stage.clock.advance(0.001)
        sweep(stage)
        assert stage.recorder.open_calls == set()
        await stage.quiet()
        assert stage.provider.closing == kind.closing(is_opened=read > 0, is_begun=read > 0)
        with pytest.raises(MisuseError, match="idle_limit"):
            await anext(stream, "over")
        await stream.aclose()
        sweep(stage)

    stage = playing(scene)
    summary = stage.tracker.summary
    assert (summary.ending, summary.outcome) == (Ending.CLOSED_EARLY, Outcome.CANCELLED)
    assert stage.provider.reads == read
    assert len(stage.provider.closing) == len(set(stage.provider.closing))
    opening_ms = OPEN_MS if kind.is_lazy and read else 0
    if kind.is_lazy and not read:
        assert stage.events == []
    else:
        assert stage.events[0] == ("duration:total", opening_ms + read * CHUNK_MS + LIMIT * 1000)


@pytest.mark.parametrize("place", ["open", 0, 1])
def test_a_stream_that_waits_for_a_slow_provider(place: Any) -> None:
    """It is the provider that is idle: the consumer has asked, and gets its chunk."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at=place)
        stream = stage.tracker.stream(opening(stage.provider, Provider.generator))
        seen = []

        async def read() -> None:
            async for chunk in stream:
                seen.append(chunk.text)

        task = asyncio.create_task(read())
        await stage.provider.waiting.wait()
        stage.clock.advance(LIMIT * 10)
        sweep(stage)
        assert len(stage.recorder.open_calls) == 1
        stage.provider.go_on.set()
        await task
        assert seen == ["a", "b", "c"]

    assert playing(scene).tracker.summary.ending is Ending.COMPLETED


def test_every_read_starts_the_limit_anew() -> None:
    """By whatever way it asks."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.stream(stage.provider.generator()) as stream:
            for ask in (stream.__anext__, lambda: stream.asend(None), stream.__anext__):
                stage.clock.advance(LIMIT * 0.9)
                sweep(stage)
                await ask()
            assert len(stage.recorder.open_calls) == 1

    assert playing(scene).tracker.summary.ending is Ending.COMPLETED, "the third chunk had the finish mark"


def test_opening_starts_the_limit_anew() -> None:
    """A stream that was entered late is not idle."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(opening(stage.provider, Provider.generator))
        stage.clock.advance(LIMIT * 0.9)
        async with stream:
            stage.clock.advance(LIMIT * 0.9)
            sweep(stage)
            assert len(stage.recorder.open_calls) == 1

    playing(scene)


def test_a_stream_inside_a_run() -> None:
    """The call ends; the run goes on and is recorded when it is left."""

    async def scene(stage: Stage) -> None:
        async with stage.tracker.run() as run:
            stream = run.stream(stage.provider.with_aclose())
            await anext(stream)
            stage.clock.advance(LIMIT)
            sweep(stage)
            await stage.quiet()
            assert stage.provider.closing == ["close"]
            assert stage.events == []
            with pytest.raises(MisuseError, match="idle_limit"):
                await anext(stream, "over")

    stage = playing(scene)
    assert stage.tracker.summary.ending is Ending.CLOSED_EARLY
    assert stage.provider.closing == ["close"]


def test_calls_that_do_not_stream_are_never_idle() -> None:
    """They wait for the provider all the time."""

    async def scene(stage: Stage) -> None:
        stage.new_provider(waits_at="open")
        async with stage.tracker.run() as run:
            task = asyncio.create_task(run.call(opening(stage.provider, lambda _: "answer")))
            await stage.provider.waiting.wait()
            stage.clock.advance(LIMIT * 10)
            sweep(stage)
            stage.provider.go_on.set()
            assert await task == "answer"

    assert playing(scene).tracker.summary.outcome is Outcome.SUCCESS


def test_a_sweep_from_another_loop() -> None:
    """The call ends where it is found; its stream is closed in its own loop."""

    async def scene(stage: Stage) -> None:
        stream = stage.tracker.stream(stage.provider.with_aclose())
        await anext(stream)
        stage.clock.advance(LIMIT)
        await asyncio.to_thread(sweep, stage)
        assert stage.recorder.open_calls == set()
        await stage.quiet()
        assert stage.provider.closing == ["close"]

    playing(scene)


async def test_the_client_sweeps() -> None:
    """With an idle limit; without one there is nothing to sweep."""
    for limit, expected in ((LIMIT, Ending.CLOSED_EARLY), (None, None)):
        recorded = recording(idle_limit=limit)
        config = await recorded.ai.completion_config("chat", ADA)
        tracker = config.create_tracker()
        stream: Any = tracker.stream(Provider(chunks=("a", "b")).generator())
        await anext(stream)
        recorded.clock.advance(LIMIT)
        recorded.ai.sweep()
        assert tracker.summary.ending is expected
        await stream.aclose()
        await recorded.ai.aclose()
