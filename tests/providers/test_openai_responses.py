"""The reader of Responses, on the JSON of recorded and of odd events."""

from __future__ import annotations

from typing import Any

import pytest
from folding import fold
from recorded import (
    RESPONSE_USAGE,
    response,
    response_delta,
    response_event,
    response_function_item,
    response_stream,
    response_text_item,
)

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport
from ldtrack.core.values import Ending, TokenUsage
from ldtrack.providers import OpenAIResponsesReader

READER = OpenAIResponsesReader()
MODEL = "gpt-4o-2024-08-06"
"""What recorded responses name."""
USAGE = UsageReport(12, 7, 19, cached_input=4, reasoning=3)


@pytest.mark.parametrize(
    "kind",
    [
        "output_text",
        "reasoning_text",
        "reasoning_summary_text",
        "function_call_arguments",
        "custom_tool_call_input",
        "mcp_call_arguments",
        "code_interpreter_call_code",
        "audio.transcript",
        "something_new",
    ],
)
def test_deltas_are_content(kind: str) -> None:
    """Whatever the response adds to, a delta is what the user waits for; an empty one is not."""
    assert READER.read(response_delta(kind, "x")) is CONTENT
    assert READER.read(response_delta(kind, "")) is None


def test_a_refusal_in_a_stream() -> None:
    """Its text is what the user waits for; the event that ends it repeats it."""
    assert READER.read(response_delta("refusal", "I'm")) == Reading(content=True, refused=True)
    assert READER.read(response_delta("refusal", "")) == Reading(refused=True)
    assert READER.read(response_event("refusal.done", refusal="I'm sorry")) == Reading(refused=True)


def test_the_preamble_names_the_model() -> None:
    """So that a stream closed early knows which one answered."""
    expected = Reading(model=MODEL, step="resp_1", begins=True)
    assert READER.read(response_event("created", response=response("in_progress"))) == expected
    assert READER.read(response_event("created", response=None)) is None


@pytest.mark.parametrize(
    ("beside", "reason", "refused"),
    [
        ({"incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens", False),
        ({"incomplete_details": {"reason": "content_filter"}}, "content_filter", True),
        ({"incomplete_details": {"reason": None}}, "incomplete", False),
        ({}, "incomplete", False),
    ],
    ids=["limit", "filter", "no reason", "no details"],
)
def test_why_a_response_is_incomplete(beside: dict[str, Any], reason: str, refused: bool) -> None:
    """Cut by a limit or by a filter, at the end of a stream or as a whole; never a failure."""
    answer = response("incomplete", **beside)
    for item in (answer, response_event("incomplete", response=answer)):
        meter = fold([item]).meter
        assert (meter.finish_reason, meter.refused, meter.model) == (reason, refused, MODEL)
        assert meter.finished
        assert not meter.failed


def test_a_refusal_in_a_whole_response() -> None:
    """A part of a message says so, and the response is complete."""
    refusal = {**response_text_item(), "content": [{"type": "refusal", "refusal": "I'm sorry"}]}
    meter = fold([response("completed", response_text_item("Hi"), refusal)]).meter
    assert (meter.refused, meter.finish_reason, meter.finished) == (True, "completed", True)
    assert not fold([response("completed", response_text_item("Hi"))]).meter.refused


@pytest.mark.parametrize(
    "event",
    [
        response_event("queued", response=response("queued")),
        response_event("in_progress", response=response("in_progress")),
        response_event("output_item.added", output_index=0, item=response_text_item()),
        response_event("output_item.done", output_index=0, item={"type": "reasoning", "id": "rs_1"}),
        response_event("content_part.added", part={"type": "output_text", "text": ""}),
        response_event("output_text.done", text="Hello"),
        response_event("function_call_arguments.done", arguments="{}"),
        response_event("web_search_call.searching", item_id="ws_1"),
        response_event("output_text.annotation.added", annotation={}),
        {"type": "keepalive"},
    ],
    ids=lambda event: event["type"],
)
def test_events_that_say_nothing(event: dict[str, Any]) -> None:
    """Preambles, progress and repetitions are no content, no usage and no end."""
    assert READER.read(event) is None


def test_a_partial_image_is_content() -> None:
    """An image comes in parts that are not called deltas."""
    assert (
        READER.read(response_event("image_generation_call.partial_image", partial_image_b64="x")) is CONTENT
    )


@pytest.mark.parametrize(
    ("item", "call"),
    [
        pytest.param(response_function_item(), ToolCall("call_1", "get_weather"), id="function"),
        pytest.param(
            {"type": "custom_tool_call", "call_id": "call_1", "name": "sql"},
            ToolCall("call_1", "sql"),
            id="custom",
        ),
        pytest.param(
            {"type": "mcp_call", "id": "mcp_1", "name": "roll", "server_label": "dice"},
            ToolCall("mcp_1", "roll"),
            id="mcp",
        ),
        pytest.param(
            {"type": "web_search_call", "id": "ws_1"}, ToolCall("ws_1", "web_search"), id="built in"
        ),
        pytest.param(
            {"type": "computer_call", "id": "cu_1", "call_id": "call_1"},
            ToolCall("call_1", "computer"),
            id="built in with call id",
        ),
        pytest.param({"type": "local_shell_call"}, ToolCall("2 local_shell", "local_shell"), id="no id"),
        pytest.param({"type": "function_call", "call_id": "call_1"}, None, id="no name"),
        pytest.param({"type": "function_call_output", "call_id": "call_1"}, None, id="output of a call"),
        pytest.param({"type": "_call"}, None, id="no type"),
        pytest.param({"type": "reasoning", "id": "rs_1"}, None, id="reasoning"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_tool_calls(item: Any, call: ToolCall | None) -> None:
    """An output item that is a call names its tool, and is the first sign of it."""
    expected = None if call is None else Reading(content=True, tool_calls=(call,))
    for kind in ("output_item.added", "output_item.done"):
        assert READER.read(response_event(kind, output_index=2, item=item)) == expected


def test_a_whole_stream() -> None:
    """The first delta is the first token, the last event has the usage, and the stream is complete."""
    folded = fold(response_stream("Hel", "lo"))
    assert folded.first_token == 4
    assert folded.usage == TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
    assert folded.ending is Ending.COMPLETED


def test_a_call_that_is_mentioned_three_times_counts_once() -> None:
    """Added, done, and in the final response: one call, also where the item's id changes on the way."""
    first, second = response_function_item(1), response_function_item(2)
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    folded = fold(
        [
            response_event("output_item.added", output_index=0, item=search),
            response_event("output_item.added", output_index=1, item=first),
            response_event("output_item.done", output_index=1, item={**first, "id": "fc_other"}),
            response_event("output_item.added", output_index=2, item=second),
            response_event("completed", response=response("completed", search, first, second)),
        ]
    )
    assert folded.tools == ["web_search", "get_weather", "get_weather"]
    assert folded.first_token == 0


def test_calls_are_found_in_the_final_response_alone() -> None:
    """A stream that was taken up in the middle still learns of all calls."""
    folded = fold([response_event("completed", response=response("completed", response_function_item()))])
    assert folded.tools == ["get_weather"]


@pytest.mark.parametrize(
    ("end", "reading"),
    [
        ("completed", Reading(usage=USAGE, finished=True, step="resp_1", begins=True)),
        ("incomplete", Reading(usage=USAGE, finished=True, step="resp_1", begins=True)),
        ("failed", Reading(failed=True)),
    ],
)
def test_how_a_stream_ends(end: str, reading: Reading) -> None:
    """Completed and incomplete are finish marks; failed is a failure, of which there is no usage."""
    expected = reading._replace(finish_reason=end, model=MODEL)
    assert READER.read(response_event(end, response=response(end))) == expected


@pytest.mark.parametrize("end", ["completed", "incomplete", "failed"])
def test_the_event_says_how_it_ended_even_if_the_response_does_not(end: str) -> None:
    """Gateways leave the status out."""
    reading = READER.read(response_event(end, response=None))
    assert reading == Reading(finished=end != "failed", failed=end == "failed", finish_reason=end)


def test_a_failed_response_keeps_the_usage_it_reports() -> None:
    """What was used before the failure was used."""
    event = response_event("failed", response=response("failed", usage=RESPONSE_USAGE))
    expected = Reading(usage=USAGE, failed=True, finish_reason="failed", model=MODEL)
    assert READER.read(event) == expected._replace(step="resp_1", begins=True)


def test_an_error_event_is_a_failure() -> None:
    """The stream reports an error and ends."""
    error = {"type": "error", "code": "server_error", "message": "sorry", "param": None, "sequence_number": 3}
    folded = fold([*response_stream("Hel")[:5], error])
    assert folded.ending is Ending.FAILED
    assert isinstance(fold([error]).reader, OpenAIResponsesReader)


def test_an_error_event_of_an_older_sdk() -> None:
    """It has no type there, only the name of the server-sent event."""
    assert READER.read({"type": None, "event": "error", "data": {"message": "sorry"}}) == Reading(failed=True)


def test_a_stream_cut_before_its_end() -> None:
    """Without the final response the stream was truncated."""
    assert fold(response_stream("Hel", "lo")[:-1]).ending is Ending.TRUNCATED


@pytest.mark.parametrize(
    ("status", "finished", "failed"),
    [
        ("completed", True, False),
        ("incomplete", True, False),
        ("failed", False, True),
        ("cancelled", False, True),
        ("in_progress", False, False),
        ("queued", False, False),
        (None, False, False),
    ],
)
def test_a_whole_response(status: Any, finished: bool, failed: bool) -> None:
    """A response that did not stream says by its status how it went; a background one goes on."""
    answer = response(status, response_text_item("Hi"), response_function_item())
    folded = fold([answer])
    assert isinstance(folded.reader, OpenAIResponsesReader)
    assert folded.tools == ["get_weather"]
    assert (folded.meter.finished, folded.meter.failed) == (finished, failed)


@pytest.mark.parametrize(("output", "is_content"), [([response_text_item("Hi")], True), ([], False)])
def test_an_empty_response(output: list[Any], is_content: bool) -> None:
    """A response without output carries nothing but its usage."""
    reading = READER.read(response("completed", *output))
    assert reading is not None
    assert reading.content is is_content


def test_a_response_that_says_nothing_yet() -> None:
    """A queued response has nothing but its model to tell."""
    assert READER.read(response("queued")) == Reading(model=MODEL)
    assert READER.read(response("queued", model=None)) is None
