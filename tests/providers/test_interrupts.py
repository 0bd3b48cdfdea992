"""A graph that waits for a human within one run: what it repeats when it goes on counts once."""

from __future__ import annotations

from typing import Any

import pytest
from ldclient import Context
from recorded import chat_answer, chat_stream

from ldtrack import TokenUsage
from ldtrack.testing import recording

why = "the frameworks are a test group of their own: their lowest versions need newer SDKs than ours"
pytest.importorskip("langgraph", reason=why)
pytest.importorskip("langchain_openai", reason=why)

from frameworks import langchain_openai_model  # noqa: E402 - once they are there
from langchain_core.messages import AIMessage  # noqa: E402 - as above
from langgraph.checkpoint.memory import InMemorySaver  # noqa: E402 - as above
from langgraph.graph import END, START, MessagesState, StateGraph  # noqa: E402 - as above
from langgraph.types import Command, interrupt  # noqa: E402 - as above

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ADA = Context.create("ada")
FLAG = {"_ldMeta": {"enabled": True}, "model": {"name": "m"}}
USED = TokenUsage(19, 12, 7, cached_input=4, reasoning=3)


def a_graph(model: Any) -> Any:
    """Asks a model, waits for a human, and asks it again."""

    async def ask(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def wait(state: MessagesState) -> Any:
        interrupt("Really?")
        return {}

    building: Any = StateGraph(MessagesState)
    building.add_node("first", ask).add_node("wait", wait).add_node("second", ask)
    building.add_edge(START, "first").add_edge("first", "wait").add_edge("wait", "second")
    building.add_edge("second", END)
    return building.compile(checkpointer=InMemorySaver()).with_config(configurable={"thread_id": "1"})


async def played(streams: bool, runs: int) -> list[Any]:
    """Summaries of as many runs as there are to be, in which the graph is asked, interrupted and resumed."""
    call = {"id": "call_a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    first = chat_answer("One.", tool_calls=[call])
    second = chat_answer("Two.") | {"id": "chatcmpl-2"}
    answers: Any = [chat_stream("One."), chat_stream("Two.")] if streams else [first, second]
    graph = a_graph(langchain_openai_model(*answers))
    config = await recording({"chat": FLAG}).ai.completion_config("chat", ADA)
    asked: list[Any] = [{"messages": [("user", "Hi")]}, Command(resume="Yes")]
    summaries = []
    for questions in [[one] for one in asked] if runs > 1 else [asked]:
        tracker = config.create_tracker()
        async with tracker.run() as run:
            for question in questions:
                if streams:
                    async for _ in run.stream(graph.astream(question, stream_mode="messages")):
                        pass
                else:
                    state = await run.call(graph.ainvoke(question))
                    assert isinstance(state["messages"][-1], AIMessage)
        summaries.append(tracker.summary)
    return summaries


async def test_what_came_before_an_interrupt_counts_once() -> None:
    """The state after it begins with the same messages, by the same ids, tool calls included."""
    (summary,) = await played(False, 1)
    assert summary.tokens == USED + USED
    assert summary.tool_calls == ("look",)


async def test_two_runs_know_nothing_of_each_other() -> None:
    """Another run that goes on with the graph is told of the first half again, since it cannot know."""
    first, second = await played(False, 2)
    assert (first.tokens, second.tokens) == (USED, USED + USED)


async def test_a_stream_of_messages_repeats_nothing() -> None:
    """Whatever is told there is new."""
    (summary,) = await played(True, 1)
    assert summary.tokens == USED + USED
