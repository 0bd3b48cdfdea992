"""The values that a graph's run is described with, and what such a run leaves to be recorded.

Rule for this file: frozen values and one plain function from facts to a list of (metric, value).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from ldtrack.core.frozen import FrozenMapping
from ldtrack.core.slots import GRAPH_DURATION, GRAPH_OUTCOME, GRAPH_PATH, GRAPH_TOKENS, Metric
from ldtrack.core.values import LDAIMetrics, MetricSummary, Outcome, TokenUsage, key_of, whole_ms

__all__ = ["AIGraphMetrics", "GraphFacts", "GraphMetricSummary", "path_of", "settle_graph"]


def path_of(path: Iterable[str]) -> tuple[str, ...]:
    """Check that a path is several node keys."""
    if isinstance(path, str | bytes):
        raise TypeError(f"path must be several node keys, not the text {path!r}: write [{path!r}]")
    return tuple([key_of(key, "each node key of path") for key in path])


def _ms_or_none(value: float | None) -> int | None:
    return None if value is None else whole_ms(value, "AIGraphMetrics.duration_ms")


def _checked_nodes(nodes: Mapping[str, LDAIMetrics]) -> FrozenMapping[LDAIMetrics]:
    for key, metrics in nodes.items():
        if not isinstance(metrics, LDAIMetrics):
            raise TypeError(
                f"AIGraphMetrics.node_metrics must have an ldtrack.LDAIMetrics for node {key!r}, "
                f"not {metrics!r:.80} ({type(metrics).__name__})"
            )
    return FrozenMapping(nodes)


def _checked_tokens(_owner: object, _field: attrs.Attribute[TokenUsage | None], value: object) -> None:
    if value is not None and not isinstance(value, TokenUsage):
        raise TypeError(
            f"AIGraphMetrics.tokens must be an ldtrack.TokenUsage, not {value!r} ({type(value).__name__})"
        )


@attrs.frozen
class AIGraphMetrics:
    """What a framework says of one run of a graph, once it is over."""

    success: bool = True
    path: tuple[str, ...] = attrs.field(default=(), converter=path_of)
    """The keys of the nodes that were visited, in their order."""
    duration_ms: int | None = attrs.field(default=None, converter=_ms_or_none)
    tokens: TokenUsage | None = attrs.field(default=None, validator=_checked_tokens)
    """Of the whole run; left out, the nodes' are summed."""
    node_metrics: Mapping[str, LDAIMetrics] = attrs.field(factory=dict, converter=_checked_nodes)
    """By node key."""


@attrs.frozen(kw_only=True)
class GraphMetricSummary:
    """What has been recorded for a graph's run so far: a snapshot that never changes."""

    resumption_token: str
    duration_ms: int | None = None
    success: bool | None = None
    outcome: Outcome | None = None
    tokens: TokenUsage | None = None
    path: tuple[str, ...] = ()
    node_metrics: Mapping[str, MetricSummary] = FrozenMapping({})
    """By node key, in the order of their first visits; empty for a tracker resumed from a token."""
    parent_run_id: str | None = None
    """The id of the run that this one is part of."""


@attrs.frozen(kw_only=True)
class GraphFacts:
    """All that matters of a graph's run once it has ended."""

    outcome: Outcome
    duration_ms: int
    path: tuple[str, ...] = ()
    usage: TokenUsage | None = None


def settle_graph(facts: GraphFacts) -> list[tuple[Metric, object]]:
    """Decide what to record for an ended run of a graph, in the order in which it is to be sent."""
    todo: list[tuple[Metric, object]] = [(GRAPH_DURATION, facts.duration_ms)]
    if facts.outcome is not Outcome.CANCELLED:
        todo.append((GRAPH_OUTCOME, facts.outcome is Outcome.SUCCESS))
    if facts.path:
        todo.append((GRAPH_PATH, facts.path))
    if facts.usage is not None and not facts.usage.is_empty:
        todo.append((GRAPH_TOKENS, facts.usage))
    return todo
