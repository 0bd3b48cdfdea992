"""OpenAI Responses: stream events, the helper's richer versions of them, and whole responses.

Rule for this file: an event is what its ``type`` says, whichever class it has.
"""

from __future__ import annotations

from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, ToolCall, Wants
from ldtrack.providers.fields import comes_from, count, field, is_filled, items, name
from ldtrack.providers.usage import usage_of

__all__ = ["OpenAIResponsesReader"]

_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_ITEMS: Final = frozenset({"response.output_item.added", "response.output_item.done"})
_SIGNS: Final = ("sequence_number", "response", "output_index", "item_id")
"""What an event has besides its type, at least one of them: its number, or what it is about."""
_SPOKEN: Final = "response.output_text.delta"
_PLAIN: Final = frozenset(
    {
        *(_SPOKEN, "response.function_call_arguments.delta", "response.custom_tool_call_input.delta"),
        *("response.reasoning_text.delta", "response.reasoning_summary_text.delta"),
    }
)
"""The commonest events that are content if they add anything; there are others."""
_REFUSED: Final = frozenset({"response.refusal.delta", "response.refusal.done"})
_FINISHED: Final = frozenset({"completed", "incomplete"})
_FAILED: Final = frozenset({"failed", "cancelled"})
_NAMED_BY_USER: Final = frozenset({"function_call", "custom_tool_call", "mcp_call"})
"""Calls of tools that have a name; a call of a built-in tool is named by its type."""


class OpenAIResponsesReader:
    """Reads Responses: usage comes with the response that ends the stream, whether asked for or not."""

    wants: Wants = Wants.EVERY
    marks_end: bool = True
    usage_hint: str = ""
    modules: tuple[str, ...] = ("openai.types.responses", "openai.lib.streaming.responses")

    def recognises(self, item: object) -> bool:
        """Whether this is of the SDK's types, or names itself a response or an event of one."""
        if comes_from(type(item), self.modules) or name(field(item, "object")) == "response":
            return True
        kind = name(field(item, "type")) or ""
        if kind == "error":
            return isinstance(field(item, "sequence_number"), int)
        return kind.startswith("response.") and any(field(item, sign) is not None for sign in _SIGNS)

    @staticmethod
    def is_plain(item: Any) -> bool:
        """Whether this is as nearly all events are: it adds some text, a thought or input of a tool."""
        if type(item) is dict:
            if item["type"] not in _PLAIN:
                return False
            said = item["delta"]
        else:
            if item.type not in _PLAIN:
                return False
            said = item.delta
        return type(said) is str and said != ""

    def read(self, item: Any) -> Reading | None:
        """What an event, a whole response or the stream helper says."""
        kind = name(field(item, "type"))
        if kind is None:
            # SDKs before 2.0 hand an error event on without making an event of it.
            if name(field(item, "event")) == "error":
                return _FAILURE
            # The stream helper keeps the response that it read past us to itself.
            gathered = field(field(item, "_state"), "_completed_response")
            return _read_response(item if gathered is None else gathered)
        if kind == _SPOKEN:
            # Nearly all events.
            return CONTENT if is_filled(field(item, "delta")) else None
        if kind in _REFUSED:
            return _REFUSAL if is_filled(field(item, "delta")) else _REFUSAL_SO_FAR
        if kind.endswith(".delta"):
            return CONTENT if is_filled(field(item, "delta")) else None
        if kind in _ITEMS:
            call = _tool_call(field(item, "item"), count(field(item, "output_index")))
            return None if call is None else Reading(content=True, tool_calls=(call,))
        if kind == "response.created":
            return _read_start(field(item, "response"))
        if kind in _ENDS:
            return _read_response(field(item, "response"), ended_by=kind)
        if kind == "response.image_generation_call.partial_image":
            return CONTENT
        return _FAILURE if kind == "error" else None


_FAILURE: Final = Reading(failed=True)
_REFUSAL: Final = Reading(content=True, refused=True)
_REFUSAL_SO_FAR: Final = Reading(refused=True)


def _read_start(response: object) -> Reading | None:
    id_ = name(field(response, "id"))
    reading = Reading(model=name(field(response, "model")), step=id_ or "", begins=id_ is not None)
    return None if reading == _SILENCE else reading


def _read_response(response: object, ended_by: str | None = None) -> Reading | None:
    status = name(field(response, "status"))
    output = items(field(response, "output"))
    calls = [_tool_call(item, at) for at, item in enumerate(output)]
    cut_by = name(field(field(response, "incomplete_details"), "reason"))
    reading = Reading(
        content=len(output) > 0,
        usage=usage_of(field(response, "usage")),
        tool_calls=tuple(call for call in calls if call is not None),
        finished=status in _FINISHED or (ended_by is not None and ended_by != "response.failed"),
        failed=status in _FAILED or ended_by == "response.failed",
        finish_reason=cut_by or _end_of(status, ended_by),
        model=name(field(response, "model")),
        refused=cut_by == "content_filter" or any(_is_refusal(item) for item in output),
    )
    if reading.usage is not None:
        # One stream may carry several responses, each with an id of its own.
        id_ = name(field(response, "id"))
        return reading._replace(step=id_ or "", begins=id_ is not None)
    return None if reading == _SILENCE else reading


_SILENCE: Final = Reading()


def _end_of(status: str | None, ended_by: str | None) -> str | None:
    if status in _FINISHED or status in _FAILED:
        return status
    return None if ended_by is None else ended_by.removeprefix("response.")


def _is_refusal(item: object) -> bool:
    return any(name(field(part, "type")) == "refusal" for part in items(field(item, "content")))


def _tool_call(item: object, at: int | None) -> ToolCall | None:
    """The call that this output item is, known by an id that stays the same in every event about it."""
    kind = name(field(item, "type")) or ""
    if not kind.endswith("_call"):
        return None
    called = name(field(item, "name")) if kind in _NAMED_BY_USER else kind.removesuffix("_call")
    if not called:
        return None
    return ToolCall(name(field(item, "call_id")) or name(field(item, "id")) or f"{at} {called}", called)
