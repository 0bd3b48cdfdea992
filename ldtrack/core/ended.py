"""What is told of a run that has ended.

Rule for this file: one frozen value. It says whose run it was and what came of it, and nothing that was asked
or answered.
"""

from __future__ import annotations

import attrs

from ldtrack.core.graph_metrics import GraphMetricSummary
from ldtrack.core.values import MetricSummary

__all__ = ["EndedRun"]


@attrs.frozen(kw_only=True)
class EndedRun:
    """A run that has ended: of a config, or of a graph."""

    run_id: str
    parent_run_id: str | None
    """The id of the run that this one is part of."""
    config_key: str
    """The AI Config; empty for the run of a graph, whose nodes have runs of their own."""
    graph_key: str
    """The agent graph that the run is of, or its config a node of; or empty."""
    version: int
    variation_key: str
    model_name: str
    """The model that was asked for; which one answered is in the summary."""
    provider_name: str
    summary: MetricSummary | GraphMetricSummary
    """What was recorded, also as far as the ledger has yet to answer."""
