"""OpenAI's Agents SDK: the events of a streamed run, and the results of whole ones.

Rule for this file: what the model says is read by ``openai_responses``; this adds which model call it was,
and whether the agent's loop goes on. All is known by its shape, since the package is called ``agents``, and
so are the packages of many an application.
"""

from __future__ import annotations

from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, UsageReport, Wants
from ldtrack.providers.fields import field, is_filled, items, name
from ldtrack.providers.openai_responses import OpenAIResponsesReader
from ldtrack.providers.usage import usage_of

__all__ = ["OpenAIAgentsReader"]

_RESPONSES: Final = OpenAIResponsesReader()

_RAW: Final = "raw_response_event"
_ITEM: Final = "run_item_stream_event"
_EVENTS: Final = frozenset({_RAW, _ITEM, "agent_updated_stream_event"})
_CALLED: Final = frozenset({"tool_called", "handoff_requested"})
_FOR_THE_APP: Final = frozenset(
    {
        *("function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call"),
        *("apply_patch_call", "mcp_approval_request"),
    }
)
"""Output items that somebody answers before the model goes on."""


class OpenAIAgentsReader:
    """Reads runs of the Agents SDK: each model call reports its own usage, and a run that fails raises."""

    wants: Wants = Wants.EVERY
    marks_end: bool = False
    usage_hint: str = (
        "The run of OpenAI's Agents SDK ended without token usage. Chat completions send it only on request: "
        "pass ModelSettings(include_usage=True) to the Agent."
    )
    modules: tuple[str, ...] = ()

    def recognises(self, item: object) -> bool:
        """Whether this is named as one of the SDK's events, or has what its results have."""
        return name(field(item, "type")) in _EVENTS or _is_result(item)

    def read(self, item: Any) -> Reading | None:
        """What an event or a result says."""
        kind = name(field(item, "type"))
        if kind == _RAW:
            said = field(item, "data")
            reading = _RESPONSES.read(said)
            if reading is None or reading is CONTENT:
                return reading
            return _of_one_call(reading, field(said, "response"))
        if kind == _ITEM and name(field(item, "name")) in _CALLED:
            called = field(field(item, "item"), "raw_item")
            return _RESPONSES.read({"type": "response.output_item.done", "item": called})
        return _read_result(item) if _is_result(item) else None


def _of_one_call(reading: Reading, response: object) -> Reading | None:
    # Chat completions behind the SDK are all given the same id; when they were made tells them apart.
    is_of_one = reading.usage is not None or reading.begins
    step = f"{name(field(response, 'id'))} {_moment(response)}" if is_of_one else ""
    goes_on = any(name(field(item, "type")) in _FOR_THE_APP for item in items(field(response, "output")))
    reading = reading._replace(step=step, finished=reading.finished and not goes_on)
    return None if reading == _SILENCE else reading


def _moment(response: object) -> float:
    at = field(response, "created_at")
    return at if isinstance(at, int | float) else 0.0


def _is_result(item: object) -> bool:
    return isinstance(field(item, "raw_responses"), list) and field(item, "context_wrapper") is not None


def _read_result(result: object) -> Reading | None:
    responses = items(field(result, "raw_responses"))
    output = [item for response in responses for item in items(field(response, "output"))]
    last = items(field(responses[-1], "output")) if responses else ()
    said = _RESPONSES.read({"object": "response", "output": output}) or _SILENCE
    reading = said._replace(
        # The context has counted what agents that were called as tools have used, too.
        usage=_used(field(result, "context_wrapper")) or _sum_of([_used(response) for response in responses]),
        finished=field(result, "is_complete") is not False,
        refused=any(_is_refusal(item) for item in last),
    )
    return None if reading == _SILENCE else reading


_SILENCE: Final = Reading()


def _used(by: object) -> UsageReport | None:
    report = usage_of(field(by, "usage"))
    # What was not reported is counted as nothing.
    return report if report is not None and (report.input or report.output or report.total) else None


def _sum_of(reports: list[UsageReport | None]) -> UsageReport | None:
    total: UsageReport | None = None
    for report in reports:
        if report is not None:
            total = report if total is None else total.plus(report)
    return total


def _is_refusal(item: object) -> bool:
    return any(is_filled(field(part, "refusal")) for part in items(field(item, "content")))
