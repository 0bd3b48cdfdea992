"""The front door: entering, flushing, closing, counting."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_provider import Provider, tick
from launchdarkly import Captured, client
from ldclient import Context

from ldtrack import AIClient, Outcome
from ldtrack.testing import RecordingClient, RecordingLedger, recording

ADA = Context.create("ada")


async def a_run(ai: AIClient, key: str = "chat") -> Any:
    """A tracker of a new run."""
    return (await ai.completion_config(key, ADA)).create_tracker()


# Entering


async def test_it_may_be_used_without_being_entered() -> None:
    """Everything works: there is nothing to start."""
    made = recording()
    async with (await a_run(made.ai)).run():
        made.clock.advance(ms=5)
    assert made.keys() == ["$ld:ai:duration:total", "$ld:ai:generation:success"]


async def test_entering_gives_the_client_itself() -> None:
    """What ``async with`` binds is the client."""
    made = recording()
    async with made.ai as ai:
        assert ai is made.ai


async def test_without_an_idle_limit_nothing_runs_in_the_background() -> None:
    """Entering starts no task."""
    before = asyncio.all_tasks()
    async with recording().ai:
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_an_idle_limit_that_is_no_time_is_refused(limit: float) -> None:
    """It must be a positive number of seconds."""
    with pytest.raises(ValueError, match="idle_limit must be a positive number"):
        recording(idle_limit=limit)


def test_its_repr_says_which_ledger_and_what_was_recorded() -> None:
    """For logs."""
    assert repr(recording(ledger=RecordingLedger()).ai).startswith(
        "<AIClient with RecordingLedger, Stats(recorded=0"
    )


# Flushing


async def test_a_flush_asks_the_ldclient_and_believes_nothing() -> None:
    """An ``LDClient`` does not say what it delivered: what was recorded is unconfirmed."""
    made = recording()
    await (await a_run(made.ai)).track_success()
    result = await made.ai.flush()
    assert made.client.flushes == 1
    assert (result.delivered, result.pending, result.unconfirmed) == (0, 0, 1)
    assert not result


async def test_a_flush_of_nothing_is_a_good_one() -> None:
    """Where nothing was recorded there is nothing that may be lost."""
    assert await recording().ai.flush()


class AwaitedClient(RecordingClient):
    """Stands in for an ``AsyncLDClient``."""

    def __init__(self, flags: Any = None) -> None:
        super().__init__(flags)
        self.waited: list[float] = []

    async def variation(self, key: str, context: Context, default: Any) -> Any:
        await tick()
        return self.flags.get(key, default)

    async def flush_and_wait(self, timeout: float) -> bool:
        self.waited.append(timeout)
        return True


async def test_a_flush_waits_for_an_async_client_and_believes_nothing_either() -> None:
    """Its ``flush_and_wait`` says yes whatever became of the post, so that is not passed on."""
    ld = AwaitedClient()
    ai = AIClient(ld)
    await (await a_run(ai)).track_success()
    result = await ai.flush(1.5)
    assert ld.waited == [1.5]
    assert (result.delivered, result.unconfirmed, bool(result)) == (0, 1, False)


async def test_the_ledger_has_the_last_word_on_a_flush() -> None:
    """A ledger that knows what was delivered says so."""
    ledger = RecordingLedger()
    made = recording(ledger=ledger)
    await (await a_run(made.ai)).track_success()
    result = await made.ai.flush()
    assert (result.delivered, result.unconfirmed, bool(result)) == (1, 0, True)
    assert made.client.flushes == 0


# Closing


class ClosingLedger(RecordingLedger):
    """Counts how often it was closed."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


async def test_leaving_closes_the_ledger_and_flushes_before() -> None:
    """What is recorded is pushed on its way, then the ledger is let go of."""
    ledger = ClosingLedger()
    async with recording(ledger=ledger).ai:
        assert ledger.closed == 0
    assert ledger.closed == 1


async def test_closing_twice_is_closing_once() -> None:
    """A second close finds nothing to end, and nothing changes."""
    made = recording()
    tracker = await a_run(made.ai)
    stream = tracker.stream(made_provider(made).generator())
    await anext(stream)
    await made.ai.aclose()
    events, summary = list(made.events), tracker.summary
    await made.ai.aclose()
    assert made.events == events
    assert tracker.summary == summary


def made_provider(made: Any, **options: Any) -> Provider:
    return Provider(made.clock.advance, **options)


async def test_closing_ends_open_streams_and_closes_them_at_the_provider() -> None:
    """Nobody will read on: each is settled as cancelled, with what was seen, and closed once."""
    made = recording()
    providers = [made_provider(made), made_provider(made)]
    trackers = [await a_run(made.ai) for _ in providers]
    streams = [
        tracker.stream(provider.generator()) for tracker, provider in zip(trackers, providers, strict=True)
    ]
    for stream in streams:
        await anext(stream)
    assert made.ai.stats.open_calls == 2
    await made.ai.aclose()
    assert made.ai.stats.open_calls == 0
    assert [tracker.summary.outcome for tracker in trackers] == [Outcome.CANCELLED] * 2
    assert [provider.closing for provider in providers] == [["finally"], ["finally"]]
    assert [event.key for event in made.events] == ["$ld:ai:duration:total", "$ld:ai:tokens:ttf"] * 2


async def test_closing_waits_for_the_clean_up_of_dropped_streams() -> None:
    """A stream that was dropped is closed by a task; after the client has closed there is none left."""
    made = recording()
    provider = made_provider(made)
    stream = (await a_run(made.ai)).stream(provider.with_aclose())
    await anext(stream)
    before = asyncio.all_tasks()
    del stream
    gc.collect()
    await tick()
    await made.ai.aclose()
    assert len(provider.closing) == 1
    assert asyncio.all_tasks() == before


async def test_closing_leaves_the_ldclient_open() -> None:
    """Who made it closes it: it evaluates flags and takes events afterwards."""
    captured = Captured()
    with client({"flag": "on"}, captured=captured) as ld:
        async with AIClient(ld):
            pass
        assert ld.variation("flag", ADA, None) == "on"
        ld.track("afterwards", ADA)
        assert captured.customs[-1].key == "afterwards"


@pytest.mark.parametrize("rounds", range(12))
async def test_cancelling_a_close_is_not_swallowed(rounds: int) -> None:
    """Whenever the cancellation comes, the close is either over or cancelled, and the runs are settled."""
    made = recording(idle_limit=60)
    await made.ai.__aenter__()
    tracker = await a_run(made.ai)
    stream = tracker.stream(made_provider(made).like_openai())
    await anext(stream)
    closing = asyncio.create_task(made.ai.aclose())
    for _ in range(rounds):
        await tick()
    was_over = closing.done()
    closing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await closing
    assert closing.cancelled() is not was_over
    if rounds:
        assert tracker.summary.outcome is Outcome.CANCELLED
    await made.ai.aclose()


async def test_a_client_that_is_closed_still_records() -> None:
    """Late feedback is not lost because the client was closed first."""
    made = recording()
    tracker = await a_run(made.ai)
    await made.ai.aclose()
    assert await tracker.track_feedback("positive")


# Counting


async def test_stats_are_a_snapshot() -> None:
    """They say what was so when they were asked for."""
    made = recording()
    before = made.ai.stats
    tracker = await a_run(made.ai)
    await tracker.track_success()
    await tracker.track_success()
    after = made.ai.stats
    assert (before.recorded, before.duplicates) == (0, 0)
    assert (after.recorded, after.duplicates) == (1, 1)
    with pytest.raises(TypeError):
        after.failures["reader"] = 3  # type: ignore[index]  # the point


async def test_stats_count_what_fails_quietly_by_kind() -> None:
    """A run that cannot record on its way out says so here, and nowhere in the user's code."""
    ledger = RecordingLedger()
    made = recording(ledger=ledger)
    tracker = await a_run(made.ai)
    ledger.fail_next(2)
    async with tracker.run():
        pass
    assert made.ai.stats.failures == {"duration": 1, "outcome": 1}


async def test_runs_of_one_client_do_not_see_each_other() -> None:
    """Concurrent streams are settled each with its own chunks."""
    made = recording()

    async def chunks(count: int) -> AsyncIterator[str]:
        for number in range(count):
            await tick()
            yield str(number)

    async def read(count: int) -> int:
        tracker = await a_run(made.ai)
        return len([chunk async for chunk in tracker.stream(chunks(count))])

    assert await asyncio.gather(*map(read, range(1, 6))) == [1, 2, 3, 4, 5]
    assert made.keys().count("$ld:ai:generation:success") == 5
    assert made.ai.stats.open_calls == 0
