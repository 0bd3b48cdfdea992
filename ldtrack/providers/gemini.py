"""Google Gemini: the answers of ``google-genai``, streamed or whole, and the JSON of the REST API.

Rule for this file: a chunk is a small whole answer, so both are read alike; names come in snake_case from
the SDK and in camelCase over REST.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ldtrack.core.reading import Reading, ToolCall, UsageReport, Wants
from ldtrack.providers.fields import comes_from, count, field, is_error, is_filled, items, name

__all__ = ["GeminiReader"]

_SDK: Final = ("google.genai",)
_ANSWER: Final = "GenerateContentResponse"

_SPOKEN: Final = (
    ("function_call", "functionCall"),
    ("inline_data", "inlineData"),
    ("executable_code", "executableCode"),
)
"""What a part may be that a user waits for, besides text and thoughts, which both are ``text``."""

_UNSAID: Final = frozenset(
    {"FINISH_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED"}
)
_REFUSED: Final = frozenset(
    {
        *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
    }
)
"""The finish reasons of filters; the others are limits and mishaps."""


class GeminiReader:
    """Reads GenerateContent: running totals of usage come unasked, a finish reason is the finish mark.

    Several model calls in one stream, which automatic function calling makes, are told apart by the id of
    their answer.
    """

    wants: Wants = Wants.EVERY
    marks_end: bool = True
    usage_hint: str = ""
    # The SDK keeps all its types in one module, also those of its other streams: known by shape and name.
    modules: tuple[str, ...] = ()

    def recognises(self, item: object) -> bool:
        """Whether this is an answer of the SDK, or has candidates, a verdict on the prompt or its counts."""
        if comes_from(type(item), _SDK):
            return type(item).__name__ == _ANSWER
        usage = _either(item, "usage_metadata", "usageMetadata")
        if count(_either(usage, "prompt_token_count", "promptTokenCount")) is not None:
            return True
        if _either(_feedback(item), "block_reason", "blockReason") is not None:
            return True
        return any(
            items(field(field(candidate, "content"), "parts")) or _reason_of(candidate) is not None
            for candidate in items(field(item, "candidates"))
        )

    def read(self, item: Any) -> Reading | None:
        """What a chunk or a whole answer says."""
        candidates = items(field(item, "candidates"))
        parts = [part for candidate in candidates for part in _parts_of(candidate)]
        blocked = _word(_either(_feedback(item), "block_reason", "blockReason"))
        reasons = [reason for candidate in candidates if (reason := _reason_of(candidate)) is not None]
        usage = _usage_of(_either(item, "usage_metadata", "usageMetadata"))
        reading = Reading(
            content=any(_says_something(part) for part in parts),
            usage=usage,
            tool_calls=tuple(_tool_calls(parts)),
            finished=blocked is not None or len(reasons) > 0,
            failed=len(candidates) == 0 and is_error(field(item, "error")),
            finish_reason=blocked or next(iter(reasons), None),
            model=name(_either(item, "model_version", "modelVersion")),
            refused=blocked is not None or any(reason in _REFUSED for reason in reasons),
        )
        if reading == _SILENCE:
            return None
        step = name(_either(item, "response_id", "responseId"))
        return reading if step is None else reading._replace(step=step, begins=True)


_SILENCE: Final = Reading()


def _either(thing: object, snake: str, camel: str) -> Any:
    found = field(thing, snake)
    # Only JSON has the other name, and asking the SDK's objects for what they lack is slow.
    return field(thing, camel) if found is None and isinstance(thing, Mapping) else found


def _word(thing: object) -> str | None:
    said = name(thing.value if isinstance(thing, enum.Enum) else thing)
    return None if said in _UNSAID else said


def _feedback(item: object) -> Any:
    return _either(item, "prompt_feedback", "promptFeedback")


def _reason_of(candidate: object) -> str | None:
    return _word(_either(candidate, "finish_reason", "finishReason"))


def _parts_of(candidate: object) -> Any:
    return items(field(field(candidate, "content"), "parts"))


def _says_something(part: object) -> bool:
    if is_filled(field(part, "text")):
        return True
    return any(_either(part, snake, camel) is not None for snake, camel in _SPOKEN)


def _tool_calls(parts: list[Any]) -> Iterator[ToolCall]:
    """The calls that these parts name; of a call whose arguments are streamed, only the first part does.

    Most calls have no id, and calls side by side may come in chunks of their own: then place and arguments
    tell them apart.
    """
    for at, part in enumerate(parts):
        call = _either(part, "function_call", "functionCall")
        called = name(field(call, "name"))
        if called is not None:
            yield ToolCall(
                name(field(call, "id")) or f"{at} {called} {_mark_of(field(call, 'args'))}", called
            )


def _mark_of(arguments: object) -> int:
    """A number that differs where the arguments do, since they themselves are nobody's business."""
    try:
        return hash(repr(arguments))
    except Exception:  # noqa: BLE001 - somebody else's object may not even show itself
        return 0


def _usage_of(usage: object) -> UsageReport | None:
    """Input is the prompt, what is cached of it included, and what tools of Google's added to it.

    Output is what was said and what was thought: Google counts the two apart.
    """
    thoughts = count(_either(usage, "thoughts_token_count", "thoughtsTokenCount"))
    report = UsageReport(
        input=_sum_of_known(
            count(_either(usage, "prompt_token_count", "promptTokenCount")),
            count(_either(usage, "tool_use_prompt_token_count", "toolUsePromptTokenCount")),
        ),
        output=_sum_of_known(
            count(_either(usage, "candidates_token_count", "candidatesTokenCount")), thoughts
        ),
        total=count(_either(usage, "total_token_count", "totalTokenCount")),
        cached_input=count(_either(usage, "cached_content_token_count", "cachedContentTokenCount")),
        reasoning=thoughts,
    )
    return None if report == _UNKNOWN else report


_UNKNOWN: Final = UsageReport()


def _sum_of_known(*counts: int | None) -> int | None:
    known = [number for number in counts if number is not None]
    return sum(known) if known else None
