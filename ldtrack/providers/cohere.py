"""Cohere, version 2 of its chat: stream events and whole answers, of the SDK or as JSON.

Rule for this file: an event is what its ``type`` says, whichever class it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport, Wants
from ldtrack.providers.fields import comes_from, count, field, is_filled, items, name

__all__ = ["CohereReader"]

_BEGINNINGS: Final = ("message-", "content-", "tool-plan-", "tool-call-", "citation-")
_FAILED: Final = frozenset({"ERROR", "TIMEOUT"})
_REFUSED: Final = frozenset({"ERROR_TOXIC"})


class CohereReader:
    """Reads chat: ``message-end`` is the finish mark and has the usage, without being asked for.

    Counted is what the model took in and gave out; where that is missing, what is billed. Cohere does not
    say which model answered.
    """

    wants: Wants = Wants.EVERY
    marks_end: bool = True
    usage_hint: str = ""
    modules: tuple[str, ...] = ("cohere.v2.types.v2chat_stream_response", "cohere.v2.types.v2chat_response")

    def recognises(self, item: object) -> bool:
        """Whether this is of the SDK's types, or has the shape of an event or of an answer."""
        if comes_from(type(item), self.modules):
            return True
        kind = name(field(item, "type"))
        if kind is not None:
            return kind.startswith(_BEGINNINGS) and _is_delta(field(item, "delta"))
        usage = field(item, "usage")
        is_counted = field(usage, "tokens") is not None or field(usage, "billed_units") is not None
        return is_counted and field(item, "message") is not None

    @staticmethod
    def is_plain(item: Any) -> bool:
        """Whether this is as nearly all events are: it adds some text or a thought."""
        if type(item) is dict:
            if item["type"] != "content-delta":
                return False
            content = item["delta"]["message"]["content"]
            said = content.get("text") or content["thinking"]
        else:
            if item.type != "content-delta":
                return False
            content = item.delta.message.content
            said = content.text or content.thinking
        return type(said) is str and said != ""

    def read(self, item: Any) -> Reading | None:
        """What an event or a whole answer says."""
        kind = name(field(item, "type"))
        if kind is None:
            return _read_answer(item)
        read = _READ.get(kind)
        return None if read is None else read(item)


_SILENCE: Final = Reading()


def _is_delta(delta: object) -> bool:
    """Whether this has a part of a message, or what ends one."""
    message = field(delta, "message")
    if message is not None:
        return not isinstance(message, str)
    return name(field(delta, "finish_reason")) is not None or field(delta, "usage") is not None


def _message_in(event: object) -> Any:
    return field(field(event, "delta"), "message")


def _read_content(event: object) -> Reading | None:
    return CONTENT if _says_something(field(_message_in(event), "content")) else None


def _read_plan(event: object) -> Reading | None:
    return CONTENT if is_filled(field(_message_in(event), "tool_plan")) else None


def _read_call(event: object) -> Reading | None:
    call = field(_message_in(event), "tool_calls")
    named = _tool_call(call, count(field(event, "index")))
    if named is not None:
        return Reading(content=True, tool_calls=(named,))
    return CONTENT if is_filled(field(field(call, "function"), "arguments")) else None


def _read_end(event: object) -> Reading:
    delta = field(event, "delta")
    return _read_finish(delta)._replace(finished=True)


_READ: Final[Mapping[str, Callable[[object], Reading | None]]] = {
    "content-start": _read_content,
    "content-delta": _read_content,
    "tool-plan-delta": _read_plan,
    "tool-call-start": _read_call,
    "tool-call-delta": _read_call,
    "message-end": _read_end,
}


def _read_finish(told: object) -> Reading:
    """The reason and the usage, which an answer has at the top and a stream at its end."""
    reason = name(field(told, "finish_reason"))
    return Reading(
        usage=_usage_of(field(told, "usage")),
        finished=reason is not None,
        failed=reason in _FAILED or is_filled(field(told, "error")),
        finish_reason=reason,
        refused=reason in _REFUSED,
    )


def _read_answer(answer: object) -> Reading | None:
    message = field(answer, "message")
    calls = [_tool_call(call, at) for at, call in enumerate(items(field(message, "tool_calls")))]
    parts = items(field(message, "content"))
    reading = _read_finish(answer)._replace(
        content=any(_says_something(part) for part in parts) or len(calls) > 0,
        tool_calls=tuple(call for call in calls if call is not None),
    )
    return None if reading == _SILENCE else reading


def _says_something(part: object) -> bool:
    return is_filled(field(part, "text")) or is_filled(field(part, "thinking"))


def _tool_call(call: object, at: int | None) -> ToolCall | None:
    called = name(field(field(call, "function"), "name"))
    return None if called is None else ToolCall(name(field(call, "id")) or f"{at} {called}", called)


def _usage_of(usage: object) -> UsageReport | None:
    tokens, billed = field(usage, "tokens"), field(usage, "billed_units")
    report = UsageReport(
        input=_first_of(field(tokens, "input_tokens"), field(billed, "input_tokens")),
        output=_first_of(field(tokens, "output_tokens"), field(billed, "output_tokens")),
        cached_input=_first_of(field(usage, "cached_tokens")),
    )
    return None if report == _UNKNOWN else report


_UNKNOWN: Final = UsageReport()


def _first_of(*counts: object) -> int | None:
    """The first that is a whole number: the SDK makes floats of them."""
    for one in counts:
        known = count(int(one) if isinstance(one, float) and one.is_integer() else one)
        if known is not None:
            return known
    return None
