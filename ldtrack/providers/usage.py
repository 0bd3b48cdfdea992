"""The names under which providers report token counts.

Rule for this file: a table of names, and the function that follows it. A provider whose counts have to be
reckoned with before they mean what ours mean does so in its own reader.
"""

from __future__ import annotations

from typing import Any, Final

from ldtrack.core.reading import UsageReport
from ldtrack.providers.fields import count, field

__all__ = ["usage_of"]

_INPUT: Final = (("prompt_tokens",), ("input_tokens",))
_OUTPUT: Final = (("completion_tokens",), ("output_tokens",))
_TOTAL: Final = (("total_tokens",),)
_CACHED_INPUT: Final = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),
)
_REASONING: Final = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
)
_NOTHING: Final = UsageReport()


def usage_of(reported: object) -> UsageReport | None:
    """The counts in a usage object or mapping; ``None`` if there is none that can be understood."""
    if reported is None:
        return None
    report = UsageReport(
        input=_first_count(reported, _INPUT),
        output=_first_count(reported, _OUTPUT),
        total=_first_count(reported, _TOTAL),
        cached_input=_first_count(reported, _CACHED_INPUT),
        reasoning=_first_count(reported, _REASONING),
    )
    return None if report == _NOTHING else report


def _first_count(reported: object, paths: tuple[tuple[str, ...], ...]) -> int | None:
    for path in paths:
        found: Any = reported
        for key in path:
            found = field(found, key)
        number = count(found)
        if number is not None:
            return number
    return None
