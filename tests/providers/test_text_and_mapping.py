"""The readers of what no provider sends: plain text, and mappings by the usual names."""

from __future__ import annotations

from collections import UserDict
from types import MappingProxyType
from typing import Any

import pytest
from folding import fold

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport, Wants
from ldtrack.core.values import Ending, TokenUsage
from ldtrack.providers import MappingReader, TextReader

TEXT = TextReader()
MAPPING = MappingReader()


class Shout(str):
    """Text of a library's own type."""

    __slots__ = ()


KINDS = ["bytes", "bytearray", "memoryview", "subclass", "text"]


@pytest.mark.parametrize("chunk", [b"Hi", bytearray(b"Hi"), memoryview(b"Hi"), Shout("HI"), " "], ids=KINDS)
def test_text_is_content(chunk: Any) -> None:
    """Whatever is in it, as long as something is."""
    assert TEXT.recognises(chunk)
    assert TEXT.read(chunk) is CONTENT


@pytest.mark.parametrize("chunk", [b"", bytearray(), memoryview(b""), Shout(), ""], ids=KINDS)
def test_empty_text_is_not_content(chunk: Any) -> None:
    """An empty chunk keeps the connection alive; nobody waits for it."""
    assert TEXT.recognises(chunk)
    assert TEXT.read(chunk) is None


@pytest.mark.parametrize("chunk", [None, 5, ["Hi"], {"text": "Hi"}])
def test_what_is_no_text(chunk: Any) -> None:
    """A reader of text knows nothing else, and survives it."""
    assert not TEXT.recognises(chunk)
    assert TEXT.read(chunk) is None


def test_text_is_looked_at_until_the_first_token_only() -> None:
    """After it there is nothing to learn, so the rest of the stream is free; and it has no finish mark."""
    assert TEXT.wants is Wants.FIRST
    folded = fold(["", "Hel", "lo"])
    assert folded.first_token == 1
    assert folded.ending is Ending.COMPLETED


@pytest.mark.parametrize(
    ("chunk", "is_content"),
    [
        *(
            pytest.param({key: "Hi"}, True, id=key)
            for key in ("content", "text", "delta", "output_text", "response", "completion", "answer")
        ),
        pytest.param({"text": ""}, False, id="empty text"),
        pytest.param({"content": None}, False, id="no content"),
        pytest.param({"content": [{"type": "text", "text": "Hi"}]}, True, id="parts"),
        pytest.param({"content": []}, False, id="no parts"),
        pytest.param({"delta": {"content": "Hi"}}, True, id="text in a delta"),
        pytest.param({"delta": {"role": "assistant"}}, False, id="role in a delta"),
        pytest.param({"message": {"content": "Hi"}, "done": False}, True, id="text in a message"),
        pytest.param({"token": {"id": 5, "text": "Hi"}, "generated_text": None}, True, id="text in a token"),
        pytest.param({"delta": {"tool_calls": [{"function": {"name": "x"}}]}}, True, id="a call in a delta"),
        pytest.param({"type": "start"}, False, id="an envelope"),
        pytest.param({"role": "assistant", "content": ""}, False, id="role only"),
        pytest.param({"usage": {"input_tokens": 1}}, False, id="usage"),
        pytest.param({}, False, id="empty"),
        pytest.param({"payload": "Hi"}, True, id="a name nobody has heard of"),
        pytest.param({"type": "token", "value": "Hi"}, True, id="such a name in an envelope"),
        pytest.param({"text": "", "payload": "Hi"}, False, id="such a name beside a usual one"),
        pytest.param(MappingProxyType({"text": "Hi"}), True, id="a view"),
        pytest.param(UserDict(text="Hi"), True, id="a user's own mapping"),
        pytest.param({1: "Hi"}, True, id="numbers for names"),
    ],
)
def test_what_counts_as_content(chunk: Any, is_content: bool) -> None:
    """Text under the usual names, here or one level down; else a payload under an unknown name."""
    assert MAPPING.recognises(chunk)
    reading = MAPPING.read(chunk)
    assert (reading is not None and reading.content) is is_content


SPOKEN = (
    *("content", "text", "delta", "output_text", "response", "completion", "generated_text", "answer"),
    *("token", "message", "refusal", "reasoning", "reasoning_content", "thinking", "tool_calls"),
)
ENVELOPE = (
    *("type", "event", "id", "object", "created", "created_at", "role", "index", "name"),
    *("usage", "usage_metadata", "status"),
)


@pytest.mark.parametrize("key", SPOKEN)
def test_the_usual_names(key: str) -> None:
    """Text counts under each of them, directly or wrapped; what is empty there does not."""
    for chunk, is_content in (
        ({key: "Hi"}, True),
        ({key: {"text": "Hi"}}, True),
        ({"type": "x", key: {"text": ""}}, False),
        ({key: ""}, False),
        ({key: None}, False),
        ({key: {}}, False),
    ):
        assert (MAPPING.read(chunk) is not None) is is_content


@pytest.mark.parametrize("key", ENVELOPE)
def test_names_of_the_envelope(key: str) -> None:
    """What only describes a chunk is not its payload."""
    assert MAPPING.read({key: "something"}) is None


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19},
        {"input_tokens": 12, "output_tokens": 7, "total_tokens": 19},
        {"input_tokens": 12, "completion_tokens": 7, "total_tokens": 19},
    ],
)
@pytest.mark.parametrize("key", ["usage", "usage_metadata"])
def test_usage_under_its_usual_names(key: str, usage: dict[str, int]) -> None:
    """Both families of names are understood, mixed if need be."""
    assert MAPPING.read({key: usage}) == Reading(usage=UsageReport(12, 7, 19))


def test_usage_that_is_none_of_that() -> None:
    """Usage of an unknown shape reports nothing."""
    assert MAPPING.read({"usage": "lots"}) is None
    assert MAPPING.read({"usage": {"tokens": 5}}) is None


@pytest.mark.parametrize(
    ("chunk", "calls"),
    [
        ({"tool_calls": [{"id": "a", "name": "search"}]}, [ToolCall("a", "search", "0.search")]),
        ({"tool_calls": [{"function": {"name": "search"}}]}, [ToolCall("0.search", "search")]),
        ({"message": {"tool_calls": [{"index": 1, "name": "search"}]}}, [ToolCall("0.1 search", "search")]),
        ({"tool_calls": ["search", None, 5, {}]}, []),
        ({"tool_calls": {"name": "search"}}, []),
    ],
)
def test_tool_calls(chunk: dict[str, Any], calls: list[ToolCall]) -> None:
    """A list of calls with names, here or one level down."""
    reading = MAPPING.read(chunk)
    assert [*(reading.tool_calls if reading is not None else ())] == calls


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        ({"finish_reason": "stop"}, "stop"),
        ({"stop_reason": "end_turn"}, "end_turn"),
        ({"done": True}, None),
        ({"delta": {"finish_reason": "stop"}}, "stop"),
    ],
)
def test_finish_marks(chunk: dict[str, Any], reason: str | None) -> None:
    """After one of these, closing the stream misses nothing; the reason is kept."""
    assert MAPPING.read(chunk) == Reading(finished=True, finish_reason=reason)


@pytest.mark.parametrize(
    "chunk",
    [
        {"finish_reason": "content_filter"},
        {"stop_reason": "refusal"},
        {"refusal": "I'm sorry"},
        {"delta": {"refusal": "I'm sorry"}},
        {"message": {"stop_reason": "refusal"}},
    ],
)
def test_refusals(chunk: dict[str, Any]) -> None:
    """Under the names that OpenAI and Anthropic use, here or one level down."""
    reading = MAPPING.read(chunk)
    assert reading is not None
    assert reading.refused
    assert not reading.failed


def test_no_refusal() -> None:
    """An empty one, as JSON has it for an ordinary answer."""
    assert MAPPING.read({"text": "Hi", "refusal": None, "finish_reason": None}) is CONTENT


def test_the_model() -> None:
    """Wherever it is named; text that names none is the shared reading."""
    assert MAPPING.read({"type": "start", "model": "m"}) == Reading(model="m")
    assert MAPPING.read({"text": "Hi", "model": "m"}) == Reading(content=True, model="m")
    assert MAPPING.read({"text": "Hi"}) is CONTENT


def test_a_stream_without_finish_mark_is_complete() -> None:
    """Nobody promised one."""
    assert fold([{"text": "Hi"}]).ending is Ending.COMPLETED


def test_an_error_is_a_failure() -> None:
    """An error where text was due."""
    assert MAPPING.read({"error": "overloaded"}) == Reading(failed=True)
    assert MAPPING.read({"error": {"message": "overloaded"}}) == Reading(failed=True)
    assert MAPPING.read({"error": None}) is None


def test_a_home_made_stream() -> None:
    """The whole of a usual stream: start, text, text, end with usage."""
    folded = fold(
        [
            {"type": "start", "model": "m"},
            {"type": "delta", "text": "Hel"},
            {"type": "delta", "text": "lo"},
            {"type": "end", "usage": {"input_tokens": 3, "output_tokens": 2}},
        ]
    )
    assert isinstance(folded.reader, MappingReader)
    assert folded.first_token == 1
    assert folded.usage == TokenUsage(5, 3, 2)
