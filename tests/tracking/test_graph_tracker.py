"""Graph trackers: each slot once, whoever races; what is repeated is repeated; bad values spend nothing."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
from baton import PATIENCE
from fake_provider import Chunk, tick
from graph_stage import GraphStage, answering
from hypothesis import given
from hypothesis import strategies as st
from ldclient import Context
from once_world import CredulousLedger, StallingLedger
from step_loop import StepLoop, run_dry

from ldtrack.core.graph_metrics import AIGraphMetrics
from ldtrack.core.slots import GRAPH_METRICS, GRAPH_ONCE, METRICS, ONCE, Claim
from ldtrack.core.values import LDAIMetrics, Outcome, TokenUsage
from ldtrack.exceptions import DuplicateError, LedgerError
from ldtrack.testing import RecordingLedger, strict
from ldtrack.tracking.graph_tracker import GraphTracker

Call = tuple[str, tuple[Any, ...]]

ONCE_CALLS: dict[str, tuple[Call, ...]] = {
    "graph outcome": (("track_invocation_success", ()), ("track_invocation_failure", ())),
    "graph duration": (("track_duration", (12.7,)), ("track_duration", (0,))),
    "graph tokens": (("track_total_tokens", (TokenUsage(5),)), ("track_total_tokens", (TokenUsage(7),))),
    "graph path": (("track_path", (["a", "b"],)), ("track_path", (("c",),))),
}
"""Two rivals for every slot."""
REPEATABLE: dict[str, Call] = {
    "redirect": ("track_redirect", ("a", "b")),
    "handoff": ("track_handoff_success", ("a", "b")),
    "failed handoff": ("track_handoff_failure", ("a", "b")),
}
KEYS = {
    "graph:invocation_success": "graph outcome",
    "graph:invocation_failure": "graph outcome",
    "graph:duration:total": "graph duration",
    "graph:total_tokens": "graph tokens",
    "graph:path": "graph path",
}


def of(tracker: GraphTracker, call: Call) -> Awaitable[bool]:
    """The call, begun on the tracker."""
    method, arguments = call
    awaitable: Awaitable[bool] = getattr(tracker, method)(*arguments)
    return awaitable


@pytest.fixture
def stage() -> GraphStage:
    return GraphStage()


def twin(stage: GraphStage, tracker: GraphTracker) -> GraphTracker:
    """A tracker of the same run, as a token gives one."""
    run_id = tracker.resumption_token  # on this stage a token is the run's id
    return GraphTracker(stage.recorder, tracker._attribution, tracker._context, run_id)


# The table


def test_slots_fit_the_sheet_and_differ() -> None:
    """A graph's run has a run id of its own, so its slots may have the numbers of a config's."""
    slots = [metric.slot for metric in GRAPH_ONCE]
    assert len(set(slots)) == len(slots) == 4
    assert set(slots) <= {metric.slot for metric in ONCE}
    assert set(GRAPH_METRICS).isdisjoint(METRICS)
    assert {metric.name for metric in GRAPH_METRICS} == {*ONCE_CALLS, *REPEATABLE}


@pytest.mark.parametrize("rivals", ONCE_CALLS.values(), ids=ONCE_CALLS)
@pytest.mark.parametrize("swapped", [False, True])
async def test_a_slot_is_recorded_once(stage: GraphStage, rivals: tuple[Call, Call], swapped: bool) -> None:
    """Each kind once, success and failure share a slot; by a resumed tracker too."""
    tracker = stage.new_graph_tracker()
    first, second = rivals[::-1] if swapped else rivals
    assert await of(tracker, first) is True
    summary = tracker.summary
    for again in (first, second):
        assert await of(tracker, again) is False
        assert await of(twin(stage, tracker), again) is False
    assert len(stage.ledger.events) == 1
    assert tracker.summary == summary == twin(stage, tracker).summary
    assert stage.recorder.duplicates == 4
    with strict(), pytest.raises(DuplicateError, match="is recorded already"):
        await of(tracker, second)


@pytest.mark.parametrize("call", REPEATABLE.values(), ids=REPEATABLE)
async def test_what_may_be_repeated_is_always_recorded(stage: GraphStage, call: Call) -> None:
    """One event for each call."""
    tracker = stage.new_graph_tracker()
    assert [await of(tracker, call) for _ in range(3)] == [True] * 3
    assert len(stage.ledger.events) == 3


async def test_values_as_they_arrive(stage: GraphStage) -> None:
    """Whole milliseconds, the total of tokens or else their sum, and a path that is a copy."""
    tracker, other = stage.new_graph_tracker(), stage.new_graph_tracker()
    path = ["a", "b"]
    await tracker.track_duration(12.7)
    await tracker.track_total_tokens(TokenUsage(9, 4, 5))
    await tracker.track_path(path)
    await other.track_total_tokens(TokenUsage(0, 4, 5))
    path.clear()
    assert stage.events == [
        ("graph:duration:total", 12),
        ("graph:total_tokens", 9),
        ("graph:path", 1),
        ("graph:total_tokens", 9),
    ]
    assert stage.ledger.events[2].data["path"] == ["a", "b"]
    assert tracker.summary.path == ("a", "b")
    assert tracker.graph_key == "trip"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("track_duration", (-1,)),
        ("track_duration", (math.nan,)),
        ("track_duration", (True,)),
        ("track_duration", ("12",)),
        ("track_total_tokens", (7,)),
        ("track_total_tokens", ({"total": 7},)),
        ("track_path", ("router",)),
        ("track_path", (["a", ""],)),
        ("track_path", (["a", None],)),
        ("track_path", (None,)),
        ("track_redirect", ("", "b")),
        ("track_redirect", ("a", None)),
        ("track_handoff_success", ("a", "")),
        ("track_handoff_failure", (3, "b")),
    ],
)
async def test_a_bad_value_raises_and_spends_nothing(
    stage: GraphStage, method: str, arguments: tuple[Any, ...]
) -> None:
    """Java and Go ignore some of these, the others send them."""
    tracker = stage.new_graph_tracker()
    with pytest.raises((TypeError, ValueError)):
        await of(tracker, (method, arguments))
    assert stage.ledger.submitted == 0


@pytest.mark.parametrize(
    "call", [("track_total_tokens", (None,)), ("track_total_tokens", (TokenUsage(0),)), ("track_path", ([],))]
)
async def test_an_empty_value_spends_nothing(stage: GraphStage, call: Call) -> None:
    """It says ``False``, is no duplicate, and leaves the slot free."""
    tracker = stage.new_graph_tracker()
    assert await of(tracker, call) is False
    assert (stage.ledger.submitted, stage.recorder.duplicates) == (0, 0)
    assert await tracker.track_total_tokens(TokenUsage(1))
    assert await tracker.track_path(["a"])


async def test_a_context_that_is_invalid_is_refused(stage: GraphStage) -> None:
    """LaunchDarkly would drop the events, so nothing may look as if it were recorded."""
    tracker = GraphTracker(stage.recorder, stage.new_graph_tracker()._attribution, Context.create(""))
    with pytest.raises(LedgerError, match="its context is invalid"):
        await tracker.track_path(["a"])
    assert tracker.resumption_token
    good = GraphTracker(
        stage.recorder, tracker._attribution, stage.tracker._context, tracker.resumption_token
    )
    assert await good.track_path(["a"])


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"path": "router"}, "several node keys"),
        ({"path": [""]}, "must not be empty"),
        ({"duration_ms": -1}, "must not be negative"),
        ({"tokens": 7}, r"must be an ldtrack\.TokenUsage"),
        ({"node_metrics": {"a": {}}}, r"an ldtrack\.LDAIMetrics for node 'a'"),
    ],
)
def test_metrics_of_a_framework_are_checked(bad: dict[str, Any], why: str) -> None:
    """When they are made, so that who made them is on the stack."""
    with pytest.raises((TypeError, ValueError), match=why):
        AIGraphMetrics(**bad)


def test_metrics_and_summaries_are_frozen(stage: GraphStage) -> None:
    """They share nothing with what they were made from."""
    nodes = {"a": LDAIMetrics()}
    metrics = AIGraphMetrics(node_metrics=nodes)
    nodes.clear()
    assert list(metrics.node_metrics) == ["a"]
    summary = stage.new_graph_tracker().summary
    for thing in (metrics, summary):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            thing.success = True  # type: ignore[misc]  # the point
        with pytest.raises(TypeError):
            thing.node_metrics["b"] = LDAIMetrics()  # type: ignore[index]  # the point


async def test_one_tracker_for_each_node(stage: GraphStage) -> None:
    """Made when it is first asked for; its parent is the graph's run, and so it says."""
    tracker = stage.new_graph_tracker("writer", "critic")
    assert tracker.node_keys == ("writer", "critic")
    node = tracker.node_tracker("writer")
    assert tracker.node_tracker("writer") is node
    assert node.parent_run_id == node.summary.parent_run_id == tracker.run_id
    assert node.run_id not in {tracker.run_id, tracker.node_tracker("critic").run_id}
    assert list(tracker.summary.node_metrics) == ["writer", "critic"]


def test_one_tracker_for_each_node_whatever_threads_ask(stage: GraphStage) -> None:
    """The first one counts."""
    tracker = stage.new_graph_tracker()
    start, found = threading.Barrier(8), []

    def ask() -> None:
        start.wait(PATIENCE)
        found.append(tracker.node_tracker("writer"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(set(map(id, found))) == 1


# Once, whoever races

calls = st.sampled_from([call for rivals in ONCE_CALLS.values() for call in rivals] + [*REPEATABLE.values()])
actions = st.lists(
    st.one_of(
        st.tuples(st.just("call"), calls, st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("steps"), st.integers(1, 6), st.integers(0, 1)),
        st.tuples(st.sampled_from(["hold", "recover", "fail"])),
        st.tuples(st.sampled_from(["answer", "give_up"]), st.integers(0, 9)),
    ),
    max_size=40,
)


class Race:
    """Callers of three trackers of one run, in loops that take one step at a time."""

    def __init__(self, ledger: StallingLedger, loops: int) -> None:
        self.ledger = ledger
        self.stage = GraphStage()
        self.stage.recorder.ledger = ledger
        first = self.stage.new_graph_tracker()
        self.trackers = [first, twin(self.stage, first), twin(self.stage, first)]
        self.loops = [StepLoop() for _ in range(loops)]
        self.calls: list[tuple[Call, asyncio.Task[bool]]] = []
        self.called_off: set[asyncio.Task[bool]] = set()

    def call(self, call: Call, tracker: int = 0, loop: int = 0) -> None:
        async def perform() -> bool:
            return await of(self.trackers[tracker], call)

        self.calls.append((call, self.loops[loop % len(self.loops)].create_task(perform())))

    def cancel(self, at: int) -> None:
        live = [task for _, task in self.calls if not task.done()]
        if live:
            self.called_off.add(live[at % len(live)])
            live[at % len(live)].cancel()

    def steps(self, count: int, loop: int = 0) -> None:
        for _ in range(count):
            self.loops[loop % len(self.loops)].step()

    def play(self, action: tuple[Any, ...]) -> None:
        verb, *arguments = action
        if verb in {"call", "cancel", "steps"}:
            getattr(self, verb)(*arguments)
        else:
            getattr(self.ledger, "fail_next" if verb == "fail" else verb)(*arguments)

    def judge(self) -> None:
        """All get done; each slot has been recorded once, or it is free; everybody was told the truth."""
        for _ in range(2):
            run_dry(self.loops)
            self.ledger.recover()
        run_dry(self.loops)
        for rivals in ONCE_CALLS.values():  # the last word: on a working ledger no slot stays lost
            self.call(rivals[0])
        run_dry(self.loops)
        names = Counter(event.key.removeprefix("$ld:ai:") for event in self.ledger.events)
        by_slot = Counter[str]()
        for name, count in names.items():
            by_slot[KEYS.get(name, "repeatable")] += count
        assert all(by_slot[slot] == 1 for slot in ONCE_CALLS), names
        told = Counter[str]()
        for call, task in self.calls:
            assert task.done(), "waiting for ever"
            if task.cancelled():
                assert task in self.called_off
            elif task.exception() is not None:
                assert isinstance(task.exception(), LedgerError)
            else:
                slot = next((slot for slot, rivals in ONCE_CALLS.items() if call in rivals), "repeatable")
                told[slot] += task.result()
                assert task.result() or slot != "repeatable"
        assert all(told[slot] <= 1 for slot in ONCE_CALLS), told
        summary = self.trackers[0].summary
        assert None not in {summary.success, summary.duration_ms, summary.tokens}
        assert summary.path
        assert all(tracker.summary == summary for tracker in self.trackers)
        for loop in self.loops:
            assert loop.errors == []
            assert loop.trespasses == []


@given(actions)
def test_once_in_one_loop(schedule: list[tuple[Any, ...]]) -> None:
    """Tasks of one loop over a ledger that stalls, fails and gives up."""
    race = Race(StallingLedger(), loops=1)
    for action in schedule:
        race.play(action)
    race.judge()


@given(actions)
def test_once_in_several_loops(schedule: list[tuple[Any, ...]]) -> None:
    """Two loops at once; none reaches into the other."""
    race = Race(StallingLedger(), loops=2)
    for action in schedule:
        race.play(action)
    race.judge()


@given(actions)
def test_once_without_the_ledgers_help(schedule: list[tuple[Any, ...]]) -> None:
    """Within a loop the slots' own locks are enough, even over a ledger that believes everybody."""
    race = Race(CredulousLedger(), loops=1)
    for action in schedule:
        race.play(action)
    race.judge()


def test_the_judge_sees_what_is_recorded_twice() -> None:
    """A negative control: two runs that take themselves for one are caught."""
    race = Race(CredulousLedger(), loops=1)
    race.trackers[1] = race.stage.new_graph_tracker()
    for tracker in (0, 1):
        race.call(("track_path", (["a"],)), tracker)
    with pytest.raises(AssertionError):
        race.judge()


def test_a_crowd_of_threads(stage: GraphStage) -> None:
    """Eight threads, each with a loop of its own, over the memory ledger: one is told that it recorded."""
    stage.recorder.ledger = RecordingLedger()
    tracker = stage.new_graph_tracker()
    trackers = [tracker, *(twin(stage, tracker) for _ in range(7))]
    start, answers = threading.Barrier(8), list[bool]()

    def work(mine: GraphTracker) -> None:
        async def ask() -> list[bool]:
            return [await of(mine, rival) for rivals in ONCE_CALLS.values() for rival in rivals]

        start.wait(PATIENCE)
        answers.extend(asyncio.run(ask()))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in trackers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert answers.count(True) == 4
    assert len(stage.recorder.ledger.events) == 4


# Cancellation


class LateLedger(RecordingLedger):
    """Answers every claim two rounds of the loop later."""

    def submit(self, claim: Claim) -> bool | asyncio.Future[bool]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.submitted += 1
        loop.call_soon(loop.call_soon, lambda: future.set_result(self._record(claim)))
        return future


async def a_whole_run(stage: GraphStage, tracker: GraphTracker, done: list[str]) -> None:
    """Something of everything that waits."""
    async with tracker.run() as run:
        done.append("entered")
        await tick()
        with run.visit("router") as node:
            await node.call(answering(stage))
        done.append("router")
        await run.track_handoff_success("router", "writer")
        async with asyncio.TaskGroup() as group:
            for key in ("writer", "critic"):
                group.create_task(a_branch(stage, run.visit(key).begin, key, done))
        run.node("writer").observe(Chunk("x"))
        await tick()
        done.append("all")


async def a_branch(stage: GraphStage, begin: Callable[[], Any], key: str, done: list[str]) -> None:
    await begin().call(answering(stage))
    done.append(key)


@pytest.mark.parametrize("ledger", [RecordingLedger, LateLedger])
def test_cancelled_at_every_point(ledger: type[RecordingLedger]) -> None:
    """Wherever it is cancelled: nothing is lost, nothing is said twice, and no outcome is made up."""
    stage = GraphStage(settle_timeout=600)
    stage.ledger = stage.recorder.ledger = ledger()
    counted = 0

    async def play(_: Any) -> None:
        nonlocal counted
        for rounds in itertools.count():
            tracker, done = stage.new_graph_tracker(), list[str]()
            task = asyncio.create_task(a_whole_run(stage, tracker, done))
            for _ in range(rounds):
                await tick()
            is_late = task.done()
            task.cancel()
            await asyncio.wait([task])
            await settled()
            counted += 1
            check(stage, tracker, done)
            if is_late:
                assert done[-1] == "all"
                return
            assert task.cancelled(), "the cancellation passes"

    async def settled() -> None:
        for _ in range(8):
            await tick()

    stage.play(play)
    assert counted > 5
    stage.assert_clean()


def check(stage: GraphStage, tracker: GraphTracker, done: list[str]) -> None:
    """What is recorded of a run that was cancelled somewhere."""
    names = Counter(name for name, _ in stage.of(tracker.run_id))
    assert all(count == 1 for name, count in names.items())
    assert names["graph:duration:total"] == ("entered" in done)
    assert names["graph:total_tokens"] == ("router" in done)
    summary = tracker.summary
    assert names["graph:invocation_failure"] == 0
    assert (summary.success is True) == (names["graph:invocation_success"] == 1) == ("all" in done)
    if "entered" in done and "all" not in done:
        assert summary.outcome is Outcome.CANCELLED
    for key, node in summary.node_metrics.items():
        events = Counter(name for name, _ in stage.of(tracker.node_tracker(key).run_id))
        assert all(count == 1 for count in events.values())
        assert events["duration:total"] == 1
        assert node.success in {True, None}
        assert events["generation:error"] == 0
        if key in done and "all" in done:
            assert node.success is True
