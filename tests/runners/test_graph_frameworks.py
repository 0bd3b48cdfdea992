"""Agent graphs on LangGraph and on OpenAI's Agents SDK: what was served is what LaunchDarkly gets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from typing import Any

import pytest

why = "the frameworks are a test group of their own: their lowest versions need newer SDKs than ours"
pytest.importorskip("agents", reason=why)
pytest.importorskip("langgraph", reason=why)
pytest.importorskip("langchain_openai", reason=why)

from graph_kits import (  # noqa: E402 - once they are there
    ADA,
    GRAPH_KITS,
    AgentsResponsesKit,
    GraphKit,
    LangGraphKit,
    go,
)
from runner_kits import Asks, Broken  # noqa: E402 - as above

from ldtrack import MisuseError, NoRunnerError, Outcome, RoundLimitError  # noqa: E402 - as above
from ldtrack.testing import FakeRunners  # noqa: E402 - as above

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Received unexpected tool")

every_kit = pytest.mark.parametrize("kind", GRAPH_KITS, ids=lambda kind: kind.name)
both_ways = pytest.mark.parametrize("streams", [False, True], ids=["run", "stream"])


async def answered(kit: GraphKit, question: str = "Hi", **tools: Any) -> Any:
    """The result of one run, streamed or not as the kit is."""
    graph = await kit.graph(**tools)
    return await result_of(graph, kit, question)


async def result_of(graph: Any, kit: GraphKit, question: str) -> Any:
    if not kit.streams:
        return await graph.run(question)
    stream = graph.stream(question)
    texts = [piece async for piece in stream]
    last = texts[-1].node if texts else ""
    joined = "".join(piece.text for piece in texts if piece.node == last)
    assert joined == stream.result.content
    return stream.result


@every_kit
@both_ways
class TestPaths:
    """Where the work goes, and what it costs."""

    async def test_a_line_of_handoffs(self, kind: type[GraphKit], streams: bool) -> None:
        """Path, handoffs, tokens node by node and in all; the answer is the last node's."""
        script: Any = {"R": [go("A")], "A": [go("T")], "T": ["Done."]}
        kit = kind("R>A R>Z A>T A>Z", script, streams=streams)
        result = await answered(kit)
        assert result.content == "Done."
        assert result.metrics.path == ("R", "A", "T")
        assert kit.graph_events("path")[0]["path"] == ["R", "A", "T"]
        assert kit.ways("handoff_success") == [("R", "A"), ("A", "T")]
        assert kit.ways("handoff_failure") == kit.ways("redirect") == []
        for node in ("R", "A", "T"):
            assert kit.tokens_of(node) == [kit.total("Hi", node)]
        assert kit.ld.values()["graph:total_tokens"] == kit.total("Hi")
        assert kit.ld.values()["graph:invocation_success"] == 1
        assert result.metrics.outcome is Outcome.SUCCESS

    @pytest.mark.parametrize("end", ["T1", "T2"])
    async def test_section_5_6_paths_of_uneven_length(
        self, kind: type[GraphKit], streams: bool, end: str
    ) -> None:
        """R->X, X->T1, X->Y, Y->T2: LaunchDarkly's runner fails while it builds such a graph."""
        script: Any = {
            "R": [go("X")],
            "X": [go("T1") if end == "T1" else go("Y")],
            "Y": [go("T2")],
            "T1": ["Short."],
            "T2": ["Long."],
        }
        kit = kind("R>X X>T1 X>Y Y>T2", script, streams=streams)
        result = await answered(kit)
        assert result.content == ("Short." if end == "T1" else "Long.")
        assert result.metrics.path == (("R", "X", "T1") if end == "T1" else ("R", "X", "Y", "T2"))
        assert kit.ld.values()["graph:total_tokens"] == kit.total("Hi")

    async def test_section_5_6_a_node_that_is_visited_again_is_summed(
        self, kind: type[GraphKit], streams: bool
    ) -> None:
        """LaunchDarkly's runner overwrites the first visit, and fails on cycles at all."""
        script: Any = {"R": [go("A"), go("A"), "Done."], "A": [go("R")]}
        kit = kind("R>A R>Z A>R", script, streams=streams)
        result = await answered(kit)
        assert result.metrics.path == ("R", "A", "R", "A", "R")
        assert kit.tokens_of("R") == [kit.total("Hi", "R")]
        assert kit.tokens_of("A") == [kit.total("Hi", "A")]
        assert len(kit.served["Hi", "R"]) == 3
        assert kit.ways("handoff_success") == [("R", "A"), ("A", "R")] * 2

    async def test_section_5_6_tokens_of_all_requests_of_a_node_count(
        self, kind: type[GraphKit], streams: bool
    ) -> None:
        """LaunchDarkly's runner takes those of the last request entry only; tools are called in between."""
        tools = {"time": {"name": "time"}}
        script: Any = {"R": [Asks.for_tools(time={}), Asks.for_tools(time={}), "Noon."]}
        kit = kind("R", script, streams=streams, nodes={"R": {"tools": tools}})
        result = await answered(kit, time=lambda: "noon")
        assert result.content == "Noon."
        assert len(kit.served["Hi", "R"]) == 3
        assert kit.tokens_of("R") == [kit.total("Hi")]
        assert result.metrics.node_metrics["R"].tool_calls == ("time", "time")

    async def test_section_5_6_a_cycle_without_end_is_stopped(
        self, kind: type[GraphKit], streams: bool
    ) -> None:
        """By the framework's own error; path and tokens until then are recorded, and it has failed."""
        kit = kind("R>A R>Z A>R", {"R": [go("A")], "A": [go("R")]}, streams=streams)
        with pytest.raises(Exception, match=r"turns|ecursion"):
            await answered(kit)
        values = kit.ld.values()
        assert values["graph:invocation_failure"] == 1
        assert values["graph:total_tokens"] == kit.total("Hi")
        assert len(kit.graph_events("path")[0]["path"]) == 25
        assert len(kit.ways("handoff_failure")) == 1

    async def test_5_7_what_happened_before_a_failure_is_recorded(
        self, kind: type[GraphKit], streams: bool
    ) -> None:
        """LaunchDarkly's LangGraph runner drops path, node metrics and tokens, and raises nothing."""
        kit = kind("R>A R>B A>T", {"R": [go("A")], "A": [Broken("Half")]}, streams=streams)
        with pytest.raises(Exception) as raised:  # noqa: PT011 - of whichever layer
            await answered(kit)
        assert "onnection" in str(raised.value)
        values = kit.ld.values()
        assert kit.graph_events("path")[0]["path"] == ["R", "A"]
        assert values["graph:invocation_failure"] == 1
        assert "graph:duration:total" in values
        assert kit.tokens_of("R") == [kit.total("Hi", "R")]
        names = {e.data["configKey"]: e.key for e in kit.ld.events if "generation:" in e.key}
        assert names["R"].endswith("generation:success")
        assert names["A"].endswith("generation:error")

    async def test_5_6_a_failing_node_has_a_duration(self, kind: type[GraphKit], streams: bool) -> None:
        """LaunchDarkly's runner leaves it without one."""
        kit = kind("R>A R>B", {"R": [go("A")], "A": [Broken()]}, streams=streams)
        with pytest.raises(Exception):  # noqa: B017, PT011 - of whichever layer
            await answered(kit)
        durations = [e.data["configKey"] for e in kit.ld.events if e.key.endswith("ai:duration:total")]
        assert durations == ["R", "A"]

    async def test_an_error_of_a_tool_is_recorded_and_raised_as_it_was(
        self, kind: type[GraphKit], streams: bool
    ) -> None:
        """LaunchDarkly's callbacks have no handler for it."""

        def time() -> str:
            raise LookupError("no clock")

        nodes = {"A": {"tools": {"time": {"name": "time"}}}}
        script: Any = {"R": [go("A")], "A": [Asks.for_tools(time={})]}
        kit = kind("R>A R>B", script, streams=streams, nodes=nodes)
        with pytest.raises(LookupError, match="no clock"):
            await answered(kit, time=time)
        assert kit.ld.values()["graph:invocation_failure"] == 1
        assert kit.tokens_of("A") == [kit.total("Hi", "A")]

    async def test_a_model_that_chooses_another_node_is_redirected(
        self, kind: type[GraphKit], streams: bool
    ) -> None:
        """No edge leads there, but it is a node of the graph: the work goes there, and the event says so."""
        kit = kind("R>A R>B A>T A>U", {"R": [go("T")], "T": ["Done."]}, streams=streams)
        result = await answered(kit)
        assert result.metrics.path == ("R", "T")
        assert kit.ways("redirect") == [("R", "T")]
        assert kit.ways("handoff_success") == []

    async def test_section_5_6_the_handoff_s_description_is_what_the_model_reads(
        self, kind: type[GraphKit], streams: bool
    ) -> None:
        """LaunchDarkly's OpenAI runner ignores it; without one there are the other node's instructions."""
        kit = kind("R>A R>B", {"R": ["Hm."]}, streams=streams, handoffs={"A": {"description": "For bills."}})
        await answered(kit)
        tools = [tool.get("function", tool) for tool in kit.asked[0][2]["tools"]]
        said = {tool["name"]: tool["description"] for tool in tools}
        assert said == {"transfer_to_A": "For bills.", "transfer_to_B": "Hand the work to B. I am B."}

    async def test_all_parameters_of_a_node_s_model_are_passed_on(
        self, kind: type[GraphKit], streams: bool
    ) -> None:
        """LaunchDarkly's OpenAI runner ignores them."""
        model = {"name": "gpt-4o-mini", "parameters": {"temperature": 0.25}}
        kit = kind("R", {"R": ["Hm."]}, streams=streams, nodes={"R": {"model": model}})
        if kind is not LangGraphKit:  # there, the test makes the model
            await answered(kit)
            assert kit.asked[0][2]["temperature"] == 0.25
            assert kit.asked[0][2]["model"] == "gpt-4o-mini"


def check_nothing_shared(kit: GraphKit, questions: list[str], results: list[Any]) -> None:
    """Each execution has the messages, usage, path and run ids of its own question."""
    for question, result in zip(questions, results, strict=True):
        assert result.content == "Done."
        assert result.metrics.path == ("R", "A", "R", "A", "R")
        assert result.metrics.tokens.total == kit.total(question)
        for node in ("R", "A"):
            assert result.metrics.node_metrics[node].tokens.total == kit.total(question, node)
    for question, _, body in kit.asked:
        others = (
            str(body.get("messages") or body["input"]).replace(f"{question}'", "").replace(f'{question}"', "")
        )
        assert "Question" not in others
    assert len({event["runId"] for event in kit.graph_events("path")}) == len(questions)
    assert len({e.data["runId"] for e in kit.ld.events}) == 3 * len(questions)
    assert kit.ld.ai.stats.open_calls == 0


@every_kit
@both_ways
async def test_200_executions_at_once_share_nothing(kind: type[GraphKit], streams: bool) -> None:
    """Interleaved at drawn points: messages, usage, path and run ids of each are its own.

    So many on each framework, and fewer on the other ways through it, since they take their time.
    """
    runs = 50 if streams or kind is AgentsResponsesKit else 200
    draw = random.Random(7)

    async def turn(question: str, node: str) -> None:
        for _ in range(draw.randrange(4)):
            await asyncio.sleep(0)

    script: Any = {"R": [go("A"), go("A"), "Done."], "A": [go("R")]}
    kit = kind("R>A R>Z A>R", script, streams=streams, turn=turn)
    graph = await kit.graph()
    questions = [f"Question {at}" for at in range(runs)]
    results = await asyncio.gather(*(result_of(graph, kit, question) for question in questions))
    check_nothing_shared(kit, questions, [*results])


async def one_of_many(kit: GraphKit, graph: Any, question: str, way: str, turns: int) -> None:
    """One execution among others, which is stopped after so many turns of the loop if it is to be."""
    stream = graph.stream(question) if kit.streams else None

    async def read() -> Any:
        if stream is None:
            return await graph.run(question)
        return [piece async for piece in stream]

    task = asyncio.ensure_future(read())
    if way in {"is cancelled", "is closed"}:
        for _ in range(turns):
            await asyncio.sleep(0)
        if way == "is closed" and stream is not None:
            await stream.aclose()
        else:
            task.cancel()
    await asyncio.wait([task])
    broke = None if task.cancelled() else task.exception()
    result = stream.result if stream is not None else None if task.cancelled() or broke else task.result()
    outcome = None if result is None else result.metrics.outcome
    assert outcome is not Outcome.ERROR or broke is not None
    if way == "goes well":
        assert outcome is Outcome.SUCCESS
    if result is not None and outcome is Outcome.SUCCESS:
        assert result.metrics.path == ("R", "A", "R", "A", "R")
        assert result.metrics.tokens.total == kit.total(question)


@every_kit
@both_ways
async def test_many_executions_that_end_in_every_way_leave_nothing_behind(
    kind: type[GraphKit], streams: bool
) -> None:
    """Some fail, some are cancelled, some are closed, at drawn points: nobody else hears of it."""
    draw = random.Random(11)
    ways = ["goes well", "fails", "is cancelled", *(["is closed"] if streams else [])]

    async def turn(question: str, node: str) -> None:
        for _ in range(draw.randrange(6)):
            await asyncio.sleep(0)
        if "fails" in question and node == "A" and draw.random() < 0.7:
            raise ConnectionError("gone")

    script: Any = {
        "R": [Asks.for_tools(time={}), go("A"), go("A"), "Done."],
        "A": [Asks.for_tools(time={}), go("R")],
    }
    nodes = {key: {"tools": {"time": {"name": "time"}}} for key in "RA"}
    kit = kind("R>A R>Z A>R", script, streams=streams, turn=turn, nodes=nodes)

    async def time() -> str:
        await asyncio.sleep(0)
        return "noon"

    graph = await kit.graph(time=time)
    before = asyncio.all_tasks()
    chosen = [(f"Question {at} {(way := draw.choice(ways))} .", way) for at in range(40)]
    await asyncio.gather(*(one_of_many(kit, graph, *each, draw.randrange(120)) for each in chosen))
    gc.collect()
    for _ in range(100):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before
    assert kit.ld.ai.stats.open_calls == 0
    assert kit.ld.ai.stats.failures == {}
    repeated = ("ai:tool_call", "graph:handoff_success", "graph:handoff_failure")
    recorded = [(e.data["runId"], e.key) for e in kit.ld.events if not e.key.endswith(repeated)]
    assert len(recorded) == len({*recorded}), "once for each run"


@pytest.mark.parametrize("is_shared", [False, True])
async def test_negative_control_a_runner_with_shared_state_is_caught(is_shared: bool) -> None:
    """A question that is kept on the runner, as LaunchDarkly's keep theirs, fails the same checks."""
    script: Any = {"R": [go("A"), go("A"), "Done."], "A": [go("R")]}
    kit = LangGraphKit("R>A R>Z A>R", script)
    graph = await kit.graph()
    runner = graph.runner

    class Keeping:
        kept: Any = None

        async def run(self, input: Any, *, calls: Any) -> Any:
            self.kept = input
            await asyncio.sleep(0)
            return await runner.run(self.kept if is_shared else input, calls=calls)

    graph.runner = Keeping()
    questions = ["Question 1", "Question 2"]
    results = await asyncio.gather(*(graph.run(question) for question in questions))
    with pytest.raises(AssertionError) if is_shared else contextlib.nullcontext():
        check_nothing_shared(kit, questions, [*results])


@every_kit
class TestStreams:
    """How a stream of a graph ends."""

    async def test_pieces_name_their_nodes_and_first_tokens_are_recorded(self, kind: type[GraphKit]) -> None:
        """Node by node; the result is there at the end, and not before."""
        kit = kind("R>A R>B", {"R": [go("A")], "A": ["Hello."]}, streams=True)
        stream = (await kit.graph()).stream("Hi")
        with pytest.raises(MisuseError, match="no result before its end"):
            stream.result  # noqa: B018 - that is the point
        pieces = [piece async for piece in stream]
        assert {piece.node for piece in pieces} == {"A"}
        assert "".join(piece.text for piece in pieces) == "Hello."
        assert stream.result.metrics.resumption_token == stream.resumption_token
        first = [e.data["configKey"] for e in kit.ld.events if e.key.endswith("tokens:ttf")]
        assert first == ["R", "A"]

    async def test_closing_early_is_cancelled_and_keeps_what_happened(self, kind: type[GraphKit]) -> None:
        """Neither success nor failure; the path and the finished node's tokens are recorded."""
        kit = kind("R>A R>B", {"R": [go("A")], "A": ["Hello."]}, streams=True)
        before = asyncio.all_tasks()
        async with (await kit.graph()).stream("Hi") as stream:
            first = await anext(stream)
        assert stream.result.content == first.text
        assert stream.result.metrics.outcome is Outcome.CANCELLED
        assert not {"graph:invocation_success", "graph:invocation_failure"} & {*kit.ld.names()}
        assert kit.graph_events("path")[0]["path"] == ["R", "A"]
        assert kit.tokens_of("R") == [kit.total("Hi", "R")]
        assert kit.ld.ai.stats.open_calls == 0
        gc.collect()  # frameworks leave inner generators to it
        for _ in range(20):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before
        assert kit.server.closed == len(kit.asked)

    async def test_a_node_that_was_done_when_nobody_read_on_is_a_success(self, kind: type[GraphKit]) -> None:
        """Frameworks run ahead of whoever reads: how the node ended, its last call knows."""
        kit = kind("R", {"R": ["Hello there."]}, streams=True)
        async with (await kit.graph()).stream("Hi") as stream:
            await anext(stream)
            for _ in range(300):
                await asyncio.sleep(0)
        metrics = stream.result.metrics
        assert (metrics.outcome, stream.result.success) == (Outcome.CANCELLED, False)
        assert metrics.node_metrics["R"].outcome is Outcome.SUCCESS
        assert metrics.tokens.total == kit.total("Hi")

    async def test_branches_that_are_closed_early_are_no_error(self, kind: type[GraphKit]) -> None:
        """Side by side where the framework can; in the middle of what one of them says."""
        script: Any = {"R": [go("A", "B") if kind.parallel else go("A")], "A": ["One, two."], "B": ["Three."]}
        kit = kind("R>A R>B", script, streams=True)
        async with (await kit.graph()).stream("Hi") as stream:
            await anext(stream)
        assert stream.result.metrics.outcome is Outcome.CANCELLED
        assert not [name for name in kit.ld.names() if "error" in name or "failure" in name]
        assert kit.tokens_of("R") == [kit.total("Hi", "R")]

    @both_ways
    async def test_cancelling_is_neither_success_nor_failure(
        self, kind: type[GraphKit], streams: bool
    ) -> None:
        """In the middle of the second node's request: path and the first node's tokens are recorded."""
        waiting, forever = asyncio.Event(), asyncio.Event()

        async def turn(question: str, node: str) -> None:
            if node == "A":
                waiting.set()
                await forever.wait()

        kit = kind("R>A R>B", {"R": [go("A")], "A": ["Never."]}, streams=streams, turn=turn)
        task = asyncio.create_task(answered(kit))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not {"graph:invocation_success", "graph:invocation_failure"} & {*kit.ld.names()}
        assert kit.graph_events("path")[0]["path"] == ["R", "A"]
        assert kit.tokens_of("R") == [kit.total("Hi", "R")]
        outcomes = [e.data["configKey"] for e in kit.ld.events if "generation:" in e.key]
        assert outcomes == ["R"]
        assert kit.ways("handoff_failure") == []
        assert kit.ld.ai.stats.open_calls == 0


@both_ways
async def test_branches_that_are_visited_side_by_side(streams: bool) -> None:
    """On LangGraph a model may hand over to several nodes: all at work at once, each measured by itself."""
    together = asyncio.Barrier(2)

    async def turn(question: str, node: str) -> None:
        if node in {"A", "B"}:
            await together.wait()  # neither is served before both have asked

    script: Any = {"R": [go("A", "B")], "A": ["From A."], "B": ["From B."], "T": ["Both."]}
    kit = LangGraphKit("R>A R>B A>T B>T", script, streams=streams, turn=turn)
    result = await answered(kit)
    assert result.content == "Both."
    assert sorted(result.metrics.path) == ["A", "B", "R", "T"]
    assert sorted(kit.ways("handoff_success")) == [("A", "T"), ("B", "T"), ("R", "A"), ("R", "B")]
    for node in "RABT":
        assert kit.tokens_of(node) == [kit.total("Hi", node)]
    assert "From A." in str(kit.asked[-1][2])
    assert "From B." in str(kit.asked[-1][2])


async def test_a_branch_that_fails_ends_the_run_and_its_neighbour() -> None:
    """The neighbour was stopped: its node is neither success nor error, and nothing stays open."""
    asked, forever = asyncio.Event(), asyncio.Event()

    async def turn(question: str, node: str) -> None:
        if node == "B":
            asked.set()
            await forever.wait()
        if node == "A":
            await asked.wait()

    kit = LangGraphKit("R>A R>B", {"R": [go("A", "B")], "A": [Broken()]}, turn=turn)
    with pytest.raises(Exception, match="onnection"):
        await answered(kit)
    outcomes = {e.data["configKey"]: e.key for e in kit.ld.events if "generation:" in e.key}
    assert outcomes["A"].endswith("error")
    assert "B" not in outcomes
    assert kit.ld.values()["graph:invocation_failure"] == 1
    assert kit.ld.ai.stats.open_calls == 0


@both_ways
async def test_the_second_of_several_handoffs_is_not_followed_by_the_agents_sdk(streams: bool) -> None:
    """It takes the first one; the other has failed."""
    kit = AgentsResponsesKit("R>A R>B", {"R": [go("A", "B")], "A": ["From A."]}, streams=streams)
    result = await answered(kit)
    assert result.metrics.path == ("R", "A")
    assert kit.ways("handoff_success") == [("R", "A")]
    assert kit.ways("handoff_failure") == [("R", "B")]


@both_ways
async def test_a_handoff_to_nowhere_fails_and_the_model_is_told(streams: bool) -> None:
    """On LangGraph it goes on; OpenAI's Agents SDK gives such a run up."""
    kit = LangGraphKit("R>A R>B", {"R": [go("Mars"), "Then not."]}, streams=streams)
    result = await answered(kit)
    assert result.content == "Then not."
    assert kit.ways("handoff_failure") == [("R", "Mars")]
    assert "There is no tool named" in str(kit.asked[-1][2])
    other = AgentsResponsesKit("R>A R>B", {"R": [go("Mars")]}, streams=streams)
    with pytest.raises(Exception, match="transfer_to_Mars"):
        await answered(other)
    assert other.ways("handoff_failure") == [("R", "Mars")]


async def test_tools_that_are_called_along_with_a_handoff_are_called_first() -> None:
    """What the model wanted done is done, and counted; the handoff is no tool call."""
    called = []
    turn = Asks((("time", {}), ("transfer_to_A", {})))
    for kind in GRAPH_KITS:
        nodes = {"R": {"tools": {"time": {"name": "time"}}}}
        kit = kind("R>A R>B", {"R": [turn], "A": ["Done."]}, nodes=nodes)
        result = await answered(kit, time=lambda name=kind.name: called.append(name))
        assert called[-1] == kind.name
        assert result.metrics.path == ("R", "A")
        assert result.metrics.node_metrics["R"].tool_calls == ("time",)


async def test_a_node_whose_model_only_calls_tools_is_stopped() -> None:
    """After 25 rounds in one visit, on LangGraph by us: its own limit counts visits."""
    nodes = {"R": {"tools": {"time": {"name": "time"}}}}
    kit = LangGraphKit("R", {"R": [Asks.for_tools(time={})]}, nodes=nodes)
    with pytest.raises(RoundLimitError, match="'R' has been asked 25 times"):
        await answered(kit, time=lambda: "noon")
    assert kit.tokens_of("R") == [kit.total("Hi")]


async def test_on_langgraph_a_single_way_onward_is_always_taken() -> None:
    """Nobody is asked, except where it leads back."""
    script: Any = {"R": ["One."], "A": ["Two."], "T": [""]}
    kit = LangGraphKit("R>A A>T", script)
    result = await answered(kit)
    assert result.content == "Two."  # the last one said nothing
    assert result.metrics.path == ("R", "A", "T")
    assert "tools" not in kit.asked[0][2]
    assert kit.ways("handoff_success") == [("R", "A"), ("A", "T")]
    kit = LangGraphKit("R>A A>R", {"R": ["One."], "A": ["Two."]})
    assert (await answered(kit)).metrics.path == ("R", "A")


async def test_a_tool_that_is_named_like_a_handoff_is_refused() -> None:
    """Otherwise it could not be told apart."""
    nodes = {"R": {"tools": {"transfer_to_bank": {"name": "transfer_to_bank"}}}}
    for kind in GRAPH_KITS:
        kit = kind("R>A R>B", {}, nodes=nodes)
        with pytest.raises(NoRunnerError, match="needs another name"):
            await kit.graph(transfer_to_bank=lambda: "")


async def test_nodes_whose_keys_make_odd_or_equal_tool_names() -> None:
    """Every provider accepts the names, and no two are alike."""
    from ldtrack.providers.runners.handoffs import Handoffs

    kit = LangGraphKit("R>a.b R>a_b R>" + "x" * 90, {})
    handoffs = Handoffs.of((await kit.graph()).graph)
    names = [tool.name for tool in handoffs.tools("R")]
    assert names[:2] == ["transfer_to_a.b".replace(".", "_"), "transfer_to_a_b_2"]
    assert all(len(name) <= 64 for name in names)
    assert [handoffs.target(name) for name in names] == ["a.b", "a_b", "x" * 90]


async def test_nodes_whose_keys_look_like_a_numbered_name() -> None:
    """A number that is taken is not given again."""
    from ldtrack.providers.runners.handoffs import Handoffs

    kit = LangGraphKit("a_b_2>a_b a_b_2>a.b a_b>a_b_2 a.b>a_b_2", {})
    handoffs = Handoffs.of((await kit.graph()).graph)
    names = {tool.name for node in ("a_b_2", "a_b") for tool in handoffs.tools(node)}
    assert len(names) == 3
    assert {handoffs.target(name) for name in names} == {"a_b_2", "a_b", "a.b"}


async def test_who_runs_a_graph_is_decided_by_its_root_s_provider() -> None:
    """OpenAI's runs on its Agents SDK, unless a node is another provider's; then LangGraph does."""

    async def runner_of(*providers: str, **options: Any) -> str:
        nodes = {key: {"provider": {"name": name}} for key, name in zip("RA", providers, strict=True)}
        kit = LangGraphKit("R>A", {}, nodes=nodes)
        return repr((await kit.ai.create_agent_graph("graph", ADA, **options)).runner)  # type: ignore[union-attr]  # it is on

    assert await runner_of("openai", "OpenAI") == "<OpenAIAgentsGraphRunner of 'graph'>"
    assert await runner_of("openai", "anthropic") == "<LangGraphGraphRunner of 'graph'>"
    assert await runner_of("anthropic", "openai") == "<LangGraphGraphRunner of 'graph'>"
    assert await runner_of("openai", "openai", default_ai_provider="langgraph") == (
        "<LangGraphGraphRunner of 'graph'>"
    )
    with pytest.raises(NoRunnerError, match=r"the agent graph 'graph'. anthropic: it runs no graphs"):
        await runner_of("openai", "openai", default_ai_provider="anthropic")
    with pytest.raises(NoRunnerError, match="openai_agents: its factory declined"):
        await runner_of("openai", "anthropic", default_ai_provider="openai")


@both_ways
async def test_section_5_6_prompts_are_the_flag_s_and_details_of_usage_are_kept(streams: bool) -> None:
    """LaunchDarkly's runner puts a vendor's text before them, and ignores cached and reasoning tokens.

    It also knows no path of a graph in which nobody hands over.
    """
    for kind in GRAPH_KITS:
        kit = kind("R", {"R": ["Done."]}, streams=streams)
        result = await answered(kit)
        body = kit.asked[0][2]
        assert (body.get("instructions") or body["messages"][0]["content"]) == "I am R."
        assert result.metrics.path == ("R",)
        assert result.metrics.tokens.cached_input == 4
        assert result.metrics.tokens.reasoning == 3


async def test_section_5_7_a_node_without_a_model_is_refused() -> None:
    """LaunchDarkly's LangGraph runner sends the work to all of its children."""
    for kind in GRAPH_KITS:
        kit = kind("R>A R>B", {}, nodes={"R": {"model": None}})
        with pytest.raises(NoRunnerError, match=r"'R' has no model|declined"):
            await kit.ai.create_agent_graph("graph", ADA, default_ai_provider=kit.provider)


@both_ways
async def test_judges_look_at_what_each_node_was_asked_and_said(streams: bool) -> None:
    """On both frameworks; the scores are on the nodes' runs, and no answer waits for them (row 33)."""
    judges = {"judgeConfiguration": {"judges": [{"key": "kind", "samplingRate": 1}]}}
    for kind in GRAPH_KITS:
        kit = kind("R>A R>B", {"R": [go("A")], "A": ["Kindly."]}, streams=streams, nodes={"A": judges})
        fakes = FakeRunners({"score": 0.5, "reasoning": "So so."})
        kit.ld.set_flag(
            "kind",
            {
                "_ldMeta": {"enabled": True, "mode": "judge"},
                "evaluationMetricKey": "kindness",
                "provider": {"name": "fake"},
                "model": {"name": "a-judge"},
                "messages": [{"role": "system", "content": "Judge."}],
            },
        )
        kit.ai._managing.runners._factories["fake"] = fakes
        result = await answered(kit)
        assert fakes.asked == []
        said = await result.evaluations
        assert [one.score for one in said["A"]] == [0.5]
        scored = [e.data["configKey"] for e in kit.ld.events if e.key == "kindness"]
        assert scored == ["A"]
        assert "Kindly." in str(fakes.asked[0][-1].content)
        assert "Hi" in str(fakes.asked[0][-1].content)
        await kit.ai.aclose()
