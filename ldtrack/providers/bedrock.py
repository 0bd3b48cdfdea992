"""Amazon Bedrock: the events of ConverseStream and the answers of Converse, as boto3 makes mappings of them.

Rule for this file: an event is a mapping with one name in it, which says what it is. Objects do not occur.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport, Wants
from ldtrack.providers.fields import count, field, is_filled, items, name

__all__ = ["BedrockReader"]

_EVENTS: Final = {
    "messageStart": "role",
    "contentBlockStart": "start",
    "contentBlockDelta": "delta",
    "contentBlockStop": "contentBlockIndex",
    "messageStop": "stopReason",
    "metadata": "usage",
}
"""The events, and what each has inside that shows it is one."""

_ERRORS: Final = (
    "internalServerException",
    "modelStreamErrorException",
    "modelTimeoutException",
    "serviceUnavailableException",
    "throttlingException",
    "validationException",
)
"""The events that are errors. boto3 raises them, others hand them on."""

_REFUSED: Final = frozenset({"guardrail_intervened", "content_filtered"})


class BedrockReader:
    """Reads Converse: a stop reason is the finish mark, usage follows it without being asked for."""

    wants: Wants = Wants.EVERY
    marks_end: bool = True
    usage_hint: str = ""
    modules: tuple[str, ...] = ()

    def recognises(self, item: object) -> bool:
        """Whether this is an event of a stream, or a whole answer: a mapping with the names of one."""
        if not isinstance(item, Mapping):
            return False
        if any(field(field(item, event), sign) is not None for event, sign in _EVENTS.items()):
            return _has_one_name(item)
        if any(isinstance(field(item, error), Mapping) for error in _ERRORS):
            return True
        return name(field(item, "stopReason")) is not None and field(item, "output") is not None

    @staticmethod
    def is_plain(item: Any) -> bool:
        """Whether this is as nearly all events are: it adds some text, a thought or input of a tool."""
        block = item.get("contentBlockDelta")
        if block is None:
            return False
        delta = block["delta"]
        said = delta.get("text")
        if said is None:
            said = delta["toolUse"]["input"] if "toolUse" in delta else delta["reasoningContent"]["text"]
        return type(said) is str and said != ""

    def read(self, item: Any) -> Reading | None:
        """What an event or a whole answer says."""
        block = field(item, "contentBlockDelta")
        if block is not None:
            # Nearly all events.
            return CONTENT if _says_something(field(block, "delta")) else None
        if name(field(item, "stopReason")) is not None:
            return _read_answer(item)
        for event, read in _READ.items():
            inside = field(item, event)
            if inside is not None:
                return read(inside)
        return _FAILURE if any(field(item, error) is not None for error in _ERRORS) else None


def _has_one_name(event: Mapping[Any, Any]) -> bool:
    try:
        return len(event) == 1
    except Exception:  # noqa: BLE001 - somebody else's mapping may do anything
        return False


_FAILURE: Final = Reading(failed=True)
_SILENCE: Final = Reading()


def _says_something(delta: object) -> bool:
    if is_filled(field(delta, "text")) or is_filled(field(field(delta, "toolUse"), "input")):
        return True
    thought = field(delta, "reasoningContent")
    if is_filled(field(thought, "text")) or is_filled(field(thought, "redactedContent")):
        return True
    return field(field(delta, "image"), "source") is not None


def _read_block_start(event: object) -> Reading | None:
    call = _tool_call(field(event, "start"), count(field(event, "contentBlockIndex")))
    return None if call is None else Reading(content=True, tool_calls=(call,))


def _read_stop(event: object) -> Reading:
    reason = name(field(event, "stopReason"))
    return Reading(finished=True, finish_reason=reason, refused=reason in _REFUSED)


def _read_metadata(event: object) -> Reading | None:
    reading = Reading(usage=_usage_of(field(event, "usage")), model=_model_of(event))
    return None if reading == _SILENCE else reading


_READ: Final[Mapping[str, Callable[[object], Reading | None]]] = {
    "contentBlockStart": _read_block_start,
    "messageStop": _read_stop,
    "metadata": _read_metadata,
}


def _read_answer(answer: object) -> Reading:
    blocks = items(field(field(field(answer, "output"), "message"), "content"))
    calls = [_tool_call(block, at) for at, block in enumerate(blocks)]
    return _read_stop(answer)._replace(
        content=len(blocks) > 0,
        usage=_usage_of(field(answer, "usage")),
        tool_calls=tuple(call for call in calls if call is not None),
        model=_model_of(answer),
    )


def _tool_call(block: object, at: int | None) -> ToolCall | None:
    use = field(block, "toolUse")
    called = name(field(use, "name"))
    return None if called is None else ToolCall(name(field(use, "toolUseId")) or f"{at} {called}", called)


def _model_of(told: object) -> str | None:
    """The model that a prompt router chose; nobody says which it was without one."""
    return name(field(field(field(told, "trace"), "promptRouter"), "invokedModelId"))


def _usage_of(usage: object) -> UsageReport | None:
    """What was billed as input is three counts: AWS leaves what the cache had a part in out of the first."""
    report = UsageReport(
        output=count(field(usage, "outputTokens")),
        total=count(field(usage, "totalTokens")),
        cached_input=count(field(usage, "cacheReadInputTokens")),
        fresh_input=count(field(usage, "inputTokens")),
        written_input=count(field(usage, "cacheWriteInputTokens")),
    )
    return None if report == _UNKNOWN else report


_UNKNOWN: Final = UsageReport()
