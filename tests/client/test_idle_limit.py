"""Streams that nobody reads any more, though somebody still holds them: the client ends them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_provider import Provider, tick
from ldclient import Context

from ldtrack import Ending, MisuseError, Outcome
from ldtrack.testing import Recording, recording

ADA = Context.create("ada")
ROUNDS = 1000
"""How many rounds of the loop a background task may take; each takes microseconds."""


async def begun(made: Recording, **options: Any) -> tuple[Any, Any, Provider]:
    """A tracker, its stream of which one chunk was read, and the provider behind it."""
    provider = Provider(made.clock.advance, **options)
    tracker = (await made.ai.completion_config("chat", ADA)).create_tracker()
    stream = tracker.stream(provider.generator())
    await anext(stream)
    return tracker, stream, provider


async def test_a_stream_that_nobody_reads_is_ended() -> None:
    """It is settled as closed early, with what was seen of it, and closed at the provider."""
    made = recording(idle_limit=10)
    tracker, stream, provider = await begun(made)
    made.clock.advance(10)
    made.ai.sweep()
    await made.ai.aclose()
    assert tracker.summary.ending is Ending.CLOSED_EARLY
    assert tracker.summary.outcome is Outcome.CANCELLED
    assert provider.closing == ["finally"]
    with pytest.raises(MisuseError, match="idle_limit"):
        await anext(stream)
    assert made.keys() == ["$ld:ai:duration:total", "$ld:ai:tokens:ttf"]


async def test_a_stream_within_the_limit_is_left_alone() -> None:
    """A consumer may take its time."""
    made = recording(idle_limit=10)
    tracker, stream, _ = await begun(made)
    made.clock.advance(9.999)
    made.ai.sweep()
    assert tracker.summary.ending is None
    assert len([chunk async for chunk in stream]) == 2
    assert tracker.summary.success is True


async def test_waiting_for_the_provider_is_not_idleness() -> None:
    """However long the provider takes, its consumer is there."""
    made = recording(idle_limit=10)
    tracker, stream, provider = await begun(made, waits_at=1)
    reading = asyncio.create_task(anext(stream))
    await provider.waiting.wait()
    made.clock.advance(3600)
    made.ai.sweep()
    assert tracker.summary.ending is None
    provider.go_on.set()
    await reading
    await stream.aclose()


async def test_without_a_limit_a_sweep_ends_nothing() -> None:
    """It is off unless asked for."""
    made = recording()
    tracker, stream, _ = await begun(made)
    made.clock.advance(1e6)
    made.ai.sweep()
    assert tracker.summary.ending is None
    await stream.aclose()


async def test_entering_starts_the_sweeping_and_closing_stops_it() -> None:
    """One task for as long as the client is entered, however often that happens; none afterwards."""
    made = recording(idle_limit=10)
    before = asyncio.all_tasks()
    async with made.ai:
        (sweeper,) = asyncio.all_tasks() - before
        await made.ai.__aenter__()
        assert asyncio.all_tasks() - before == {sweeper}
    assert sweeper.cancelled()
    assert asyncio.all_tasks() == before


async def test_a_client_that_was_closed_can_be_entered_again() -> None:
    """Then it sweeps again."""
    made = recording(idle_limit=10)
    before = asyncio.all_tasks()
    for _ in range(2):
        async with made.ai:
            assert len(asyncio.all_tasks() - before) == 1
        assert asyncio.all_tasks() == before


async def test_the_background_task_does_the_sweeping() -> None:
    """With a limit of next to nothing, an abandoned stream is ended without anybody's doing."""
    made = recording(idle_limit=1e-9)
    async with made.ai:
        tracker, _stream, provider = await begun(made)
        made.clock.advance(1)
        for _ in range(ROUNDS):
            await tick()
            if provider.closing:
                break
        assert tracker.summary.ending is Ending.CLOSED_EARLY
        assert provider.closing == ["finally"]
