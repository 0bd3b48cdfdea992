"""The settlement: what a run that has ended leaves to be recorded.

Rule for this file: a plain function from facts to a list of (metric, value). It records nothing; what an
explicit ``track_*`` already recorded is sorted out by the slots, not here.
"""

from __future__ import annotations

from typing import Literal

import attrs

from ldtrack.core.meter import Totals
from ldtrack.core.slots import DURATION, FIRST_TOKEN, OUTCOME, TOKENS, TOOL_CALL, Metric
from ldtrack.core.values import Outcome

__all__ = ["DurationBasis", "Facts", "settle"]

DurationBasis = Literal["wall", "model"]

_NS_PER_MS = 1_000_000


@attrs.frozen(kw_only=True)
class Facts:
    """All that matters of a run once it has ended. Times are in nanoseconds on the run's own clock."""

    totals: Totals
    outcome: Outcome
    started_ns: int | None
    """``None`` for a run whose request was never issued."""
    ended_ns: int
    duration_basis: DurationBasis = "wall"
    stated_ms: int | None = None
    """A duration that an extractor read from the provider's answer."""

    @property
    def duration_ms(self) -> int | None:
        """The duration to record: stated by the provider, spent waiting for it, or by the wall clock."""
        if self.stated_ms is not None:
            return self.stated_ms
        if self.duration_basis == "model" and self.totals.model_ms is not None:
            return self.totals.model_ms
        if self.started_ns is None:
            return None
        return max(0, self.ended_ns - self.started_ns) // _NS_PER_MS

    @property
    def first_token_ms(self) -> int | None:
        """Time from the start of the run to its first token."""
        if self.totals.first_token_ns is None or self.started_ns is None:
            return None
        return max(0, self.totals.first_token_ns - self.started_ns) // _NS_PER_MS


def settle(facts: Facts) -> list[tuple[Metric, object]]:
    """Decide what to record for an ended run, in the order in which it is to be sent."""
    todo: list[tuple[Metric, object]] = []
    if facts.duration_ms is not None:
        todo.append((DURATION, facts.duration_ms))
    if facts.first_token_ms is not None:
        todo.append((FIRST_TOKEN, facts.first_token_ms))
    if facts.outcome is not Outcome.CANCELLED:
        todo.append((OUTCOME, facts.outcome is Outcome.SUCCESS))
    usage = facts.totals.usage
    if usage is not None and not usage.is_empty:
        todo.append((TOKENS, usage))
    todo.extend((TOOL_CALL, name) for name in facts.totals.tool_calls)
    return todo
