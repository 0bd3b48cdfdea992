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
    """Whether the run came to its own end: not failed, cancelled, broken off, or closed early.

    Known even where recording failed.
    """
    is_cut: bool = False
    """Whether the model ran out of tokens, so that the end of ``content`` is missing.

    LaunchDarkly counts that as a success, as ``success`` does, unless a structured answer was asked for;
    ``metrics.finish_reason`` has the provider's word for it.
    """
    evaluations: Evaluations = NO_EVALUATIONS
    """What the judges say: ``await result.evaluations``, as often as you like."""

    @property
    def resumption_token(self) -> str:
        """The run's identity as text, for feedback that comes later."""
        return self.metrics.resumption_token
