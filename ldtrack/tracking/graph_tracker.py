"""The graph tracker: records what one run of an agent graph did.

Rule for this file: what is recorded of a graph's run, and one tracker for each node. How it is claimed is for
``Claimant`` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from ldtrack.core.events import GraphAttribution
from ldtrack.core.frozen import FrozenMapping
from ldtrack.core.graph_metrics import AIGraphMetrics, GraphFacts, GraphMetricSummary, settle_graph
from ldtrack.core.slots import GRAPH_DURATION, GRAPH_OUTCOME, GRAPH_PATH, GRAPH_TOKENS, Metric
from ldtrack.core.values import Outcome
from ldtrack.tracking.claimant import Claimant
from ldtrack.tracking.execution import RunOptions
from ldtrack.tracking.graph_methods import GraphTrackMethods
from ldtrack.tracking.graph_run import GraphRun
from ldtrack.tracking.operation import require_operation, result_of

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ldclient import Context

    from ldtrack.tracking.recorder import Recorder
    from ldtrack.tracking.tracker import Tracker
    from ldtrack.typing import Flight

__all__ = ["GraphTracker", "NewNodeTracker"]

T = TypeVar("T")

NewNodeTracker = Callable[[str], "Tracker"]
"""Makes the tracker of one node, given the id of the graph's run."""
_NO_NODES: Final[Mapping[str, NewNodeTracker]] = MappingProxyType({})


class GraphTracker(Claimant[GraphAttribution], GraphTrackMethods):
    """Records what one run of a graph did.

    A graph tracker comes from ``graph.create_tracker()``, with a fresh ``runId``, or from
    ``client.resume_graph(token, context)``, with the original one and without nodes: each node's run has a
    token of its own. It may be used from many tasks, threads and loops at once.
    """

    __slots__ = ("_new_node_trackers", "_node_trackers", "parent_run_id")

    _another_run = "call graph.create_tracker() for another run"

    def __init__(
        self,
        recorder: Recorder,
        attribution: GraphAttribution,
        context: Context,
        run_id: str | None = None,
        *,
        nodes: Mapping[str, NewNodeTracker] = _NO_NODES,
        parent_run_id: str | None = None,
    ) -> None:
        super().__init__(recorder, attribution, context, run_id)
        self.parent_run_id = parent_run_id
        self._new_node_trackers = nodes
        self._node_trackers: dict[str, Tracker] = {}

    def __repr__(self) -> str:
        return f"<GraphTracker of run {self.run_id} of {self.graph_key!r}>"

    @property
    def graph_key(self) -> str:
        """The graph's key."""
        return self._attribution.graph_key

    @property
    def node_keys(self) -> tuple[str, ...]:
        """The keys of the graph's nodes; none for a tracker resumed from a token."""
        return tuple(self._new_node_trackers)

    @property
    def summary(self) -> GraphMetricSummary:
        """What has been recorded for this run so far, by this process: a snapshot that never changes."""
        return self._summary()

    def _summary(self, *, is_expected: bool = False) -> GraphMetricSummary:
        value = self._slots.expected if is_expected else self._slots.value
        nodes = {
            key: tracker._summary(is_expected=is_expected)
            for key, tracker in self._node_trackers.copy().items()
        }
        return GraphMetricSummary(
            resumption_token=self.resumption_token,
            duration_ms=value(GRAPH_DURATION),
            success=value(GRAPH_OUTCOME),
            outcome=self._slots.outcome_of(value(GRAPH_OUTCOME)),
            tokens=value(GRAPH_TOKENS),
            path=value(GRAPH_PATH) or (),
            node_metrics=FrozenMapping(nodes),
            parent_run_id=self.parent_run_id,
        )

    def node_tracker(self, key: str) -> Tracker:
        """The tracker of one node's share of this run: the same one however often it is asked for.

        Its run id is its own, and its parent is this run. Inside ``run()``, prefer ``graph_run.node(key)``.
        """
        tracker = self._node_trackers.get(key)
        if tracker is None:
            if key not in self._new_node_trackers:
                raise ValueError(f"{key!r} is no node of {self!r}, {_known(self._new_node_trackers)}")
            new = self._new_node_trackers[key](self.run_id)
            tracker = self._node_trackers.setdefault(key, new)  # the first of several threads
        return tracker

    def run(self, *, cancelled_as: Outcome | None = None) -> GraphRun:
        """Time a run of the graph: ``async with graph_tracker.run() as graph_run``. Single use.

        ``cancelled_as=Outcome.ERROR`` sends a failure for a cancelled run and an error for the nodes it cut
        short, which otherwise send neither.
        """
        return GraphRun(self, self._recorder, self._options(cancelled_as))

    @overload
    async def track_graph_metrics_of(
        self, extractor: Callable[[T], AIGraphMetrics | None], func: Callable[[], Awaitable[T]]
    ) -> T: ...
    @overload
    async def track_graph_metrics_of(
        self, extractor: Callable[[T], AIGraphMetrics | None], func: Callable[[], T]
    ) -> T: ...
    async def track_graph_metrics_of(self, extractor: Callable[[Any], Any], func: Callable[[], Any]) -> Any:
        """Call a function, await what it returns if it is awaitable, and record what the extractor reads.

        The nodes that the extractor tells of are recorded too. Cancellation is recorded as the outcome and
        passes on; the result or the exception of the function passes unchanged, whatever the extractor does.
        """
        require_operation(func, "track_graph_metrics_of")
        async with GraphRun(self, self._recorder, self._options(None), is_repeatable=True) as run:
            result = await result_of(func)
            try:
                metrics = extractor(result)
                if metrics is not None:
                    run.observe(metrics)
            except Exception as error:  # noqa: BLE001 - C5: who only measures never takes the result away
                self._recorder.failed("extractor", error)
        return result

    def _options(self, cancelled_as: Outcome | None) -> RunOptions:
        recorder = self._recorder
        return RunOptions(
            cancelled_as=cancelled_as, model_time=recorder.model_time, estimator=recorder.new_estimator
        )

    async def _track(self, metric: Metric, value: Any) -> bool:
        recorded = self._record(metric, value)
        return recorded is True or await recorded or self._duplicate(metric)

    def _settle(self, facts: GraphFacts) -> list[Flight]:
        """Record what an ended run leaves; returns the claims that the ledger has yet to answer."""
        return self._record_left(facts.outcome, settle_graph(facts))


def _known(keys: Iterable[str]) -> str:
    known = ", ".join(map(repr, keys))
    return f"which has {known}" if known else "which has no nodes: it was resumed, or the graph is disabled"
