"""What only the fakes can do: fail and stall on demand, stand still, count."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from ldclient import Context

from ldtrack import DuplicateError, LedgerError, TokenSigner, Tracker
from ldtrack.testing import (
    AsyncRecordingClient,
    ManualClock,
    Recording,
    RecordingLedger,
    SequentialIds,
    recording,
    strict,
)

ADA = Context.create("ada")
FLAG = {"_ldMeta": {"enabled": True}, "model": {"name": "gpt-4o"}}


async def tracker_of(recorded: Recording) -> Tracker:
    """A new run."""
    return (await recorded.ai.completion_config("support-chat", ADA)).create_tracker()


async def test_a_flag_may_change_at_any_time() -> None:
    """What is set is served from then on, and what is taken away is missing."""
    recorded = recording({"support-chat": FLAG})
    assert (await recorded.ai.completion_config("support-chat", ADA)).enabled
    recorded.set_flag("support-chat", {"_ldMeta": {"enabled": False}})
    assert not (await recorded.ai.completion_config("support-chat", ADA)).enabled
    recorded.set_flag("support-chat", FLAG)
    assert (await recorded.ai.completion_config("support-chat", ADA)).enabled
    del recorded.client.flags["support-chat"]
    assert not (await recorded.ai.completion_config("support-chat", ADA)).enabled


async def test_events_of_one_run_are_told_apart() -> None:
    """Keys, names and values are those of all runs, or of one."""
    recorded = recording(usage_events=True)
    first, second = await tracker_of(recorded), await tracker_of(recorded)
    await first.track_duration(7)
    await second.track_success()
    assert recorded.names(first.run_id) == ["duration:total"]
    assert recorded.names()[-2:] == ["duration:total", "generation:success"]
    assert recorded.values(first.run_id) == {"duration:total": 7}
    assert recorded.values()["generation:success"] == 1
    assert recorded.keys(first.run_id) == ["$ld:ai:duration:total"]


async def test_an_asynchronous_client() -> None:
    """The same recording over a stand-in for ``AsyncLDClient``; leaving it closes what is open."""

    async def chunks():
        yield "a"
        yield "b"

    async with recording({"support-chat": FLAG}, client=AsyncRecordingClient()) as recorded:
        stream = (await tracker_of(recorded)).stream(chunks())
        await anext(stream)
    assert recorded.names() == ["duration:total", "tokens:ttf"]
    assert recorded.client.flushes == 1


async def test_a_client_that_fails() -> None:
    """The error of the SDK arrives as a ``LedgerError``, and the call may be repeated."""
    recorded = recording()
    tracker = await tracker_of(recorded)
    recorded.client.fail_next(RuntimeError("no"), RuntimeError("never"))
    for _ in range(2):
        with pytest.raises(LedgerError, match="may be repeated"):
            await tracker.track_success()
    assert await tracker.track_success()
    assert recorded.names() == ["generation:success"]


async def test_a_ledger_that_fails() -> None:
    """Explicit calls raise, implicit ones are counted, and the events are found in the recording."""
    ledger = RecordingLedger()
    recorded = recording(ledger=ledger)
    tracker = await tracker_of(recorded)
    ledger.fail_next(2)
    with pytest.raises(LedgerError, match="as it was told to"):
        await tracker.track_duration(1)
    async with tracker.run():
        pass
    assert recorded.ai.stats.failures == {"duration": 1}
    assert recorded.names() == ["generation:success"]


async def test_a_ledger_that_stalls() -> None:
    """What is held is answered in order once it is released."""
    ledger = RecordingLedger()
    tracker = await tracker_of(recording(ledger=ledger))
    ledger.hold()
    calls = [asyncio.ensure_future(call) for call in (tracker.track_duration(1), tracker.track_duration(2))]
    await asyncio.sleep(0)
    assert (await ledger.flush(0)).pending == 1
    ledger.release()
    assert await asyncio.gather(*calls) == [True, False]
    assert ledger.recorded == 1


def test_a_stalled_ledger_answers_where_nobody_can_wait() -> None:
    """Without a running loop there is no future to hand out: it answers at once, as every ledger does."""
    ledger = RecordingLedger()
    recorded = recording(ledger=ledger)
    tracker = asyncio.run(tracker_of(recorded))
    ledger.hold()
    coroutine = tracker.track_success()
    with pytest.raises(StopIteration) as answer:
        coroutine.send(None)
    assert answer.value.value is True


def test_a_clock_that_is_moved() -> None:
    """Both of its times move together, and never back."""
    clock = ManualClock(start=100.0)
    clock.advance(1.5, ms=250)
    assert clock.monotonic_ns() == 1_750_000_000
    assert clock.time() == 101.75
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(ms=-1)


async def test_a_clock_of_one_s_own() -> None:
    """The clock that was passed in is the recording's, and the client's."""
    clock = ManualClock()
    recorded = recording(clock=clock, signer=TokenSigner.from_key("a secret of the tests", ttl=60))
    assert recorded.clock is clock
    token = (await tracker_of(recorded)).resumption_token
    clock.advance(59)
    recorded.ai.resume(token, ADA)
    clock.advance(2)
    with pytest.raises(ValueError, match="expired"):
        recorded.ai.resume(token, ADA)


def test_ids_that_count() -> None:
    """They are valid UUIDs of version 4, and the same every time."""
    ids = SequentialIds()
    first, second = ids(), ids()
    assert uuid.UUID(first).version == 4
    assert (first[-1], second[-1]) == ("1", "2")
    assert SequentialIds()() == first


async def test_strict_duplicates_raise() -> None:
    """Inside ``strict()`` the second call raises, in tasks and threads begun there too; outside not."""
    tracker = await tracker_of(recording())
    with strict():
        assert await tracker.track_success()
        with pytest.raises(DuplicateError, match="recorded already"):
            await tracker.track_error()
        with pytest.raises(DuplicateError, match="recorded already"):
            await asyncio.create_task(tracker.track_success())
        with pytest.raises(DuplicateError, match="recorded already"):
            await asyncio.to_thread(asyncio.run, tracker.track_success())
    assert await tracker.track_success() is False


async def test_strict_does_not_mind_what_a_run_records_by_itself() -> None:
    """A run that leaves a metric to an explicit call is no duplicate."""
    recorded = recording()
    tracker = await tracker_of(recorded)
    with strict():
        async with tracker.run() as run:
            await run.track_error()
    assert recorded.names() == ["generation:error", "duration:total"]
