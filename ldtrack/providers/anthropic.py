"""Anthropic Messages: raw stream events, the events of ``messages.stream()``, and whole messages.

Rule for this file: an event is what its ``type`` says, whichever class it has. The stream helper sends every
raw event and then, for some, a derived one; only the raw ones are read, so nothing counts twice. Only the
event that begins a message names it: what follows is about the last one begun.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport, Wants
from ldtrack.providers.fields import comes_from, count, field, is_filled, items, name

__all__ = ["AnthropicReader"]

_SPOKEN: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""Which kinds of delta carry what a user waits for, and where."""

_REFUSAL: Final = "refusal"

_FIRST_SIGNS: Final = {
    "message_start": "message",
    "message_delta": "delta",
    "content_block_start": "content_block",
    "content_block_delta": "delta",
    "message": "usage",
    "error": "error",
}
"""What an event or a message must have besides its type to be taken for one by its shape.

A ping has nothing: anybody may send one.
"""


class AnthropicReader:
    """Reads Messages: input usage comes first, output usage last, both without being asked for."""

    wants: Wants = Wants.EVERY
    marks_end: bool = True
    usage_hint: str = ""
    modules: tuple[str, ...] = ("anthropic.types", "anthropic.lib.streaming")

    def recognises(self, item: object) -> bool:
        """Whether this is of the SDK's types, stream helper included, or has the shape of an event."""
        if comes_from(type(item), self.modules):
            return True
        sign = _FIRST_SIGNS.get(name(field(item, "type")) or "")
        return sign is not None and field(item, sign) is not None

    @staticmethod
    def is_plain(item: Any) -> bool:
        """Whether this is as nearly all events are: it adds some text, a thought or input of a tool."""
        if type(item) is dict:
            if item["type"] != "content_block_delta":
                return False
            delta = item["delta"]
            said = delta[_SPOKEN[delta["type"]]]
        else:
            if item.type != "content_block_delta":
                return False
            delta = item.delta
            kind = delta.type
            if kind == "text_delta":
                said = delta.text
            elif kind == "input_json_delta":
                said = delta.partial_json
            else:
                said = delta.thinking if kind == "thinking_delta" else None
        return type(said) is str and said != ""

    def read(self, item: Any) -> Reading | None:
        """What an event, a whole message or the stream helper says."""
        kind = name(field(item, "type"))
        if kind == "content_block_delta":
            # Nearly all events.
            delta = field(item, "delta")
            spoken = _SPOKEN.get(name(field(delta, "type")) or "")
            return CONTENT if spoken is not None and is_filled(field(delta, spoken)) else None
        if kind is None:
            # The stream helper: asked for what it gathered of events that were read past us.
            item = field(item, "current_message_snapshot")
            return None if item is None else _read_message(item)
        read = _READ.get(kind)
        return None if read is None else read(item)


def _read_start(event: object) -> Reading | None:
    message = field(event, "message")
    id_ = name(field(message, "id"))
    reading = Reading(
        usage=_usage_of(field(message, "usage")),
        model=name(field(message, "model")),
        step=id_ or "",
        begins=id_ is not None,  # without an id nobody can tell whether it is another message
    )
    return None if reading == _SILENCE else reading


def _read_block_start(event: object) -> Reading | None:
    block = field(event, "content_block")
    call = _tool_call(block, count(field(event, "index")))
    if call is not None:
        return Reading(content=True, tool_calls=(call,))
    # Redacted thinking comes whole; text and thinking start empty and grow.
    return CONTENT if any(is_filled(field(block, key)) for key in ("text", "thinking", "data")) else None


def _read_message_delta(event: object) -> Reading | None:
    usage = _usage_of(field(event, "usage"))
    if usage is not None and not (usage.fresh_input or usage.written_input or usage.cached_input):
        # Running totals: an input of nothing after one of something was left out, not used up.
        usage = usage._replace(fresh_input=None, written_input=None, cached_input=None)
    reason = name(field(field(event, "delta"), "stop_reason"))
    reading = Reading(
        usage=usage, finished=reason is not None, finish_reason=reason, refused=reason == _REFUSAL
    )
    return None if reading == _SILENCE else reading


def _read_stop(_event: object) -> Reading:
    return _FINISH


def _read_error(_event: object) -> Reading:
    return _FAILURE


def _read_message(message: object) -> Reading:
    blocks = items(field(message, "content"))
    calls = [_tool_call(block, at) for at, block in enumerate(blocks)]
    reason = name(field(message, "stop_reason"))
    return Reading(
        content=len(blocks) > 0,
        usage=_usage_of(field(message, "usage")),
        tool_calls=tuple(call for call in calls if call is not None),
        finished=reason is not None,
        finish_reason=reason,
        model=name(field(message, "model")),
        refused=reason == _REFUSAL,
        step=name(field(message, "id")) or "",
    )


_SILENCE: Final = Reading()
_FINISH: Final = Reading(finished=True)
_FAILURE: Final = Reading(failed=True)
_READ: Final[Mapping[str, Callable[[object], Reading | None]]] = {
    "message_start": _read_start,
    "content_block_start": _read_block_start,
    "message_delta": _read_message_delta,
    "message_stop": _read_stop,
    "message": _read_message,
    "error": _read_error,
}


def _tool_call(block: object, at: int | None) -> ToolCall | None:
    """The call that this content block is: of the user's tool, the server's, or one behind MCP."""
    kind, called = name(field(block, "type")), name(field(block, "name"))
    if kind is None or called is None or not kind.endswith("tool_use"):
        return None
    return ToolCall(name(field(block, "id")) or f"{at} {called}", called)


def _usage_of(usage: object) -> UsageReport | None:
    """What was billed as input is three counts: read afresh, written to the cache, read from the cache.

    Each is a running total of its own: the event that ends a message may carry all of them, or only some.
    """
    report = UsageReport(
        output=count(field(usage, "output_tokens")),
        cached_input=count(field(usage, "cache_read_input_tokens")),
        fresh_input=count(field(usage, "input_tokens")),
        written_input=count(field(usage, "cache_creation_input_tokens")),
        reasoning=count(field(field(usage, "output_tokens_details"), "thinking_tokens")),
    )
    return None if report == _UNKNOWN else report


_UNKNOWN: Final = UsageReport()
