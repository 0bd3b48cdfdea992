"""Runs of graphs: what is recorded of the graph and of each node, on every exit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_provider import Chunk, tick
from graph_stage import GraphStage, answering, streaming

from ldtrack.core.graph_metrics import AIGraphMetrics
from ldtrack.core.values import Ending, LDAIMetrics, Outcome, TokenUsage
from ldtrack.exceptions import MisuseError
from ldtrack.testing import ManualClock
from ldtrack.tracking.graph_tracker import GraphTracker


class Boom(Exception):
    """What an agent raises."""


@pytest.fixture
def stage() -> GraphStage:
    return GraphStage(settle_timeout=600)


async def test_a_run_records_the_graph_and_each_node(stage: GraphStage) -> None:
    """Duration, outcome, path and summed tokens of the graph; of each node what any run records."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        with run.visit("router") as node:
            await node.call(answering(stage, ms=10, usage=(1, 2), tools=("search",)))
        run.handoff("router", "writer")
        stage.clock.advance(0.001)
        with run.visit("writer") as node:
            async for _ in node.stream(streaming(stage, Chunk("a"), Chunk("b", usage=(10, 20)), ms=5)):
                pass
    assert stage.of(tracker.run_id) == [
        ("graph:handoff_success", 1),
        ("graph:duration:total", 21),
        ("graph:invocation_success", 1),
        ("graph:path", 1),
        ("graph:total_tokens", 33),
    ]
    assert stage.of(tracker.node_tracker("router").run_id) == [
        ("duration:total", 10),
        ("generation:success", 1),
        ("tokens:total", 3),
        ("tokens:input", 1),
        ("tokens:output", 2),
        ("tool_call", 1),
    ]
    assert stage.of(tracker.node_tracker("writer").run_id) == [
        ("duration:total", 10),
        ("tokens:ttf", 5),
        ("generation:success", 1),
        ("tokens:total", 30),
        ("tokens:input", 10),
        ("tokens:output", 20),
    ]
    stage.assert_clean()


async def test_the_data_of_events(stage: GraphStage) -> None:
    """Row 29: a graph's run has an id; nodes have their own, the graph's key, and no parent on the wire."""
    tracker = stage.new_graph_tracker(parent_run_id="the-whole")
    async with tracker.run() as run:
        with run.visit("router"):
            run.redirect("router", "critic")
            run.handoff("router", "writer", failed=True)
    data = {event.key.removeprefix("$ld:ai:"): event.data for event in stage.ledger.events}
    graph = {"runId": tracker.run_id, "variationKey": "warm", "graphKey": "trip", "version": 3}
    assert data["graph:duration:total"] == graph
    assert data["graph:path"] == {**graph, "path": ["router"]}
    assert data["graph:redirect"] == {**graph, "sourceKey": "router", "redirectedTarget": "critic"}
    assert data["graph:handoff_failure"] == {**graph, "sourceKey": "router", "targetKey": "writer"}
    node = data["generation:success"]
    assert node["graphKey"] == "trip"
    assert node["runId"] not in {tracker.run_id, "the-whole"}
    assert "the-whole" not in repr([event.data for event in stage.ledger.events])


async def test_a_node_that_is_visited_again_has_one_run_and_the_sum(stage: GraphStage) -> None:
    """The official runners report the last request of a node only (section 5.6)."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        for usage in ((1, 1), (2, 2), (4, 4)):
            with run.visit("writer") as node:
                await node.call(answering(stage, usage=usage, tools=("search",)))
            with run.visit("critic"):
                stage.clock.advance(0.1)
        assert run.node("writer") is run.visit("writer").node
        assert run.path == ("writer", "critic") * 3
    summary = tracker.summary
    assert summary.path == ("writer", "critic") * 3
    assert summary.tokens == TokenUsage(input=7, output=7)
    writer = summary.node_metrics["writer"]
    assert writer.tokens == TokenUsage(input=7, output=7)
    assert (writer.duration_ms, writer.tool_calls) == (30, ("search",) * 3)
    assert (summary.duration_ms, summary.node_metrics["critic"].duration_ms) == (330, 300)
    names = [name for name, _ in stage.of(tracker.node_tracker("writer").run_id)]
    assert names.count("generation:success") == names.count("tokens:total") == 1


async def test_visits_that_overlap_are_timed_each(stage: GraphStage) -> None:
    """Branches of a graph may run side by side, of one node too."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        one, two, other = run.visit("writer"), run.visit("writer"), run.visit("critic")
        assert one.begin() is two.begin() is run.node("writer")
        other.begin()
        stage.clock.advance(0.01)
        one.end()
        stage.clock.advance(0.01)
        two.end()
        other.end()
    summary = tracker.summary
    assert summary.path == ("writer", "writer", "critic")
    assert summary.node_metrics["writer"].duration_ms == 30
    assert summary.node_metrics["critic"].duration_ms == 20
    assert summary.duration_ms == 20


async def test_a_failure_in_the_middle_keeps_what_happened_so_far(stage: GraphStage) -> None:
    """The official runners drop the nodes that had run, and their tokens (section 5.7)."""
    tracker = stage.new_graph_tracker()
    with pytest.raises(Boom):
        async with tracker.run() as run:
            with run.visit("router") as node:
                await node.call(answering(stage, usage=(1, 2)))
            with run.visit("writer") as node:
                await node.call(answering(stage, usage=(3, 4)))
                raise Boom
    summary = tracker.summary
    assert (summary.success, summary.outcome) == (False, Outcome.ERROR)
    assert summary.path == ("router", "writer")
    assert summary.tokens == TokenUsage(input=4, output=6)
    assert {key: node.success for key, node in summary.node_metrics.items()} == {
        "router": True,
        "writer": False,
    }
    assert summary.node_metrics["writer"].tokens == TokenUsage(input=3, output=4)


async def test_a_failure_between_the_nodes_is_the_graphs_alone(stage: GraphStage) -> None:
    """What had succeeded has succeeded."""
    tracker = stage.new_graph_tracker()
    with pytest.raises(Boom):
        async with tracker.run() as run:
            with run.visit("router") as node:
                await node.call(answering(stage))
            raise Boom
    assert tracker.summary.success is False
    assert tracker.summary.node_metrics["router"].success is True


async def test_a_failing_branch_ends_the_ones_beside_it_as_failed(stage: GraphStage) -> None:
    """A visit that nobody ended shares the fate of the run."""
    tracker = stage.new_graph_tracker()
    with pytest.raises(Boom):
        async with tracker.run() as run:
            run.visit("writer").begin()
            stage.clock.advance(0.01)
            raise Boom
    node = tracker.summary.node_metrics["writer"]
    assert (node.success, node.duration_ms) == (False, 10)


async def test_a_visit_that_nobody_ends_ends_with_the_run(stage: GraphStage) -> None:
    """Frameworks do not always call back; a late call changes nothing any more."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        visit = run.visit("writer")
        visit.begin()
        stage.clock.advance(0.01)
    stage.clock.advance(1)
    visit.end(Boom())
    node = tracker.summary.node_metrics["writer"]
    assert (node.success, node.duration_ms, tracker.summary.success) == (True, 10, True)


async def test_a_node_that_failed_and_was_tried_again_has_succeeded(stage: GraphStage) -> None:
    """The last visit counts, of the node and of the graph."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        for error in (Boom(), None):
            visit = run.visit("writer")
            await visit.begin().call(answering(stage))
            visit.end(error)
    assert tracker.summary.node_metrics["writer"].success is True
    assert tracker.summary.success is True


async def test_a_good_visit_without_calls_makes_up_for_a_failed_call(stage: GraphStage) -> None:
    """What an earlier visit called does not count against it."""
    tracker = stage.new_graph_tracker()

    async def failing() -> Any:
        raise Boom

    async with tracker.run() as run:
        with pytest.raises(Boom), run.visit("writer") as node:
            await node.call(failing())
        with run.visit("writer"):
            pass
    assert tracker.summary.node_metrics["writer"].success is True
    assert tracker.summary.success is True


async def test_a_run_whose_last_visit_failed_has_failed(stage: GraphStage) -> None:
    """Also where the app caught it and made do without."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        with run.visit("router"):
            pass
        with pytest.raises(Boom), run.visit("writer"):
            raise Boom
    assert tracker.summary.success is False
    assert tracker.summary.node_metrics["writer"].success is False


async def test_an_answer_that_says_it_failed_makes_its_node_and_the_run_fail(stage: GraphStage) -> None:
    """As in any run."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        with run.visit("writer") as node:
            node.observe(Chunk("x"), lambda _: LDAIMetrics(success=False))
    assert tracker.summary.success is False
    assert tracker.summary.node_metrics["writer"].success is False


async def test_what_is_tracked_explicitly_wins(stage: GraphStage) -> None:
    """Each slot is recorded once; what the exit would say comes too late."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        with run.visit("writer") as node:
            await node.call(answering(stage))
            assert await node.track_duration(1)
        assert await run.track_duration(2)
        assert await run.track_invocation_failure()
        assert await run.track_path(["a", "b"])
        assert await run.track_total_tokens(TokenUsage(5))
    summary = tracker.summary
    assert (summary.duration_ms, summary.success, summary.path) == (2, False, ("a", "b"))
    assert summary.tokens == TokenUsage(5)
    assert summary.node_metrics["writer"].duration_ms == 1
    assert stage.recorder.duplicates == 0
    assert len(stage.of(tracker.run_id)) == 4


async def test_a_cancelled_run_is_neither_success_nor_failure(
    stage: GraphStage,
) -> None:
    """Of the graph and of the node that was cut short; duration, path and tokens are recorded."""
    tracker = stage.new_graph_tracker()

    async def work() -> None:
        async with tracker.run() as run:
            with run.visit("router") as node:
                await node.call(answering(stage, usage=(1, 2)))
            with run.visit("writer") as node:
                stage.clock.advance(0.02)
                await asyncio.Event().wait()

    task = asyncio.create_task(work())
    for _ in range(5):
        await tick()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    summary = tracker.summary
    assert (summary.success, summary.outcome) == (None, Outcome.CANCELLED)
    assert (summary.path, summary.duration_ms) == (("router", "writer"), 30)
    assert summary.tokens == TokenUsage(input=1, output=2)
    assert summary.node_metrics["router"].success is True
    writer = summary.node_metrics["writer"]
    assert (writer.success, writer.outcome, writer.duration_ms) == (None, Outcome.CANCELLED, 20)


@pytest.mark.parametrize(("outcome", "success"), [(Outcome.ERROR, False), (Outcome.SUCCESS, True)])
async def test_cancelled_as_says_what_a_cancelled_run_is(
    stage: GraphStage, outcome: Outcome, success: bool
) -> None:
    """Of the graph and of its nodes."""
    tracker = stage.new_graph_tracker()
    with pytest.raises(asyncio.CancelledError):
        async with tracker.run(cancelled_as=outcome) as run:
            run.visit("writer").begin()
            raise asyncio.CancelledError
    assert tracker.summary.success is success
    assert tracker.summary.node_metrics["writer"].success is success


@pytest.mark.parametrize("is_over", [False, True], ids=["before the end", "after the finish mark"])
async def test_a_generator_that_is_closed_early(stage: GraphStage, is_over: bool) -> None:
    """A consumer that has all it wants: whether anything was missed, the stream knows."""
    tracker = stage.new_graph_tracker()
    closed = []

    async def chunks() -> AsyncIterator[Chunk]:
        try:
            yield Chunk("a", usage=(1, 2), finish=is_over)
            yield Chunk("b")
        finally:
            closed.append(1)

    async def texts() -> AsyncIterator[str]:
        async with tracker.run() as run:
            with run.visit("writer") as node:
                async for chunk in node.stream(chunks()):
                    yield chunk.text

    generator = texts()
    async for _ in generator:
        break
    await generator.aclose()  # type: ignore[attr-defined]  # a generator has it
    expected = Outcome.SUCCESS if is_over else Outcome.CANCELLED
    assert tracker.summary.outcome is expected
    assert tracker.summary.node_metrics["writer"].outcome is expected
    assert tracker.summary.tokens == TokenUsage(input=1, output=2)
    assert closed == [1]


async def test_a_generator_that_is_closed_between_two_nodes_was_cut_short(stage: GraphStage) -> None:
    """Nothing was going on that could say that nothing was missed."""
    tracker = stage.new_graph_tracker()

    async def texts() -> AsyncIterator[str]:
        async with tracker.run() as run:
            with run.visit("router") as node:
                yield (await node.call(answering(stage))).text
            yield "more"

    generator = texts()
    async for text in generator:
        if text == "more":
            break
    await generator.aclose()  # type: ignore[attr-defined]  # a generator has it
    assert tracker.summary.outcome is Outcome.CANCELLED
    assert tracker.summary.node_metrics["router"].outcome is Outcome.SUCCESS


async def test_streams_that_are_left_open_are_closed(stage: GraphStage) -> None:
    """Of all nodes, when the run is left."""
    tracker = stage.new_graph_tracker()
    closed = []

    async def chunks(name: str) -> AsyncIterator[Chunk]:
        try:
            yield Chunk("a", usage=(1, 1))
            yield Chunk("b")
        finally:
            closed.append(name)

    async with tracker.run() as run:
        for key in ("writer", "critic"):
            with run.visit(key) as node:
                await anext(node.stream(chunks(key)))
        run.node("router").stream(chunks("never read"))
    assert closed == ["writer", "critic"]
    assert tracker.summary.node_metrics["writer"].ending is Ending.CLOSED_EARLY
    assert tracker.summary.node_metrics["router"].duration_ms is None
    stage.assert_clean()


async def test_a_node_without_a_visit_is_timed_by_its_calls(stage: GraphStage) -> None:
    """It is not on the path; without a measured call there is no duration rather than a wrong one."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        await run.node("writer").call(answering(stage, ms=7))
        stage.clock.advance(1)
        run.node("critic").observe(Chunk("x", usage=(1, 1)))
        assert run.node("router").usage is None
    summary = tracker.summary
    assert summary.path == ()
    assert summary.node_metrics["writer"].duration_ms == 7
    assert summary.node_metrics["critic"].duration_ms is None
    assert summary.node_metrics["critic"].tokens == TokenUsage(input=1, output=1)
    assert summary.tokens == TokenUsage(input=4, output=5)
    assert stage.of(tracker.node_tracker("router").run_id) == [], "somebody only looked at it"
    assert "graph:path" not in dict(stage.of(tracker.run_id))


async def test_a_duration_that_a_node_s_only_call_states_is_the_node_s(stage: GraphStage) -> None:
    """As in any run."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        run.node("critic").observe(Chunk("x"), lambda _: LDAIMetrics(duration_ms=9))
    assert tracker.summary.node_metrics["critic"].duration_ms == 9


# What a framework says


async def test_what_a_framework_says_of_the_whole_run_wins(stage: GraphStage) -> None:
    """Duration, outcome, path and tokens of the graph, and the metrics of its nodes."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        with run.visit("router"):
            pass
        run.observe(
            AIGraphMetrics(
                success=False,
                path=["router", "writer"],
                duration_ms=1234.5,
                tokens=TokenUsage(100),
                node_metrics={"writer": LDAIMetrics(tokens=TokenUsage(50), tool_calls=("x",), duration_ms=9)},
            )
        )
    summary = tracker.summary
    assert (summary.success, summary.duration_ms, summary.path) == (False, 1234, ("router", "writer"))
    assert summary.tokens == TokenUsage(100)
    writer = summary.node_metrics["writer"]
    assert (writer.duration_ms, writer.tokens, writer.tool_calls) == (9, TokenUsage(50), ("x",))
    assert writer.success is True


async def test_what_a_framework_leaves_out_is_measured(stage: GraphStage) -> None:
    """A success that it states wins over a node that failed; the rest is the run's own."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        with pytest.raises(Boom), run.visit("writer") as node:
            await node.call(answering(stage, ms=3, usage=(1, 2)))
            raise Boom
        run.observe(AIGraphMetrics())
    summary = tracker.summary
    assert (summary.success, summary.duration_ms, summary.path) == (True, 3, ("writer",))
    assert summary.tokens == TokenUsage(input=1, output=2)


@pytest.mark.parametrize("times", [1, 2])
async def test_what_is_stated_of_a_node_replaces_what_was_measured(stage: GraphStage, times: int) -> None:
    """However often it is stated: tokens, tool calls, duration, outcome, and the graph's tokens."""
    tracker = stage.new_graph_tracker()
    told = LDAIMetrics(success=False, duration_ms=5, tokens=TokenUsage(10, 5, 5), tool_calls=("search",))
    async with tracker.run() as run:
        with run.visit("router") as node:
            await node.call(answering(stage, ms=200, usage=(5, 5), tools=("look",)))
        for _ in range(times):
            run.observe(AIGraphMetrics(node_metrics={"router": told}))
    summary = tracker.summary
    router = summary.node_metrics["router"]
    assert (router.tokens, summary.tokens) == (TokenUsage(10, 5, 5), TokenUsage(10, 5, 5))
    assert (router.duration_ms, router.tool_calls) == (5, ("search",))
    assert (router.success, router.ending) == (False, Ending.FAILED)
    names = [name for name, _ in stage.of(tracker.node_tracker("router").run_id)]
    assert names.count("tool_call") == 1
    stage.assert_clean()


async def test_of_what_is_stated_twice_the_latest_counts(stage: GraphStage) -> None:
    """What the latest leaves out is measured."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        with pytest.raises(Boom), run.visit("writer") as node:
            await node.call(answering(stage, ms=3, usage=(1, 2), tools=("look",)))
            raise Boom
        for told in (LDAIMetrics(success=False, tokens=TokenUsage(99)), LDAIMetrics()):
            run.observe(AIGraphMetrics(node_metrics={"writer": told}))
    writer = tracker.summary.node_metrics["writer"]
    assert (writer.tokens, writer.duration_ms, writer.tool_calls) == (TokenUsage(3, 1, 2), 3, ("look",))
    assert (writer.success, writer.ending) == (True, Ending.COMPLETED)


async def test_what_is_stated_of_a_node_does_not_make_up_for_what_cut_it_short(stage: GraphStage) -> None:
    """It cannot have known."""
    tracker = stage.new_graph_tracker()
    with pytest.raises(Boom):
        async with tracker.run() as run:
            run.visit("writer").begin()
            run.observe(AIGraphMetrics(node_metrics={"writer": LDAIMetrics(), "critic": LDAIMetrics()}))
            raise Boom
    nodes = tracker.summary.node_metrics
    assert (nodes["writer"].success, nodes["critic"].success) == (False, True)


async def test_a_node_that_is_none_is_counted_and_left_out(stage: GraphStage) -> None:
    """The framework may know helpers of its own; this is no reason to fail."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        run.observe(AIGraphMetrics(node_metrics={"helper": LDAIMetrics()}))
    assert dict(stage.recorder.failures) == {"graph node": 1}
    assert tracker.summary.success is True


async def test_metrics_of_a_function(stage: GraphStage) -> None:
    """The composite of the official SDK: the function's result passes, its metrics are recorded."""
    tracker = stage.new_graph_tracker()

    async def work() -> str:
        stage.clock.advance(0.01)
        return "done"

    def extract(result: str) -> AIGraphMetrics:
        return AIGraphMetrics(path=("router",), tokens=TokenUsage(3))

    assert await tracker.track_graph_metrics_of(extract, work) == "done"
    assert [name for name, _ in stage.of(tracker.run_id)] == [
        "graph:duration:total",
        "graph:invocation_success",
        "graph:path",
        "graph:total_tokens",
    ]
    # Again: the function is called, and nothing is recorded twice.
    assert await tracker.track_graph_metrics_of(lambda _: None, lambda: "plain") == "plain"
    assert len(stage.of(tracker.run_id)) == 4


async def test_metrics_of_two_functions_are_recorded_once(stage: GraphStage) -> None:
    """The nodes' too; the second function is called, and nothing has failed."""
    tracker = stage.new_graph_tracker()
    told = LDAIMetrics(tokens=TokenUsage(3, 1, 2), tool_calls=("search",))
    metrics = AIGraphMetrics(path=("router",), node_metrics={"router": told})
    for at in range(2):
        assert await tracker.track_graph_metrics_of(lambda _: metrics, lambda at=at: at) == at  # type: ignore[misc]  # its default
    names = [name for name, _ in stage.of(tracker.node_tracker("router").run_id)]
    assert names == ["generation:success", "tokens:total", "tokens:input", "tokens:output", "tool_call"]
    assert len(stage.of(tracker.run_id)) == 4
    assert dict(stage.recorder.failures) == {}


async def test_an_extractor_that_fails_takes_nothing_away(stage: GraphStage) -> None:
    """The result passes, and the failure is counted."""
    tracker = stage.new_graph_tracker()
    for extract in (lambda _: 1 / 0, lambda _: "no metrics"):
        assert await tracker.track_graph_metrics_of(extract, lambda: 7) == 7  # type: ignore[arg-type, return-value]  # the point
    assert dict(stage.recorder.failures) == {"extractor": 2}


async def test_a_function_that_fails_is_recorded_and_raises(stage: GraphStage) -> None:
    """Duration and failure, and the very exception."""
    tracker, error = stage.new_graph_tracker(), Boom()

    async def work() -> None:
        raise error

    with pytest.raises(Boom) as caught:
        await tracker.track_graph_metrics_of(lambda _: None, work)
    assert caught.value is error
    assert stage.of(tracker.run_id) == [("graph:duration:total", 0), ("graph:invocation_failure", 1)]


# Misuse


async def test_a_tracker_runs_once(stage: GraphStage) -> None:
    """A run id stands for one execution."""
    tracker = stage.new_graph_tracker()
    async with tracker.run():
        pass
    with pytest.raises(MisuseError, match=r"graph\.create_tracker\(\)"):
        async with tracker.run():
            pass


async def test_a_run_that_is_over_takes_nothing_more(stage: GraphStage) -> None:
    """Nor does one that was not entered; a node that was never used is over with it."""
    tracker = stage.new_graph_tracker()
    run = tracker.run()
    for misuse in (
        lambda: run.visit("writer"),
        lambda: run.node("writer"),
        lambda: run.handoff("a", "b"),
        lambda: run.redirect("a", "b"),
        lambda: run.observe(AIGraphMetrics()),
    ):
        with pytest.raises(MisuseError, match="enter the run first"):
            misuse()
    async with run:
        visit, unused = run.visit("writer"), run.node("critic")
    for misuse in (
        lambda: run.visit("writer"),
        lambda: run.node("router"),
        lambda: run.handoff("a", "b"),
        lambda: run.observe(AIGraphMetrics()),
        visit.begin,
        lambda: unused.observe(Chunk("late")),
    ):
        with pytest.raises(MisuseError, match="which is over"):
            misuse()
    assert stage.of(tracker.node_tracker("critic").run_id) == []


async def test_a_run_is_left_once(stage: GraphStage) -> None:
    """A second exit, by whatever mistake, records nothing."""
    tracker = stage.new_graph_tracker()
    async with tracker.run() as run:
        pass
    before = len(stage.ledger.events)
    await run.__aexit__(Boom, Boom(), None)
    assert len(stage.ledger.events) == before
    assert tracker.summary.success is True


async def test_a_visit_is_begun_once_and_then_ended(stage: GraphStage) -> None:
    """Callbacks in a wrong order are a mistake in the code; a second end is not."""
    async with stage.new_graph_tracker().run() as run:
        visit = run.visit("writer")
        with pytest.raises(MisuseError, match="was not begun"):
            visit.end()
        visit.begin()
        with pytest.raises(MisuseError, match="begun already"):
            visit.begin()
        visit.end()
        visit.end(Boom())
        assert "over" in repr(visit)
    assert run.summary.success is True


async def test_a_nodes_run_is_not_entered(stage: GraphStage) -> None:
    """It is open already; and nobody else runs the node's tracker."""
    async with stage.new_graph_tracker().run() as run:
        node = run.node("writer")
        with pytest.raises(MisuseError, match=r"with graph_run\.visit\('writer'\) as node"):
            async with node:
                pass
        with pytest.raises(MisuseError, match="has been run already"):
            async with node.tracker.run():
                pass


async def test_a_key_that_is_no_node_is_a_mistake_in_the_code(stage: GraphStage) -> None:
    """The error says which keys there are."""
    async with stage.new_graph_tracker("writer").run() as run:
        with pytest.raises(ValueError, match=r"'x' is no node of .* which has 'writer'"):
            run.visit("x")
    bare = GraphTracker(stage.recorder, stage.new_graph_tracker()._attribution, stage.tracker._context)
    with pytest.raises(ValueError, match="has no nodes: it was resumed"):
        bare.node_tracker("x")


@pytest.mark.parametrize("ends", [("", "b"), ("a", ""), (None, "b"), ("a", 3)])
async def test_bad_keys_are_refused_at_once(stage: GraphStage, ends: tuple[Any, Any]) -> None:
    """And record nothing."""
    async with stage.new_graph_tracker().run() as run:
        for note in (run.handoff, run.redirect):
            with pytest.raises((TypeError, ValueError), match=r"_key|redirected_target"):
                note(*ends)
        with pytest.raises(TypeError, match="AIGraphMetrics"):
            run.observe({"success": True})  # type: ignore[arg-type]  # the point
        assert stage.ledger.events == []


async def test_a_ledger_that_fails_breaks_nothing(stage: GraphStage) -> None:
    """C5: what is recorded implicitly is counted, and the app goes on."""
    tracker = stage.new_graph_tracker()
    stage.ledger.fail_next(100)
    async with tracker.run() as run:
        with run.visit("writer"):
            run.handoff("router", "writer")
    assert stage.ledger.events == []
    assert set(stage.recorder.failures) == {
        "handoff",
        "graph duration",
        "graph outcome",
        "graph path",
        "duration",
        "outcome",
    }


def test_everything_has_a_repr(stage: GraphStage) -> None:
    """For logs and debuggers."""
    tracker = stage.new_graph_tracker()
    run = tracker.run()
    assert tracker.run_id in repr(tracker)
    assert "new, path=[]" in repr(run)
    assert (run.run_id, run.resumption_token) == (tracker.run_id, tracker.resumption_token)
    assert isinstance(stage.clock, ManualClock)
