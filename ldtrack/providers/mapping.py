"""Mappings of no provider that we know: what applications and home-made gateways stream.

Rule for this file: only the names that nearly everybody uses. A provider with names of its own gets a reader
of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, Wants
from ldtrack.providers.fields import field, is_error, is_filled, name
from ldtrack.providers.openai_chat import calls_in
from ldtrack.providers.usage import usage_of

__all__ = ["MappingReader"]

_SPOKEN: Final = frozenset(
    {
        *("content", "text", "delta", "output_text", "response", "completion", "generated_text", "answer"),
        *("token", "message", "refusal", "reasoning", "reasoning_content", "thinking", "tool_calls"),
    }
)
"""Where a mapping says something: as text, as a list of parts, or as a mapping that says it."""

_ENVELOPE: Final = frozenset(
    {
        *("type", "event", "id", "object", "model", "created", "created_at", "role", "index", "name"),
        *("usage", "usage_metadata", "finish_reason", "stop_reason", "done", "error", "status"),
    }
)
"""Names that say something about a chunk and are not what a user waits for."""


_REFUSALS: Final = frozenset({"content_filter", "refusal"})
"""Reasons to stop that mean it."""


class MappingReader:
    """Reads any mapping by the usual names.

    One whose payload goes by a name that we have not heard of is timed all the same, like a chunk of any
    unknown kind. Since it takes what others have left, a reader that knows a later chunk takes over.
    """

    wants: Wants = Wants.EVERY
    marks_end: bool = False
    usage_hint: str = ""
    modules: tuple[str, ...] = ()
    gives_way: bool = True

    def recognises(self, item: object) -> bool:
        """Whether this is a mapping."""
        return isinstance(item, Mapping)

    def read(self, item: Any) -> Reading | None:
        """What a mapping says under the usual names."""
        said = _said_in(item)
        parts = [item, *(part for part in said if isinstance(part, Mapping))]
        reasons = [reason for part in parts for reason in _reasons_of(part)]
        content = any(is_filled(one) for part in parts for one in _said_in(part))
        guessed = not (said or _is_envelope(item))
        reading = Reading(
            content=content or guessed,
            usage=usage_of(field(item, "usage")) or usage_of(field(item, "usage_metadata")),
            tool_calls=tuple(call for part in parts for call in calls_in(part, 0)),
            finished=len(reasons) > 0 or any(field(part, "done") is True for part in parts),
            failed=is_error(field(item, "error")),
            finish_reason=reasons[0] if reasons else None,
            model=name(field(item, "model")),
            refused=not _REFUSALS.isdisjoint(reasons)
            or any(is_filled(field(part, "refusal")) for part in parts),
            guessed=guessed,
        )
        if reading == CONTENT:
            return CONTENT
        return None if reading == _SILENCE else reading


_SILENCE: Final = Reading()


def _said_in(part: Any) -> list[Any]:
    try:
        return [part[key] for key in part if key in _SPOKEN]
    except Exception:  # noqa: BLE001 - somebody else's mapping may do anything
        return []


def _is_envelope(chunk: Any) -> bool:
    try:
        return all(key in _ENVELOPE for key in chunk)
    except Exception:  # noqa: BLE001 - as above
        return True


def _reasons_of(part: object) -> list[str]:
    reasons = [name(field(part, key)) for key in ("finish_reason", "stop_reason")]
    return [reason for reason in reasons if reason is not None]
