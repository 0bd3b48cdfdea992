"""How judges are bounded.

Rule for this file: it is imported with every client, and so imports nothing that only managed models need.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from ldtrack.core.values import count_of

__all__ = ["DEFAULT_POLICY", "JudgePolicy"]


def _checked_seconds(_policy: object, _field: object, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"JudgePolicy.timeout must be a number of seconds, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"JudgePolicy.timeout must be a positive number of seconds, got {value!r}")


def _checked_count(_policy: object, field: attrs.Attribute[int], value: object) -> None:
    if count_of(value, f"JudgePolicy.{field.name}") == 0:
        raise ValueError(
            f"JudgePolicy.{field.name} must be at least 1: to have no judges, set their rates to 0"
        )


@attrs.frozen(kw_only=True)
class JudgePolicy:
    """How long a judge may take, and how many of them are at work at a time."""

    timeout: float = attrs.field(default=30.0, validator=_checked_seconds)
    """In seconds, from when it is asked."""
    at_once: int = attrs.field(default=4, validator=_checked_count)
    """Of one answer's judges."""
    in_all: int = attrs.field(default=32, validator=_checked_count)
    """Of all the client's judges in one event loop; the others wait for their turn."""


DEFAULT_POLICY: Final = JudgePolicy()
