"""One run's way through a graph: who hands the work to whom.

Rule for this file: all that a graph runner has to remember of a run is here, and goes with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import attrs

from ldtrack.providers.runners.handoffs import PREFIX, Handoffs
from ldtrack.running_graphs import GraphCalls, NodeAnswer
from ldtrack.tracking.node_run import NodeRun

__all__ = ["Walk"]


@attrs.define(eq=False)
class Walk:
    """Notes handoffs: one has succeeded when the work arrives, and failed if the run breaks before."""

    calls: GraphCalls
    streams: bool = False
    answers: list[NodeAnswer] = attrs.field(factory=list)
    _under_way: list[tuple[str, str]] = attrs.field(factory=list)
    """Source and target of handoffs whose target has not been visited yet."""

    @contextlib.contextmanager
    def visit(self, key: str) -> Iterator[NodeRun]:
        """One visit of a node, where whatever was on its way to it arrives."""
        with self.calls.visit(key) as run:
            self.arrive(key)
            yield run

    def arrive(self, key: str) -> None:
        """Note that all handoffs to a node have come about."""
        for source, target in self._under_way:
            if target == key:
                self.calls.handoff(source, target)
        self._under_way = [way for way in self._under_way if way[1] != key]

    def hand_over(self, source: str, target: str) -> None:
        """Note that work is on its way along an edge."""
        self._under_way.append((source, target))

    def choose(self, source: str, name: str, handoffs: Handoffs) -> str | None:
        """Note that a model asks for a handoff by the name of its tool; returns where the work goes.

        Along an edge it is a handoff, to another node of the graph a redirect, and anywhere else it fails.
        """
        target = handoffs.target(name)
        if target is None:
            self.refuse(source, name, handoffs)
        elif handoffs.has_edge(source, target):
            self.hand_over(source, target)
        else:
            self.calls.redirect(source, target)
        return target

    def refuse(self, source: str, name: str, handoffs: Handoffs) -> None:
        """Note that a handoff which a model asks for will not come about."""
        target = handoffs.target(name) or name.removeprefix(PREFIX) or name
        self.calls.handoff(source, target, failed=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Who was stopped from outside has not failed.
        if isinstance(error, Exception):
            for source, target in self._under_way:
                self.calls.handoff(source, target, failed=True)
