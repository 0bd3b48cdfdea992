"""Mistral: the events and answers of ``mistralai``, which are OpenAI's chat completions with a difference.

Rule for this file: only what the SDK makes of them. The JSON calls itself a chat completion, and is read as
one by ``openai_chat``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, ToolCall, Wants
from ldtrack.providers.fields import comes_from, count, field, is_filled, items, name
from ldtrack.providers.usage import usage_of

__all__ = ["MistralReader"]

_HOMES: Final = (
    *("mistralai.client.models", "mistralai.azure.client.models", "mistralai.gcp.client.models"),
    *("mistralai.models", "mistralai_azure.models", "mistralai_gcp.models"),  # before version 2
)
_KINDS: Final = ("completionevent", "completionchunk", "chatcompletionresponse", "fimcompletionresponse")
_NO_ID: Final = "null"
"""What the SDK calls a tool call that has no id."""


class MistralReader:
    """Reads chat and fill-in-the-middle: a finish reason is the finish mark, usage comes with it unasked."""

    wants: Wants = Wants.EVERY
    marks_end: bool = True
    usage_hint: str = ""
    modules: tuple[str, ...] = tuple(f"{home}.{kind}" for home in _HOMES for kind in _KINDS)

    def recognises(self, item: object) -> bool:
        """Whether this is of the SDK's types, or wraps a chunk with choices as its event does."""
        return comes_from(type(item), self.modules) or len(items(field(field(item, "data"), "choices"))) > 0

    def read(self, item: Any) -> Reading | None:
        """What an event, a chunk or a whole answer says."""
        try:
            # Nearly all events: one choice, some text, nothing else.
            chunk = item.data
            (choice,) = chunk.choices
            delta = choice.delta
            beside_text = delta.tool_calls or choice.finish_reason or chunk.usage
            is_plain = type(delta.content) is str and delta.content != "" and not beside_text
        except Exception:  # noqa: BLE001 - it has another shape
            is_plain = False
        return CONTENT if is_plain else _read_closely(item)


def _read_closely(item: Any) -> Reading | None:
    wrapped = field(item, "data")
    item = item if wrapped is None else wrapped
    choices = items(field(item, "choices"))
    reasons = [reason for choice in choices if (reason := name(field(choice, "finish_reason"))) is not None]
    reading = Reading(
        content=any(_says_something(_message_of(choice)) for choice in choices),
        usage=usage_of(field(item, "usage")),
        tool_calls=tuple(call for at, choice in enumerate(choices) for call in _tool_calls(choice, at)),
        finished=len(reasons) > 0,
        failed="error" in reasons,
        finish_reason=next(iter(reasons), None),
        model=name(field(item, "model")),
        refused="content_filter" in reasons,
    )
    return None if reading == _SILENCE else reading


_SILENCE: Final = Reading()


def _message_of(choice: object) -> Any:
    delta = field(choice, "delta")
    return field(choice, "message") if delta is None else delta


def _says_something(message: object) -> bool:
    content = field(message, "content")
    # Text, or parts of it: thoughts, text, and references, which nobody waits for.
    if isinstance(content, str):
        return len(content) > 0
    said = any(is_filled(field(part, key)) for part in items(content) for key in ("text", "thinking"))
    return said or is_filled(field(message, "tool_calls"))


def _tool_calls(choice: object, at: int) -> Iterator[ToolCall]:
    """The calls that a choice names; parts that only add arguments name none."""
    place = count(field(choice, "index"))
    for number, call in enumerate(items(field(_message_of(choice), "tool_calls"))):
        called = name(field(field(call, "function"), "name"))
        if called is not None:
            id_ = name(field(call, "id"))
            index = count(field(call, "index")) or number
            spot = f"{at if place is None else place}.{index} {called}"
            if id_ is None or id_ == _NO_ID:
                yield ToolCall(spot, called)
            else:
                yield ToolCall(id_, called, spot)
