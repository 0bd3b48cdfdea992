"""The graph tracker: records what one run of an agent graph did.

Rule for this file: it makes claims out of graph metrics and leaves the decision to the run's slots, which all
trackers of a run share; it hands out one tracker for each node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from ldtrack.core.frozen import FrozenMapping
from ldtrack.core.graph_metrics import AIGraphMetrics, GraphFacts, GraphMetricSummary, settle_graph
from ldtrack.core.slots import GRAPH_DURATION, GRAPH_OUTCOME, GRAPH_PATH, GRAPH_TOKENS, Claim, Metric
from ldtrack.core.values import Outcome
from ldtrack.exceptions import MisuseError
from ldtrack.tracking.graph_methods import GraphTrackMethods
from ldtrack.tracking.graph_run import GraphRun
from ldtrack.tracking.operation import require_operation, result_of
from ldtrack.tracking.run import RunOptions
from ldtrack.tracking.run_slots import RunSlots
from ldtrack.tracking.tracker import refusal_of

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ldclient import Context

    from ldtrack.core.events import GraphAttribution
    from ldtrack.tracking.recorder import Recorder
    from ldtrack.tracking.tracker import Tracker
    from ldtrack.typing import Flight

__all__ = ["GraphTracker", "NewNodeTracker"]

T = TypeVar("T")

NewNodeTracker = Callable[[str], "Tracker"]
"""Makes the tracker of one node, given the id of the graph's run."""
_NO_NODES: Final[Mapping[str, NewNodeTracker]] = MappingProxyType({})


class GraphTracker(GraphTrackMethods):
    """Records what one run of a graph did.

    A graph tracker comes from ``graph.create_tracker()``, with a fresh ``runId``, or from
    ``client.resume_graph(token, context)``, with the original one and without nodes: each node's run has a
    token of its own. It may be used from many tasks, threads and loops at once.
    """

    __slots__ = (
        "_attribution",
        "_context",
        "_data",
        "_new_node_trackers",
        "_node_trackers",
        "_recorder",
        "_slots",
        "_token",
        "parent_run_id",
        "run_id",
    )

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
        if run_id is None:
            self.run_id = recorder.new_run_id()
            self._slots = RunSlots(recorder.ledger if context.valid else refusal_of(context))
        else:
            self.run_id = run_id
            self._slots = recorder.slots_of(run_id)
        self.parent_run_id = parent_run_id
        self._recorder = recorder
        self._attribution = attribution
        self._context = context
        self._data = attribution.data_of(self.run_id)
        self._new_node_trackers = nodes
        self._node_trackers: dict[str, Tracker] = {}
        self._token: str | None = None

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
    def resumption_token(self) -> str:
        """This run's identity as text: lets another process track the same run, within the same slots."""
        if self._token is None:
            if self._context.valid:  # else its slots refuse, which a tracker of a good context must not share
                self._recorder.share(self.run_id, self._slots)
            self._token = self._recorder.encode_token(
                self.run_id, self._attribution, self._context, self.parent_run_id
            )
        return self._token

    @property
    def summary(self) -> GraphMetricSummary:
        """What has been recorded for this run so far, by this process: a snapshot that never changes."""
        value = self._slots.value
        success = value(GRAPH_OUTCOME)
        outcome = Outcome.CANCELLED if self._slots.is_cancelled else None
        if success is not None:
            outcome = Outcome.SUCCESS if success else Outcome.ERROR
        nodes = {key: tracker.summary for key, tracker in self._node_trackers.copy().items()}
        return GraphMetricSummary(
            resumption_token=self.resumption_token,
            duration_ms=value(GRAPH_DURATION),
            success=success,
            outcome=outcome,
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

    def _claim_of(self, metric: Metric, value: Any) -> Claim:
        return Claim(self.run_id, metric, metric.events(self._data, value), self._context)

    async def _record(self, metric: Metric, value: Any) -> bool:
        claim = self._claim_of(metric, value)
        answer = self._slots.claim(claim, value)
        if answer is None:
            answer = await self._slots.answer_after(claim, value)
        elif not isinstance(answer, bool):
            answer = await self._slots.waiter(answer)
        if not answer:
            self._recorder.duplicate(metric, self.run_id)
        return answer

    def _record_quietly(self, metric: Metric, value: object) -> Flight | None:
        """Record without waiting and without raising."""
        failed = partial(self._recorder.failed, metric.name)
        return self._slots.claim_quietly(self._claim_of(metric, value), value, failed)

    def _claim_run(self) -> None:
        """Begin the one run there can be of this tracker."""
        if self._slots.is_run:
            raise MisuseError(
                f"{self!r} has been run already, and a run id stands for one execution: call "
                "graph.create_tracker() for another run"
            )
        self._slots.is_run = True

    def _settle(self, facts: GraphFacts) -> list[Flight]:
        """Record what an ended run leaves; returns the claims that the ledger has yet to answer.

        What was tracked explicitly has filled its slot and wins.
        """
        self._slots.is_cancelled = facts.outcome is Outcome.CANCELLED
        flights = [self._record_quietly(metric, value) for metric, value in settle_graph(facts)]
        return [flight for flight in flights if flight is not None]


def _known(keys: Iterable[str]) -> str:
    known = ", ".join(map(repr, keys))
    return f"which has {known}" if known else "which has no nodes: it was resumed, or the graph is disabled"
