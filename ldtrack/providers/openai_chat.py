"""OpenAI Chat Completions, and the many services that speak it: chunks, whole answers, helper events.

Rule for this file: a chunk and an answer differ in one word (``delta``, ``message``) and are read alike, as
the SDK's objects and as JSON. The legacy completions, which have ``text`` instead, come along. Every chunk
names the model; it is read where there is more to a chunk than content, as in the first and the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, ToolCall, Wants
from ldtrack.providers.fields import comes_from, count, field, is_error, is_filled, items, name
from ldtrack.providers.usage import usage_of

__all__ = ["OpenAIChatReader", "calls_in", "read_chat"]

_OBJECTS: Final = frozenset({"chat.completion.chunk", "chat.completion", "text_completion"})

_SPOKEN: Final = ("content", "tool_calls", "refusal", "reasoning_content", "reasoning", "reasoning_details")
"""Where a message says something: OpenAI's own names first, then those that others add for reasoning."""

_FILTERS: Final = (
    *("hate", "self_harm", "sexual", "violence", "profanity", "jailbreak", "indirect_attack"),
    *("protected_material_text", "protected_material_code", "custom_blocklists"),
)
"""What Azure looks for in prompts and answers."""


class OpenAIChatReader:
    """Reads Chat Completions: a finish reason is the finish mark, usage comes last and only if asked for."""

    wants: Wants = Wants.EVERY
    marks_end: bool = True
    usage_hint: str = (
        "The streamed chat completion ended without token usage, which is sent only on request: pass "
        'stream_options={"include_usage": True} to chat.completions.create(...).'
    )
    modules: tuple[str, ...] = ("openai.types.chat", "openai.types.completion", "openai.lib.streaming.chat")

    def recognises(self, item: object) -> bool:
        """Whether this is of the SDK's types, calls itself a chat completion, or has choices of messages."""
        if comes_from(type(item), self.modules) or name(field(item, "object")) in _OBJECTS:
            return True
        # Azure opens with a chunk that has no name and no choices, only the verdict on the prompt.
        if is_filled(field(item, "prompt_filter_results")):
            return True
        choices = items(field(item, "choices"))
        return len(choices) > 0 and _message_of(choices[0]) is not None

    @staticmethod
    def is_plain(item: Any) -> bool:
        """Whether this is as nearly all chunks are: one choice, some text, nothing else."""
        if type(item) is dict:
            return _is_plain_json(item)
        if item.usage is not None:
            return False
        (choice,) = item.choices
        if choice.finish_reason is not None:
            return False
        delta = choice.delta
        text = delta.content
        if type(text) is not str or text == "":
            return False
        try:
            # One question in place of two: an attribute of these objects is slow to read when all is cold.
            if delta.__pydantic_fields_set__ == _TEXT:
                return True
        except AttributeError:
            pass  # not the SDK's own object
        return delta.tool_calls is None is delta.function_call

    def read(self, item: Any) -> Reading | None:
        """What a chunk, a whole answer or the stream helper says."""
        try:
            is_plain = self.is_plain(item)
        except Exception:  # noqa: BLE001 - it has another shape
            is_plain = False
        return CONTENT if is_plain else read_chat(item)


_TEXT: Final = frozenset({"content"})


def _is_plain_json(chunk: dict[str, Any]) -> bool:
    (choice,) = chunk["choices"]
    delta = choice["delta"]
    calls = delta.get("tool_calls") or delta.get("function_call")
    beside_text = calls or choice.get("finish_reason") or chunk.get("usage")
    return type(delta["content"]) is str and delta["content"] != "" and not beside_text


def read_chat(item: Any) -> Reading | None:
    """All that a chunk, a whole answer or the stream helper says, whoever made it an object."""
    choices = items(field(item, "choices"))
    if not choices and name(field(item, "type")) == "chunk":
        # The stream helper wraps every chunk, and follows it up with events that only repeat parts of it.
        item = field(item, "chunk")
        choices = items(field(item, "choices"))
    elif not choices and (gathered := field(item, "current_completion_snapshot")) is not None:
        # The helper itself: asked for what it gathered of chunks that were read past us.
        return read_chat(gathered) or _SILENCE
    reasons = [reason for choice in choices if (reason := name(field(choice, "finish_reason")))]
    reading = Reading(
        content=any(_says_something(choice) for choice in choices),
        usage=usage_of(field(item, "usage")),
        tool_calls=tuple(call for at, choice in enumerate(choices) for call in _tool_calls(choice, at)),
        finished=len(reasons) > 0,
        failed="error" in reasons or (not choices and is_error(field(item, "error"))),
        finish_reason=reasons[0] if reasons else None,
        refused=any(_is_refused(choice) for choice in choices)
        or any(_is_filtered(prompt) for prompt in items(field(item, "prompt_filter_results"))),
    )
    if reading == CONTENT:
        return CONTENT
    reading = reading._replace(model=name(field(item, "model")))
    # One stream may carry several answers, each with an id of its own, and begun by saying whose turn it is.
    id_, has_usage = name(field(item, "id")), reading.usage is not None
    begins = not has_usage and any(name(field(_message_of(choice), "role")) for choice in choices)
    if id_ is not None and (has_usage or begins):
        return reading._replace(step=id_, begins=begins)
    return None if reading == _SILENCE else reading


_SILENCE: Final = Reading()


def _message_of(choice: object) -> Any:
    delta = field(choice, "delta")
    return field(choice, "message") if delta is None else delta


def _says_something(choice: object) -> bool:
    message = _message_of(choice)
    if message is None:
        return is_filled(field(choice, "text"))
    return (
        _has_any(message, _SPOKEN)
        or _has_any(field(message, "function_call"), ("name", "arguments"))
        or _has_any(field(message, "audio"), ("data", "transcript"))
    )


def _has_any(thing: object, keys: tuple[str, ...]) -> bool:
    if thing is not None:
        for key in keys:
            if is_filled(field(thing, key)):
                return True
    return False


def _is_refused(choice: object) -> bool:
    if name(field(choice, "finish_reason")) == "content_filter":
        return True
    return is_filled(field(_message_of(choice), "refusal")) or _is_filtered(choice)


def _is_filtered(part: object) -> bool:
    """Whether Azure held back this prompt or choice, rather than only saying what it found in it."""
    found = field(part, "content_filter_results")
    return found is not None and any(field(field(found, kind), "filtered") is True for kind in _FILTERS)


def _tool_calls(choice: object, at: int) -> Iterator[ToolCall]:
    message, place = _message_of(choice), count(field(choice, "index"))
    place = at if place is None else place
    yield from calls_in(message, place)
    legacy = name(field(field(message, "function_call"), "name"))
    if legacy is not None:
        yield ToolCall(f"{place}.function_call", legacy)


def calls_in(message: object, place: int) -> Iterator[ToolCall]:
    """The calls that a message names, or a part of one; parts that only add arguments name none.

    A call is known by its id, since not everybody who speaks this dialect counts the index up, or sends
    one; without an id by its index and name, and by how many of them are in one list. Who repeats the name
    with every part may send the id with the first one only: so a call with an id says its spot, too.
    """
    spots: list[str] = []
    for call in items(field(message, "tool_calls")):
        tool = field(call, "function")
        if tool is None:
            tool = field(call, "custom")
        called = name(field(call if tool is None else tool, "name"))
        if called is not None:
            index = count(field(call, "index"))
            spot = f"{place}.{called}" if index is None else f"{place}.{index} {called}"
            spots.append(spot)
            nth = spots.count(spot)
            spot = spot if nth == 1 else f"{spot} {nth}"
            id_ = name(field(call, "id"))
            yield ToolCall(spot, called) if id_ is None else ToolCall(id_, called, spot)
