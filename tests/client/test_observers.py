"""Observers: told once of every run that ends, and in nobody's way."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ldtrack import AIClient, EndedRun, Ending, GraphMetricSummary, MetricSummary, Outcome, TokenUsage
from ldtrack.ledgers import SQLiteLedger
from ldtrack.testing import RecordingClient
from ldtrack.typing import Observer
from tests.client.test_agent_graph import ADA, FLAGS

CHAT = {
    "model": {"name": "gpt-4o"},
    "provider": {"name": "openai"},
    "_ldMeta": {"variationKey": "warm", "version": 7},
}
Scene = Callable[[Any], Awaitable[None]]


class Log:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.runs: list[EndedRun] = []

    def run_ended(self, run: EndedRun) -> None:
        self.runs.append(run)


def client_with(*observers: Any, **options: Any) -> AIClient:
    return AIClient(
        RecordingClient({**FLAGS, "chat": CHAT}), usage_events=False, observers=observers, **options
    )


async def words() -> AsyncIterator[str]:
    for word in ("a", "b", "c"):
        yield word


async def read_to_the_end(tracker: Any) -> None:
    async with tracker.run() as run:
        async for _ in run.stream(words()):
            pass


async def fail(tracker: Any) -> None:
    with pytest.raises(KeyError):
        async with tracker.run():
            raise KeyError


async def be_cancelled(tracker: Any) -> None:
    async def never() -> None:
        async with tracker.run():
            await asyncio.Event().wait()

    task = asyncio.create_task(never())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def close_early(tracker: Any) -> None:
    async with tracker.stream(words()) as stream:
        await anext(stream)


async def drop(tracker: Any) -> None:
    stream = tracker.stream(words())
    await anext(stream)
    del stream
    gc.collect()
    await asyncio.sleep(0)


async def stream_alone(tracker: Any) -> None:
    async for _ in tracker.stream(words()):
        pass


@pytest.mark.parametrize(
    ("scene", "outcome"),
    [
        (read_to_the_end, Outcome.SUCCESS),
        (stream_alone, Outcome.SUCCESS),
        (fail, Outcome.ERROR),
        (be_cancelled, Outcome.CANCELLED),
        (close_early, Outcome.CANCELLED),
        (drop, Outcome.CANCELLED),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_told_once_on_every_exit(scene: Scene, outcome: Outcome) -> None:
    """The end, an exception, cancellation, an early close, a stream that is dropped."""
    log = Log()
    ai = client_with(log)
    tracker = (await ai.completion_config("chat", ADA)).create_tracker()
    await scene(tracker)
    [run] = log.runs
    assert run == EndedRun(
        run_id=tracker.run_id,
        parent_run_id=None,
        config_key="chat",
        graph_key="",
        version=7,
        variation_key="warm",
        model_name="gpt-4o",
        provider_name="openai",
        summary=tracker.summary,
    )
    assert run.summary.outcome is outcome
    await ai.aclose()


async def test_what_the_ledger_has_yet_to_answer_is_told(tmp_path: Path) -> None:
    """A stream that settles itself waits for no ledger, and its observers are told all the same."""
    log = Log()
    async with client_with(log, ledger=SQLiteLedger(tmp_path / "ledger.db")) as ai:
        tracker_summary = None

        class Look:
            def run_ended(self, run: EndedRun) -> None:
                nonlocal tracker_summary
                tracker_summary = tracker.summary

        looking = client_with(Look(), log, ledger=ai._recorder.ledger)
        tracker = (await looking.completion_config("chat", ADA)).create_tracker()
        async for _ in tracker.stream(words()):
            await tracker.track_tool_call("first")
            await tracker.track_tool_calls(["second", "third"])
        [run] = log.runs
        assert isinstance(tracker_summary, MetricSummary)
        assert tracker_summary.success is None, "negative control: nothing was answered yet"
        assert isinstance(run.summary, MetricSummary)
        assert (run.summary.success, run.summary.outcome) == (True, Outcome.SUCCESS)
        assert run.summary.duration_ms is not None
        assert run.summary.time_to_first_token is not None
        assert run.summary.ending is Ending.COMPLETED
        assert run.summary.tool_calls == ("first", "second", "third") * 3


async def test_tool_calls_in_flight_are_told(tmp_path: Path) -> None:
    """One, and several that were claimed together."""
    log = Log()
    async with client_with(log, ledger=SQLiteLedger(tmp_path / "ledger.db")) as ai:
        tracker = (await ai.completion_config("chat", ADA)).create_tracker()
        async with asyncio.TaskGroup() as group, tracker.run():
            group.create_task(tracker.track_tool_call("first"))
            group.create_task(tracker.track_tool_calls(["second", "third"]))
            await asyncio.sleep(0)
    [run] = log.runs
    assert isinstance(run.summary, MetricSummary)
    assert run.summary.tool_calls == ("first", "second", "third")


async def test_what_was_tracked_explicitly_wins() -> None:
    """As it does on LaunchDarkly."""
    log = Log()
    ai = client_with(log)
    tracker = (await ai.completion_config("chat", ADA)).create_tracker()
    async with tracker.run() as run:
        await run.track_error()
        await run.track_tokens(TokenUsage(3, 1, 2))
    [told] = log.runs
    assert isinstance(told.summary, MetricSummary)
    assert (told.summary.success, told.summary.tokens) == (False, TokenUsage(3, 1, 2))


async def test_runs_within_runs_name_their_parent() -> None:
    """A graph's run is part of another, the nodes' runs are part of the graph's, which is told of last."""
    log = Log()
    ai = client_with(log)
    graph = await ai.agent_graph("trip", ADA)
    tracker = (await ai.completion_config("chat", ADA)).create_tracker()
    async with tracker.run() as outer, graph.create_tracker(parent=outer).run() as graph_run:
        for key in ("router", "writer"):
            with graph_run.visit(key):
                pass
    told = [(run.config_key, run.graph_key, run.parent_run_id) for run in log.runs]
    assert told == [
        ("router", "trip", graph_run.run_id),
        ("writer", "trip", graph_run.run_id),
        ("", "trip", outer.run_id),
        ("chat", "", None),
    ]
    whole = log.runs[2].summary
    assert isinstance(whole, GraphMetricSummary)
    assert whole.path == ("router", "writer")
    assert [node.outcome for node in whole.node_metrics.values()] == [Outcome.SUCCESS] * 2


async def test_an_observer_that_raises_is_in_nobodys_way() -> None:
    """It is counted; the run, its events and the other observers are as they would have been."""

    class Broken:
        def run_ended(self, run: EndedRun) -> None:
            raise RuntimeError(run.run_id)

    log = Log()
    ai = client_with(Broken(), log)
    config = await ai.completion_config("chat", ADA)
    for _ in range(2):
        await read_to_the_end(config.create_tracker())
    assert len(log.runs) == 2
    assert ai.stats.failures == {"observer": 2}


async def test_a_run_that_is_not_timed_has_no_end() -> None:
    """Single metrics say nothing of when it is over."""
    log = Log()
    tracker = (await client_with(log).completion_config("chat", ADA)).create_tracker()
    await tracker.track_success()
    assert log.runs == []


@pytest.mark.parametrize("wrong", [object(), Log, None], ids=["no method", "a class", "nothing"])
def test_what_is_no_observer_is_refused(wrong: Any) -> None:
    """At once, and not at the end of the first run."""
    with pytest.raises(TypeError, match="observer"):
        client_with(wrong)


def test_the_protocol_is_one_method() -> None:
    """Whoever has it is an observer."""
    assert isinstance(Log(), Observer)
