"""The reader of Messages, on the JSON of recorded and of odd events."""

from __future__ import annotations

from typing import Any

import pytest
from folding import fold
from recorded import (
    MESSAGE_USAGE,
    message,
    message_end,
    message_stream,
    message_text_block,
    message_tool_block,
)

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport
from ldtrack.core.values import Ending, TokenUsage
from ldtrack.providers import AnthropicReader

READER = AnthropicReader()
MODEL = "claude-sonnet-4-20250514"
"""What recorded messages name."""
START = {"type": "message_start", "message": message(stop_reason=None)}


def block_delta(**delta: Any) -> dict[str, Any]:
    """The event that adds to a block."""
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def block_start(**block: Any) -> dict[str, Any]:
    """The event that begins a block."""
    return {"type": "content_block_start", "index": 1, "content_block": block}


@pytest.mark.parametrize(
    ("event", "is_content"),
    [
        pytest.param(block_delta(type="text_delta", text="Hi"), True, id="text"),
        pytest.param(block_delta(type="text_delta", text=""), False, id="no text"),
        pytest.param(block_delta(type="thinking_delta", thinking="Hm"), True, id="thinking"),
        pytest.param(block_delta(type="input_json_delta", partial_json='{"'), True, id="tool input"),
        pytest.param(block_delta(type="input_json_delta", partial_json=""), False, id="no tool input yet"),
        pytest.param(block_delta(type="signature_delta", signature="EqQB"), False, id="signature"),
        pytest.param(block_delta(type="citations_delta", citation={"cited_text": "x"}), False, id="citation"),
        pytest.param(block_delta(type="something_new", text="x"), False, id="unknown delta"),
        pytest.param(block_start(type="text", text=""), False, id="text begins"),
        pytest.param(block_start(type="text", text="Hi"), True, id="text begins with text"),
        pytest.param(block_start(type="thinking", thinking="", signature=""), False, id="thinking begins"),
        pytest.param(block_start(type="thinking", thinking="Hm"), True, id="thinking begins with thought"),
        pytest.param(block_start(type="redacted_thinking", data="EmwK"), True, id="redacted thinking"),
        pytest.param(block_start(type="web_search_tool_result", content=[]), False, id="a tool's result"),
        pytest.param(START, False, id="message begins"),
        pytest.param({"type": "content_block_stop", "index": 0}, False, id="block ends"),
        pytest.param({"type": "ping"}, False, id="ping"),
        pytest.param({"type": "something_new", "text": "x"}, False, id="unknown event"),
    ],
)
def test_what_counts_as_content(event: dict[str, Any], is_content: bool) -> None:
    """Text, thinking and tool input are content; preambles, signatures and pings are not."""
    reading = READER.read(event)
    assert (reading is not None and reading.content) is is_content


@pytest.mark.parametrize(
    "delta",
    [
        {"type": "text_delta", "text": "Hi"},
        {"type": "thinking_delta", "thinking": "Hm"},
        {"type": "input_json_delta", "partial_json": "{"},
    ],
    ids=lambda delta: delta["type"],
)
def test_a_delta_costs_no_allocation(delta: dict[str, Any]) -> None:
    """The commonest reading is always the shared one."""
    assert READER.read(block_delta(**delta)) is CONTENT


@pytest.mark.parametrize("kind", ["tool_use", "server_tool_use", "mcp_tool_use"])
def test_a_tool_is_named_where_its_block_begins(kind: str) -> None:
    """The user's tools, the server's and those behind MCP; and it is the first sign of them."""
    event = block_start(type=kind, id="toolu_1", name="web_search", input={})
    assert READER.read(event) == Reading(content=True, tool_calls=(ToolCall("toolu_1", "web_search"),))


@pytest.mark.parametrize("kind", ["mcp_tool_result", "tool", None])
def test_a_block_with_a_name_that_is_no_call(kind: str | None) -> None:
    """Only the use of a tool is a call."""
    assert READER.read(block_start(type=kind, id="x", name="web_search")) is None


def test_two_nameless_or_idless_tools() -> None:
    """Without an id the place in the message tells calls apart; without a name there is no call."""
    folded = fold(
        [
            START,
            *({**block_start(type="tool_use", name="search"), "index": at} for at in (0, 1)),
            block_start(type="tool_use", id="toolu_3"),
        ]
    )
    assert folded.tools == ["search", "search"]


def test_input_is_everything_that_was_billed_as_input() -> None:
    """Tokens read afresh, written to the cache and read from it are three counts of one input."""
    report = UsageReport(output=1, cached_input=4, fresh_input=5, written_input=3)
    assert READER.read(START) == Reading(usage=report, model=MODEL, step="msg_1", begins=True)
    assert report.usage().input == 12


@pytest.mark.parametrize("key", ["cache_creation_input_tokens", "cache_read_input_tokens"])
@pytest.mark.parametrize("odd", [None, -4, "4", 4.0])
def test_without_a_cache(key: str, odd: Any) -> None:
    """Cache counts that are missing or no counts add nothing."""
    reading = READER.read({"type": "message_start", "message": {"usage": {"input_tokens": 5, key: odd}}})
    assert reading is not None
    assert reading.usage is not None
    assert reading.usage.usage() == TokenUsage(5, 5, 0)


@pytest.mark.parametrize(
    ("usage", "total"),
    [
        pytest.param({}, TokenUsage(19, 12, 7, cached_input=4), id="output alone"),
        pytest.param(
            {
                "input_tokens": 10,
                "cache_creation_input_tokens": 3,
                "cache_read_input_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 2},
            },
            TokenUsage(27, 20, 7, cached_input=7, reasoning=2),
            id="everything anew",
        ),
        pytest.param({"input_tokens": 0}, TokenUsage(19, 12, 7, cached_input=4), id="input left at zero"),
        pytest.param(
            {"input_tokens": 5}, TokenUsage(19, 12, 7, cached_input=4), id="input without its cache"
        ),
        pytest.param({"input_tokens": 6}, TokenUsage(20, 13, 7, cached_input=4), id="more without its cache"),
        pytest.param(
            {"input_tokens": 5, "cache_creation_input_tokens": None, "cache_read_input_tokens": None},
            TokenUsage(19, 12, 7, cached_input=4),
            id="nulls for the cache",
        ),
        pytest.param(
            {"cache_read_input_tokens": 9}, TokenUsage(24, 17, 7, cached_input=9), id="nothing but the cache"
        ),
        pytest.param(
            {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
            TokenUsage(19, 12, 7, cached_input=4),
            id="everything left at zero",
        ),
        pytest.param(
            {"input_tokens": 0, "cache_read_input_tokens": 12},
            TokenUsage(22, 15, 7, cached_input=12),
            id="all from the cache",
        ),
        pytest.param({"input_tokens": None}, TokenUsage(19, 12, 7, cached_input=4), id="input left out"),
    ],
)
def test_the_final_usage_is_a_running_total(usage: dict[str, Any], total: TokenUsage) -> None:
    """Later counts replace earlier ones; what a later report leaves out keeps its value."""
    folded = fold([START, *message_text_block(0, "Hi"), *message_end(**usage)])
    assert folded.usage == total


def test_input_that_is_known_only_at_the_end() -> None:
    """Services that imitate Anthropic start with zero and report the input at the end."""
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 0, "output_tokens": 0}}}
    assert fold([start, *message_end(input_tokens=12)]).usage == TokenUsage(19, 12, 7)


def test_a_whole_stream() -> None:
    """The first text delta is the first token, usage is complete, and so is the stream."""
    folded = fold(message_stream("Hel", "lo"))
    assert folded.first_token == 3
    assert folded.usage == TokenUsage(19, 12, 7, cached_input=4)
    assert folded.ending is Ending.COMPLETED


def test_a_stream_with_tools() -> None:
    """Tools are listed in order, once each, though their input comes in pieces."""
    folded = fold(
        [
            START,
            *message_tool_block(0, "web_search", "", '{"query"', ': "x"}', kind="server_tool_use"),
            *message_text_block(1, "Let me see."),
            *message_tool_block(2, "weather", '{"city": "Bern"}'),
            *message_tool_block(3, "weather", '{"city": "Basel"}'),
            *message_end("tool_use"),
        ]
    )
    assert folded.tools == ["web_search", "weather", "weather"]
    assert folded.first_token == 1


@pytest.mark.parametrize(
    ("kept", "ending"),
    [
        pytest.param(-2, Ending.TRUNCATED, id="before the stop reason"),
        pytest.param(-1, Ending.COMPLETED, id="between the stop reason and the end"),
        pytest.param(None, Ending.COMPLETED, id="whole"),
    ],
)
def test_a_stream_that_is_cut(kept: int | None, ending: Ending) -> None:
    """With the stop reason and the final usage nothing is missing any more."""
    assert fold(message_stream("Hello")[:kept]).ending is ending


def test_the_end_alone_is_a_finish_mark() -> None:
    """Also where the stop reason was left out."""
    assert READER.read({"type": "message_stop"}) == Reading(finished=True)


def test_an_error_event_is_a_failure() -> None:
    """Overloaded in mid-stream: the event is read as failure, and known as Anthropic's."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert fold([*message_stream("Hel")[:4], error]).ending is Ending.FAILED
    assert isinstance(fold([error]).reader, AnthropicReader)


DERIVED = [
    {"type": "text", "text": "Hi", "snapshot": "Hi"},
    {"type": "thinking", "thinking": "Hm", "snapshot": "Hm"},
    {"type": "input_json", "partial_json": "{", "snapshot": {}},
    {"type": "citation", "citation": {}, "snapshot": []},
    {"type": "signature", "signature": "EqQB"},
    {
        "type": "content_block_stop",
        "index": 0,
        "content_block": {"type": "tool_use", "id": "toolu_0", "name": "weather", "input": {}},
    },
]


@pytest.mark.parametrize("event", DERIVED, ids=lambda event: event["type"])
def test_derived_events_say_nothing_new(event: dict[str, Any]) -> None:
    """The stream helper's own events repeat raw ones, which are read."""
    assert READER.read(event) is None


def test_a_stop_event_with_the_message_is_only_a_stop() -> None:
    """The helper puts the whole message into its last event; its usage and calls are known by then."""
    block = {"type": "tool_use", "id": "other", "name": "weather", "input": {}}
    assert READER.read({"type": "message_stop", "message": message(block)}) == Reading(finished=True)


@pytest.mark.parametrize("reason", ["end_turn", "max_tokens", "tool_use", "pause_turn", "refusal"])
def test_why_it_stopped(reason: str) -> None:
    """In a stream and in a whole message; declining is a reason to stop, and no failure."""
    for folded in (fold([START, *message_end(reason)]), fold([message(stop_reason=reason)])):
        assert (folded.meter.finish_reason, folded.meter.model) == (reason, MODEL)
        assert folded.meter.refused is (reason == "refusal")
        assert folded.ending is Ending.COMPLETED


def test_a_whole_message() -> None:
    """A message that did not stream is read by the same reader."""
    blocks = [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
    ]
    folded = fold([message(*blocks, stop_reason="tool_use", output_tokens=7)])
    assert isinstance(folded.reader, AnthropicReader)
    assert folded.tools == ["weather", "web_search"]
    assert folded.usage == TokenUsage(19, 12, 7, cached_input=4)
    assert folded.meter.finished


@pytest.mark.parametrize(("blocks", "is_content"), [([{"type": "text", "text": "Hi"}], True), ([], False)])
def test_an_empty_message(blocks: list[Any], is_content: bool) -> None:
    """A message without blocks carries nothing but its usage."""
    reading = READER.read(message(*blocks))
    assert reading is not None
    assert reading.content is is_content


@pytest.mark.parametrize("usage", [None, {}, {"service_tier": "standard"}, {"input_tokens": None}, "odd", 7])
def test_usage_without_counts_is_no_usage(usage: Any) -> None:
    """An empty usage object reports nothing, not zero."""
    assert READER.read({"type": "message_start", "message": {"usage": usage}}) is None
    assert READER.read({"type": "message_delta", "delta": {}, "usage": usage}) is None


def test_the_recorded_usage_is_what_these_tests_reckon_with() -> None:
    """Five afresh, three into the cache, four out of it."""
    assert [MESSAGE_USAGE[key] for key in MESSAGE_USAGE if "input" in key] == [5, 3, 4]
