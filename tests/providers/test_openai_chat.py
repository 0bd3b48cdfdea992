"""The reader of Chat Completions, on the JSON of recorded and of odd chunks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from folding import fold
from recorded import CHAT_USAGE, chat_answer, chat_chunk, chat_stream, chat_tool_delta

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport
from ldtrack.core.values import Ending, TokenUsage
from ldtrack.providers import OpenAIChatReader

READER = OpenAIChatReader()
MODEL = "gpt-4o-2024-08-06"
"""What recorded chunks and answers name."""


class Complete(SimpleNamespace):
    """An object of an SDK that fills in ``None`` for what was not sent."""

    def __getattr__(self, name: str) -> None:
        return None


def as_object(value: Any, kind: type[SimpleNamespace] = SimpleNamespace) -> Any:
    """JSON as objects with attributes."""
    if isinstance(value, dict):
        return kind(**{key: as_object(one, kind) for key, one in value.items()})
    return [as_object(one, kind) for one in value] if isinstance(value, list) else value


@pytest.fixture(params=["json", "objects", "complete objects"])
def shaped(request: pytest.FixtureRequest) -> Any:
    """The shapes in which a chunk may come."""
    kinds = {"objects": SimpleNamespace, "complete objects": Complete}
    kind = kinds.get(request.param)
    return (lambda value: value) if kind is None else (lambda value: as_object(value, kind))


@pytest.mark.parametrize(
    ("delta", "is_content"),
    [
        pytest.param({"role": "assistant", "content": "", "refusal": None}, False, id="role only"),
        pytest.param({"role": "assistant"}, False, id="role without content"),
        pytest.param({}, False, id="empty"),
        pytest.param({"content": "Hi"}, True, id="text"),
        pytest.param({"content": " "}, True, id="white space"),
        pytest.param({"content": [{"type": "thinking", "thinking": []}]}, True, id="parts"),
        pytest.param({"content": None, "refusal": "I'm sorry"}, True, id="refusal"),
        pytest.param({"content": None, "reasoning_content": "Hm"}, True, id="reasoning_content"),
        pytest.param({"content": "", "reasoning": "Hm"}, True, id="reasoning"),
        pytest.param({"content": "", "reasoning_details": [{"text": "Hm"}]}, True, id="reasoning_details"),
        pytest.param({"content": "", "reasoning_content": ""}, False, id="no reasoning yet"),
        pytest.param({"content": None, "tool_calls": []}, False, id="no tool calls"),
        pytest.param(chat_tool_delta(0, arguments="{"), True, id="arguments of a tool call"),
        pytest.param({"function_call": {"arguments": "{"}}, True, id="arguments of a legacy call"),
        pytest.param({"function_call": {"arguments": ""}}, False, id="no arguments yet"),
        pytest.param({"audio": {"id": "audio_1", "transcript": "Hi"}}, True, id="audio transcript"),
        pytest.param({"audio": {"data": "UklG"}}, True, id="audio"),
        pytest.param({"audio": {"expires_at": 1_700_000_000}}, False, id="audio expiry"),
    ],
)
def test_what_counts_as_content(delta: dict[str, Any], is_content: bool, shaped: Any) -> None:
    """Text, refusal, reasoning, audio and tool-call deltas are content; preambles are not."""
    reading = READER.read(shaped(chat_chunk(delta)))
    assert (reading is not None and reading.content) is is_content


@pytest.mark.parametrize("delta", [{"content": "Hi"}, {"reasoning_content": "Hm"}, chat_tool_delta(0)])
def test_a_chunk_of_content_alone_costs_no_allocation(delta: dict[str, Any], shaped: Any) -> None:
    """The commonest reading is always the shared one."""
    assert READER.read(shaped(chat_chunk(delta))) is CONTENT


def test_a_chunk_that_says_nothing_reads_as_nothing(shaped: Any) -> None:
    """A role-only preamble that names no model and has no id is no reading at all."""
    assert READER.read(shaped(chat_chunk({"role": "assistant", "content": ""}, model="", id=""))) is None


def test_a_preamble_names_the_model(shaped: Any) -> None:
    """The first chunk tells which model answers, so that a stream closed early knows."""
    expected = Reading(model=MODEL, step="chatcmpl-1", begins=True)
    assert READER.read(shaped(chat_chunk({"role": "assistant", "content": ""}))) == expected


def test_usage_in_a_chunk_without_choices(shaped: Any) -> None:
    """The final chunk that OpenAI sends on request: no choices, all counts, details broken out."""
    reading = READER.read(shaped(chat_chunk(usage=CHAT_USAGE)))
    usage = UsageReport(12, 7, 19, cached_input=4, reasoning=3)
    assert reading == Reading(usage=usage, model=MODEL, step="chatcmpl-1")


def test_text_with_the_finish_reason(shaped: Any) -> None:
    """Some services end with the last text instead of after it."""
    chunk = shaped(chat_chunk({"content": "Hi"}, finish_reason="stop"))
    assert READER.read(chunk) == Reading(content=True, finished=True, finish_reason="stop", model=MODEL)


def test_text_with_usage(shaped: Any) -> None:
    """Some services report running totals with every text."""
    chunk = shaped(chat_chunk({"content": "Hi"}, usage={"completion_tokens": 1}))
    expected = Reading(content=True, usage=UsageReport(output=1), model=MODEL, step="chatcmpl-1")
    assert READER.read(chunk) == expected


def test_everything_in_one_chunk(shaped: Any) -> None:
    """Some gateways pretend to stream: text, call, usage and finish reason at once, and none gets lost."""
    delta = {"content": "Hi", **chat_tool_delta(0, id="call_1", name="search")}
    chunk = shaped(chat_chunk(delta, finish_reason="tool_calls", usage=CHAT_USAGE))
    reading = READER.read(chunk)
    assert reading == Reading(
        content=True,
        usage=UsageReport(12, 7, 19, cached_input=4, reasoning=3),
        tool_calls=(ToolCall("call_1", "search", spot="0.0 search"),),
        finished=True,
        finish_reason="tool_calls",
        model=MODEL,
        step="chatcmpl-1",
    )


@pytest.mark.parametrize(
    "beside",
    [{"tool_calls": [{"id": "c", "function": {"name": "search"}}]}, {"function_call": {"name": "search"}}],
)
def test_a_call_beside_text_is_not_overlooked(beside: dict[str, Any], shaped: Any) -> None:
    """The short way for text alone does not swallow what stands beside it."""
    reading = READER.read(shaped(chat_chunk({"content": "Hi", **beside})))
    assert reading is not None
    assert [call.name for call in reading.tool_calls] == ["search"]


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "function_call"])
def test_any_finish_reason_is_the_finish_mark(reason: str, shaped: Any) -> None:
    """A stream that gave its reason to stop was not cut off."""
    reading = READER.read(shaped(chat_chunk(finish_reason=reason)))
    refused = reason == "content_filter"
    assert reading == Reading(finished=True, finish_reason=reason, model=MODEL, refused=refused)


def test_an_error_finish_is_a_failure(shaped: Any) -> None:
    """Gateways report a provider that failed in mid-stream by this finish reason."""
    chunk = chat_chunk({"content": ""}, finish_reason="error", error={"code": 502, "message": "gone"})
    expected = Reading(finished=True, failed=True, finish_reason="error", model=MODEL)
    assert READER.read(shaped(chunk)) == expected


@pytest.mark.parametrize(
    "error", [{"message": "no"}, {"code": 503, "param": None}, {"type": "server_error"}, "overloaded"]
)
def test_an_error_instead_of_choices_is_a_failure(error: Any, shaped: Any) -> None:
    """An error where a chunk was due."""
    assert READER.read(shaped({"error": error})) == Reading(failed=True)
    assert READER.read(shaped({"error": None})) is None


def test_several_choices(shaped: Any) -> None:
    """With n > 1 every choice has its own calls, and any of them may bring the first token."""
    first = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    second = {"index": 1, "delta": chat_tool_delta(0, name="search"), "finish_reason": None}
    third = {"index": 2, "delta": chat_tool_delta(0, name="search"), "finish_reason": None}
    reading = READER.read(shaped(chat_chunk() | {"choices": [first, second, third]}))
    calls = (ToolCall("1.0 search", "search"), ToolCall("2.0 search", "search"))
    expected = Reading(content=True, tool_calls=calls, model=MODEL)
    assert reading == expected._replace(step="chatcmpl-1", begins=True)


def test_the_first_choice_says_why_it_stopped(shaped: Any) -> None:
    """Of several choices, the first one's reason stands for the answer; any of them may be refused."""
    choices = [
        {"index": at, "delta": {}, "finish_reason": why} for at, why in enumerate(["stop", "content_filter"])
    ]
    reading = READER.read(shaped(chat_chunk() | {"choices": choices}))
    assert reading == Reading(finished=True, finish_reason="stop", model=MODEL, refused=True)


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(chat_chunk({"content": None, "refusal": "I'm sorry"}), id="refusal"),
        pytest.param(chat_answer(None, refusal="I'm sorry"), id="whole refusal"),
        pytest.param(chat_chunk(finish_reason="content_filter"), id="filter"),
        pytest.param(
            chat_chunk()
            | {"choices": [{"index": 0, "content_filter_results": {"violence": {"filtered": True}}}]},
            id="Azure's verdict on the answer",
        ),
        pytest.param(
            chat_chunk(
                prompt_filter_results=[
                    {"prompt_index": 0, "content_filter_results": {"jailbreak": {"filtered": True}}}
                ]
            ),
            id="Azure's verdict on the prompt",
        ),
    ],
)
def test_refusals(chunk: dict[str, Any], shaped: Any) -> None:
    """The model declines, or a filter stops it; neither is a failure."""
    reading = READER.read(shaped(chunk))
    assert reading is not None
    assert reading.refused
    assert not reading.failed


@pytest.mark.parametrize(
    "found",
    [{}, None, "odd", {"hate": {"filtered": False, "severity": "safe"}}, {"hate": {"filtered": "yes"}}],
    ids=["nothing", "null", "odd", "harmless", "no verdict"],
)
def test_what_a_filter_lets_pass_is_no_refusal(found: Any, shaped: Any) -> None:
    """Azure annotates every chunk with what it found."""
    choice = {"index": 0, "delta": {"role": "assistant"}, "content_filter_results": found}
    expected = Reading(model=MODEL, step="chatcmpl-1", begins=True)
    assert READER.read(shaped(chat_chunk() | {"choices": [choice]})) == expected


def test_choices_that_come_one_by_one(shaped: Any) -> None:
    """With n > 1 a chunk usually has one choice, and its index says which."""
    delta = chat_tool_delta(0, name="search")
    assert fold(shaped(chat_chunk(delta, index=at)) for at in (0, 1, 1)).tools == ["search", "search"]


TOOL_STREAMS = {
    "as OpenAI sends them": (
        [
            chat_tool_delta(0, id="call_a", name="weather"),
            chat_tool_delta(0, arguments='{"city":'),
            chat_tool_delta(0, arguments='"Bern"}'),
            chat_tool_delta(1, id="call_b", name="weather"),
            chat_tool_delta(1, arguments="{}"),
            chat_tool_delta(2, id="call_c", name="search", arguments="{}"),
        ],
        ["weather", "weather", "search"],
    ),
    "id and name repeated": (
        [
            chat_tool_delta(0, id="call_a", name="weather"),
            chat_tool_delta(0, id="call_a", name="weather", arguments="{}"),
            chat_tool_delta(1, id="call_b", name="weather", arguments="{}"),
        ],
        ["weather", "weather"],
    ),
    "the same call at several indexes": (
        [chat_tool_delta(0, id="call_a", name="weather"), chat_tool_delta(1, id="call_a", name="weather")],
        ["weather"],
    ),
    "all at index 0": (
        [
            chat_tool_delta(0, id="call_a", name="weather", arguments="{}"),
            chat_tool_delta(0, id="call_b", name="weather", arguments="{}"),
        ],
        ["weather", "weather"],
    ),
    "names repeated, without ids": (
        [
            chat_tool_delta(0, name="weather"),
            chat_tool_delta(0, name="weather"),
            chat_tool_delta(1, name="x"),
        ],
        ["weather", "x"],
    ),
    "empty ids and names": (
        [chat_tool_delta(0, id="call_a", name="weather"), chat_tool_delta(0, id="", name="", arguments="{}")],
        ["weather"],
    ),
    "a new id with every delta, the name once": (
        [chat_tool_delta(0, id="call_a", name="weather"), chat_tool_delta(0, id="call_b", arguments="{}")],
        ["weather"],
    ),
    "neither id nor index": (
        [
            {"tool_calls": [{"function": {"name": "weather"}}]},
            {"tool_calls": [{"function": {"name": "search"}}]},
            {"tool_calls": [{"function": {"name": "search"}}]},
        ],
        ["weather", "search"],
    ),
    "legacy": (
        [{"function_call": {"name": "weather", "arguments": ""}}, {"function_call": {"arguments": "{}"}}],
        ["weather"],
    ),
    "custom tools": (
        [{"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": {"name": "sql", "input": ""}}]}],
        ["sql"],
    ),
}


@pytest.mark.parametrize(("deltas", "tools"), TOOL_STREAMS.values(), ids=TOOL_STREAMS.keys())
def test_tool_calls_from_deltas(deltas: list[dict[str, Any]], tools: list[str], shaped: Any) -> None:
    """Each call counts once, by whatever the provider lets us tell calls apart."""
    folded = fold(shaped(chat_chunk(delta)) for delta in deltas)
    assert folded.tools == tools
    assert folded.first_token == 0


def test_a_whole_stream(shaped: Any) -> None:
    """Role, text, finish, usage: the second chunk is the first token, and the stream is complete."""
    folded = fold(shaped(chunk) for chunk in chat_stream("Hel", "lo")[:-1])
    assert folded.first_token == 1
    assert folded.usage == TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
    assert folded.ending is Ending.COMPLETED


def test_usage_that_was_not_asked_for(shaped: Any) -> None:
    """No usage is invented, and the reader knows how to get it."""
    folded = fold(shaped(chunk) for chunk in chat_stream("Hello", usage=None)[:-1])
    assert folded.usage is None
    assert 'stream_options={"include_usage": True}' in READER.usage_hint


def test_a_stream_cut_before_its_finish_reason(shaped: Any) -> None:
    """Without the finish mark the stream was truncated."""
    assert fold(shaped(chunk) for chunk in chat_stream("Hel", "lo")[:3]).ending is Ending.TRUNCATED


def test_azure_opens_with_the_verdict_on_the_prompt() -> None:
    """Azure's first chunk is nameless and has no choices, and the content filter's have no delta."""
    opening = {
        "id": "",
        "object": "",
        "created": 0,
        "model": "",
        "choices": [],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
    }
    verdict = {"index": 0, "finish_reason": None, "content_filter_offsets": {"start_offset": 1}}
    folded = fold([opening, chat_chunk({"content": "Hi"}), chat_chunk() | {"choices": [verdict]}])
    assert isinstance(folded.reader, OpenAIChatReader)
    assert folded.first_token == 1


@pytest.mark.parametrize(
    ("beside", "tools"),
    [
        pytest.param({}, [], id="text"),
        pytest.param(
            {
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                    {"id": "b", "type": "custom", "custom": {"name": "sql", "input": ""}},
                    {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                ]
            },
            ["weather", "sql", "weather"],
            id="tool calls",
        ),
        pytest.param({"function_call": {"name": "weather", "arguments": "{}"}}, ["weather"], id="legacy"),
    ],
)
def test_a_whole_answer(beside: dict[str, Any], tools: list[str], shaped: Any) -> None:
    """An answer that did not stream is read by the same reader."""
    folded = fold([shaped(chat_answer("Hello", **beside))])
    assert isinstance(folded.reader, OpenAIChatReader)
    assert folded.tools == tools
    assert folded.usage == TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
    assert folded.meter.finished


def test_legacy_completions() -> None:
    """The completions before chat have text where the others have messages."""
    chunk = {"object": "text_completion", "choices": [{"index": 0, "text": "Hi", "finish_reason": None}]}
    last = {"object": "text_completion", "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
    folded = fold([chunk, last])
    assert (folded.first_token, folded.ending) == (0, Ending.COMPLETED)


@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens", "total_tokens"])
@pytest.mark.parametrize("odd", [None, -1, 1.0, "12", True, [12]])
def test_counts_that_are_no_counts(field: str, odd: Any) -> None:
    """A count that is not a whole number from 0 upwards is as if it had not been sent."""
    usage = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19, field: odd}
    reading = READER.read(chat_chunk(usage=usage))
    assert reading is not None
    assert reading.usage is not None
    names = {"prompt_tokens": "input", "completion_tokens": "output", "total_tokens": "total"}
    assert getattr(reading.usage, names[field]) is None
    assert sum(count is None for count in reading.usage[:3]) == 1


def test_usage_without_counts_is_no_usage() -> None:
    """An empty usage object reports nothing, not zero."""
    assert READER.read(chat_chunk(usage={"cost": 0.1})) == Reading(model=MODEL)


def test_cached_tokens_under_their_other_name() -> None:
    """DeepSeek breaks cached tokens out without a details object."""
    usage = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19, "prompt_cache_hit_tokens": 8}
    expected = Reading(usage=UsageReport(12, 7, 19, cached_input=8), model=MODEL, step="chatcmpl-1")
    assert READER.read(chat_chunk(usage=usage)) == expected


def test_two_answers_in_one_stream() -> None:
    """A home-made agent hands on the chunks of several calls: each has its id, and its usage counts."""
    usages = ({"prompt_tokens": 10, "completion_tokens": 5}, {"prompt_tokens": 20, "completion_tokens": 7})
    chunks = [
        chunk
        for id_, usage in zip(("c1", "c2"), usages, strict=True)
        for chunk in (
            chat_chunk({"content": "Hi"}, id=id_),
            chat_chunk(usage={"prompt_tokens": 9}, id=id_),
            chat_chunk(finish_reason="stop", usage=usage, id=id_),
        )
    ]
    assert fold(chunks).usage == TokenUsage(42, 30, 12)


@pytest.mark.parametrize("id_", ["", None], ids=["empty", "none"])
def test_usage_in_chunks_without_an_id(id_: str | None) -> None:
    """Without ids it is one answer, whose counts are running totals."""
    chunks = [chat_chunk({"content": "Hi"}, usage={"completion_tokens": at}, id=id_) for at in (1, 2)]
    assert fold(chunks).usage == TokenUsage(2, 0, 2)


def test_a_total_of_nothing_beside_counts() -> None:
    """Some services fill it in with zero: it is the sum of what they counted."""
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 0}
    assert fold([chat_chunk(usage=usage)]).usage == TokenUsage(12, 5, 7)


def call_of(name: str, **beside: Any) -> dict[str, Any]:
    """One entry of ``tool_calls``."""
    return {"type": "function", "function": {"name": name, "arguments": "{}"}, **beside}


@pytest.mark.parametrize(
    "beside", [{}, {"id": ""}, {"id": "", "index": 0}], ids=["bare", "empty id", "index 0"]
)
def test_two_calls_of_one_tool_in_one_list(beside: dict[str, Any]) -> None:
    """Nothing tells them apart but that there are two."""
    calls = [call_of("search", **beside), call_of("look"), call_of("search", **beside)]
    assert fold([chat_chunk({"tool_calls": calls})]).tools == ["search", "look", "search"]
    assert fold([chat_answer(None, tool_calls=calls)]).tools == ["search", "look", "search"]


def test_two_tools_at_one_index_without_an_id() -> None:
    """One after the other, by a service that does not count the index up."""
    deltas = [{"tool_calls": [call_of(name, id="", index=0)]} for name in ("search", "look", "look")]
    assert fold([chat_chunk(delta) for delta in deltas]).tools == ["search", "look"]
