"""Answers whose end is missing: no tool is called from them, and a structured one has failed."""

from __future__ import annotations

from typing import Any

import pytest
from fake_http import FakeServer, anthropic_client, openai_client
from ldclient import Context
from recorded import (
    CHAT_USAGE,
    chat_answer,
    chat_chunk,
    chat_stream,
    chat_tool_delta,
    message,
    message_end,
    message_stream,
    message_tool_block,
)
from runner_kits import LangChainKit

from ldtrack import LdtrackError, ManagedModel, Outcome
from ldtrack.providers.runners.anthropic import AnthropicRunners
from ldtrack.providers.runners.openai import OpenAIRunners
from ldtrack.testing import recording

ADA = Context.create("ada")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FLAG = {
    "_ldMeta": {"enabled": True},
    "provider": {"name": "acme"},
    "model": {"name": "m"},
    "tools": {"wipe": {"name": "wipe"}},
}
PARTIAL = '{"path": "/tm'
START = {"type": "message_start", "message": message(stop_reason=None)}


class Wiped:
    """A tool that is not to be called with half its arguments, over a server that says these answers."""

    def __init__(self, provider: str, *answers: Any) -> None:
        self.calls: list[Any] = []
        self.server = FakeServer(*answers)
        self.factory: Any
        if provider == "openai":
            self.factory = OpenAIRunners(openai_client(server=self.server))
        elif provider == "anthropic":
            self.factory = AnthropicRunners(anthropic_client(server=self.server))
        else:
            kit = LangChainKit([])
            kit.server = self.server
            self.factory = kit.factory

    async def model(self) -> ManagedModel:
        async def wipe(**arguments: Any) -> str:
            self.calls.append(arguments)
            return "Wiped."

        ld = recording({"chat": FLAG}, runners={"acme": self.factory})
        model = await ld.ai.create_model("chat", ADA, tools={"wipe": wipe})
        assert model is not None
        return model


def asks(arguments: str, finish_reason: str = "tool_calls") -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": "wipe", "arguments": arguments}}
    answer = chat_answer(None, tool_calls=[call])
    answer["choices"][0]["finish_reason"] = finish_reason
    return answer


def streamed(*arguments: str, finish_reason: str | None = None) -> list[Any]:
    deltas = [chat_tool_delta(0, id="c", name="wipe"), *(chat_tool_delta(0, arguments=a) for a in arguments)]
    end = [chat_chunk(finish_reason=finish_reason), chat_chunk(usage=CHAT_USAGE)] if finish_reason else []
    return [*map(chat_chunk, deltas), *end, "[DONE]"]


@pytest.mark.parametrize(
    ("provider", "answer", "why"),
    [
        ("openai", streamed(), "no finish mark"),
        ("openai", streamed("{}"), "no finish mark"),
        ("openai", streamed(finish_reason="length"), "length"),
        ("openai", streamed(finish_reason="content_filter"), "content_filter"),
        ("langchain", streamed(), "no finish mark"),
        ("langchain", streamed(PARTIAL), "no finish mark"),
        ("langchain", streamed(PARTIAL, finish_reason="length"), "length"),
        ("anthropic", [START, *message_tool_block(0, "wipe", PARTIAL), *message_end("max_tokens")], "max_t"),
        ("anthropic", [START, *message_tool_block(0, "wipe", PARTIAL)[:-1]], "no finish mark"),
        ("anthropic", [START, *message_tool_block(0, "wipe", PARTIAL)[:1]], "no finish mark"),
    ],
)
async def test_a_stream_that_was_cut_short_calls_no_tool(provider: str, answer: Any, why: str) -> None:
    """By the most tokens, by a filter, or by a connection that ends politely: the run fails and says why."""
    wiped = Wiped(provider, answer, message_stream("x") if provider == "anthropic" else chat_stream("x"))
    stream = (await wiped.model()).stream("Hi")
    with pytest.raises(LdtrackError, match=rf"cut short \({why}.*none of them was called"):
        [text async for text in stream]
    assert (wiped.calls, len(wiped.server.requests)) == ([], 1)
    assert stream.result.metrics.outcome is Outcome.ERROR


@pytest.mark.parametrize(
    ("provider", "answer", "why"),
    [
        ("openai", asks("", "length"), "length"),
        ("langchain", asks('{"path": "/tmp"}', "length"), "length"),
        (
            "anthropic",
            message({"type": "tool_use", "id": "t", "name": "wipe", "input": {}}, stop_reason="max_tokens"),
            "max_tokens",
        ),
    ],
)
async def test_an_answer_that_was_cut_short_calls_no_tool(provider: str, answer: Any, why: str) -> None:
    """What looks like whole arguments may be a part of them."""
    wiped = Wiped(provider, answer)
    with pytest.raises(LdtrackError, match=rf"cut short \({why}\)"):
        await (await wiped.model()).run("Hi")
    assert (wiped.calls, len(wiped.server.requests)) == ([], 1)


@pytest.mark.parametrize("provider", ["openai", "langchain"])
async def test_bad_arguments_of_a_whole_stream_are_told_to_the_model(provider: str) -> None:
    """It has said all that it wanted to say, and it was wrong."""
    wiped = Wiped(provider, streamed(PARTIAL, finish_reason="tool_calls"), chat_stream("Sorry."))
    assert [text async for text in (await wiped.model()).stream("Hi")] == ["Sorry."]
    assert wiped.calls == []
    assert wiped.server.requests[1]["messages"][-1]["content"] == "The arguments are not a JSON object."


@pytest.mark.parametrize("provider", ["openai", "langchain"])
async def test_bad_arguments_of_an_answer_are_told_to_the_model(provider: str) -> None:
    """LangChain sets them apart as invalid calls; they are answered like all others."""
    wiped = Wiped(provider, asks(PARTIAL), chat_answer("Sorry."))
    assert (await (await wiped.model()).run("Hi")).content == "Sorry."
    assert wiped.calls == []
    assert wiped.server.requests[1]["messages"][-1]["content"] == "The arguments are not a JSON object."


@pytest.mark.parametrize("text", ["", '{"city": "Be', '{"city": "Bern"}'])
async def test_a_structured_answer_that_was_cut_short_has_failed(text: str) -> None:
    """Even without a text, and even if what is there can be read."""
    answer = chat_answer(text)
    answer["choices"][0]["finish_reason"] = "length"
    result = await (await Wiped("openai", answer).model()).run("Where?", SCHEMA)
    assert (result.content, result.parsed, result.success) == (text, None, False)
    assert result.metrics.outcome is Outcome.ERROR


async def test_what_was_filled_in_by_half_has_failed() -> None:
    """Anthropic's tool for structured answers holds as much as there was room for."""
    fill = {"type": "tool_use", "id": "t", "name": "structured_output", "input": {}}
    wiped = Wiped("anthropic", message(fill, stop_reason="max_tokens"))
    result = await (await wiped.model()).run("Where?", SCHEMA)
    assert (result.parsed, result.success) == (None, False)


async def test_a_structured_answer_that_nests_without_end_has_failed() -> None:
    """Deeper than Python reads: no JSON, and no error of ours."""
    text = "[" * 100_000
    result = await (await Wiped("openai", chat_answer(text)).model()).run("Where?", SCHEMA)
    assert (result.content, result.parsed, result.success) == (text, None, False)


async def test_a_chunk_without_a_delta_says_nothing() -> None:
    """Azure's filter looks at a text after it was sent, and reports where it has looked."""
    report = chat_chunk({})
    report["choices"] = [{"index": 0, "finish_reason": None, "content_filter_offsets": {"start_offset": 1}}]
    first, second, *rest = chat_stream("Hel", "lo")
    stream = (await Wiped("openai", [first, second, report, *rest]).model()).stream("Hi")
    assert [text async for text in stream] == ["Hel", "lo"]
    assert stream.result.metrics.outcome is Outcome.SUCCESS


async def test_a_stream_of_anthropic_s_without_any_event() -> None:
    """The error is a sentence, and the run has failed."""
    stream = (await Wiped("anthropic", []).model()).stream("Hi")
    with pytest.raises(LdtrackError, match="without a single event"):
        [text async for text in stream]
    assert stream.result.metrics.outcome is Outcome.ERROR
