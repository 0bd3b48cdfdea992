"""Agent graphs from an ``AIClient``: evaluated, rendered, walked, run, resumed; and runs with parents."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from fake_provider import tick
from launchdarkly import async_client, client
from ldclient import Context
from recorded import CHAT_USAGE, chat_chunk
from sink import EventSink, Inbox

from ldtrack import AIClient, AIGraphMetrics, InvalidTokenError, LDAIMetrics, TokenSigner, TokenUsage
from ldtrack.configs.graphs import AgentGraphDefinition
from ldtrack.testing import ManualClock, Recording, RecordingClient, SequentialIds, recording

ADA, BOB = Context.builder("ada").name("Ada").build(), Context.create("bob")
GRAPH = {
    "_ldMeta": {"enabled": True, "variationKey": "warm", "version": 3},
    "root": "router",
    "edges": {
        "router": [{"key": "writer", "handoff": {"description": "for texts"}}, {"key": "critic"}],
        "critic": [{"key": "writer"}],
    },
}


def agent(text: str = "", **meta: Any) -> dict[str, Any]:
    """An agent's flag."""
    return {
        "_ldMeta": {"enabled": True, "version": 2, **meta},
        "model": {"name": "gpt-4o"},
        "provider": {"name": "openai"},
        "instructions": text,
    }


FLAGS = {
    "trip": GRAPH,
    "router": agent("Route {{name}} for {{ldctx.name}}."),
    "writer": agent("Write for {{name}}."),
    "critic": agent("Criticise."),
}


def made(**flags: Any) -> Recording:
    """A client over fakes that serves these flags."""
    return recording({**FLAGS, **flags})


async def a_graph(recorded: Recording) -> AgentGraphDefinition:
    return await recorded.ai.agent_graph("trip", ADA, {"name": "Bo"})


# Evaluation


async def test_a_graph_has_its_nodes_and_edges() -> None:
    """Under the official names, or the nearest attribute; frozen."""
    graph = await a_graph(made())
    assert (graph.key, graph.enabled, graph.problems) == ("trip", True, ())
    assert list(graph.nodes) == ["router", "critic", "writer"]
    assert graph.root is graph.nodes["router"] is graph.get_node("router")
    assert [edge.key for edge in graph.edges] == ["router-writer", "router-critic", "critic-writer"]
    assert graph.root is not None
    assert graph.root.edges[0].handoff == {"description": "for texts"}
    assert [node.key for node in graph.children("router")] == ["writer", "critic"]
    assert [node.key for node in graph.parents("writer")] == ["router", "critic"]
    assert graph.children("writer") == graph.parents("router") == graph.children("nobody") == ()
    assert [node.key for node in graph.terminal_nodes] == ["writer"]
    assert [node.is_terminal for node in graph.traverse()] == [False, False, True]
    assert graph.get_node("nobody") is None
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        graph.enabled = False  # type: ignore[misc]  # the point
    with pytest.raises(AttributeError):
        graph.nodes.clear()  # type: ignore[attr-defined]  # the point


async def test_row_28_variables_are_rendered_in_every_node() -> None:
    """The official SDK has no parameter for them."""
    graph = await a_graph(made())
    texts = {key: node.config.instructions for key, node in graph.nodes.items()}
    assert texts == {"router": "Route Bo for Ada.", "critic": "Criticise.", "writer": "Write for Bo."}


async def test_walking_with_a_function() -> None:
    """As in the official SDK: called with each node and the results so far; the root's is returned."""
    graph = await a_graph(made())
    seen: dict[str, Any] = {"before": 1}

    def fn(node: Any, results: dict[str, Any]) -> list[str]:
        assert results is seen
        return [*map(str, results), node.key]

    assert graph.reverse_traverse(fn, seen) == ["before", "writer", "critic", "router"]
    assert list(seen) == ["before", "writer", "critic", "router"]
    assert graph.traverse(lambda node, results: len(results)) == 0


async def test_section_4_5_children_are_there_when_their_parents_are_built() -> None:
    """What the official OpenAI graph runner does, and fails at, on uneven paths."""
    flags = {key: agent() for key in ("R", "X", "Y", "T1", "T2")}
    flags["trip"] = {
        "root": "R",
        "edges": {"R": [{"key": "X"}], "X": [{"key": "T1"}, {"key": "Y"}], "Y": [{"key": "T2"}]},
    }
    graph = await recording(flags).ai.agent_graph("trip", ADA)
    built = graph.reverse_traverse(
        lambda node, results: {child.key: results[child.key] for child in graph.children(node.key)}
    )
    assert built == {"X": {"T1": {}, "Y": {"T2": {}}}}


DISABLED = {
    "a node that is switched off": (
        {"writer": agent(enabled=False)},
        ('Node "writer" is disabled, or its flag is missing.',),
    ),
    "a node without a flag": (
        {"trip": {**GRAPH, "root": "lost", "edges": {}}},
        ('Node "lost" is disabled, or its flag is missing.',),
    ),
    "two malformed nodes": (
        {"writer": [], "critic": {"_ldMeta": {"enabled": 1}}},
        tuple(f'Node "{key}" is disabled, or its flag is missing.' for key in ("critic", "writer")),
    ),
    "a node of another mode": (
        {"writer": agent(mode="judge")},
        ('Node "writer" is disabled, or its flag is missing.',),
    ),
    "an unreachable node": (
        {"trip": {**GRAPH, "root": "critic"}},
        ('Node "router" cannot be reached from the root, "critic".',),
    ),
    "no flag at all": ({"trip": {}}, ("root is missing.",)),
    "a flag that is no object": ({"trip": 3}, ("The flag's value must be an object, not 3.",)),
    "null edges": ({"trip": {**GRAPH, "edges": None}}, ("edges must be an object, not null.",)),
    "a graph that is switched off": ({"trip": {**GRAPH, "_ldMeta": {"enabled": False}}}, ()),
}


@pytest.mark.parametrize("case", DISABLED.values(), ids=DISABLED)
async def test_a_disabled_graph_has_no_nodes_and_says_why(
    case: tuple[dict[str, Any], tuple[str, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    """It never raises, and its tracker works; the problems are logged once."""
    flags, problems = case
    recorded = made(**flags)
    await a_graph(recorded)
    graph = await a_graph(recorded)
    assert (graph.enabled, graph.problems) == (False, problems)
    assert (graph.root, dict(graph.nodes), graph.edges, graph.terminal_nodes) == (None, {}, (), ())
    assert graph.traverse() == graph.reverse_traverse() == ()
    assert graph.traverse(lambda node, _: 1) is graph.reverse_traverse(lambda node, _: 1) is None
    said = [record.getMessage() for record in caplog.records if "Agent graph 'trip'" in record.getMessage()]
    assert len(said) == bool(problems)
    assert all(problem in said[0] for problem in problems)
    tracker = graph.create_tracker()
    assert await tracker.track_invocation_failure()
    with pytest.raises(ValueError, match="has no nodes"):
        tracker.node_tracker("router")


async def test_what_a_store_raises_disables_the_graph() -> None:
    """The SDK means never to raise; it does when its store fails before the first flags have arrived."""

    class Broken(RecordingClient):
        def variation(self, key: str, context: Context, default: Any) -> Any:
            raise OSError("no store")

    graph = await AIClient(Broken()).agent_graph("trip", ADA)
    assert graph.problems == ("The flag could not be evaluated (OSError).",)
    assert not graph.enabled


async def test_a_disabled_graph_costs_one_evaluation() -> None:
    """Nodes of a graph that cannot be run are not looked at; of one that can, each once."""
    counted: list[str] = []

    class Counting(RecordingClient):
        def variation(self, key: str, context: Context, default: Any) -> Any:
            counted.append(key)
            return super().variation(key, context, default)

    await AIClient(Counting({**FLAGS, "trip": {**GRAPH, "edges": []}})).agent_graph("trip", ADA)
    assert counted == ["trip"]
    counted.clear()
    await AIClient(Counting(FLAGS)).agent_graph("trip", ADA)
    assert counted == ["trip", "router", "critic", "writer"]


async def test_row_29_one_usage_event() -> None:
    """``agent-graph``, before anything is evaluated; the nodes stay silent."""
    ld = RecordingClient(FLAGS)
    ai = AIClient(ld)
    await ai.agent_graph("trip", ADA)
    events = [(event.key, event.data, event.metric_value, event.context.key) for event in ld.events[1:]]
    assert events == [("$ld:ai:usage:agent-graph", "trip", 1, "ada")]


@pytest.mark.parametrize(
    ("key", "context", "error"), [("", ADA, ValueError), (3, ADA, TypeError), ("g", "ada", TypeError)]
)
async def test_mistakes_in_the_code_raise(key: Any, context: Any, error: type[Exception]) -> None:
    """As for all configs."""
    with pytest.raises(error):
        await made().ai.agent_graph(key, context)


async def test_nodes_are_evaluated_at_once_where_the_client_waits() -> None:
    """Through an asynchronous client."""
    waiting = 0
    most = 0

    class Slow(RecordingClient):
        async def variation(self, key: str, context: Context, default: Any) -> Any:
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            await tick()
            waiting -= 1
            return self.flags.get(key, default)

    graph = await AIClient(Slow(FLAGS)).agent_graph("trip", ADA)
    assert graph.enabled
    assert most == 3


async def test_a_cancelled_evaluation_leaves_nothing_behind() -> None:
    """Wherever it waits."""

    class Stuck(RecordingClient):
        async def variation(self, key: str, context: Context, default: Any) -> Any:
            if key != "trip":
                await asyncio.Event().wait()
            return self.flags.get(key, default)

    task = asyncio.create_task(AIClient(Stuck(FLAGS)).agent_graph("trip", ADA))
    for _ in range(5):
        await tick()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


# Tokens


async def test_row_29_a_graphs_run_is_resumed_from_its_token() -> None:
    """Within the same slots, with the same events; its nodes have tokens of their own."""
    recorded = made()
    tracker = (await a_graph(recorded)).create_tracker()
    assert await tracker.track_path(["router"])
    resumed = recorded.ai.resume_graph(tracker.resumption_token, ADA)
    assert (resumed.run_id, resumed.graph_key, resumed.node_keys) == (tracker.run_id, "trip", ())
    assert resumed.resumption_token == tracker.resumption_token
    assert await resumed.track_path(["again"]) is False
    assert await resumed.track_invocation_success()
    assert [event.data["runId"] for event in recorded.events] == [tracker.run_id] * 2
    assert recorded.events[1].data == {
        "runId": tracker.run_id,
        "variationKey": "warm",
        "graphKey": "trip",
        "version": 3,
    }


async def test_a_nodes_run_is_resumed_from_its_own_token() -> None:
    """Feedback on one node's answer, attributed to the graph, by another process."""
    recorded, elsewhere = made(), made()
    tracker = (await a_graph(recorded)).create_tracker()
    async with tracker.run() as run:
        with run.visit("writer"):
            pass
    token = run.summary.node_metrics["writer"].resumption_token
    resumed = elsewhere.ai.resume(token, ADA)
    assert resumed.parent_run_id == tracker.run_id
    assert await resumed.track_feedback("positive")
    assert elsewhere.events[0].data["graphKey"] == "trip"
    assert "parentRunId" not in elsewhere.events[0].data


async def test_the_two_kinds_of_tokens_are_told_apart() -> None:
    """Each is refused where the other belongs."""
    recorded = made()
    tracker = (await a_graph(recorded)).create_tracker()
    with pytest.raises(InvalidTokenError, match="agent graph"):
        recorded.ai.resume(tracker.resumption_token, ADA)
    with pytest.raises(InvalidTokenError, match="of a config's run"):
        recorded.ai.resume_graph(tracker.node_tracker("writer").resumption_token, ADA)


async def test_signed_tokens_of_graphs() -> None:
    """Signed, bound to the context, and refused unsigned."""
    signer = TokenSigner.from_key("a secret of sixteen bytes")
    recorded = recording(FLAGS, signer=signer)
    token = (await a_graph(recorded)).create_tracker(parent="outer").resumption_token
    assert recorded.ai.resume_graph(token, ADA).parent_run_id == "outer"
    with pytest.raises(InvalidTokenError, match="another context"):
        recorded.ai.resume_graph(token, BOB)
    plain = (await a_graph(made())).create_tracker().resumption_token
    with pytest.raises(InvalidTokenError, match="not signed"):
        recorded.ai.resume_graph(plain, ADA)


@pytest.mark.parametrize(("context", "error"), [("ada", TypeError), (Context.create(""), ValueError)])
async def test_a_graph_is_resumed_for_a_good_context_only(context: Any, error: type[Exception]) -> None:
    """Nothing could be recorded for another."""
    recorded = made()
    token = (await a_graph(recorded)).create_tracker().resumption_token
    with pytest.raises(error):
        recorded.ai.resume_graph(token, context)


# Sub-runs


async def test_a_run_knows_its_parent() -> None:
    """In the summary and in the token, whichever of its three forms is given; never on the wire."""
    recorded = made()
    config = await recorded.ai.agent_config("writer", ADA)
    outer = config.create_tracker()
    graph = await a_graph(recorded)
    async with outer.run() as run, graph.create_tracker(parent=run).run() as graph_run:
        assert (run.parent_run_id, graph_run.parent_run_id) == (None, outer.run_id)
        assert graph_run.tracker.parent_run_id == outer.run_id
        parents: list[Any] = [outer, run, outer.run_id, graph_run, graph_run.tracker]
        for parent in parents:
            inner = config.create_tracker(parent=parent)
            assert inner.parent_run_id == getattr(parent, "run_id", parent)
            assert inner.summary.parent_run_id == inner.parent_run_id
            assert recorded.ai.resume(inner.resumption_token, ADA).parent_run_id == inner.parent_run_id
            async with inner.run() as inner_run:
                assert inner_run.parent_run_id == inner_run.summary.parent_run_id == inner.parent_run_id
    assert graph_run.summary.parent_run_id == outer.run_id
    resumed = recorded.ai.resume_graph(graph_run.resumption_token, ADA)
    assert resumed.parent_run_id == resumed.summary.parent_run_id == outer.run_id
    assert not any("parent" in name for event in recorded.events for name in event.data)


@pytest.mark.parametrize("signer", [None, TokenSigner.from_key("a secret of sixteen bytes")])
async def test_the_run_of_a_node_knows_the_graphs(signer: TokenSigner | None) -> None:
    """As itself, in every summary and in its token; and a run within it knows the node's."""
    recorded = recording(FLAGS, signer=signer)
    graph = await a_graph(recorded)
    tracker = graph.create_tracker(parent="outer")
    async with tracker.run() as run:
        with run.visit("writer") as node:
            inner = graph.nodes["writer"].config.create_tracker(parent=node)
    assert node.parent_run_id == node.tracker.parent_run_id == tracker.run_id
    assert inner.parent_run_id == node.run_id
    resumed = recorded.ai.resume(node.resumption_token, ADA)
    for summary in (node.summary, run.summary.node_metrics["writer"], resumed.summary):
        assert summary.parent_run_id == tracker.run_id
    assert resumed.resumption_token == node.resumption_token
    assert run.summary.parent_run_id == "outer"


async def test_the_nodes_that_an_extractor_tells_of_know_the_graphs_run() -> None:
    """They are run without a visit."""
    recorded = made()
    tracker = (await a_graph(recorded)).create_tracker()
    metrics = AIGraphMetrics(node_metrics={"writer": LDAIMetrics()})
    await tracker.track_graph_metrics_of(lambda _: metrics, lambda: "done")
    writer = tracker.summary.node_metrics["writer"]
    assert (writer.success, writer.parent_run_id) == (True, tracker.run_id)
    assert recorded.ai.resume(writer.resumption_token, ADA).parent_run_id == tracker.run_id


async def test_a_run_without_a_parent_has_none() -> None:
    """Neither in the summary nor in the token."""
    recorded = made()
    tracker = (await recorded.ai.agent_config("writer", ADA)).create_tracker()
    assert tracker.parent_run_id is tracker.run().parent_run_id is tracker.summary.parent_run_id is None
    assert recorded.ai.resume(tracker.resumption_token, ADA).parent_run_id is None


@pytest.mark.parametrize(
    ("parent", "error"), [("", ValueError), ("\ud800", ValueError), (3, TypeError), (object(), TypeError)]
)
async def test_a_parent_that_is_no_run_is_a_mistake_in_the_code(parent: Any, error: type[Exception]) -> None:
    """Of a config's run and of a graph's."""
    recorded = made()
    for source in (await recorded.ai.agent_config("writer", ADA), await a_graph(recorded)):
        with pytest.raises(error, match="parent"):
            source.create_tracker(parent=parent)


@pytest.mark.parametrize("parent", [3, "", ["x"], True])
async def test_a_parent_that_a_token_cannot_have_is_refused(parent: Any) -> None:
    """Types are checked strictly, also those of our own extra member."""
    members = {"runId": "r", "configKey": "c", "graphKey": "g", "version": 1, "parentRunId": parent}
    recorded = made()
    with pytest.raises(InvalidTokenError, match="malformed"):
        recorded.ai.resume(urlsafe_b64encode(json.dumps(members).encode()).decode(), ADA)
    del members["configKey"]
    with pytest.raises(InvalidTokenError, match="malformed"):
        recorded.ai.resume_graph(urlsafe_b64encode(json.dumps(members).encode()).decode(), ADA)


async def test_row_26_concurrent_runs_of_one_graph_never_mix() -> None:
    """Two hundred of them, interleaved: each has its own path, tokens, nodes and run ids."""
    recorded = made()
    graph = await a_graph(recorded)

    async def execute(number: int) -> Any:
        async with graph.create_tracker().run() as run:
            for key in ["router", *["critic"] * (number % 4), "writer"]:
                with run.visit(key) as node:
                    for _ in range(number % 3):
                        await tick()
                    metrics = LDAIMetrics(tokens=TokenUsage(number + 1))
                    node.observe(metrics, lambda answer: answer)
                await tick()
        return run.summary

    summaries = await asyncio.gather(*(execute(number) for number in range(200)))
    for number, summary in enumerate(summaries):
        assert summary.path == ("router", *["critic"] * (number % 4), "writer")
        assert summary.tokens == TokenUsage((number + 1) * len(summary.path))
    ids = [event.data["runId"] for event in recorded.events if event.key.endswith("generation:success")]
    assert len(set(ids)) == len(ids) == sum(len(summary.node_metrics) for summary in summaries)


# End to end


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[EventSink]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with EventSink() as sink:
        yield sink


async def play(ld_client: Any) -> None:
    """A graph whose writer streams, through a real client."""
    clock = ManualClock()
    ai = AIClient(ld_client, clock=clock, run_ids=SequentialIds(), usage_events=False)
    graph = await ai.agent_graph("trip", ADA, {"name": "Bo"})
    tracker = graph.create_tracker()
    async with tracker.run() as run:
        with run.visit("router"):
            clock.advance(ms=3)
        run.handoff("router", "writer")
        with run.visit("writer") as node:

            async def chunks() -> Any:
                clock.advance(ms=4)
                yield chat_chunk({"content": "Hi"})
                yield chat_chunk(finish_reason="stop", usage=CHAT_USAGE)

            async for _ in node.stream(chunks()):
                pass
    await ai.resume_graph(tracker.resumption_token, ADA).track_redirect("router", "critic")


def expected() -> list[list[Any]]:
    first = "00000000-0000-4000-8000-00000000000"
    graph = {"runId": f"{first}1", "variationKey": "warm", "graphKey": "trip", "version": 3}

    def node(number: int, key: str) -> dict[str, Any]:
        return {
            "runId": f"{first}{number}",
            "configKey": key,
            "version": 2,
            "modelName": "gpt-4o",
            "providerName": "openai",
            "graphKey": "trip",
        }

    router, writer = node(2, "router"), node(3, "writer")
    total, used, made = (CHAT_USAGE[name] for name in ("total_tokens", "prompt_tokens", "completion_tokens"))
    return [
        ["graph:handoff_success", {**graph, "sourceKey": "router", "targetKey": "writer"}, 1],
        ["graph:duration:total", graph, 7],
        ["graph:invocation_success", graph, 1],
        ["graph:path", {**graph, "path": ["router", "writer"]}, 1],
        ["graph:total_tokens", graph, total],
        ["duration:total", router, 3],
        ["generation:success", router, 1],
        ["duration:total", writer, 4],
        ["tokens:ttf", writer, 4],
        ["generation:success", writer, 1],
        ["tokens:total", writer, total],
        ["tokens:input", writer, used],
        ["tokens:output", writer, made],
        ["graph:redirect", {**graph, "sourceKey": "router", "redirectedTarget": "critic"}, 1],
    ]


def arrived(inbox: Inbox) -> list[list[Any]]:
    return [
        [event["key"].removeprefix("$ld:ai:"), event["data"], event["metricValue"]] for event in inbox.customs
    ]


async def test_a_whole_graph_arrives_through_an_ldclient(sink: EventSink) -> None:
    """Every event, with its data in the official order and its value, once, and nothing else."""
    inbox = sink.inbox()
    ld = client(FLAGS, events_uri=inbox.uri)
    try:
        await play(ld)
    finally:
        await asyncio.to_thread(ld.close)
    assert arrived(inbox) == expected()
    assert [list(event[1]) for event in arrived(inbox)] == [list(event[1]) for event in expected()]


async def test_a_whole_graph_arrives_through_an_async_ldclient(sink: EventSink) -> None:
    """The same through the asynchronous one."""
    inbox = sink.inbox()
    async with await async_client(FLAGS, events_uri=inbox.uri) as ld:
        await play(ld)
    assert arrived(inbox) == expected()
