"""What a reviewer broke once, and nobody shall again."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ldclient import Config, Context, LDClient
from ldclient.integrations.test_data import TestData

from ldtrack import (
    AIAgentConfigRequest,
    AIClient,
    Ending,
    LDAIMetrics,
    LedgerError,
    Outcome,
    Privacy,
    TokenUsage,
)
from ldtrack.testing import RecordingClient, RecordingLedger, recording
from ldtrack.tracking.recorder import MAX_HINTS

ADA = Context.builder("ada").set("email", "ada@example.org").build()


async def words(*items: str) -> AsyncIterator[str]:
    for item in items:
        yield item


async def a_tracker(recorded: Any) -> Any:
    return (await recorded.ai.completion_config("chat", ADA)).create_tracker()


async def test_ending_is_that_of_the_call_that_decides_the_outcome() -> None:
    """A stream left early, then a good call: both ending and outcome are the second call's."""
    recorded = recording()
    tracker = await a_tracker(recorded)
    async with tracker.run() as run:
        early = run.stream(words("one", "two"))
        await anext(early)
        await run.call(asyncio.sleep(0, "an answer"))
    assert (tracker.summary.ending, tracker.summary.outcome) == (Ending.COMPLETED, Outcome.SUCCESS)


async def test_a_stream_nobody_read_says_nothing_of_a_run_with_others() -> None:
    """A second stream that was never begun leaves the first one's success alone."""
    recorded = recording()
    tracker = await a_tracker(recorded)
    async with tracker.run() as run:
        assert [chunk async for chunk in run.stream(words("one"))] == ["one"]
        run.stream(words("never read"))
    assert (tracker.summary.ending, tracker.summary.outcome) == (Ending.COMPLETED, Outcome.SUCCESS)


def test_a_loop_that_is_closed_without_ceremony_is_freed() -> None:
    """Neither the client nor what watches over open streams keeps a loop alive."""
    recorded = recording()

    async def read() -> None:
        async for _ in (await a_tracker(recorded)).stream(words("one")):
            pass

    loop = asyncio.new_event_loop()
    loop.run_until_complete(read())
    loop.close()
    freed = weakref.ref(loop)
    del loop
    gc.collect()
    assert freed() is None


def test_a_client_dropped_while_its_loop_stands_still_warns_of_nothing() -> None:
    """Nothing is left that a stopped loop would have to tidy up; warnings are errors here."""
    loop = asyncio.new_event_loop()
    recorded: Any = recording()

    async def read() -> None:
        async for _ in (await a_tracker(recorded)).stream(words("one")):
            pass

    loop.run_until_complete(read())
    recorded = None
    gc.collect()
    loop.close()
    gc.collect()


async def test_closing_the_client_never_hides_what_the_app_raised(caplog: pytest.LogCaptureFixture) -> None:
    """A flush that raises is counted; the exception of the block passes, and the ledger is closed."""

    class Failing(RecordingLedger):
        is_closed = False

        async def flush(self, timeout: float) -> Any:
            raise OSError("no network")

        async def aclose(self) -> None:
            self.is_closed = True

    ledger = Failing()
    with pytest.raises(KeyError, match="the app's own"):
        async with AIClient(RecordingClient(), ledger=ledger) as ai:
            raise KeyError("the app's own")
    assert ai.stats.failures == {"flush": 1}
    assert ledger.is_closed
    assert "no network" in caplog.text


async def test_what_the_clients_config_marks_private_is_private_in_templates() -> None:
    """Attributes that the LDClient's own Config redacts are not readable in a prompt either."""
    source = TestData.data_source()
    prompt = {"role": "user", "content": "mail: {{ldctx.email}}"}
    flag = {"_ldMeta": {"enabled": True}, "model": {"name": "gpt"}, "messages": [prompt]}
    source.update(source.flag("chat").variations(flag).variation_for_all(0))
    options = {"update_processor_class": source, "send_events": False}
    with LDClient(Config("sdk-key", private_attributes={"email"}, **options)) as client:
        hidden = await AIClient(client).completion_config("chat", ADA)
        asked_for = AIClient(client, privacy=Privacy(include_private=True))
        shown = await asked_for.completion_config("chat", ADA)
    assert [message.content for message in hidden.messages or ()] == ["mail: "]
    assert [message.content for message in shown.messages or ()] == ["mail: ada@example.org"]


async def test_a_token_of_an_invalid_context_does_not_spoil_its_run() -> None:
    """The refusing slots of a bad context are not shared with a tracker resumed for a good one."""
    recorded = recording()
    config = await recorded.ai.completion_config("chat", Context.create(""))
    bad = config.create_tracker()
    good = recorded.ai.resume(bad.resumption_token, ADA)
    with pytest.raises(LedgerError, match="context is invalid"):
        await bad.track_success()
    assert await good.track_success()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"ledger": 5}, TypeError, "ledger must be a Ledger"),
        ({"signer": "secret"}, TypeError, "signer must be a TokenSigner"),
        ({"privacy": 5}, TypeError, "privacy must be a Privacy"),
        ({"settle_timeout": -1}, ValueError, "settle_timeout must be a positive number"),
        ({"close_timeout": "soon"}, TypeError, "close_timeout must be a number of seconds"),
        ({"idle_limit": True}, TypeError, "idle_limit must be a number of seconds"),
        ({"idle_limit": 0}, ValueError, "idle_limit must be a positive number"),
    ],
)
def test_options_of_the_wrong_kind(options: dict[str, Any], error: type[Exception], said: str) -> None:
    """Each is refused at once, by name."""
    with pytest.raises(error, match=said):
        AIClient(RecordingClient(), **options)


async def test_requests_that_are_none_and_keys_that_no_token_could_carry() -> None:
    """They are refused before anything is reported or evaluated."""
    recorded = recording(usage_events=True)
    told = len(recorded.events)
    with pytest.raises(TypeError, match="AIAgentConfigRequest"):
        await recorded.ai.agent_configs(["a"], ADA)  # type: ignore[list-item]  # the mistake under test
    with pytest.raises(ValueError, match="at most 500 characters"):
        await recorded.ai.completion_config("k" * 501, ADA)
    with pytest.raises(ValueError, match="lone surrogate"):
        await recorded.ai.agent_configs([AIAgentConfigRequest("\ud800")], ADA)
    assert len(recorded.events) == told


async def test_several_agents_are_evaluated_at_once_where_evaluating_waits() -> None:
    """Each evaluation is begun before the first has ended."""
    begun: list[str] = []
    everybody = asyncio.Event()

    class Slow(RecordingClient):
        async def variation(self, key: str, context: Context, default: Any) -> Any:  # type: ignore[override]  # as AsyncLDClient
            begun.append(key)
            if len(begun) == 3:
                everybody.set()
            await everybody.wait()
            return default

    ai = AIClient(Slow(), usage_events=False)
    configs = await ai.agent_configs([AIAgentConfigRequest(key) for key in "abc"], ADA)
    assert list(configs) == ["a", "b", "c"]


async def test_hints_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Made-up flag keys fill neither the memory nor the logs without end."""
    recorded = recording()
    for number in range(MAX_HINTS + 10):
        recorded.client.flags[f"flag-{number}"] = "malformed"
        await recorded.ai.completion_config(f"flag-{number}", ADA)
    assert sum("has problems" in record.message for record in caplog.records) == MAX_HINTS


async def test_a_log_filter_that_raises_stays_out_of_the_app() -> None:
    """What is logged while recording implicitly cannot raise either."""

    def explode(_: logging.LogRecord) -> bool:
        raise OSError("the filter's own")

    log = logging.getLogger("ldtrack")
    log.addFilter(explode)
    try:
        recorded = recording()
        recorded.client.fail_next(OSError("down"))
        async with (await a_tracker(recorded)).run():
            pass
    finally:
        log.removeFilter(explode)
    assert recorded.ai.stats.failures == {"duration": 1}


async def test_operations_of_a_run_are_its_calls() -> None:
    """run.track_metrics_of adds a call to the run; the run's own exit decides and times."""
    recorded = recording()
    tracker = await a_tracker(recorded)

    def extract(answer: str) -> LDAIMetrics:
        return LDAIMetrics(tokens=TokenUsage(input=len(answer), output=1))

    with pytest.raises(KeyError):
        async with tracker.run() as run:
            assert run.run_id == tracker.run_id
            for answer in ("one", "three"):
                assert await run.track_metrics_of(extract, lambda answer=answer: answer) == answer
            recorded.clock.advance(ms=7)
            raise KeyError
    assert tracker.summary.tokens == TokenUsage(input=8, output=2)
    assert (tracker.summary.outcome, tracker.summary.duration_ms) == (Outcome.ERROR, 7)


async def test_the_duration_of_an_operation_of_a_run_is_the_runs() -> None:
    """run.track_duration_of is explicit, and wins over the run's own duration."""
    recorded = recording()
    tracker = await a_tracker(recorded)
    async with tracker.run() as run:
        await run.track_duration_of(lambda: recorded.clock.advance(ms=3))
        recorded.clock.advance(ms=40)
    assert tracker.summary.duration_ms == 3


async def test_an_async_extractor_is_told_off_and_leaves_no_warning() -> None:
    """It is counted as a failure of the extractor; its coroutine is closed, the answer kept."""
    recorded = recording()
    tracker = await a_tracker(recorded)

    async def extract(_: str) -> LDAIMetrics:
        return LDAIMetrics()

    assert await tracker.track_metrics_of(extract, lambda: "answer") == "answer"  # type: ignore[arg-type]  # the mistake
    assert recorded.ai.stats.failures == {"extractor": 1}


class Manager:
    """A provider's stream manager, which is told how it was left."""

    def __init__(self) -> None:
        self.told: list[BaseException | None] = []

    async def __aenter__(self) -> AsyncIterator[str]:
        return words("one", "two")

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self.told.append(error)
        if error is not None:
            raise error
        return False


async def test_a_manager_is_told_what_left_its_run() -> None:
    """The provider's context manager sees the exception; raising it again adds nothing."""
    recorded = recording()
    tracker = await a_tracker(recorded)
    manager, broken = Manager(), KeyError("the app's own")
    with pytest.raises(KeyError) as raised:
        async with tracker.run() as run:
            await anext(run.stream(manager))
            raise broken
    assert raised.value is broken
    assert manager.told == [broken]
    assert recorded.ai.stats.failures == {}


async def test_a_manager_is_told_of_a_cancellation() -> None:
    """So it is when the task is cancelled between two chunks."""
    recorded = recording()
    tracker = await a_tracker(recorded)
    manager, is_reading = Manager(), asyncio.Event()

    async def read() -> None:
        async with tracker.stream(manager) as stream:
            await anext(stream)
            is_reading.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await is_reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [type(error) for error in manager.told] == [asyncio.CancelledError]
    assert tracker.summary.ending is Ending.CANCELLED
    assert recorded.ai.stats.failures == {}


async def test_a_manager_that_is_left_in_peace_is_told_nothing() -> None:
    """Exhaustion is a clean exit."""
    recorded = recording()
    manager = Manager()
    assert [chunk async for chunk in (await a_tracker(recorded)).stream(manager)] == ["one", "two"]
    assert manager.told == [None]
