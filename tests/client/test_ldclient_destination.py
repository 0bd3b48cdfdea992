"""Events into a LaunchDarkly client: all of a claim's or none, in the client's own loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fake_provider import tick
from ldclient import Context

from ldtrack import AIClient, LedgerError, TokenUsage
from ldtrack.testing import RecordingClient, recording

ADA = Context.create("ada")
USAGE = TokenUsage(12, 5, 7)
TOKENS = ["$ld:ai:tokens:total", "$ld:ai:tokens:input", "$ld:ai:tokens:output"]


async def a_run(ai: AIClient) -> Any:
    return (await ai.completion_config("chat", ADA)).create_tracker()


# All or none


async def test_a_claim_whose_first_event_is_refused_leaves_nothing() -> None:
    """The call raises, the slot is free, and the repeated call sends all of it."""
    made = recording()
    tracker = await a_run(made.ai)
    made.client.fail_next(OSError("no room"))
    with pytest.raises(LedgerError, match="the outlet refused it"):
        await tracker.track_tokens(USAGE)
    assert made.keys() == []
    assert await tracker.track_tokens(USAGE)
    assert made.keys() == TOKENS


async def test_a_claim_that_is_refused_halfway_is_recorded_and_sent_in_full_later() -> None:
    """What is out cannot be taken back, so the rest follows with the next event, before it."""
    made = recording()
    tracker = await a_run(made.ai)
    fail_at(made.client, 2)
    assert await tracker.track_tokens(USAGE)
    assert made.keys() == TOKENS[:1]
    assert not await tracker.track_tokens(USAGE)
    assert await tracker.track_success()
    assert made.keys() == [*TOKENS, "$ld:ai:generation:success"]


def fail_at(client: RecordingClient, number: int) -> None:
    """Let only the call of that number fail, counting from now."""
    track, calls = client.track, iter(range(1, 1000))

    def counting(*arguments: Any) -> None:
        if next(calls) == number:
            raise OSError("no room")
        track(*arguments)

    client.track = counting  # type: ignore[method-assign]  # for once


async def test_what_is_left_over_is_pending_and_goes_out_with_a_flush() -> None:
    """A flush says how much is left, and tries."""
    made = recording()
    tracker = await a_run(made.ai)
    fail_at(made.client, 2)
    await tracker.track_tokens(USAGE)
    assert (await made.ai.flush()).pending == 0
    assert made.keys() == TOKENS


async def test_a_flush_that_cannot_send_what_is_left_over_says_so() -> None:
    """It raises nothing, and nothing is lost."""
    made = recording()
    tracker = await a_run(made.ai)
    fail_at(made.client, 2)
    await tracker.track_tokens(USAGE)
    made.client.fail_next(OSError("still no room"))
    assert (await made.ai.flush()).pending == 2
    assert (await made.ai.flush()).pending == 0
    assert made.keys() == TOKENS


async def test_a_client_that_still_refuses_what_is_left_over_gets_nothing_new() -> None:
    """The order of events is kept: the new claim is refused, and free to be repeated."""
    made = recording()
    tracker = await a_run(made.ai)
    fail_at(made.client, 2)
    await tracker.track_tokens(USAGE)
    made.client.fail_next(OSError("still no room"))
    with pytest.raises(LedgerError, match="still no room"):
        await tracker.track_success()
    assert await tracker.track_success()
    assert made.keys() == [*TOKENS, "$ld:ai:generation:success"]


async def test_no_two_events_share_their_data() -> None:
    """The SDK keeps the dict until it is sent: changing one event's changes no other's."""
    made = recording()
    tracker = await a_run(made.ai)
    await tracker.track_tokens(USAGE)
    await tracker.track_success()
    for event in made.events:
        event.data["runId"] = "spoilt"
    await tracker.track_error()
    await tracker.track_duration(5)
    assert made.events[-1].data["runId"] == tracker.run_id
    assert len({id(event.data) for event in made.events}) == len(made.events)


# The client's own loop


class LoopBound(RecordingClient):
    """An ``AsyncLDClient`` in miniature, which notes in which thread it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def track(self, event_name: str, context: Context, data: Any = None, metric_value: Any = None) -> None:
        self.threads.add(threading.get_ident())
        super().track(event_name, context, data, metric_value)

    async def variation(self, key: str, context: Context, default: Any) -> Any:
        return default

    async def flush_and_wait(self, timeout: float) -> bool:
        self.threads.add(threading.get_ident())
        await tick()
        self.flushes += 1
        return True


@pytest.fixture
def elsewhere() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_events_from_another_loop_are_handed_over_to_the_clients_own(
    elsewhere: asyncio.AbstractEventLoop,
) -> None:
    """An ``AsyncLDClient`` belongs to one loop, and trackers do not."""
    ld = LoopBound()
    tracker = await a_run(AIClient(ld))

    async def there() -> bool:
        return await tracker.track_success()

    assert await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(), elsewhere))
    await tick()
    assert ld.events[-1].key == "$ld:ai:generation:success"
    assert ld.threads == {threading.get_ident()}


async def test_a_flush_from_another_loop_waits_in_the_clients_own(
    elsewhere: asyncio.AbstractEventLoop,
) -> None:
    """Otherwise it would wait for an answer that never reaches it."""
    ld = LoopBound()
    ai = AIClient(ld)
    await a_run(ai)
    flushed = asyncio.run_coroutine_threadsafe(ai.flush(), elsewhere)
    await asyncio.wrap_future(flushed)
    assert ld.flushes == 1
    assert ld.threads == {threading.get_ident()}


async def test_events_from_a_thread_without_a_loop_are_handed_over_too() -> None:
    """A worker thread may settle a run."""
    ld = LoopBound()
    tracker = await a_run(AIClient(ld))

    def settle() -> None:
        with pytest.raises(StopIteration):
            tracker.track_success().send(None)

    await asyncio.to_thread(settle)
    await tick()
    assert ld.events[-1].key == "$ld:ai:generation:success"
    assert ld.threads == {threading.get_ident()}
