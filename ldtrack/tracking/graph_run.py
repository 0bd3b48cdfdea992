"""One run of a graph: which nodes were visited, and what came of it.

Rule for this file: it is opened once, collects the runs of its nodes, and settles them and itself once, on
whichever exit comes first. Everything but entering and leaving is a plain function that waits for nothing, so
that it may be called from the callbacks of any framework, and that never fails because a ledger does.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ldtrack.core.graph_metrics import AIGraphMetrics, GraphFacts, GraphMetricSummary
from ldtrack.core.meter import sum_of_usage
from ldtrack.core.slots import HANDOFF_FAILURE, HANDOFF_SUCCESS, REDIRECT, Metric
from ldtrack.core.values import Ending, LDAIMetrics
from ldtrack.tracking.call import ending_of
from ldtrack.tracking.execution import Execution, RunOptions
from ldtrack.tracking.graph_methods import GraphTrackMethods, ends_of
from ldtrack.tracking.node_run import NodeRun, Visit

if TYPE_CHECKING:
    from ldtrack.tracking.call import Call
    from ldtrack.tracking.graph_tracker import GraphTracker
    from ldtrack.tracking.recorder import Recorder
    from ldtrack.typing import Flight

__all__ = ["GraphRun"]


class GraphRun(Execution["GraphTracker"], GraphTrackMethods):
    """Times one execution of a graph and records it, nodes included, when it is left.

    Made by ``graph_tracker.run()``. Left by an exception it has failed, or was cancelled; left normally, it
    ended as the node did that ended last. What is tracked explicitly inside the block wins over that.
    """

    __slots__ = ("_ending", "_lock", "_nodes", "_path", "_stated")

    def __init__(
        self, tracker: GraphTracker, recorder: Recorder, options: RunOptions, *, is_repeatable: bool = False
    ) -> None:
        super().__init__(tracker, recorder, options, is_repeatable=is_repeatable)
        self._lock = threading.RLock()
        """Held while a node is made, a visit begins or ends, or the run does; re-entrant for finalizers."""
        self._nodes: dict[str, NodeRun] = {}
        self._path: list[str] = []
        self._ending: Ending | None = None
        """How the latest call or visit ended."""
        self._stated: AIGraphMetrics | None = None

    def __repr__(self) -> str:
        return f"<GraphRun {self.run_id} of {self.tracker.graph_key!r}, {self._state}, path={self._path}>"

    @property
    def summary(self) -> GraphMetricSummary:
        """What has been recorded for this run so far: a snapshot that never changes."""
        return self.tracker.summary

    @property
    def path(self) -> tuple[str, ...]:
        """The keys of the nodes that were visited so far, in the order in which the visits began."""
        return tuple(self._path)

    def node(self, key: str) -> NodeRun:
        """The run of one node: the same one however often it is asked for.

        It is what a runner needs as ``calls``, and ``node.tracker`` is the node's tracker. Only visited nodes
        are on the path, and only visits are timed: see ``visit``.
        """
        with self._lock:
            node = self._nodes.get(key)
            if node is None:
                self._require_open(f"graph_run.node({key!r})")
                tracker = self.tracker.node_tracker(key)
                node = self._nodes[key] = NodeRun(key, self, tracker, self._recorder, self._options)
            return node

    def visit(self, key: str) -> Visit:
        """One visit of a node, to be begun: ``with graph_run.visit(key) as node``.

        The node is put on the path, the time until the end of the block is added to its duration, and an
        exception that leaves the block makes it the node's outcome. Visits may overlap, and be repeated.
        """
        self._require_open(f"graph_run.visit({key!r})")
        return Visit(self, self.node(key), self._recorder.clock.monotonic_ns)

    def handoff(self, source_key: str, target_key: str, *, failed: bool = False) -> None:
        """Note that one node hands the work to another, or fails to; recorded at once, without waiting."""
        ends = ends_of(source_key, target_key)
        self._require_open("graph_run.handoff(...)")
        self.tracker._record_quietly(HANDOFF_FAILURE if failed else HANDOFF_SUCCESS, ends)

    def redirect(self, source_key: str, redirected_target: str) -> None:
        """Note that a node sends the work elsewhere than was planned; recorded at once, without waiting."""
        ends = ends_of(source_key, redirected_target, target="redirected_target")
        self._require_open("graph_run.redirect(...)")
        self.tracker._record_quietly(REDIRECT, ends)

    def observe(self, metrics: AIGraphMetrics) -> None:
        """Take what a framework says of the whole run, its nodes included; it wins over what was measured.

        Of what is said twice, of the run or of a node, the latest counts.
        """
        if not isinstance(metrics, AIGraphMetrics):
            raise TypeError(
                f"metrics must be an ldtrack.AIGraphMetrics, not {metrics!r:.80} ({type(metrics).__name__})"
            )
        self._require_open("graph_run.observe(...)")
        self._stated = metrics
        self._observe_nodes(metrics.node_metrics)

    def _observe_nodes(self, nodes: Mapping[str, LDAIMetrics]) -> None:
        for key, metrics in nodes.items():
            if key in self.tracker.node_keys:
                self.node(key)._stated = metrics
            else:
                self._recorder.failed("graph node", KeyError(key))

    async def _track(self, metric: Metric, value: Any) -> bool:
        return await self.tracker._track(metric, value)

    def _visited(self, key: str) -> None:
        self._require_open(f"visit {key!r}")
        self._path.append(key)

    def _note_ending(self, ending: Ending | None) -> None:
        """Keep how the latest call or visit ended, unless a call that is still open will say."""
        if ending is not None:
            self._ending = ending

    def _calls_made(self) -> list[Call]:
        return [call for node in self._nodes.values() for call in node._calls]

    def _leave(self, error: BaseException | None) -> list[Flight]:
        with self._lock:
            if self._is_settled:
                return []
            self._is_settled = True
        nodes = list(self._nodes.values())
        was_at_work = any(node._is_at_work for node in nodes)
        endings = [node._end_all(error) for node in nodes]
        flights = self.tracker._settle(self._facts(self._ending_by(error, was_at_work=was_at_work)))
        for node, ending in zip(nodes, endings, strict=True):
            flights += node._settle_as(ending)
        self._recorder.tell(self.tracker._ended)
        return flights

    def _ending_by(self, error: BaseException | None, *, was_at_work: bool) -> Ending:
        if error is not None and not (isinstance(error, GeneratorExit) and was_at_work):
            return ending_of(error)
        if self._stated is not None:
            return Ending.COMPLETED if self._stated.success else Ending.FAILED
        return self._ending or Ending.COMPLETED

    def _facts(self, ending: Ending) -> GraphFacts:
        assert self._started_ns is not None, "only what was entered is left"
        took_ms = max(0, self._recorder.clock.monotonic_ns() - self._started_ns) // 1_000_000
        stated = self._stated or AIGraphMetrics()
        return GraphFacts(
            outcome=self._options.outcome_of(ending),
            duration_ms=took_ms if stated.duration_ms is None else stated.duration_ms,
            path=stated.path or tuple(self._path),
            usage=stated.tokens or sum_of_usage([node.usage for node in self._nodes.values()]),
        )
