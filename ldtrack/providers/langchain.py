"""LangChain: messages, whole and in chunks, and the results that callbacks are told of.

Rule for this file: a message is read alike whichever provider stands behind it. Where messages travel in
something of LangGraph's, or in events, is for ``langgraph`` to know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport, Wants
from ldtrack.providers.fields import comes_from, count, field, is_filled, items, name
from ldtrack.providers.usage import usage_of

__all__ = ["LangChainReader", "is_message", "read_message", "read_messages"]

_MESSAGES: Final = ("langchain_core.messages",)
_CHUNK: Final = "AIMessageChunk"
_BY_THE_MODEL: Final = frozenset({"ai", _CHUNK})

_REASONS: Final = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_OVER: Final = frozenset({"completed", "incomplete"})
_REFUSED: Final = frozenset(
    {
        *("content_filter", "refusal", "content_filtered", "guardrail_intervened"),
        *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
    }
)
"""Finish reasons that are no answer, in the words of all the providers behind LangChain."""

_SPOKEN: Final = ("text", "thinking", "reasoning", "refusal", "partial_json", "arguments", "args", "summary")
"""Where a block of content says something."""

_SPOKEN_BESIDE: Final = ("refusal", "reasoning_content", "tool_calls")
"""Where a message says something besides its content."""

_NAMED_BY_SERVER: Final = frozenset(
    {"server_tool_use", "mcp_tool_use", "mcp_call", "server_tool_call", "server_tool_call_chunk"}
)
_CALLS_OF_THE_APP: Final = frozenset({"function_call", "custom_tool_call", "tool_call"})
"""Blocks that only repeat what the message's own list of calls says."""


class LangChainReader:
    """Reads the messages of any chat model; not every one reports a finish reason, so none is waited for."""

    wants: Wants = Wants.EVERY
    marks_end: bool = False
    usage_hint: str = (
        "The stream of a LangChain model ended without token usage. OpenAI's, and what speaks its dialect, "
        "sends it only on request: pass stream_usage=True to ChatOpenAI(...)."
    )
    modules: tuple[str, ...] = (*_MESSAGES, "langchain_core.outputs")

    def recognises(self, item: object) -> bool:
        """Whether this is a message of LangChain's, or a result that holds some."""
        return comes_from(type(item), self.modules)

    def read(self, item: Any) -> Reading | None:
        """What a chunk, a whole message or a result says."""
        if _is_plain(item):
            return CONTENT
        if is_message(item):
            return _read_closely(item)
        generations = items(field(item, "generations"))
        if generations:
            return _read_result(generations)
        return read_message(_message_in(item))


def _read_result(generations: Sequence[Any]) -> Reading | None:
    """What a result says: each row is a call, whose choices repeat its usage; all of it is of one step."""
    rows = generations if isinstance(generations[0], list | tuple) else (generations,)
    reading = read_messages(
        [(str(at), _message_in(one)) for at, row in enumerate(rows) for one in items(row)]
    )
    if reading is None or not reading.parts:
        return reading
    usage = UsageReport()
    for of_row in dict(reading.parts).values():
        usage = usage.plus(of_row)
    return reading._replace(usage=usage, parts=())


def is_message(item: object) -> bool:
    """Whether this is a message of LangChain's, from whomever."""
    return comes_from(type(item), _MESSAGES)


def _message_in(generation: object) -> Any:
    message = field(generation, "message")
    return generation if message is None else message


def read_message(message: Any) -> Reading | None:
    """What a message of the model's says; nothing for one of the user's or a tool's."""
    return CONTENT if _is_plain(message) else _read_closely(message)


def _is_plain(message: Any) -> bool:
    """Whether this is a chunk like nearly all: text, and whose provider's it is."""
    try:
        content = message.content
        beside_text = message.tool_call_chunks or message.usage_metadata or message.additional_kwargs
        is_alone = len(message.response_metadata) < 2  # noqa: PLR2004 - the provider, at most
        return type(content) is str and content != "" and is_alone and not beside_text
    except Exception:  # noqa: BLE001 - it has another shape
        return False


def read_messages(messages: Sequence[tuple[str, Any]]) -> Reading | None:
    """What several whole messages say together, each named with the model call that it is of.

    Choices of one call repeat the usage of it all. Finish reason and model are the last one's.
    """
    pairs = [(step, reading) for step, one in messages if (reading := read_message(one)) is not None]
    if not pairs:
        return None
    readings = [reading for _, reading in pairs]
    return readings[-1]._replace(
        content=any(reading.content for reading in readings),
        usage=None,
        tool_calls=tuple(call for reading in readings for call in reading.tool_calls),
        step="",
        adds=False,
        parts=tuple((step, reading.usage) for step, reading in pairs if reading.usage is not None),
    )


def _read_closely(message: Any) -> Reading | None:
    kind = name(field(message, "type"))
    if kind not in _BY_THE_MODEL:
        return None
    calls, told = tuple(_tool_calls(message)), field(message, "response_metadata")
    reason = _finish_reason(told)
    reading = Reading(
        content=len(calls) > 0 or _says_something(message),
        usage=_usage_of(field(message, "usage_metadata")),
        tool_calls=calls,
        finished=reason is not None,
        failed=name(field(told, "status")) == "failed",
        finish_reason=reason,
        model=name(field(told, "model_name")) or name(field(told, "model")),
        refused=reason in _REFUSED or _is_refusal(message),
    )
    if reading.usage is None:
        return None if reading == _SILENCE else CONTENT if reading == CONTENT else reading
    # Adding chunks adds their usage: that is how LangChain itself arrives at the whole message's.
    return reading._replace(step=name(field(message, "id")) or "", adds=kind == _CHUNK)


_SILENCE: Final = Reading()


def _says_something(message: object) -> bool:
    content, beside = field(message, "content"), field(message, "additional_kwargs")
    if isinstance(content, str) and content:
        return True
    parts = (any(is_filled(field(part, key)) for key in _SPOKEN) for part in items(content))
    return (
        any(parts)
        or any(isinstance(part, str) and part for part in items(content))
        or len(items(field(message, "tool_call_chunks"))) > 0
        or any(is_filled(field(beside, key)) for key in _SPOKEN_BESIDE)
    )


def _is_refusal(message: object) -> bool:
    if is_filled(field(field(message, "additional_kwargs"), "refusal")):
        return True
    return any(is_filled(field(part, "refusal")) for part in items(field(message, "content")))


def _finish_reason(told: object) -> str | None:
    for key in _REASONS:
        reason = name(field(told, key))
        if reason is not None:
            return reason
    # OpenAI's responses have a status instead, and more to say only if they were cut short.
    status = name(field(told, "status"))
    return name(field(field(told, "incomplete_details"), "reason")) or (status if status in _OVER else None)


def _tool_calls(message: object) -> Iterator[ToolCall]:
    """The calls that a message names, of the user's tools and of the provider's own."""
    parts = items(field(message, "tool_call_chunks"))
    calls = parts or [*items(field(message, "tool_calls")), *items(field(message, "invalid_tool_calls"))]
    for at, call in enumerate(calls):
        called = name(field(call, "name"))
        if called is not None:
            id_, spot = name(field(call, "id")), f"{_place_of(call, at)} {called}"
            yield ToolCall(id_ or spot, called, spot if id_ and parts else "")
    for at, block in enumerate(items(field(message, "content"))):
        served = _called_by_server(block)
        if served is not None:
            yield ToolCall(name(field(block, "id")) or f"{_place_of(block, at)} {served}", served)


def _place_of(part: object, at: int) -> int:
    index = count(field(part, "index"))
    return at if index is None else index


def _called_by_server(block: object) -> str | None:
    kind = name(field(block, "type")) or ""
    if kind in _NAMED_BY_SERVER:
        return name(field(block, "name"))
    if kind.endswith("_call") and kind not in _CALLS_OF_THE_APP:
        return kind.removesuffix("_call") or None
    return None


def _usage_of(told: object) -> UsageReport | None:
    report = usage_of(told)
    if report is None:
        return None
    return report._replace(
        cached_input=count(field(field(told, "input_token_details"), "cache_read")),
        reasoning=count(field(field(told, "output_token_details"), "reasoning")),
    )
