"""The readers of agent frameworks: any sequence of events folds to what a plain fold of it says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from folding import Folded, fold
from hypothesis import example, given
from hypothesis import strategies as st

from ldtrack.core.meter import Meter
from ldtrack.core.reading import CONTENT, Reading
from ldtrack.core.values import TokenUsage
from ldtrack.providers import (
    LangChainReader,
    LangGraphReader,
    OpenAIAgentsReader,
    PydanticAIReader,
    ReaderRegistry,
)

COUNTS = st.integers(0, 50)
TEXTS = st.sampled_from(["", "a", "bc"])
NAMES = st.sampled_from(["weather", "search"])


@attrs.frozen
class Usage:
    """What one model call, or a part of it, has used."""

    input: int
    output: int
    cached: int
    reasoning: int


USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS)


def total_of(usages: list[Usage]) -> TokenUsage | None:
    """The sum, in our words."""
    if not usages:
        return None
    ins, outs = sum(one.input for one in usages), sum(one.output for one in usages)
    return TokenUsage(
        ins + outs,
        ins,
        outs,
        cached_input=sum(one.cached for one in usages),
        reasoning=sum(one.reasoning for one in usages),
    )


def check(folded: Folded, *, first: int | None, usage: TokenUsage | None, tools: list[str]) -> None:
    """What was folded is what the plain fold says."""
    assert folded.first_token == first
    assert folded.usage == usage
    assert folded.tools == tools


# LangChain


def type_in(module: str, name: str) -> type:
    """A class that says it is defined in this module, as a framework's would."""
    return type(
        name, (SimpleNamespace,), {"__module__": module, "__eq__": object.__eq__, "__hash__": object.__hash__}
    )


AIMessageChunk = type_in("langchain_core.messages.ai", "AIMessageChunk")
AIMessage = type_in("langchain_core.messages.ai", "AIMessage")
HumanMessage = type_in("langchain_core.messages.human", "HumanMessage")
ToolMessage = type_in("langchain_core.messages.tool", "ToolMessage")


@attrs.frozen
class Chunk:
    """One chunk, as it was drawn."""

    call: int
    """Which model call of several it is of."""
    text: str
    as_block: bool
    usage: Usage | None
    tool: tuple[int, str] | None
    arguments: bool
    reason: str | None


CHUNKS = st.builds(
    Chunk,
    call=st.integers(0, 2),
    text=TEXTS,
    as_block=st.booleans(),
    usage=st.none() | USAGES,
    tool=st.none() | st.tuples(st.integers(0, 3), NAMES),
    arguments=st.booleans(),
    reason=st.sampled_from([None, None, "stop", "tool_calls"]),
)


def told_of(usage: Usage | None) -> Any:
    """Usage as LangChain tells it."""
    return usage and {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "input_token_details": {"cache_read": usage.cached},
        "output_token_details": {"reasoning": usage.reasoning},
    }


def chunk_of(drawn: Chunk) -> Any:
    """It as LangChain would send it."""
    calls: list[Any] = []
    if drawn.tool is not None:
        number, called = drawn.tool
        calls.append({"name": called, "id": f"{drawn.call}-{number}", "index": number, "args": ""})
    if drawn.arguments:
        calls.append({"name": None, "id": None, "index": 0, "args": "{"})
    reason = {} if drawn.reason is None else {"finish_reason": drawn.reason, "model_name": "answered"}
    return AIMessageChunk(
        type="AIMessageChunk",
        id=f"lc_run--{drawn.call}",
        content=[{"type": "text", "text": drawn.text, "index": 0}] if drawn.as_block else drawn.text,
        tool_call_chunks=calls,
        usage_metadata=told_of(drawn.usage),
        response_metadata={"model_provider": "p", **reason},
        additional_kwargs={},
    )


def whole_of(chunks: list[Chunk]) -> Any:
    """The message that LangChain makes of one call's chunks by adding them, by another id than theirs."""
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    named = {(chunk.call, chunk.tool[0]): chunk.tool[1] for chunk in reversed(chunks) if chunk.tool}
    added = (
        Usage(*[sum(counts) for counts in zip(*map(attrs.astuple, usages), strict=True)]) if usages else None
    )
    return AIMessage(
        type="ai",
        id=f"resp_{chunks[0].call}",
        content="".join(chunk.text for chunk in chunks),
        tool_calls=[{"name": name, "id": f"{call}-{at}"} for (call, at), name in named.items()],
        usage_metadata=told_of(added),
        response_metadata={},
        additional_kwargs={},
    )


def plain_fold(drawn: list[Chunk]) -> dict[str, Any]:
    """First token, usage and tools of chunks, written down without a reader."""
    says = [bool(chunk.text or chunk.tool or chunk.arguments) for chunk in drawn]
    tools: dict[tuple[int, int], str] = {}
    for chunk in drawn:
        if chunk.tool is not None:
            tools.setdefault((chunk.call, chunk.tool[0]), chunk.tool[1])
    return {
        "first": says.index(True) if True in says else None,
        "usage": total_of([chunk.usage for chunk in drawn if chunk.usage is not None]),
        "tools": [*tools.values()],
    }


@example([Chunk(0, "a", as_block=False, usage=None, tool=None, arguments=False, reason="stop")])
@given(st.lists(CHUNKS, max_size=8))
def test_chunks_of_langchain(drawn: list[Chunk]) -> None:
    """By themselves, or with the metadata that LangGraph adds, or under the name of their mode."""
    chunks = [chunk_of(one) for one in drawn]
    expected = plain_fold(drawn)
    reasons = [one.reason for one in drawn if one.reason is not None]
    assert fold(chunks).meter.finish_reason == (reasons[-1] if reasons else None)
    check(fold(chunks), **expected)
    check(fold([(chunk, {"langgraph_step": 1}) for chunk in chunks]), **expected)
    check(fold([("messages", (chunk, {})) for chunk in chunks]), **expected)
    check(fold([(("sub:1",), (chunk, {})) for chunk in chunks]), **expected)
    check(fold([(("sub:1",), "messages", (chunk, {})) for chunk in chunks]), **expected)
    check(fold([{"type": "messages", "ns": (), "data": (chunk, {})} for chunk in chunks]), **expected)


@given(st.lists(CHUNKS, max_size=8), st.data())
def test_states_beside_chunks_change_nothing(drawn: list[Chunk], data: st.DataObject) -> None:
    """Whole messages in other modes repeat what the chunks said, in whichever order they come."""
    items: list[Any] = [("messages", (chunk_of(one), {})) for one in drawn]
    expected = plain_fold(drawn)
    for call in {one.call for one in drawn}:
        own = [one for one in drawn if one.call == call]
        update = {"messages": [whole_of(own)]}
        last = max(at for at, item in enumerate(items) if item[1] and _is_of(item, call))
        state = data.draw(st.sampled_from([("updates", {"model": update}), ("values", update)]))
        items.insert(last + 1, state)
    folded = fold(items)
    assert (folded.usage, folded.tools) == (expected["usage"], expected["tools"])


def _is_of(item: Any, call: int) -> bool:
    return bool(item[0] == "messages" and item[1][0].id == f"lc_run--{call}")


@given(st.lists(CHUNKS, max_size=8))
def test_events_of_langchain(drawn: list[Chunk]) -> None:
    """Chunks as events; each call's end repeats it whole, and so does all that is around it."""
    events: list[Any] = [{"event": "on_chain_start", "run_id": "r", "parent_ids": [], "data": {"input": {}}}]
    for at, one in enumerate(drawn):
        model = {"run_id": f"run {one.call}", "parent_ids": ["r"]}
        events.append({"event": "on_chat_model_stream", "data": {"chunk": chunk_of(one)}, **model})
        if one.call not in {later.call for later in drawn[at + 1 :]}:
            whole = whole_of([each for each in drawn if each.call == one.call])
            events.append({"event": "on_chat_model_end", "data": {"output": whole}, **model})
            events.append(
                {
                    "event": "on_chain_end",
                    "run_id": "n",
                    "parent_ids": ["r"],
                    "data": {"output": {"messages": [whole]}},
                }
            )
    events.append({"event": "on_chain_end", "run_id": "r", "parent_ids": [], "data": {}})
    folded, expected = fold(events), plain_fold(drawn)
    assert isinstance(folded.reader, LangGraphReader)
    assert (folded.usage, folded.tools) == (expected["usage"], expected["tools"])
    assert folded.meter.finished
    if expected["first"] is not None:
        assert folded.first_token is not None
        assert (
            folded.chunks[folded.first_token]["data"]["chunk"].id
            == f"lc_run--{drawn[expected['first']].call}"
        )


@given(st.lists(st.lists(CHUNKS, min_size=1, max_size=3), max_size=3), st.lists(CHUNKS, max_size=2))
def test_states_of_langgraph(calls: list[list[Chunk]], history: list[Chunk]) -> None:
    """As a result, as the state so far, and as what each node adds: what was there before is not counted."""
    calls = [[attrs.evolve(one, call=at) for one in call] for at, call in enumerate(calls)]
    messages: list[Any] = []
    for call in calls:
        messages += [whole_of(call), ToolMessage(type="tool", content="sunny")]
    before = [*(whole_of([one]) for one in history), HumanMessage(type="human", content="Hi", name=None)]
    expected = plain_fold([one for call in calls for one in call])
    results = [
        fold([{"messages": [*before, *messages]}]),
        fold([{"messages": [*before, *messages[: at + 1]]} for at in range(-1, len(messages))]),
        fold([{"node": {"messages": [message]}} for message in messages]),
    ]
    for folded in results:
        assert folded.usage == expected["usage"]
        assert sorted(folded.tools) == sorted(expected["tools"])


def said(message_id: str | None) -> Any:
    """A whole answer whose usage is 10, 5 and 15."""
    return AIMessage(type="ai", id=message_id, content="Hi", usage_metadata=told_of(Usage(10, 5, 0, 0)))


@pytest.mark.parametrize(
    "items",
    [
        [{"a": {"messages": [said("1")]}}, {"b": {"messages": [said("1"), said("2")]}}],
        [{"a": {"messages": [said("1"), said("2")]}}, {"b": {"messages": [said("2"), said("1")]}}],
        [{"a": {"messages": [said("1")]}, "b": {"messages": [said("1"), said("2")]}}],
        [{"messages": [said("1")], "answer": said("2")}, {"messages": [said("1"), said("2")]}],
        [{"messages": [said(None)]}, {"messages": [said(None), said(None)]}],
    ],
    ids=["a subgraph's update", "in another order", "side by side", "under two keys", "without ids"],
)
def test_a_message_that_states_repeat_is_counted_once(items: list[Any]) -> None:
    """A node that is an agent repeats in its update what was said before it."""
    assert fold(items).usage == TokenUsage(30, 20, 10, cached_input=0, reasoning=0)


@pytest.mark.parametrize("first", [((), {"before": None}), ((), {}), (("sub:1",), {"docs": ["d"]})])
@pytest.mark.parametrize("is_update", [True, False])
def test_states_with_the_subgraph_s_name(first: Any, is_update: bool) -> None:
    """One mode and subgraphs: nothing else carries the usage, and the first state may have no messages."""
    inner = {"messages": [said("1")]}
    outer = {"messages": [said("1"), said("2")]}
    states = [{"model": inner}, {"agent": outer}] if is_update else [inner, outer]
    folded = fold([first, (("agent:1",), states[0]), ((), states[1])])
    assert isinstance(folded.reader, LangGraphReader)
    assert folded.first_token == 1
    assert folded.usage == TokenUsage(30, 20, 10, cached_input=0, reasoning=0)


@pytest.mark.parametrize("message_id", [None, "m"])
@pytest.mark.parametrize("as_state", [True, False])
def test_answers_of_a_batch_with_their_places(message_id: str | None, as_state: bool) -> None:
    """From ``abatch_as_completed``: each is a call of its own, whatever its id is."""
    answer = {"messages": [said(message_id)]} if as_state else said(message_id)
    folded = fold([(1, answer), (0, answer)])
    assert isinstance(folded.reader, LangGraphReader)
    assert folded.first_token == 0
    assert folded.usage == TokenUsage(30, 20, 10, cached_input=0, reasoning=0)


@pytest.mark.parametrize("item", [(1, 2), (0, "text"), (0, {"x": 1}), (("a", 1), {"x": 1}), ({"x": 1},), ()])
def test_tuples_of_no_graph(item: Any) -> None:
    """They are nobody's."""
    assert not LangGraphReader().recognises(item)


def test_an_answer_of_a_batch_that_says_nothing_of_usage() -> None:
    """It is content all the same; and what a runnable returns besides is nothing."""
    silent = AIMessage(type="ai", id="a", content="Hi", usage_metadata=None)
    assert LangGraphReader().read((0, silent)) is CONTENT
    assert LangGraphReader().read((0, "text")) is None


def test_choices_of_one_call_are_one_call() -> None:
    """Each repeats the usage of all; rows are calls of their own, and one may be empty."""
    result_type = type_in("langchain_core.outputs.llm_result", "LLMResult")
    row = [SimpleNamespace(message=said("1")), SimpleNamespace(message=said("2"))]
    once = TokenUsage(15, 10, 5, cached_input=0, reasoning=0)
    twice = TokenUsage(30, 20, 10, cached_input=0, reasoning=0)
    assert fold([result_type(generations=row)]).usage == once
    assert fold([result_type(generations=[row])]).usage == once
    assert fold([result_type(generations=[row, row])]).usage == twice
    assert fold([result_type(generations=[[], row])]).usage == once


def test_agents_that_speak_in_the_user_s_place() -> None:
    """A human message that is signed is another agent's, and no new turn."""
    said = AIMessage(type="ai", id="a", content="Hi", usage_metadata=told_of(Usage(1, 2, 0, 0)))
    signed = HumanMessage(type="human", content="Sunny", name="forecaster")
    assert fold([{"messages": [said, signed]}]).usage is not None


@pytest.mark.parametrize(
    ("item", "failed", "finished"),
    [
        ({"event": "on_chain_error", "run_id": "r", "parent_ids": [], "data": {}}, True, False),
        ({"event": "on_tool_error", "run_id": "t", "parent_ids": ["r"], "data": {}}, False, False),
        ({"event": "on_chain_end", "run_id": "r", "parent_ids": [], "data": {}}, False, True),
        ({"event": "on_chain_end", "run_id": "n", "parent_ids": ["r"], "data": {}}, False, False),
    ],
    ids=["outermost error", "a tool's error", "outermost end", "a node's end"],
)
def test_only_the_outermost_event_tells_how_it_ended(item: Any, failed: bool, finished: bool) -> None:
    """What fails further in may be caught, and what ends there is a step."""
    folded = fold([item])
    assert (folded.meter.failed, folded.meter.finished) == (failed, finished)


@pytest.mark.parametrize("chunk", ["Hi", SimpleNamespace(text="Hi")])
def test_a_plain_language_model_s_events(chunk: Any) -> None:
    """Text, without usage."""
    event = {"event": "on_llm_stream", "run_id": "r", "parent_ids": ["x"], "data": {"chunk": chunk}}
    assert LangGraphReader().read(event) is CONTENT


MESSAGE = {"type": "ai", "id": "a", "additional_kwargs": {}, "response_metadata": {}}


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        ({"content": "", "additional_kwargs": {"reasoning_content": "Hm"}}, Reading(content=True)),
        ({"content": [{"type": "thinking", "thinking": "Hm"}]}, Reading(content=True)),
        ({"content": ["Hi"]}, Reading(content=True)),
        ({"content": [{"type": "reasoning", "summary": []}]}, None),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, Reading(content=True, refused=True)),
        (
            {"content": "", "response_metadata": {"stopReason": "guardrail_intervened"}},
            Reading(finished=True, finish_reason="guardrail_intervened", refused=True),
        ),
        (
            {
                "content": "",
                "response_metadata": {
                    "status": "incomplete",
                    "incomplete_details": {"reason": "max_output_tokens"},
                },
            },
            Reading(finished=True, finish_reason="max_output_tokens"),
        ),
        ({"content": "", "response_metadata": {"status": "failed"}}, Reading(failed=True)),
        ({"content": "", "response_metadata": {"status": "in_progress", "model": "m"}}, Reading(model="m")),
    ],
    ids=[
        "reasoning",
        "thinking",
        "bare text",
        "silent",
        "refusal",
        "guardrail",
        "cut short",
        "failed",
        "begun",
    ],
)
def test_what_messages_of_other_providers_say(beside: Any, expected: Reading | None) -> None:
    """Each in its own words."""
    assert LangChainReader().read(AIMessage(**{**MESSAGE, **beside})) == expected


@pytest.mark.parametrize(
    ("block", "called"),
    [
        ({"type": "server_tool_use", "id": "s", "name": "web_search"}, ["web_search"]),
        ({"type": "web_search_call", "id": "ws"}, ["web_search"]),
        ({"type": "function_call", "id": "fc", "name": "weather"}, []),
        ({"type": "_call", "index": 3}, []),
        ({"type": "mcp_call", "index": 3, "name": "ask"}, ["ask"]),
    ],
    ids=["anthropic's", "openai's", "the app's", "nameless", "behind mcp"],
)
def test_tools_that_the_provider_runs_itself(block: Any, called: list[str]) -> None:
    """They are blocks of the content; what the app runs is in the message's own list."""
    assert fold([AIMessage(**MESSAGE, content=[block])]).tools == called


def test_calls_whose_arguments_are_no_json() -> None:
    """The model called all the same; and without an id a call is known by its place."""
    message = AIMessage(
        **MESSAGE, content="", tool_calls=[], invalid_tool_calls=[{"name": "weather"}, {"name": "weather"}]
    )
    assert fold([message]).tools == ["weather", "weather"]


@pytest.mark.parametrize(
    "item", [(), ((),), ("messages",), ("custom", 1), (1,), ((), ()), {"type": "tasks", "ns": ()}]
)
def test_items_of_graphs_without_a_message(item: Any) -> None:
    """They say nothing, and do not raise."""
    assert LangGraphReader().read(item) is None


def test_a_state_that_cannot_be_looked_into() -> None:
    """Somebody else's mapping may do anything, at any depth."""

    class Closed(dict[str, Any]):
        def values(self) -> Any:
            raise RuntimeError("closed")

    for state in (Closed(messages=[]), {"node": Closed(messages=[])}):
        assert not LangGraphReader().recognises(state)
        assert LangGraphReader().read(state) is None


def test_a_graph_s_typed_output() -> None:
    """What ``ainvoke(version="v2")`` returns holds the state."""
    output = type_in("langgraph.types", "GraphOutput")
    said = AIMessage(type="ai", id="a", content="Hi", usage_metadata=told_of(Usage(1, 2, 0, 0)))
    folded = fold([output(value={"messages": [said]}, interrupts=())])
    assert isinstance(folded.reader, LangGraphReader)
    assert folded.usage is not None


# Pydantic AI


PartStart = type_in("pydantic_ai.messages", "PartStartEvent")


@attrs.frozen
class Part:
    """One event of Pydantic AI's, as it was drawn."""

    kind: str
    text: str
    tool: tuple[int, str]

    @property
    def names_a_tool(self) -> bool:
        return self.kind in {"tool", "called", "native"}

    @property
    def says_something(self) -> bool:
        return self.names_a_tool or (
            self.kind in {"start", "thinking", "delta", "arguments"} and self.text != ""
        )


PARTS = st.builds(
    Part,
    st.sampled_from(
        ["start", "thinking", "delta", "arguments", "tool", "called", "native", "result", "final", "end"]
    ),
    TEXTS,
    st.tuples(st.integers(0, 3), NAMES),
)


def event_of(part: Part) -> Any:
    """It as the package would send it."""
    number, called = part.tool
    call = {"tool_name": called, "tool_call_id": f"call_{number}", "args": ""}
    fields: dict[str, dict[str, Any]] = {
        "start": {"event_kind": "part_start", "part": {"part_kind": "text", "content": part.text}},
        "thinking": {"event_kind": "part_start", "part": {"part_kind": "thinking", "content": part.text}},
        "delta": {"event_kind": "part_delta", "delta": {"content_delta": part.text}},
        "arguments": {"event_kind": "part_delta", "delta": {"args_delta": part.text}},
        "tool": {"event_kind": "part_start", "part": {"part_kind": "tool-call", **call}},
        "called": {"event_kind": "function_tool_call", "part": {"part_kind": "tool-call", **call}},
        "native": {"event_kind": "part_start", "part": {"part_kind": "builtin-tool-call", **call}},
        "result": {"event_kind": "function_tool_result", "result": {"content": "sunny"}},
        "final": {"event_kind": "final_result", "tool_name": None},
        "end": {"event_kind": "part_end", "part": {"part_kind": "text", "content": part.text}},
    }
    return PartStart(**fields[part.kind])


def used(usage: Usage, *, asked: bool) -> Any:
    """Usage as the package tells it; before its version 2 one had to ask."""
    told = SimpleNamespace(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=usage.cached,
        details={"reasoning_tokens": usage.reasoning},
    )
    return (lambda: told) if asked else told


@example([], Usage(0, 0, 0, 0), False)  # reported, but as nothing
@given(st.lists(PARTS, max_size=8), st.none() | USAGES, st.booleans())
def test_events_of_pydantic_ai(drawn: list[Part], usage: Usage | None, asked: bool) -> None:
    """Parts, and at the end the result, which repeats their calls and has the usage."""
    events = [event_of(part) for part in drawn]
    tools: dict[int, str] = {}
    for part in drawn:
        if part.names_a_tool:
            tools.setdefault(part.tool[0], part.tool[1])
    if usage is not None:
        calls = [
            {"part_kind": "tool-call", "tool_name": name, "tool_call_id": f"call_{at}"}
            for at, name in tools.items()
        ]
        response = SimpleNamespace(
            kind="response", parts=[{"part_kind": "text", "content": "x"}, *calls], finish_reason="stop"
        )
        result = SimpleNamespace(new_messages=lambda: [response], usage=used(usage, asked=asked))
        events.append(PartStart(event_kind="agent_run_result", result=result))
    says = [part.says_something for part in drawn] + [usage is not None]
    reported = usage is not None and (usage.input or usage.output)
    folded = fold(events)
    check(
        folded,
        first=says.index(True) if True in says else None,
        usage=_known(total_of([usage])) if usage is not None and reported else None,
        tools=[*tools.values()],
    )
    assert folded.meter.finished is (usage is not None)


def _known(usage: TokenUsage | None) -> TokenUsage | None:
    """The package does not tell a cache of nothing from one that was not reported."""
    assert usage is not None
    return attrs.evolve(usage, cached_input=usage.cached_input or None)


@pytest.mark.parametrize("broken", [lambda: 1 / 0, None, 7])
def test_results_of_pydantic_ai_that_have_nothing_to_tell(broken: Any) -> None:
    """A stream that was not begun raises when it is asked, and nobody hears of it."""
    assert PydanticAIReader().read(PartStart(new_messages=broken, usage=broken)) is None


def test_responses_of_pydantic_ai_without_an_id() -> None:
    """Their moment tells them apart; without one they are all the same."""
    told = used(Usage(1, 1, 0, 0), asked=False)
    assert fold([PartStart(kind="response", parts=[], usage=told, timestamp="x")] * 2).usage == TokenUsage(
        2, 1, 1, reasoning=0
    )


# OpenAI's Agents SDK


@attrs.frozen
class Said:
    """One event of the Agents SDK's, as it was drawn."""

    kind: str
    text: str
    tool: tuple[int, str]
    usage: Usage


SAID = st.builds(
    Said,
    st.sampled_from(["delta", "added", "called", "other", "agent", "completed"]),
    TEXTS,
    st.tuples(st.integers(0, 3), NAMES),
    USAGES,
)


def openai_usage(usage: Usage) -> Any:
    """Usage as Responses tell it."""
    return {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def agents_event(said: Said, at: int, fake_ids: bool) -> Any:
    """It as the SDK would send it; of chat completions it makes responses that all have one id."""
    number, called = said.tool
    item = {"type": "function_call", "name": called, "call_id": f"call_{number}", "id": "__fake_id__"}
    response = {
        "id": "__fake_id__" if fake_ids else f"resp_{at}",
        "created_at": 1000.0 + at if fake_ids else 1000,
        "status": "completed",
        "output": [],
        "usage": openai_usage(said.usage),
    }
    raw: dict[str, Any] = {
        "delta": {"type": "response.output_text.delta", "delta": said.text},
        "added": {"type": "response.output_item.added", "output_index": 0, "item": item},
        "completed": {"type": "response.completed", "response": response},
    }
    if said.kind in raw:
        return SimpleNamespace(type="raw_response_event", data=raw[said.kind])
    if said.kind == "agent":
        return SimpleNamespace(type="agent_updated_stream_event", new_agent=object())
    name = "tool_called" if said.kind == "called" else "tool_output"
    return SimpleNamespace(type="run_item_stream_event", name=name, item=SimpleNamespace(raw_item=item))


@given(st.lists(SAID, max_size=8), st.booleans())
def test_events_of_the_agents_sdk(drawn: list[Said], fake_ids: bool) -> None:
    """Usage is summed over the responses that are completed, each call is listed once."""
    says = [one.kind in {"added", "called"} or (one.kind == "delta" and one.text != "") for one in drawn]
    tools: dict[int, str] = {}
    for one in drawn:
        if one.kind in {"added", "called"}:
            tools.setdefault(one.tool[0], one.tool[1])
    check(
        fold([agents_event(one, at, fake_ids) for at, one in enumerate(drawn)]),
        first=says.index(True) if True in says else None,
        usage=total_of([one.usage for one in drawn if one.kind == "completed"]),
        tools=[*tools.values()],
    )


@given(st.lists(USAGES, max_size=3), st.booleans())
def test_results_of_the_agents_sdk(usages: list[Usage], counted: bool) -> None:
    """The context's count, or the sum of the responses' where it has none; nothing is not a report."""
    total = total_of(usages)
    context = Usage(0, 0, 0, 0)
    if counted and total is not None:
        context = Usage(total.input, total.output, total.cached_input or 0, total.reasoning or 0)
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
    result = SimpleNamespace(
        raw_responses=[SimpleNamespace(output=[refusal], usage=openai_usage(one)) for one in usages],
        context_wrapper=SimpleNamespace(usage=openai_usage(context)),
    )
    folded = fold([result])
    reported = [one for one in usages if one.input or one.output]
    assert folded.usage == (total_of(usages if counted else reported) if reported else None)
    assert folded.meter.refused is (len(usages) > 0)
    assert folded.meter.finished


def test_the_end_of_a_response_that_calls_a_tool_is_a_step() -> None:
    """The SDK answers it and goes on; and one that only ends a step says nothing else."""
    output = [{"type": "function_call", "name": "weather", "call_id": "a"}]
    event = {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": output}}
    folded = fold([SimpleNamespace(type="raw_response_event", data=event)])
    assert not folded.meter.finished
    approval = {"id": "r", "output": [{"type": "mcp_approval_request"}]}
    event = {"type": "response.completed", "response": approval}
    assert not fold([SimpleNamespace(type="raw_response_event", data=event)]).meter.finished


# Anything


class Hostile:
    """An object that raises at every touch."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __str__(self) -> str:
        raise RuntimeError("str")

    __hash__ = None  # type: ignore[assignment]  # not even that


ODD = (
    st.sampled_from([None, True, 7, -1, 0.5, "", "x", b"x", (), [], {}, [None], {"a": 1}, object(), len])
    | st.builds(Hostile)
    | st.lists(st.builds(Hostile), max_size=2)
)
SAMPLES: list[Any] = [
    chunk_of(Chunk(0, "a", True, Usage(1, 2, 3, 4), (0, "weather"), True, "stop")),
    whole_of([Chunk(0, "a", False, Usage(1, 2, 3, 4), (0, "weather"), False, "stop")]),
    SimpleNamespace(generations=[[SimpleNamespace(message=AIMessage(**MESSAGE, content="Hi"))]]),
    event_of(Part("tool", "a", (0, "weather"))),
    event_of(Part("delta", "a", (0, "weather"))),
    PartStart(kind="response", parts=[{}], usage=used(Usage(1, 1, 1, 1), asked=True), provider_details={}),
    agents_event(Said("completed", "a", (0, "weather"), Usage(1, 2, 3, 4)), 0, True),
    agents_event(Said("called", "a", (0, "weather"), Usage(1, 2, 3, 4)), 0, True),
    SimpleNamespace(
        raw_responses=[SimpleNamespace(output=[], usage={})], context_wrapper=SimpleNamespace(usage={})
    ),
]


def spoilt(draw: st.DrawFn, thing: Any) -> Any:
    """The same with something odd at a place, at any depth."""
    if draw(st.integers(0, 4)) == 0:
        return draw(ODD)
    if isinstance(thing, SimpleNamespace):
        return type(thing)(**{key: spoilt(draw, value) for key, value in vars(thing).items()})
    if isinstance(thing, dict):
        return {key: spoilt(draw, value) for key, value in thing.items()}
    return type(thing)(spoilt(draw, one) for one in thing) if isinstance(thing, list | tuple) else thing


@st.composite
def spoilt_items(draw: st.DrawFn) -> Any:
    """Something odd in something known, perhaps inside of what messages travel in."""
    item = spoilt(draw, draw(st.sampled_from(SAMPLES)))
    around = [
        item,
        (item, {}),
        ("messages", (item, {})),
        ("updates", {"node": {"messages": [item]}}),
        {"messages": [item, item]},
        {"event": "on_chat_model_stream", "run_id": "r", "data": {"chunk": item}},
        {"event": "on_chat_model_end", "run_id": "r", "parent_ids": item, "data": {"output": item}},
        {"type": "values", "ns": (), "data": item},
    ]
    return draw(st.sampled_from(around))


@given(spoilt_items())
def test_whatever_they_are_given_they_do_not_raise(item: Any) -> None:
    """A reading is fit to be recorded, and one that says nothing is none."""
    ReaderRegistry().find(item)
    for reader in (LangChainReader(), LangGraphReader(), OpenAIAgentsReader(), PydanticAIReader()):
        assert isinstance(reader.recognises(item), bool)
        reading = reader.read(item)
        if reading is not None:
            assert reading != Reading()
            meter = Meter()
            meter.note(reading)
            meter.token_usage()
