"""Amazon Bedrock: the chunks of ``invoke_model_with_response_stream``, each model in its own words.

Rule for this file: it opens the envelope, lets the reader of those words read what is inside, and adds the
counts that Amazon adds to the last chunk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ldtrack.core.reading import Reading, UsageReport, Wants
from ldtrack.providers.anthropic import AnthropicReader
from ldtrack.providers.bedrock import BedrockReader
from ldtrack.providers.fields import count, field
from ldtrack.providers.mapping import MappingReader
from ldtrack.providers.openai_chat import OpenAIChatReader

__all__ = ["BedrockInvokeReader"]

_METRICS: Final = "amazon-bedrock-invocationMetrics"
_DIALECTS: Final = (AnthropicReader(), BedrockReader(), OpenAIChatReader(), MappingReader())
"""Claude's, Nova's, what many others speak, and whatever else is JSON."""


class BedrockInvokeReader:
    """Reads InvokeModel streams: Amazon's counts come with the last chunk, which is the finish mark."""

    wants: Wants = Wants.EVERY
    marks_end: bool = True
    usage_hint: str = ""
    modules: tuple[str, ...] = ()

    def recognises(self, item: object) -> bool:
        """Whether this is a JSON object in Amazon's envelope; agents put their text as it is into one."""
        return isinstance(item, Mapping) and _inside(item) is not None

    def read(self, item: Any) -> Reading | None:
        """What the JSON in a chunk says, and Amazon's counts."""
        inside = _inside(item)
        if inside is None:
            return _FAILURE if any(str(key).endswith("Exception") for key in _names_in(item)) else None
        usage = _usage_of(inside.pop(_METRICS, None))
        reader = next(dialect for dialect in _DIALECTS if dialect.recognises(inside))
        reading = reader.read(inside)
        if reading is not None and reading.step:
            # It is one call, and Amazon's counts know no id.
            reading = reading._replace(step="", begins=False)
        if reading is not None and reading.usage is not None:
            reading = reading._replace(usage=_in_parts(reading.usage))
        if usage is None:
            return reading
        reading = _SILENCE if reading is None else reading
        known = usage if reading.usage is None else reading.usage.updated_by(usage)
        return reading._replace(usage=known, finished=True)


_SILENCE: Final = Reading()
_FAILURE: Final = Reading(failed=True)


def _inside(item: Any) -> dict[str, Any] | None:
    sealed = field(field(item, "chunk"), "bytes")
    try:
        inside = json.loads(sealed) if isinstance(sealed, bytes) else None
    except (ValueError, RecursionError):
        return None
    return inside if isinstance(inside, dict) else None


def _names_in(item: Any) -> list[Any]:
    try:
        return [*item]
    except Exception:  # noqa: BLE001 - somebody else's mapping may do anything
        return []


def _in_parts(said: UsageReport) -> UsageReport:
    """The model's own counts as Amazon counts, whose counts may replace some of them: the input in parts."""
    if said.input is not None:
        said = said._replace(input=None, fresh_input=max(0, said.input - (said.cached_input or 0)))
    is_sum = said.fresh_input is not None and said.output is not None
    return said._replace(total=None) if is_sum else said


def _usage_of(metrics: object) -> UsageReport | None:
    report = UsageReport(
        output=count(field(metrics, "outputTokenCount")),
        cached_input=count(field(metrics, "cacheReadInputTokenCount")),
        fresh_input=count(field(metrics, "inputTokenCount")),
        written_input=count(field(metrics, "cacheWriteInputTokenCount")),
    )
    return None if report == _UNKNOWN else report


_UNKNOWN: Final = UsageReport()
