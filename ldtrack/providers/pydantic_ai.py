"""Pydantic AI: the events of a streamed run, the model's responses, and the results of runs.

Rule for this file: a part that only repeats another one is not read: the end of a part, and the package's
own announcement that what follows is the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport, Wants
from ldtrack.providers.fields import comes_from, count, field, is_filled, items, name
from ldtrack.providers.usage import usage_of

__all__ = ["PydanticAIReader"]

_GROWN: Final = ("content_delta", "args_delta", "tool_name_delta")
_CALLS: Final = frozenset({"tool-call", "builtin-tool-call"})
_OUTPUT_TOOL: Final = "final_result"
"""How the package gets an answer with a structure: it looks like a tool, and is none of anybody's."""

_REFUSED: Final = frozenset({"content_filter", "refusal"})


class PydanticAIReader:
    """Reads runs of an agent: their events carry no usage, their results that of all model calls."""

    wants: Wants = Wants.EVERY
    marks_end: bool = False
    usage_hint: str = (
        "The stream of Pydantic AI ended without token usage, which its results carry, not its events: read "
        "run_stream_events() to its end, or hand the result to run.observe(...)."
    )
    modules: tuple[str, ...] = (
        *("pydantic_ai.messages", "pydantic_ai.run", "pydantic_ai.result", "pydantic_ai._agent_graph"),
    )

    def recognises(self, item: object) -> bool:
        """Whether this is an event, a response, a step or a result of the package's."""
        return comes_from(type(item), self.modules)

    def read(self, item: Any) -> Reading | None:
        """What an event, a response, a step of an agent or a result says."""
        kind = name(field(item, "event_kind"))
        if kind == "part_delta":
            # Nearly all events.
            delta = field(item, "delta")
            return CONTENT if any(_is_something(field(delta, key)) for key in _GROWN) else None
        if kind is not None:
            read = _READ.get(kind)
            return None if read is None else read(item)
        # A step of an agent that is iterated over holds the response that it acts upon.
        response = field(item, "model_response")
        response = item if response is None else response
        if name(field(response, "kind")) == "response":
            return _read_response(response)
        return _read_result(item)


def _is_something(added: object) -> bool:
    return is_filled(added) or (isinstance(added, dict) and len(added) > 0)


def _read_part(event: object) -> Reading | None:
    part = field(event, "part")
    calls = tuple(_tool_calls([part]))
    if calls:
        return Reading(content=True, tool_calls=calls)
    is_call = name(field(part, "part_kind")) in _CALLS
    return CONTENT if is_call or is_filled(field(part, "content")) else None


def _read_end(event: object) -> Reading | None:
    return _read_result(field(event, "result"))


_READ: Final[Mapping[str, Callable[[object], Reading | None]]] = {
    "part_start": _read_part,
    "function_tool_call": _read_part,
    "builtin_tool_call": _read_part,
    "agent_run_result": _read_end,
}


def _read_response(response: object) -> Reading | None:
    parts = items(field(response, "parts"))
    details = field(response, "provider_details")
    usual = name(field(response, "finish_reason"))
    reason = name(field(details, "finish_reason")) or usual
    usage = _usage_of(_asked(response, "usage"))
    reading = Reading(
        content=len(parts) > 0,
        usage=usage,
        tool_calls=tuple(_tool_calls(parts)),
        finished=reason is not None and usual != "tool_call",
        failed=usual == "error",
        finish_reason=reason,
        model=name(field(response, "model_name")),
        refused=usual in _REFUSED or reason in _REFUSED or is_filled(field(details, "refusal")),
    )
    if usage is not None:
        return reading._replace(step=name(field(response, "provider_response_id")) or _moment(response))
    return None if reading == _SILENCE else reading


_SILENCE: Final = Reading()


def _moment(response: object) -> str:
    at = field(response, "timestamp")
    return at.isoformat() if isinstance(at, datetime) else ""


def _read_result(result: object) -> Reading | None:
    """What a run amounts to, whether its result was streamed or not."""
    messages = items(_asked(result, "new_messages"))
    responses = [message for message in messages if name(field(message, "kind")) == "response"]
    last = (_read_response(responses[-1]) if responses else None) or _SILENCE
    usage = _usage_of(_asked(result, "usage"))
    if usage is None and not responses:
        return None
    return last._replace(
        content=len(responses) > 0,
        usage=usage,
        tool_calls=tuple(call for one in responses for call in _tool_calls(items(field(one, "parts")))),
        finished=field(result, "is_complete") is not False,
        step="",
    )


def _asked(thing: object, key: str) -> Any:
    """What is under this name, or what it returns: before version 2 usage was asked for by a call."""
    found = field(thing, key)
    if not callable(found) or field(found, "input_tokens") is not None:
        return found
    try:
        return found()
    except Exception:  # noqa: BLE001 - a stream that was not begun has nothing to tell
        return None


def _tool_calls(parts: Iterable[Any]) -> Iterator[ToolCall]:
    for at, part in enumerate(parts):
        called = name(field(part, "tool_name"))
        is_answer = called is not None and (called == _OUTPUT_TOOL or called.startswith(f"{_OUTPUT_TOOL}_"))
        if called is not None and name(field(part, "part_kind")) in _CALLS and not is_answer:
            yield ToolCall(name(field(part, "tool_call_id")) or f"{at} {called}", called)


def _usage_of(used: object) -> UsageReport | None:
    """The counts; the package counts what was not reported as nothing, and so nothing is not a report."""
    report = usage_of(used)
    if report is None or not (report.input or report.output):
        return None
    reasoning = count(field(used, "output_reasoning_tokens"))
    return report._replace(
        cached_input=count(field(used, "cache_read_tokens")) or None,
        reasoning=reasoning or count(field(field(used, "details"), "reasoning_tokens")),
    )
