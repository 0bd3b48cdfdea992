"""What one node does in one run of a graph, however often it is visited.

Rule for this file: a node's run is opened by the graph's run and settled with it. Its visits are timed and
summed here; what its calls show is measured as in any run.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

import attrs

from ldtrack.core.meter import Totals
from ldtrack.core.settlement import Facts
from ldtrack.core.values import Ending, LDAIMetrics, Outcome, TokenUsage
from ldtrack.exceptions import MisuseError
from ldtrack.tracking.call import ending_of
from ldtrack.tracking.execution import RunOptions
from ldtrack.tracking.run import Run

if TYPE_CHECKING:
    from ldtrack.tracking.call import Call
    from ldtrack.tracking.graph_run import GraphRun
    from ldtrack.tracking.recorder import Recorder
    from ldtrack.tracking.tracker import Tracker
    from ldtrack.typing import Flight

__all__ = ["NodeRun", "Visit"]


class NodeRun(Run):
    """A node's share of a graph's run. Made by ``graph_run.node(key)``; hand it to runners as ``calls``.

    For LaunchDarkly it is one execution, with a run id of its own. What several visits use is summed; its
    duration is the time of all visits, and its outcome that of the last one.
    """

    __slots__ = ("_graph_run", "_open_visits", "_stated", "_visit_ending", "_visited_ns", "key")

    def __init__(
        self, key: str, graph_run: GraphRun, tracker: Tracker, recorder: Recorder, options: RunOptions
    ) -> None:
        super().__init__(tracker, recorder, options, is_repeatable=graph_run._is_repeatable)
        self.key = key
        self._graph_run = graph_run
        self._open_visits: list[Visit] = []
        self._visited_ns: int | None = None
        """How long the visits took that are over; ``None`` while there was none."""
        self._visit_ending: Ending | None = None
        """How the latest visit ended; ``None`` where a call of it, still open, will say."""
        self._stated: LDAIMetrics | None = None
        """What a framework says of the node: it wins over what was measured."""
        self._enter()

    def __repr__(self) -> str:
        return f"<NodeRun {self.key!r} of graph run {self._graph_run.run_id}>"

    async def __aenter__(self) -> NoReturn:
        """Refuse: there is nothing to enter, and no wait to cancel."""
        raise MisuseError(
            f"{self!r} is open as long as its graph's run is: "
            f"write `with graph_run.visit({self.key!r}) as node`"
        )

    @property
    def usage(self) -> TokenUsage | None:
        """The tokens that it has used: as stated, or else those of its calls."""
        if self._stated is not None and self._stated.tokens is not None:
            return self._stated.tokens
        return Totals.of([call.meter for call in self._calls]).usage

    @property
    def _is_calling(self) -> bool:
        return any(call.ending is None for call in self._calls)

    @property
    def _is_at_work(self) -> bool:
        return bool(self._open_visits) or self._is_calling

    def _call_ended(self, call: Call) -> None:
        super()._call_ended(call)
        self._graph_run._note_ending(call.ending)

    def _ending_of_visit(self, visit: Visit, error: BaseException | None) -> Ending | None:
        if error is not None and not (isinstance(error, GeneratorExit) and self._is_calling):
            return ending_of(error)
        calls = self._calls[visit.calls_before :]
        return calls[-1].ending if calls else Ending.COMPLETED

    def _visit_ended(self, visit: Visit, took_ns: int, ending: Ending | None) -> None:
        self._open_visits.remove(visit)
        self._visited_ns = (self._visited_ns or 0) + took_ns
        self._visit_ending = ending
        self._graph_run._note_ending(ending)

    def _end_all(self, error: BaseException | None) -> Ending | None:
        """End what goes on, since the graph's run is left.

        Returns how the node's run ended, or ``None`` where its calls say so.
        """
        was_cut_short = error is not None and self._is_at_work
        measured = self._end_measured(error)
        if self._stated is None or was_cut_short:
            return measured
        return Ending.COMPLETED if self._stated.success else Ending.FAILED

    def _end_measured(self, error: BaseException | None) -> Ending | None:
        visits = self._open_visits.copy()
        if not visits and not self._is_calling:
            return self._visit_ending
        endings = [self._ending_of_visit(visit, error) for visit in visits]
        ending = self._end_calls(error)
        for visit, known in zip(visits, endings, strict=True):
            visit._finish(known)
        return ending or (self._visit_ending if visits else None)

    def _settle_as(self, ending: Ending | None) -> list[Flight]:
        if self._stated is not None:
            self.tracker._note_ending(ending)
        elif self._visited_ns is None and not self._calls:  # somebody only looked at it
            self._is_settled = True
        return self._settle(ending)

    def _facts(self, outcome: Outcome) -> Facts:
        facts, stated = self._measured_facts(outcome), self._stated
        if stated is None:
            return facts
        tool_calls = stated.tool_calls or facts.totals.tool_calls
        return attrs.evolve(
            facts,
            totals=attrs.evolve(facts.totals, usage=self.usage, tool_calls=tool_calls),
            stated_ms=facts.stated_ms if stated.duration_ms is None else stated.duration_ms,
        )

    def _measured_facts(self, outcome: Outcome) -> Facts:
        facts = super()._facts(outcome)
        if facts.stated_ms is not None:
            return facts
        if self._visited_ns is None:  # nobody visited it: what was timed are its calls, if anything was
            return attrs.evolve(facts, stated_ms=facts.totals.model_ms, started_ns=None)
        return attrs.evolve(facts, stated_ms=self._visited_ns // 1_000_000)


class Visit:
    """One visit of a node: ``with graph_run.visit(key) as node``.

    The callbacks of a framework say ``begin()`` and ``end(error)`` instead.
    """

    __slots__ = ("_graph_run", "_is_over", "_now", "_started_ns", "calls_before", "node")

    def __init__(self, graph_run: GraphRun, node: NodeRun, now: Callable[[], int]) -> None:
        self.node = node
        self.calls_before = 0
        self._graph_run = graph_run
        self._now = now
        self._started_ns: int | None = None
        self._is_over = False

    def __repr__(self) -> str:
        state = "over" if self._is_over else "new" if self._started_ns is None else "open"
        return f"<Visit of {self.node!r}, {state}>"

    def begin(self) -> NodeRun:
        """Start the clock: from here on the node is on the path."""
        with self._graph_run._lock:
            if self._started_ns is not None:
                raise MisuseError(f"{self!r} was begun already: call graph_run.visit(key) for every visit")
            self._graph_run._visited(self.node.key)
            self.calls_before = len(self.node._calls)
            self._started_ns = self._now()
            self.node._open_visits.append(self)
        return self.node

    def end(self, error: BaseException | None = None) -> None:
        """End the visit, with what broke it off; whatever comes after the first end is too late."""
        if self._started_ns is None:
            raise MisuseError(f"{self!r} was not begun: write `with graph_run.visit(key) as node`")
        self._finish(self.node._ending_of_visit(self, error))

    def _finish(self, ending: Ending | None) -> None:
        """End the visit as said, unless somebody else did."""
        assert self._started_ns is not None, "only what was begun is finished"
        with self._graph_run._lock:
            if not self._is_over:
                self._is_over = True
                self.node._visit_ended(self, max(0, self._now() - self._started_ns), ending)

    def __enter__(self) -> NodeRun:
        return self.begin()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(error)
