"""Callbacks for graphs that people bring along: real LangGraph and LangChain, over a server in memory."""

from __future__ import annotations

import asyncio
import operator
import random
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest

why = "the frameworks are a test group of their own: their lowest versions need newer SDKs than ours"
pytest.importorskip("langgraph", reason=why)
pytest.importorskip("langchain_openai", reason=why)
pytest.importorskip("agents", reason=why)

from frameworks import langchain_openai_model  # noqa: E402 - once they are there
from graph_kits import ADA, LangGraphKit  # noqa: E402 - as above
from langchain.agents import create_agent  # noqa: E402 - as above
from langchain_core.language_models import FakeListLLM, GenericFakeChatModel  # noqa: E402 - as above
from langchain_core.messages import AIMessage  # noqa: E402 - as above
from langchain_core.runnables import RunnableLambda  # noqa: E402 - as above
from langchain_core.tools import tool  # noqa: E402 - as above
from langgraph.graph import END, START, StateGraph  # noqa: E402 - as above
from langgraph.types import Command, RetryPolicy, Send, interrupt  # noqa: E402 - as above
from runner_kits import Asks, Broken  # noqa: E402 - as above

from ldtrack import Outcome  # noqa: E402 - as above
from ldtrack.providers.langchain_callbacks import LangChainCallbacks  # noqa: E402 - as above

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Received unexpected tool")


USED: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


class State(TypedDict):
    """What the graphs here pass on."""

    question: str
    said: Annotated[list[str], operator.add]


def asks(model: Any, node: str, *, streams: bool = False) -> Any:
    """A node of somebody's own graph, which asks a model."""

    async def run(state: State) -> dict[str, Any]:
        messages = [("system", f"I am {node}."), ("user", state["question"])]
        if not streams:
            return {"said": [(await model.ainvoke(messages)).text]}
        return {"said": ["".join([chunk.text async for chunk in model.astream(messages)])]}

    return run


def line(model: Any, *nodes: str, streams: bool = False, **options: Any) -> Any:
    """A graph of one node after the other."""
    building: Any = StateGraph(State)
    for node in nodes:
        building.add_node(node, asks(model, node, streams=streams), **options)
    for source, target in zip([START, *nodes], [*nodes, END], strict=True):
        building.add_edge(source, target)
    return building.compile()


class Bench:
    """A graph of LaunchDarkly's, and a model whose answers are scripted by node."""

    def __init__(self, graph: str, script: Any, **options: Any) -> None:
        self.kit = LangGraphKit(graph, script, **options)
        self.model = langchain_openai_model(server=self.kit.server)

    async def run(self, graph: Any, question: str = "Hi", nodes: Any = None) -> Any:
        """The summary of one run of somebody's graph; raised errors pass, with the summary kept."""
        definition = await self.kit.ai.agent_graph("graph", ADA)
        tracker = definition.create_tracker()
        self.tracker = tracker
        async with tracker.run() as graph_run:
            callbacks = [LangChainCallbacks(graph_run, nodes)]
            state = {"question": question, "said": []}
            await graph.ainvoke(state, {"callbacks": callbacks, "recursion_limit": 20})
        return tracker.summary


async def test_every_node_is_visited_and_charged_for_its_own_calls() -> None:
    """Streaming within the node or not; first tokens where something streams."""
    for streams in (False, True):
        bench = Bench("R>A", {"R": ["One."], "A": ["Two."]}, streams=streams)
        summary = await bench.run(line(bench.model, "R", "A", streams=streams))
        assert summary.path == ("R", "A")
        assert summary.outcome is Outcome.SUCCESS
        for node in ("R", "A"):
            told = summary.node_metrics[node]
            assert told.tokens.total == bench.kit.total("Hi", node)
            assert (told.time_to_first_token is not None) == streams
        assert summary.tokens.total == bench.kit.total("Hi")
        assert bench.kit.ld.ai.stats.open_calls == 0


async def test_section_5_7_runnables_that_are_named_like_nodes_do_not_collide() -> None:
    """LaunchDarkly's callbacks go by display names."""
    bench = Bench("R>A", {"R": ["One."], "A": ["Two."]})
    inner = asks(bench.model, "R")

    async def run(state: State) -> Any:
        return await RunnableLambda(inner).with_config(run_name="A").ainvoke(state)

    building: Any = StateGraph(State)
    building.add_node("R", run).add_edge(START, "R")
    summary = await bench.run(building.compile())
    assert summary.path == ("R",)
    assert summary.node_metrics["R"].tokens.total == bench.kit.total("Hi")
    assert "A" not in summary.node_metrics


async def test_visits_at_the_same_time_and_again_are_summed_in_one_node() -> None:
    """A node that is sent to three times at once, and a cycle."""
    bench = Bench("R>A", {"R": ["One."], "A": ["Two."]})
    building: Any = StateGraph(State)
    rounds = iter([["A", "A", "A"], []])

    def onward(state: State) -> Any:
        return [Send(node, state) for node in next(rounds)] or END

    building.add_node("R", asks(bench.model, "R")).add_node("A", asks(bench.model, "A"))
    building.add_edge(START, "R").add_conditional_edges("R", onward).add_edge("A", "R")
    summary = await bench.run(building.compile())
    assert summary.path == ("R", "A", "A", "A", "R")
    assert len(bench.kit.served["Hi", "A"]) == 3
    for node in ("R", "A"):
        assert summary.node_metrics[node].tokens.total == bench.kit.total("Hi", node)


async def test_an_agent_within_a_node_is_that_node_s() -> None:
    """Its inner nodes are called ``model`` and ``tools``; one of the graph's own is called so, too."""

    @tool
    def time() -> str:
        """The time."""
        return "noon"

    bench = Bench("R>model", {"R": [Asks.for_tools(time={}), "Noon."], "model": ["Two."]})
    agent = create_agent(bench.model, [time], system_prompt="I am R.")

    async def run(state: State) -> Any:
        answer = await agent.ainvoke({"messages": [{"role": "user", "content": state["question"]}]})
        return {"said": [answer["messages"][-1].text]}

    building: Any = StateGraph(State)
    building.add_node("R", run).add_node("model", asks(bench.model, "model"))
    building.add_edge(START, "R").add_edge("R", "model")
    summary = await bench.run(building.compile())
    assert summary.path == ("R", "model")
    assert summary.node_metrics["R"].tokens.total == bench.kit.total("Hi", "R")
    assert summary.node_metrics["R"].tool_calls == ("time",)
    assert summary.node_metrics["model"].tokens.total == bench.kit.total("Hi", "model")


async def test_nodes_of_other_names_are_matched_by_hand() -> None:
    """And what is no node at all is charged to nobody, with a hint."""
    bench = Bench("R>A", {"first": ["One."], "A": ["Two."]})
    summary = await bench.run(line(bench.model, "first", "A"), nodes={"first": "R"})
    assert summary.path == ("R", "A")
    assert summary.node_metrics["R"].tokens.total == bench.kit.total("Hi", "first")
    bench = Bench("R>A", {"first": ["One."], "A": ["Two."]}, streams=True)
    summary = await bench.run(line(bench.model, "first", "A", streams=True))
    assert summary.path == ("A",)
    assert summary.tokens.total == bench.kit.total("Hi", "A")


async def test_names_that_lead_nowhere_are_refused() -> None:
    """Before anything is run."""
    bench = Bench("R>A", {})
    with pytest.raises(ValueError, match="must lead to nodes of the graph, not to 'B'"):
        await bench.run(line(bench.model, "R"), nodes={"first": "B"})


@pytest.mark.parametrize("streams", [False, True])
async def test_section_5_7_an_error_of_a_model_is_its_node_s(streams: bool) -> None:
    """LaunchDarkly's callbacks have no handler for it; what came before is kept, also of a stream."""
    bench = Bench("R>A", {"R": ["One."], "A": [Broken("Ha")]}, streams=streams)
    with pytest.raises(Exception, match=r"onnection|reset"):
        await bench.run(line(bench.model, "R", "A", streams=streams))
    summary = bench.tracker.summary
    assert summary.path == ("R", "A")
    assert summary.outcome is Outcome.ERROR
    assert summary.node_metrics["R"].outcome is Outcome.SUCCESS
    assert summary.node_metrics["A"].outcome is Outcome.ERROR
    assert (summary.node_metrics["A"].time_to_first_token is not None) == streams
    assert bench.kit.ld.ai.stats.open_calls == 0


async def test_section_5_7_an_error_of_a_tool_or_a_chain_is_its_node_s() -> None:
    """It is the node's if it leaves the node, and not if the node copes with it."""

    @tool
    def time() -> str:
        """The time."""
        raise LookupError("no clock")

    async def fails(state: State) -> Any:
        return {"said": [await time.ainvoke({})]}

    async def copes(state: State) -> Any:
        try:
            return await fails(state)
        except LookupError:
            return {"said": ["no time"]}

    bench = Bench("R>A", {})
    building: Any = StateGraph(State)
    building.add_node("R", copes).add_node("A", fails).add_edge(START, "R").add_edge("R", "A")
    with pytest.raises(LookupError):
        await bench.run(building.compile())
    nodes = bench.tracker.summary.node_metrics
    assert nodes["R"].outcome is Outcome.SUCCESS
    assert nodes["A"].outcome is Outcome.ERROR


async def test_a_fallback_model_saves_its_node() -> None:
    """The failed call is noted, and the one that followed decides."""
    bench = Bench("R", {"R": [Broken(), "Saved."]})
    summary = await bench.run(line(bench.model.with_fallbacks([bench.model]), "R"))
    assert summary.node_metrics["R"].outcome is Outcome.SUCCESS
    assert summary.tokens.total == sum(bench.kit.served["Hi", "R"][1])


async def test_a_node_that_is_tried_again_is_visited_again() -> None:
    """By LangGraph's own policy."""
    bench = Bench("R", {"R": [Broken(), "Saved."]})
    policy = RetryPolicy(initial_interval=0.001, jitter=False, retry_on=Exception)
    summary = await bench.run(line(bench.model, "R", retry_policy=policy))
    assert summary.node_metrics["R"].outcome is Outcome.SUCCESS
    assert summary.outcome is Outcome.SUCCESS


async def test_control_flow_of_langgraph_is_no_error() -> None:
    """A node that sends its parent elsewhere raises inside LangGraph; so does one that waits for a human."""
    bench = Bench("R>A", {"A": ["Two."]})

    async def leaves(state: State) -> Any:
        return Command(goto="A", graph=Command.PARENT)

    inner: Any = StateGraph(State)
    inner.add_node("inside", leaves).add_edge(START, "inside")

    async def waits(state: State) -> Any:
        interrupt("Really?")

    building: Any = StateGraph(State)
    building.add_node("R", inner.compile()).add_node("A", waits).add_edge(START, "R")
    from langgraph.checkpoint.memory import InMemorySaver

    compiled = building.compile(checkpointer=InMemorySaver())
    bound = compiled.with_config(configurable={"thread_id": "1"})
    summary = await bench.run(bound)
    assert summary.path == ("R", "A")
    assert {told.outcome for told in summary.node_metrics.values()} == {Outcome.SUCCESS}


async def test_cancelling_is_neither_success_nor_error() -> None:
    """The path is kept, and nothing stays open."""
    waiting, forever = asyncio.Event(), asyncio.Event()

    async def turn(question: str, node: str) -> None:
        waiting.set()
        await forever.wait()

    bench = Bench("R>A", {"R": ["One."]}, turn=turn)
    task = asyncio.create_task(bench.run(line(bench.model, "R")))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    summary = bench.tracker.summary
    assert summary.path == ("R",)
    assert summary.outcome is Outcome.CANCELLED
    assert summary.node_metrics["R"].outcome is Outcome.CANCELLED
    assert bench.kit.ld.ai.stats.open_calls == 0


async def test_concurrent_executions_share_nothing() -> None:
    """One compiled graph, one handler for each execution, interleaved at drawn points."""
    draw = random.Random(3)

    async def turn(question: str, node: str) -> None:
        for _ in range(draw.randrange(4)):
            await asyncio.sleep(0)

    bench = Bench("R>A", {"R": ["One."], "A": ["Two."]}, turn=turn)
    graph = line(bench.model, "R", "A")
    questions = [f"Question {at}" for at in range(30)]
    summaries = await asyncio.gather(*(bench.run(graph, question) for question in questions))
    for question, summary in zip(questions, summaries, strict=True):
        for node in ("R", "A"):
            assert summary.node_metrics[node].tokens.total == bench.kit.total(question, node)


async def test_nothing_is_raised_into_a_chain(caplog: pytest.LogCaptureFixture) -> None:
    """Not even when the run is over: it is counted."""
    bench = Bench("R", {"R": ["One."]})
    definition = await bench.kit.ai.agent_graph("graph", ADA)
    async with definition.create_tracker().run() as graph_run:
        pass
    config: Any = {"callbacks": [LangChainCallbacks(graph_run)]}
    state = await line(bench.model, "R").ainvoke({"question": "Hi", "said": []}, config)
    assert state["said"] == ["One."]
    assert any("callbacks" in record.getMessage() for record in caplog.records)


async def test_a_plain_run_takes_all_calls() -> None:
    """No graph of LaunchDarkly's: every model call is the run's, whatever it is called in."""
    bench = Bench("R", {"R": ["One."], "A": ["Two."]})
    config = await bench.kit.ai.agent_config("R", ADA)
    tracker = config.create_tracker()
    async with tracker.run() as run:
        callbacks: Any = {"callbacks": [LangChainCallbacks(run)]}
        await line(bench.model, "R", "A").ainvoke({"question": "Hi", "said": []}, callbacks)
        await FakeListLLM(responses=["Hello."]).ainvoke("Hi", callbacks)
        assert [text async for text in FakeListLLM(responses=["Hm."]).astream("Hi", callbacks)]
    assert tracker.summary.tokens is not None
    assert tracker.summary.tokens.total == bench.kit.total("Hi")
    assert tracker.summary.outcome is Outcome.SUCCESS


async def test_calls_that_end_after_their_run_or_without_a_beginning_are_let_go() -> None:
    """What fails then is not the run's any more, and raises nothing of its own."""
    bench = Bench("R", {})
    run = (await bench.kit.ai.agent_config("R", ADA)).create_tracker().run()
    callbacks, known, unknown = LangChainCallbacks(run), uuid4(), uuid4()
    async with run:
        await callbacks.on_llm_start({}, [], run_id=known)
    await callbacks.on_llm_error(ValueError("too late"), run_id=known)
    await callbacks.on_llm_error(ValueError("never begun"), run_id=unknown)
    await callbacks.on_llm_end(None, run_id=unknown)
    assert run.summary.outcome is Outcome.SUCCESS


async def test_synchronous_nodes_are_measured_without_first_tokens() -> None:
    """LangGraph runs them in threads, and LangChain the callbacks in loops of their own."""
    bench = Bench("R>A", {})
    model = GenericFakeChatModel(
        messages=iter([AIMessage("One.", usage_metadata=USED), AIMessage("Two words.")])
    )

    def whole(state: State) -> Any:
        return {"said": [model.invoke("Hi").text]}

    def streamed(state: State) -> Any:
        return {"said": ["".join(chunk.text for chunk in model.stream("Hi"))]}

    building: Any = StateGraph(State)
    building.add_node("R", whole).add_node("A", streamed).add_edge(START, "R").add_edge("R", "A")
    summary = await bench.run(building.compile())
    assert summary.path == ("R", "A")
    assert {told.outcome for told in summary.node_metrics.values()} == {Outcome.SUCCESS}
    assert summary.node_metrics["R"].tokens.total == 5
    assert bench.kit.ld.ai.stats.open_calls == 0
    assert not bench.kit.ld.ai.stats.failures
