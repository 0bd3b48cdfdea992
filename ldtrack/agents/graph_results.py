"""What comes of a managed run of a graph.

Rule for this file: frozen values, and the one thing that can be awaited.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Final

import attrs

from ldtrack.agents.evaluator import Evaluations
from ldtrack.core.frozen import FrozenMapping
from ldtrack.core.graph_metrics import GraphMetricSummary
from ldtrack.core.values import JudgeResult

__all__ = ["GraphEvaluations", "ManagedGraphResult"]


class GraphEvaluations:
    """What the judges of a graph's nodes say, once they have said it.

    ``await`` it as often as you like, in the loop of the run: it is a mapping from the key of each node that
    has judges and answered to their results. Each score is recorded on its node's run, awaited or not.
    """

    __slots__ = ("_nodes",)

    def __init__(self, nodes: Mapping[str, Evaluations]) -> None:
        self._nodes = nodes

    def __repr__(self) -> str:
        return f"<GraphEvaluations of {len(self._nodes)} nodes, {'done' if self.done() else 'open'}>"

    def done(self) -> bool:
        """Whether there is nothing left to wait for."""
        return all(evaluations.done() for evaluations in self._nodes.values())

    def __await__(self) -> Generator[Any, Any, Mapping[str, tuple[JudgeResult, ...]]]:
        """Wait for the judges; cancelling the wait stops none of them."""
        said = {}
        for key, evaluations in self._nodes.items():
            said[key] = yield from evaluations.__await__()
        return FrozenMapping(said)


NO_GRAPH_EVALUATIONS: Final = GraphEvaluations({})
"""Of a run whose answers nobody is to judge."""


@attrs.frozen(kw_only=True, eq=False)
class ManagedGraphResult:
    """What came of one run of a managed graph."""

    content: str
    """The text of the graph's answer: that of the node that spoke last."""
    metrics: GraphMetricSummary
    """What was recorded for the run and, in ``node_metrics``, its nodes: a snapshot that never changes."""
    raw: Any = None
    """The framework's own result; ``None`` for a stream that was not read to its end."""
    success: bool = True
    """Whether the graph came to its own end: not failed, cancelled or closed early."""
    evaluations: GraphEvaluations = NO_GRAPH_EVALUATIONS
    """What the judges of the nodes say: ``await result.evaluations``, as often as you like."""

    @property
    def resumption_token(self) -> str:
        """The graph run's identity as text; those of the nodes are in ``metrics.node_metrics``."""
        return self.metrics.resumption_token
