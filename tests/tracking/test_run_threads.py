"""Runs that several threads enter, visit and leave at once, wherever one interrupts the other.

With the baton there is no chance in these tests: each thread comes in at every point of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from baton import Baton, CooperativeLock
from graph_stage import GraphStage
from once_threads import by_hand

import ldtrack.tracking.claimant
import ldtrack.tracking.execution
import ldtrack.tracking.graph_run
import ldtrack.tracking.graph_tracker
import ldtrack.tracking.node_run
import ldtrack.tracking.run
import ldtrack.tracking.run_slots
from ldtrack.exceptions import MisuseError
from ldtrack.tracking.graph_tracker import GraphTracker
from ldtrack.tracking.tracker import Tracker

WATCHED = tuple(
    str(module.__file__)
    for module in (
        ldtrack.tracking.claimant,
        ldtrack.tracking.execution,
        ldtrack.tracking.graph_run,
        ldtrack.tracking.graph_tracker,
        ldtrack.tracking.node_run,
        ldtrack.tracking.run,
        ldtrack.tracking.run_slots,
    )
)
"""Where threads may change over: all that decides which node, which visit and which exit it is."""

Work = Callable[[], None]


class Threads:
    """A stage with an open run of a graph, and a baton that changes hands after so many points."""

    def __init__(self, after: int, *, finely: bool) -> None:
        self.baton = Baton(WATCHED, [(after, 0)], finely=finely)
        self.stage = GraphStage()
        self.stage.recorder._lock = CooperativeLock(self.baton)  # type: ignore[assignment]  # as good as one
        self.tracker = self.stage.new_graph_tracker()
        self.run = self.tracker.run()
        self.run._lock = CooperativeLock(self.baton)  # type: ignore[assignment]  # as good as one
        by_hand(self.run.__aenter__())
        self.refused: list[str] = []
        """What was said to who came too late."""

    def unless_refused(self, ask: Callable[[], object]) -> None:
        """Ask for something that the other thread may ask for too, or make impossible."""
        try:
            ask()
        except MisuseError as error:
            self.refused.append(str(error))

    def leave(self) -> None:
        """Leave the run."""
        by_hand(self.run.__aexit__(None, None, None))

    def writer(self) -> list[str]:
        """The names of what was recorded of the node."""
        return [name for name, _ in self.stage.of(self.tracker.node_tracker("writer").run_id)]


def everywhere(finely: bool, scene: Callable[[Threads], tuple[Work, Work]]) -> Iterator[Threads]:
    """Play a scene of two threads with each coming in at every point of the other."""
    for order in (1, -1):
        after, changes = 0, 1
        while changes:
            threads = Threads(after, finely=finely)
            threads.baton.run([*scene(threads)][::order])
            yield threads
            changes = threads.baton.changes
            after += 1
        assert after > 10, "there was hardly a point at which to come in"


in_both_grains = pytest.mark.parametrize("finely", [False, True], ids=["by line", "by instruction"])


@in_both_grains
def test_two_visits_of_a_node_are_of_one_run_and_counted_both(finely: bool) -> None:
    """Both threads ask for the node first: it is made once, and no time and no step of the path is lost."""

    def visit(threads: Threads, ms: int) -> None:
        with threads.run.visit("writer") as node:
            assert node is threads.run.node("writer")
            threads.stage.clock.advance(ms / 1000)

    for threads in everywhere(finely, lambda it: (lambda: visit(it, 10), lambda: visit(it, 1000))):
        threads.leave()
        summary = threads.tracker.summary
        assert summary.path == ("writer", "writer")
        assert (summary.node_metrics["writer"].duration_ms or 0) >= 1010
        assert threads.writer() == ["duration:total", "generation:success"]
        threads.stage.assert_clean()


@in_both_grains
def test_a_node_that_is_asked_for_while_the_run_is_left_is_settled_or_refused(finely: bool) -> None:
    """No run of a node is left open by a run that is over."""
    seen: set[bool] = set()

    def scene(threads: Threads) -> tuple[Work, Work]:
        return lambda: threads.unless_refused(lambda: threads.run.node("writer")), threads.leave

    for threads in everywhere(finely, scene):
        with pytest.raises(MisuseError, match="which is over"):
            threads.run.node("writer").observe("late")
        assert all("which is over" in said for said in threads.refused)
        assert threads.tracker.summary.success is True
        assert threads.writer() == []
        seen.add(bool(threads.refused))
    assert seen == {False, True}


@in_both_grains
def test_a_visit_that_begins_while_the_run_is_left_is_on_the_path_or_refused(finely: bool) -> None:
    """And its node has recorded what became of it, or nothing at all."""
    seen: set[bool] = set()

    def scene(threads: Threads) -> tuple[Work, Work]:
        begin = threads.run.visit("writer").begin
        return lambda: threads.unless_refused(begin), threads.leave

    for threads in everywhere(finely, scene):
        was_refused = bool(threads.refused)
        assert threads.tracker.summary.path == (() if was_refused else ("writer",))
        assert threads.writer() == ([] if was_refused else ["duration:total", "generation:success"])
        seen.add(was_refused)
    assert seen == {False, True}


@in_both_grains
def test_a_visit_that_ends_while_the_run_is_left_ends_once(finely: bool) -> None:
    """Both end it, which neither of them notices."""

    def scene(threads: Threads) -> tuple[Work, Work]:
        visit = threads.run.visit("writer")
        visit.begin()
        threads.stage.clock.advance(0.01)
        return visit.end, threads.leave

    for threads in everywhere(finely, scene):
        summary = threads.tracker.summary
        assert (summary.path, summary.success) == (("writer",), True)
        assert summary.node_metrics["writer"].duration_ms == 10
        assert threads.writer() == ["duration:total", "generation:success"]
        threads.stage.assert_clean()


@pytest.mark.parametrize("new_tracker", [GraphStage.new_tracker, GraphStage.new_graph_tracker])
def test_of_two_threads_that_run_a_tracker_one_is_refused(
    new_tracker: Callable[[GraphStage], Tracker | GraphTracker],
) -> None:
    """A run id stands for one execution."""

    def scene(threads: Threads) -> tuple[Work, Work]:
        tracker = new_tracker(threads.stage)
        assert not tracker._slots.is_run

        def enter() -> None:
            threads.unless_refused(lambda: by_hand(tracker.run().__aenter__()))
            assert tracker._slots.is_run

        return enter, enter

    for threads in everywhere(True, scene):
        assert ["has been run already" in said for said in threads.refused] == [True]
