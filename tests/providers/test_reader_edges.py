"""What no provider sends in one stream, but those who imitate or forward it do: each edge by its name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from folding import fold
from recorded import (
    CHAT_USAGE,
    RESPONSE_USAGE,
    chat_answer,
    chat_chunk,
    chat_stream,
    chat_tool_delta,
    message,
    message_end,
    message_stream,
    message_text_block,
    response,
    response_delta,
    response_event,
    response_stream,
)
from recorded_models import (
    bedrock_delta,
    bedrock_end,
    gemini_chunk,
    gemini_stream,
    mistral_call,
    mistral_chunk,
)

from ldtrack.core.meter import Meter
from ldtrack.core.values import Ending, TokenUsage
from ldtrack.providers import LangChainReader, MistralReader, OpenAIAgentsReader

JSON = dict[str, Any]


# A total that somebody filled in


def test_a_total_of_nothing_from_gemini() -> None:
    """Beside counts it is no total, but their sum."""
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 4, "totalTokenCount": 0}
    assert fold([gemini_chunk({"text": "Hi"}, reason="STOP", usage=usage)]).usage == TokenUsage(14, 10, 4)


def test_a_total_of_nothing_from_bedrock() -> None:
    """What a cache had a part in belongs to the sum."""
    usage = {"inputTokens": 5, "outputTokens": 7, "totalTokens": 0, "cacheReadInputTokens": 4}
    folded = fold([bedrock_delta(text="Hi"), *bedrock_end(usage=usage)])
    assert folded.usage == TokenUsage(16, 9, 7, cached_input=4)


def test_a_total_of_nothing_after_one_of_something() -> None:
    """The earlier total is no longer true when the counts beside it have grown."""
    usages = [
        {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9},
        {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 0},
    ]
    assert fold([chat_chunk({"content": "Hi"}, usage=usage) for usage in usages]).usage == TokenUsage(
        14, 9, 5
    )


# A tool call whose name is repeated


def call(name: str, **beside: Any) -> JSON:
    """One entry of ``tool_calls``."""
    return {"function": {"name": name, "arguments": "{}"}, **beside}


REPEATED: dict[str, tuple[list[list[JSON]], list[str]]] = {
    "the id in the first delta only": (
        [[call("search", index=0, id="a")], [call("search", index=0)], [call("search", index=0, id="")]],
        ["search"],
    ),
    "the id in the first delta only, of two calls side by side": (
        [
            [call("search", index=0, id="a"), call("search", index=1, id="b")],
            [call("search", index=0)],
            [call("search", index=1)],
        ],
        ["search", "search"],
    ),
    "the id in the first delta only, of two calls one after the other at one index": (
        [
            [call("search", index=0, id="a")],
            [call("search", index=0)],
            [call("search", index=0, id="b")],
            [call("search", index=0)],
        ],
        ["search", "search"],
    ),
    "the id in the first delta only, without an index": (
        [[call("search", id="a")], [call("search")], [call("look", id="b")], [call("look")]],
        ["search", "look"],
    ),
    "the id in the first delta only, two in a list without an index": (
        [[call("search", id="a"), call("search", id="b")], [call("search"), call("search")]],
        ["search", "search"],
    ),
    "no id ever": (
        [[call("search", index=0)], [call("search", index=0)], [call("search", index=1)]],
        ["search", "search"],
    ),
    "no id ever, two in a list": (
        [[call("search"), call("search")], [call("search"), call("search")]],
        ["search", "search"],
    ),
    "different ids without an index": ([[call("search", id="a")], [call("search", id="b")]], ["search"] * 2),
    "different ids at index 0": (
        [[call("search", index=0, id="a")], [call("search", index=0, id="b")]],
        ["search", "search"],
    ),
    "an id for one of two tools": (
        [[call("search", index=0, id="a")], [call("look", index=0)], [call("search", index=0)]],
        ["search", "look"],
    ),
}


@pytest.mark.parametrize(("deltas", "tools"), REPEATED.values(), ids=REPEATED.keys())
def test_a_name_that_is_repeated(deltas: list[list[JSON]], tools: list[str]) -> None:
    """By services that speak OpenAI's dialect: a name that comes again is no further call."""
    assert fold([chat_chunk({"tool_calls": calls}) for calls in deltas]).tools == tools


def test_a_name_that_is_repeated_in_another_choice() -> None:
    """Each choice has its own calls."""
    deltas = [(0, "a"), (1, "b"), (0, None), (1, None)]
    chunks = [chat_chunk(chat_tool_delta(0, id=id_, name="search"), index=at) for at, id_ in deltas]
    assert fold(chunks).tools == ["search", "search"]


def test_a_name_that_is_repeated_behind_mistral_s_sdk() -> None:
    """Where the SDK calls every missing id the same."""
    calls = [mistral_call("search", id=id_, index=0) for id_ in ("a", "null", "b", "null")]
    meter = Meter()
    for one in calls:
        reading = MistralReader().read({"data": mistral_chunk({"tool_calls": [one]})})
        assert reading is not None
        meter.note(reading)
    assert meter.tool_calls == {"a": "search", "b": "search"}


def test_a_name_that_is_repeated_behind_langchain() -> None:
    """The parts of a call go by its index."""
    meter = Meter()
    for at, id_ in ((0, "a"), (1, "b"), (0, None), (1, None)):
        part = {"name": "search", "id": id_, "index": at, "args": ""}
        reading = LangChainReader().read(LangChainChunk(content="", tool_call_chunks=[part]))
        assert reading is not None
        meter.note(reading)
    assert meter.tool_calls == {"a": "search", "b": "search"}


class LangChainChunk(SimpleNamespace):
    """A chunk that says it is LangChain's."""

    __module__ = "langchain_core.messages.ai"
    type = "AIMessageChunk"


def test_a_whole_answer_after_its_deltas_names_no_further_call() -> None:
    """A gateway that repeats the whole at the end."""
    deltas = [chat_chunk({"tool_calls": [call("search", index=at, id=f"c{at}")]}) for at in (0, 1)]
    whole = chat_answer(None, tool_calls=[call("search", id="c0"), call("search", id="c1")])
    assert fold([*deltas, whole]).tools == ["search", "search"]


# Several answers in one stream


def begun(id_: str | None) -> JSON:
    """The event that begins a message."""
    return {"type": "message_start", "message": message(stop_reason=None) | {"id": id_}}


def of_message(id_: str | None) -> list[JSON]:
    """A whole stream of one message."""
    return [begun(id_), *message_stream("Hi")[1:]]


def test_a_second_message_in_one_stream_adds_its_usage() -> None:
    """Only its first event has an id: what follows is about the last one begun."""
    folded = fold([*of_message("a"), *of_message("b")])
    assert folded.usage == TokenUsage(38, 24, 14, cached_input=8)
    assert folded.ending is Ending.COMPLETED


@pytest.mark.parametrize("id_", ["a", None], ids=["one id", "no ids"])
def test_a_message_that_begins_twice_is_one(id_: str | None) -> None:
    """By one id, or by none, nothing says that it is another."""
    assert fold([*of_message(id_), *of_message(id_)]).usage == TokenUsage(19, 12, 7, cached_input=4)


def test_a_second_message_that_is_cut_off() -> None:
    """The end of the first one is not its end."""
    assert fold([*of_message("a"), *of_message("b")[:-2]]).ending is Ending.TRUNCATED


PARTIAL: dict[str, JSON] = {
    "bare": {"type": "message_start"},
    "no message": {"type": "message_start", "message": None},
    "an empty message": {"type": "message_start", "message": {}},
    "no id": begun(None),
    "no usage": {"type": "message_start", "message": {"id": "b", "role": "assistant"}},
    "an odd id": {"type": "message_start", "message": {"id": 7}},
}


@pytest.mark.parametrize("start", PARTIAL.values(), ids=PARTIAL.keys())
@pytest.mark.parametrize("before", [[], of_message("a")], ids=["alone", "second"])
@pytest.mark.parametrize(
    "end", [message_end()[:1], message_end()[1:], message_end()], ids=["stop reason", "stop", "both"]
)
def test_a_message_that_begins_with_little(start: JSON, before: list[JSON], end: list[JSON]) -> None:
    """Home-made: whatever is missing at its beginning, its end is one."""
    folded = fold([*before, start, *message_text_block(0, "Hi"), *end])
    assert folded.ending is Ending.COMPLETED


def test_whole_messages_in_one_stream() -> None:
    """An agent that hands on its answers whole."""
    messages = [message({"type": "text", "text": "Hi"}, output_tokens=7) | {"id": id_} for id_ in ("a", "b")]
    assert fold(messages).usage == TokenUsage(38, 24, 14, cached_input=8)


def of_response(id_: str, *, as_agent: bool = False) -> list[JSON]:
    """A whole stream of one response, by itself or as the Agents SDK hands it on."""
    events = response_stream("Hi")
    for event in events:
        if "response" in event:
            event["response"]["id"] = id_
    return [{"type": "raw_response_event", "data": event} for event in events] if as_agent else events


def test_a_second_response_in_one_stream_adds_its_usage() -> None:
    """Each has its id where it begins and where it ends."""
    folded = fold([*of_response("a"), *of_response("b")])
    assert folded.usage == TokenUsage(38, 24, 14, cached_input=8, reasoning=6)
    assert folded.ending is Ending.COMPLETED


def test_a_second_response_that_is_cut_off() -> None:
    """The end of the first one is not its end."""
    assert fold([*of_response("a"), *of_response("b")[:-1]]).ending is Ending.TRUNCATED


def test_a_response_without_an_id_that_ends() -> None:
    """Home-made, after a whole one: it ends all the same."""
    begins = response_event("created", response=None)
    ends = response_event("completed", response={"usage": RESPONSE_USAGE})
    folded = fold([*of_response("a"), begins, response_delta("output_text", "Hi"), ends])
    assert folded.ending is Ending.COMPLETED


def test_an_agent_that_is_left_in_its_second_step() -> None:
    """Its first answer was whole, the second one is not."""
    folded = fold([*of_response("a", as_agent=True), *of_response("b", as_agent=True)[:-1]])
    assert isinstance(folded.reader, OpenAIAgentsReader)
    assert folded.meter.ending_when_closed() is Ending.CLOSED_EARLY
    assert fold(of_response("a", as_agent=True)).meter.ending_when_closed() is Ending.COMPLETED


def test_a_second_answer_of_gemini_s_that_is_cut_off() -> None:
    """Automatic function calling makes several calls in one stream."""
    second = [chunk | {"responseId": "resp-2"} for chunk in gemini_stream("Hi", "there")]
    assert fold([*gemini_stream("Hi"), *second]).ending is Ending.COMPLETED
    assert fold([*gemini_stream("Hi"), *second[:-1]]).ending is Ending.TRUNCATED


def test_a_response_is_a_response_by_any_id() -> None:
    """Negative control: without their ids two responses are one, whose counts are running totals."""
    events = [*of_response("a"), *of_response("a")]
    assert fold(events).usage == TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
    assert response()["id"] == "resp_1"


def of_completion(id_: str | None, *, usage: JSON | None = None) -> list[JSON]:
    """A whole stream of one chat completion."""
    return [chunk | {"id": id_} for chunk in chat_stream("Hi", usage=usage) if isinstance(chunk, dict)]


@pytest.mark.parametrize("usage", [None, CHAT_USAGE], ids=["no usage", "usage"])
def test_a_second_completion_that_is_cut_off(usage: JSON | None) -> None:
    """The finish reason of the first one is not its own."""
    first, second = of_completion("a", usage=usage), of_completion("b", usage=usage)
    assert fold([*first, *second]).ending is Ending.COMPLETED
    assert fold([*first, *second[:2]]).ending is Ending.TRUNCATED


@pytest.mark.parametrize("id_", ["a", "", None], ids=["one id", "an empty id", "no id"])
def test_a_completion_that_says_again_whose_turn_it_is(id_: str | None) -> None:
    """After its finish reason, with its usage, or by no id that is another: it stays complete."""
    again = chat_chunk({"role": "assistant", "content": ""}, usage=CHAT_USAGE, id=id_)
    assert fold([*of_completion(id_), again]).ending is Ending.COMPLETED
    assert fold([*of_completion("a"), again | {"id": "b"}]).ending is Ending.COMPLETED
    assert fold([*of_completion(id_), again | {"usage": None}]).ending is Ending.COMPLETED
