"""Managed graphs, on both SDKs' own runners on OpenAI's Agents SDK and on LangGraph, over the same answers.

Rule for this file: the frameworks are real; what they are answered is given by the scenario, and time stands
still for everybody who measures it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import httpx
import pytest
from fake_http import FakeServer, openai_client
from recorded import chat_answer, response, response_function_item, response_text_item

from .harness import clock_module, differs
from .sides import ADA, Side

WHY = "the frameworks are a test group of their own: their lowest versions need newer SDKs than ours"

VERDICT = {"score": 0.75, "reasoning": "Good."}
JUDGE = {
    "_ldMeta": {"enabled": True, "mode": "judge", "variationKey": "fair", "version": 2},
    "model": {"name": "gpt-4"},
    "provider": {"name": "openai"},
    "messages": [{"role": "system", "content": "Judge."}],
    "evaluationMetricKey": "kindness",
}
SEARCH = {"name": "search", "parameters": {"type": "object", "properties": {}}}


WENT_WELL = ["graph:duration:total=0", "graph:invocation_success=1", "graph:path=1"]
WENT_WRONG = ["graph:duration:total=0", "graph:invocation_failure=1"]
HANDED_OVER = "graph:handoff_success=1"
TIME, SUCCESS, ERROR, TOOL = "duration:total=0", "generation:success=1", "generation:error=1", "tool_call=1"


def used(calls: int = 1) -> list[str]:
    """The tokens of so many answers."""
    return [f"tokens:total={19 * calls}", f"tokens:input={12 * calls}", f"tokens:output={7 * calls}"]


def in_all(calls: int) -> str:
    """The tokens of a graph whose models answered so often."""
    return f"graph:total_tokens={19 * calls}"


def theirs(calls: int = 1, *tools: str) -> list[str]:
    """The events of a node in the official SDK."""
    return [*used(calls), TIME, *tools, SUCCESS]


def ours(calls: int = 1, *tools: str) -> list[str]:
    """The events of a node in ours."""
    return [TIME, SUCCESS, *used(calls), *tools]


def agent(key: str, parameters: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "_ldMeta": {"enabled": True, "mode": "agent", "variationKey": "v1", "version": 2},
        "model": {"name": "gpt-4o", **({} if parameters is None else {"parameters": parameters})},
        "provider": {"name": "openai"},
        "instructions": f"I am {key}.",
        **more,
    }


def served(links: Mapping[str, str], **agents: Any) -> dict[str, Any]:
    """Flags with a graph of agents whose names are single letters; it begins at R."""
    edges = {source: [{"key": target} for target in targets] for source, targets in links.items()}
    graph = {"_ldMeta": {"enabled": True, "variationKey": "warm", "version": 3}, "root": "R", "edges": edges}
    keys = sorted({"R", *links, *"".join(links.values())})
    return {**{key: agent(key) for key in keys}, **agents, "trip": graph}


def says(text: str, number: int = 1) -> Any:
    """A response that says this."""
    return response("completed", response_text_item(text)) | {"id": f"resp_{number}"}


def asks(name: str, number: int = 1) -> Any:
    """A response that asks for this tool."""
    item = response_function_item(number, name) | {"arguments": "{}", "status": "completed"}
    return response("completed", item) | {"id": f"resp_{number}"}


def to(side: Side, node: str, number: int = 1) -> Any:
    """A response that hands over to this node, by the name that the side's own tool for it has."""
    return asks(f"transfer_to_{node if side.is_ours else node.lower()}", number)


def quiet(side: Side, module: str) -> Any:
    """What the official package measures time with stands still."""
    return mock.patch.object(importlib.import_module(module), "time", clock_module(side.clock))


@contextlib.contextmanager
def on_agents(side: Side, *answers: Any) -> Iterator[FakeServer]:
    """OpenAI's Agents SDK, whose clients are answered from memory."""
    agents = pytest.importorskip("agents", reason=WHY)
    server = FakeServer(*answers)
    client = openai_client(server=server)

    def make(**_options: Any) -> Any:
        return client

    shared = importlib.import_module("agents.models._openai_shared")
    # Its own tracing would send prompts to its makers; ours turns it off itself.
    agents.set_tracing_disabled(True)
    with (
        warnings.catch_warnings(action="ignore"),
        mock.patch("openai.AsyncOpenAI", make),
        mock.patch("ldai_openai.openai_runner_factory.AsyncOpenAI", make),
        mock.patch.object(shared, "_default_openai_client", client),
        quiet(side, "ldai_openai.openai_agent_graph_runner"),
    ):
        yield server


@contextlib.contextmanager
def on_langgraph(side: Side, *answers: Any) -> Iterator[FakeServer]:
    """LangGraph with OpenAI's models, which are answered from memory."""
    pytest.importorskip("langchain_openai", reason=WHY)
    server = FakeServer(*answers)
    chat_models = importlib.import_module("langchain.chat_models")
    init_chat_model = chat_models.init_chat_model

    def make(*args: Any, **options: Any) -> Any:
        client = server.client_for(importlib.import_module("openai"))
        over = {"api_key": "none", "base_url": "http://fake", "http_async_client": client, "max_retries": 0}
        return init_chat_model(*args, **options, **over)

    with (
        warnings.catch_warnings(action="ignore"),
        mock.patch.object(chat_models, "init_chat_model", make),
        quiet(side, "ldai_langchain.langgraph_agent_graph_runner"),
        quiet(side, "ldai_langchain.langgraph_callback_handler"),
    ):
        yield server


def wants(name: str, number: int = 1) -> Any:
    """A chat answer that asks for this tool."""
    wish = {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": "{}"}}
    return chat_answer(None, tool_calls=[wish]) | {"id": f"chatcmpl-{number}"}


def then(text: str, number: int) -> Any:
    """A chat answer that says this, as the answer of this number."""
    return chat_answer(text) | {"id": f"chatcmpl-{number}"}


async def managed(side: Side, provider: str = "openai", **tools: Any) -> Any:
    graph = await side.call(side.ai.create_agent_graph, "trip", ADA, tools, provider)
    side.from_here()
    return graph


async def ran(side: Side, provider: str = "openai", **tools: Any) -> Any:
    graph = await managed(side, provider, **tools)
    return shown(await side.call(graph.run, "Hi"))


def shown(result: Any) -> Any:
    return result if isinstance(result, str) else [result.content, list(result.metrics.path)]


def search() -> str:
    """Search."""
    return "Found."


@differs(
    "graph-node-order",
    official=[*WENT_WELL, in_all(1), *theirs(), '-> ["Hello.", ["R"]]'],
    ours=[*WENT_WELL, in_all(1), *ours(), '-> ["Hello.", ["R"]]'],
    flags=served({}),
    loosely=True,
)
async def a_managed_graph_of_one_node(side: Side) -> Any:
    with on_agents(side, says("Hello.")):
        return await ran(side)


@differs(
    "graph-node-order",
    official=[*WENT_WELL, in_all(2), *theirs(2, TOOL), '-> ["Hello.", ["R"]]'],
    ours=[*WENT_WELL, in_all(2), *ours(2, TOOL), '-> ["Hello.", ["R"]]'],
    flags=served({}, R=agent("R", {"tools": [SEARCH]})),
    loosely=True,
)
async def a_node_on_langgraph_calls_a_tool(side: Side) -> Any:
    with on_langgraph(side, wants("search"), then("Hello.", 2)):
        return await ran(side, "langchain", search=search)


@differs(
    "graph-node-tokens",
    official=[*WENT_WELL, in_all(2), *theirs(1, TOOL), '-> ["Hello.", ["R"]]'],
    ours=[*WENT_WELL, in_all(2), *ours(2, TOOL), '-> ["Hello.", ["R"]]'],
    flags=served({}, R=agent("R", {"tools": [SEARCH]})),
    loosely=True,
)
async def a_node_on_openai_s_sdk_calls_a_tool(side: Side) -> Any:
    with on_agents(side, asks("search"), says("Hello.", 2)):
        return await ran(side, search=search)


@differs(
    "graph-handoffs",
    official=[*WENT_WELL, in_all(2), *theirs(), *theirs(), '-> ["Hello.", ["R", "A"]]'],
    ours=[HANDED_OVER, *WENT_WELL, in_all(2), *ours(), *ours(), '-> ["Hello.", ["R", "A"]]'],
    flags=served({"R": "AB"}),
    loosely=True,
)
async def a_node_on_openai_s_sdk_hands_over(side: Side) -> Any:
    with on_agents(side, to(side, "A"), says("Hello.", 2)):
        return await ran(side)


@differs(
    "graph-handoffs",
    official=[*WENT_WELL, in_all(2), *theirs(), *theirs(), '-> ["Hello.", ["R", "A"]]'],
    ours=[HANDED_OVER, *WENT_WELL, in_all(2), *ours(), *ours(), '-> ["Hello.", ["R", "A"]]'],
    flags=served({"R": "AB"}),
    loosely=True,
)
async def a_node_on_langgraph_hands_over(side: Side) -> Any:
    with on_langgraph(side, wants("transfer_to_A"), then("Hello.", 2)):
        return await ran(side, "langchain")


@differs(
    "graph-heard",
    official=[*WENT_WELL, in_all(2), *theirs(), *theirs(), '-> [["assistant", "Work.", null]]'],
    ours=[HANDED_OVER, *WENT_WELL, in_all(2), *ours(), *ours(), '-> [["user", "Work.", "R"]]'],
    flags=served({"R": "A"}),
    loosely=True,
)
async def what_a_node_on_langgraph_hears_of_the_one_before(side: Side) -> Any:
    with on_langgraph(side, chat_answer("Work."), then("Hello.", 2)) as server:
        await ran(side, "langchain")
    heard = server.requests[1]["messages"][2:]
    return [[message["role"], message["content"], message.get("name")] for message in heard]


@differs(
    "graph-node-config",
    official=[*WENT_WELL, in_all(1), *theirs(), "-> [null, true, 0]"],
    ours=[*WENT_WELL, in_all(1), *ours(), "-> [0.5, false, 1]"],
    flags=served(
        {"R": "AB"},
        R=agent("R", {"temperature": 0.5}, tools={"search": SEARCH}),
    ),
    loosely=True,
)
async def the_config_of_a_node_on_openai_s_sdk(side: Side) -> Any:
    with on_agents(side, says("Hello.")) as server:
        await ran(side, search=search)
    (request,) = server.requests
    tools = [tool for tool in request["tools"] if tool["name"] == "search"]
    return [request.get("temperature"), "multi-agent" in request["instructions"], len(tools)]


@differs(
    "graph-errors",
    official=[*WENT_WRONG, "graph:path=1", *theirs(), ERROR, '-> ["", ["R", "A"]]'],
    ours=[
        *(HANDED_OVER, *WENT_WRONG, "graph:path=1", in_all(1), *ours(), TIME, ERROR),
        "-> raises APIConnectionError",
    ],
    flags=served({"R": "AB"}),
    loosely=True,
)
async def a_node_on_openai_s_sdk_fails(side: Side) -> Any:
    with on_agents(side, to(side, "A"), httpx.ConnectError("gone")):
        return await ran(side)


@differs(
    "graph-errors",
    official=[*WENT_WRONG, '-> ["", []]'],
    ours=[
        *(HANDED_OVER, *WENT_WRONG, "graph:path=1", in_all(1), *ours(), TIME, ERROR),
        "-> raises OpenAIConnectionError",
    ],
    flags=served({"R": "A"}),
    loosely=True,
)
async def a_node_on_langgraph_fails(side: Side) -> Any:
    with on_langgraph(side, chat_answer("Work."), httpx.ConnectError("gone")):
        return await ran(side, "langchain")


@differs(
    "graph-shapes",
    official=[*WENT_WRONG, "graph:path=1", '-> ["", ["R"]]'],
    ours=[
        *(HANDED_OVER, HANDED_OVER, *WENT_WELL, in_all(3), *ours(), *ours(), *ours()),
        '-> ["Hello.", ["R", "X", "T"]]',
    ],
    flags=served({"R": "XZ", "X": "TY", "Y": "U"}),
    changes_data=True,
)
async def paths_of_uneven_length_on_openai_s_sdk(side: Side) -> Any:
    with on_agents(side, to(side, "X"), to(side, "T", 2), says("Hello.", 3)):
        return await ran(side)


@differs(
    "graph-shapes",
    official=[*WENT_WRONG, "graph:path=1", '-> ["", ["R"]]'],
    ours=[
        *(HANDED_OVER, HANDED_OVER, *WENT_WELL, in_all(3), *ours(2), *ours()),
        '-> ["Hello.", ["R", "A", "R"]]',
    ],
    flags=served({"R": "AZ", "A": "R"}),
    changes_data=True,
)
async def a_cycle_on_openai_s_sdk(side: Side) -> Any:
    with on_agents(side, to(side, "A"), to(side, "R", 2), says("Hello.", 3)):
        return await ran(side)


@differs(
    "graph-visited-again",
    official=[*WENT_WELL, in_all(3), *theirs(2), *theirs(), '-> ["Hello.", ["R", "A"]]'],
    ours=[
        *(HANDED_OVER, HANDED_OVER, *WENT_WELL, in_all(3), *ours(2), *ours()),
        '-> ["Hello.", ["R", "A", "R"]]',
    ],
    flags=served({"R": "AZ", "A": "R"}),
    changes_data=True,
)
async def a_node_on_langgraph_is_visited_again(side: Side) -> Any:
    # Their one way onward is always taken, ours only if it leads onward.
    back = wants("transfer_to_R", 2) if side.is_ours else then("Back.", 2)
    with on_langgraph(side, wants("transfer_to_A"), back, then("Hello.", 3)):
        return await ran(side, "langchain")


@differs(
    "graph-judges",
    official=[*WENT_WELL, in_all(1), *theirs(), "-> 1"],
    ours=[*WENT_WELL, in_all(1), *ours(), *ours(), "kindness=0.75", "-> 2"],
    flags=served(
        {}, R=agent("R", judgeConfiguration={"judges": [{"key": "judge", "samplingRate": 1}]}), judge=JUDGE
    ),
    loosely=True,
)
async def a_node_has_a_judge(side: Side) -> Any:
    with on_agents(side, says("Hello."), chat_answer(json.dumps(VERDICT))) as server:
        graph = await managed(side)
        result = await side.call(graph.run, "Hi")
        if result.evaluations is not None:
            await result.evaluations
    return len(server.requests)


@differs(
    "graph-at-once",
    official=[
        *(*WENT_WELL, in_all(1), *theirs(), ERROR, *WENT_WELL, in_all(2), *theirs(), *theirs()),
        '-> [["A", "R"], ["A", "R"]]',
    ],
    ours=[
        *(HANDED_OVER, *WENT_WELL, in_all(1), *ours(), *WENT_WELL, in_all(2), *ours(), *ours()),
        '-> [["R"], ["A", "R"]]',
    ],
    flags=served({"R": "AB"}),
    loosely=True,
)
async def two_runs_of_one_graph_on_openai_s_sdk(side: Side) -> Any:
    """The first is answered by R alone, while the second has gone on to A."""
    numbers = itertools.count(1)
    has_gone_on, first_is_done = asyncio.Event(), asyncio.Event()

    async def answer(body: dict[str, Any]) -> Any:
        if "I am A." in body["instructions"]:
            has_gone_on.set()
            await first_is_done.wait()
            return says("Hello.", next(numbers))
        if "second" in str(body["input"]):
            return to(side, "A", next(numbers))
        await has_gone_on.wait()
        return says("Hello.", next(numbers))

    async def first(graph: Any) -> Any:
        result = await graph.run("first")
        first_is_done.set()
        return result

    with on_agents(side, answer):
        graph = await managed(side)
        results = await asyncio.gather(first(graph), graph.run("second"))
    return [sorted(result.metrics.node_metrics) for result in results]
