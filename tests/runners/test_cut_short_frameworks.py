"""Answers that were cut short, in the loops of frameworks: no tool is called, and nobody hands over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from fake_http import FakeServer, broken_connection, openai_client
from ldclient import Context
from recorded import (
    CHAT_USAGE,
    chat_answer,
    chat_chunk,
    chat_stream,
    chat_tool_delta,
    response,
    response_event,
    response_function_item,
    response_stream,
    response_text_item,
)

from ldtrack import CutShortError, LdtrackError, Outcome
from ldtrack.testing import Recording, recording

why = "the frameworks are a test group of their own: their lowest versions need newer SDKs than ours"
pytest.importorskip("agents", reason=why)
pytest.importorskip("langgraph", reason=why)
pytest.importorskip("langchain_openai", reason=why)

from agent_kits import AgentsOnChat, AgentsOnResponses, LangGraphAgentKit  # noqa: E402 - once they are there

from ldtrack.providers.runners.openai_agents import OpenAIAgentsRunners  # noqa: E402 - as above
from ldtrack.providers.runners.openai_agents_model import NotingClient, Why  # noqa: E402 - as above

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Received unexpected tool")

ADA = Context.create("ada")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
AGENT = {
    "_ldMeta": {"enabled": True, "mode": "agent"},
    "provider": {"name": "acme"},
    "model": {"name": "gpt-4o"},
    "tools": {"wipe": {"name": "wipe"}},
}
KITS: Any = (AgentsOnChat, AgentsOnResponses, LangGraphAgentKit)
every_kit = pytest.mark.parametrize("kind", KITS, ids=lambda kind: kind.name)
both_ways = pytest.mark.parametrize("streams", [False, True], ids=["run", "stream"])


class Wiped:
    """An agent, and a graph of it, whose tool is not to be called, over a server that says these answers."""

    def __init__(self, kind: Any, *answers: Any) -> None:
        kit = kind([])
        self.kind = kind
        self.server = kit.server = FakeServer(*answers)
        self.calls: list[Any] = []
        edges = {"R": [{"key": "A"}, {"key": "B"}]}
        flags = dict.fromkeys("RAB", AGENT) | {"trip": {"root": "R", "edges": edges}}
        self.ld: Recording = recording(flags, runners={"acme": kit.factory})

    async def wipe(self, **arguments: Any) -> str:
        self.calls.append(arguments)
        return "Wiped."

    async def outcome(self, whole: str, streams: bool, *args: Any) -> Any:
        """What comes of a run of the agent or the graph: its result, or what it raised."""
        make = self.ld.ai.create_agent if whole == "agent" else self.ld.ai.create_agent_graph
        made: Any = await make("R" if whole == "agent" else "trip", ADA, {"wipe": self.wipe})
        try:
            if not streams:
                return await made.run("Hi", *args)
            async with made.stream("Hi") as stream:
                async for _ in stream:
                    pass
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what came of it
            return error
        return stream.result


def asks(kind: Any, streams: bool, arguments: str, end: str, name: str = "wipe") -> Any:
    """An answer that asks for a tool, and ends for this reason."""
    if kind is AgentsOnResponses:
        item = response_function_item(1, name) | {"arguments": arguments, "status": "incomplete"}
        return responded(streams, item, end)
    if streams:
        deltas = [chat_tool_delta(0, id="c", name=name), chat_tool_delta(0, arguments=arguments)]
        mark = [chat_chunk(finish_reason=end)] if end else []
        return [*map(chat_chunk, deltas), *mark, chat_chunk(usage=CHAT_USAGE), "[DONE]"]
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    answer = chat_answer(None, tool_calls=[call])
    answer["choices"][0]["finish_reason"] = end
    return answer


def says(kind: Any, streams: bool, text: str, end: str) -> Any:
    """An answer that says something, and ends for this reason."""
    if kind is AgentsOnResponses:
        if streams and end == "stop":
            return response_stream(text)
        return responded(streams, response_text_item(text), end)
    if streams:
        *parts, _, _, _ = chat_stream(text)
        return [*parts, chat_chunk(finish_reason=end), chat_chunk(usage=CHAT_USAGE), "[DONE]"]
    answer = chat_answer(text)
    answer["choices"][0]["finish_reason"] = end
    return answer


def responded(streams: bool, item: Any, end: str) -> Any:
    reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
    status = "incomplete" if end in reasons else "completed"
    details = {"incomplete_details": {"reason": reasons[end]}} if end in reasons else {}
    said = response(status, item, **details)
    if not streams:
        return said
    start = response_event("created", response=response("in_progress"))
    added = response_event("output_item.added", output_index=0, item=item)
    done = response_event("output_item.done", output_index=0, item=item)
    return [start, added, done, response_event(status, response=said)]


@every_kit
@both_ways
@pytest.mark.parametrize("whole", ["agent", "graph"])
@pytest.mark.parametrize("end", ["length", "content_filter"])
@pytest.mark.parametrize("arguments", ["", "{}", '{"path": "/tm'])
async def test_a_tool_is_not_called_with_what_may_be_half_its_arguments(
    kind: Any, streams: bool, whole: str, end: str, arguments: str
) -> None:
    """Also where what is there can be read, or was mended by the framework; the run has failed."""
    wiped = Wiped(kind, asks(kind, streams, arguments, end), says(kind, streams, "Sorry.", "stop"))
    error = await wiped.outcome(whole, streams)
    assert (wiped.calls, len(wiped.server.requests)) == ([], 1)
    if not (kind is AgentsOnResponses and streams):  # which the SDK refuses itself
        assert isinstance(error, CutShortError)
        assert isinstance(error, LdtrackError)
        assert "none of them was called" in str(error)
    assert isinstance(error, Exception)
    failed = "graph:invocation_failure" if whole == "graph" else "generation:error"
    assert failed in wiped.ld.names()
    assert wiped.ld.values()["tokens:total"] == 19


@every_kit
@both_ways
async def test_nobody_hands_over_from_an_answer_that_was_cut_short(kind: Any, streams: bool) -> None:
    """It may have had more to say, such as where else to go."""
    wiped = Wiped(kind, asks(kind, streams, "{}", "length", "transfer_to_A"))
    error = await wiped.outcome("graph", streams)
    assert isinstance(error, Exception)
    assert len(wiped.server.requests) == 1
    assert "graph:handoff_success" not in wiped.ld.names()


@every_kit
@both_ways
@pytest.mark.parametrize("whole", ["agent", "graph"])
async def test_a_tool_is_called_from_an_answer_that_is_whole(kind: Any, streams: bool, whole: str) -> None:
    """The control: the same with the provider's word for an end."""
    asked = asks(kind, streams, "{}", "tool_calls")
    wiped = Wiped(kind, asked, says(kind, streams, "Done.", "stop"))
    result = await wiped.outcome(whole, streams)
    assert result.content == "Done."
    assert wiped.calls == [{}]


@pytest.mark.parametrize("whole", ["agent", "graph"])
async def test_a_stream_without_a_finish_mark_calls_no_tool_on_the_agents_sdk(whole: str) -> None:
    """Of chat completions: the connection ended politely, and the SDK takes what came for the whole."""
    wiped = Wiped(AgentsOnChat, asks(AgentsOnChat, True, "{}", ""))
    error = await wiped.outcome(whole, True)
    assert isinstance(error, CutShortError)
    assert "no finish mark" in str(error)
    assert wiped.calls == []


@every_kit
@both_ways
async def test_a_text_that_was_cut_says_so(kind: Any, streams: bool) -> None:
    """As from every other runner; but of responses, where the SDK raises an error of its own if it streams.

    Newer versions of it do so always. What was served is counted all the same.
    """
    wiped = Wiped(kind, says(kind, streams, "Once upon a", "length"))
    result = await wiped.outcome("agent", streams)
    if kind is AgentsOnResponses and (streams or isinstance(result, Exception)):
        assert "max_output_tokens" in str(result)
        assert wiped.ld.values()["tokens:total"] == 19
        return
    assert (result.content, result.success, result.is_cut) == ("Once upon a", True, True)
    assert result.metrics.finish_reason in {"length", "max_output_tokens"}
    assert wiped.ld.values()["generation:success"] == 1


@every_kit
@pytest.mark.parametrize("text", ['{"city": "Bern"}', '{"city": "Be'])
async def test_a_structured_answer_that_was_cut_is_no_success(kind: Any, text: str) -> None:
    """Even if what is there can be read."""
    wiped = Wiped(kind, says(kind, False, text, "length"))
    result = await wiped.outcome("agent", False, SCHEMA)
    if not isinstance(result, Exception):  # LangChain raises one where it cannot read the text
        assert (result.parsed, result.success) == (None, False)
        assert result.metrics.outcome is Outcome.ERROR
    assert "generation:error" in wiped.ld.names()


async def test_a_form_that_langchain_has_mended_is_no_success() -> None:
    """Models without structured answers fill in a tool's arguments, which LangChain mends if cut."""
    from langchain.agents.structured_output import ToolStrategy

    wiped = Wiped(
        LangGraphAgentKit, asks(LangGraphAgentKit, False, '{"city": "Be', "length", "structured_output")
    )
    made: Any = await wiped.ld.ai.create_agent("R", ADA, {})
    create: Callable[..., Any] = made.runner._create

    def with_a_tool(*args: Any, **options: Any) -> Any:
        return create(*args, **{**options, "response_format": ToolStrategy(options["response_format"])})

    made.runner._create = with_a_tool
    result = await made.run("Where?", SCHEMA)
    assert (result.parsed, result.success) == (None, False)
    assert "generation:error" in wiped.ld.names()


async def test_a_request_that_was_repeated_is_noted_as_well() -> None:
    """For that, the Agents SDK takes a client with other options: without retries of its own."""
    agents = pytest.importorskip("agents")
    gone = broken_connection(openai)
    wiped = Wiped(AgentsOnChat, gone, asks(AgentsOnChat, False, "{}", "length"))
    retry = agents.ModelRetrySettings(max_retries=1, policy=agents.retry_policies.network_error())
    retrying = agents.RunConfig(tracing_disabled=True, model_settings=agents.ModelSettings(retry=retry))
    client = openai_client(server=wiped.server)
    factory = OpenAIAgentsRunners(client, responses=False, run_config=retrying)
    wiped.ld = recording({"R": AGENT}, runners={"acme": factory})
    assert isinstance(await wiped.outcome("agent", False), CutShortError)
    assert len(wiped.server.requests) == 2
    assert wiped.calls == []


def test_a_client_that_has_no_other_options_stays_as_it_is() -> None:
    """Clients of the user's need no more than what makes the requests."""
    client = NotingClient(object(), Why())
    assert client.with_options(max_retries=0) is client


async def test_an_answer_without_choices_is_the_sdk_s_to_refuse() -> None:
    """There is nothing to note of it."""
    wiped = Wiped(AgentsOnChat, chat_answer("x") | {"choices": []})
    assert "no choices" in str(await wiped.outcome("agent", False))
