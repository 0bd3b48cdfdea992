"""What comes of a managed run.

Rule for this file: frozen values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ldtrack.agents.evaluator import NO_EVALUATIONS, Evaluations
from ldtrack.core.values import MetricSummary

__all__ = ["ManagedResult"]


@attrs.frozen(kw_only=True, eq=False)
class ManagedResult:
    """What came of one run of a managed model or agent."""

    content: str
    """The text of the answer; empty if there is none, as when the model only called tools."""
    metrics: MetricSummary
    """What was recorded for the run: a snapshot that never changes."""
    raw: Any = None
    """The provider's own answer; ``None`` for a stream."""
    parsed: Mapping[str, Any] | None = None
    """The structured answer, where one was asked for and came."""
    success: bool = True
    """Whether the answer is whole: not failed, cancelled, cut short, or closed before its end.

    Known even where recording failed.
    """
    evaluations: Evaluations = NO_EVALUATIONS
    """What the judges say: ``await result.evaluations``, as often as you like."""

    @property
    def resumption_token(self) -> str:
        """The run's identity as text, for feedback that comes later."""
        return self.metrics.resumption_token
