"""Why a model stopped, in the words of all providers.

Rule for this file: words and what they mean, whoever says them; in lower case.
"""

from __future__ import annotations

from typing import Final

__all__ = ["NO_FINISH_MARK", "is_cut_short", "is_filtered"]

NO_FINISH_MARK: Final = "no finish mark"
"""The finish reason of a stream that ended without one."""

_CUT_SHORT: Final = frozenset(
    {
        *(NO_FINISH_MARK, "length", "max_tokens", "max_output_tokens", "model_length", "incomplete"),
        "model_context_window_exceeded",
    }
)
_FILTERED: Final = frozenset(
    {"content_filter", "content_filtered", "refusal", "guardrail_intervened", "safety"}
)


def is_cut_short(finish_reason: str | None) -> bool:
    """Whether the end of the answer is missing: there was no room for it, or the stream broke off."""
    return (finish_reason or "").lower() in _CUT_SHORT


def is_filtered(finish_reason: str | None) -> bool:
    """Whether something is missing from the answer because somebody objected to it."""
    return (finish_reason or "").lower() in _FILTERED
