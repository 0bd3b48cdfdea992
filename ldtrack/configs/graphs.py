"""Agent graphs as users see them.

Rule for this file: frozen, made by ``graph_methods``, under LaunchDarkly's names where it has them. What a
graph's structure is and in which order it is walked, ``core.graph`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, overload

import attrs

from ldtrack.configs.types import AIAgentConfig
from ldtrack.core.frozen import FrozenMapping
from ldtrack.core.graph import Edge, Structure
from ldtrack.tracking.graph_tracker import GraphTracker
from ldtrack.tracking.sub_run import Parent, run_id_of

__all__ = ["AgentGraphDefinition", "AgentGraphNode", "Edge"]

T = TypeVar("T")
_NO_NODES: Final[FrozenMapping[Any]] = FrozenMapping({})


def _tuple(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    return tuple(edges)


@attrs.frozen(kw_only=True)
class AgentGraphNode:
    """One agent of a graph."""

    key: str
    """The key of its config."""
    config: AIAgentConfig
    """Its trackers carry the graph's key. One of them is one execution: see ``graph_run.node``."""
    edges: tuple[Edge, ...] = attrs.field(default=(), converter=_tuple)
    """The ways onward from here."""

    @property
    def is_terminal(self) -> bool:
        """Whether no way leads onward."""
        return not self.edges


@attrs.frozen(kw_only=True)
class AgentGraphDefinition:
    """An agent graph: its nodes with their configs, and how they are connected.

    A disabled graph has no nodes, and says in ``problems`` what is wrong with it, unless it was switched off.
    """

    key: str
    enabled: bool
    problems: tuple[str, ...] = ()
    """What is wrong with the graph's flag or its nodes, as sentences; empty when all is well."""
    nodes: FrozenMapping[AgentGraphNode] = _NO_NODES
    """By key, in the order of ``traverse()``."""
    edges: tuple[Edge, ...] = ()
    _structure: Structure | None = attrs.field(default=None, eq=False, repr=False, alias="structure")
    _new_tracker: Callable[..., GraphTracker] = attrs.field(eq=False, repr=False, alias="new_tracker")

    @property
    def root(self) -> AgentGraphNode | None:
        """The node that a run begins with; ``None`` in a disabled graph."""
        return None if self._structure is None else self.nodes[self._structure.root]

    @property
    def terminal_nodes(self) -> tuple[AgentGraphNode, ...]:
        """The nodes from which no way leads onward; a graph whose every way is a circle has none."""
        return tuple(node for node in self.nodes.values() if node.is_terminal)

    def get_node(self, key: str) -> AgentGraphNode | None:
        """The node of that key, or ``None``."""
        return self.nodes.get(key)

    def children(self, key: str) -> tuple[AgentGraphNode, ...]:
        """The nodes that edges lead to from this one, as they are listed; none for a key that is no node."""
        return tuple(self.nodes[edge.target_config] for edge in self.edges if edge.source_config == key)

    def parents(self, key: str) -> tuple[AgentGraphNode, ...]:
        """The nodes from which edges lead to this one, as they are listed; none for a key that is no node."""
        return tuple(self.nodes[edge.source_config] for edge in self.edges if edge.target_config == key)

    @overload
    def traverse(self) -> tuple[AgentGraphNode, ...]: ...
    @overload
    def traverse(
        self,
        fn: Callable[[AgentGraphNode, dict[str, Any]], T],
        execution_context: dict[str, Any] | None = None,
    ) -> T | None: ...
    def traverse(
        self,
        fn: Callable[[AgentGraphNode, dict[str, Any]], Any] | None = None,
        execution_context: dict[str, Any] | None = None,
    ) -> Any:
        """The nodes from the root down: parents before children, nearer ones first.

        With a function, it is called with each node and the results so far, by key; returned is what it
        returned for the root, ``None`` for a disabled graph. ``execution_context`` holds what is to be known
        before, and is filled. In a cycle, the edge that leads back to where the walk is inside counts for
        nothing.
        """
        order = () if self._structure is None else self._structure.downward
        return self._walk(order, fn, execution_context)

    @overload
    def reverse_traverse(self) -> tuple[AgentGraphNode, ...]: ...
    @overload
    def reverse_traverse(
        self,
        fn: Callable[[AgentGraphNode, dict[str, Any]], T],
        execution_context: dict[str, Any] | None = None,
    ) -> T | None: ...
    def reverse_traverse(
        self,
        fn: Callable[[AgentGraphNode, dict[str, Any]], Any] | None = None,
        execution_context: dict[str, Any] | None = None,
    ) -> Any:
        """The nodes from the ends up to the root: children before parents, the root last.

        With a function, as in ``traverse``. In a cycle, the same edges count for nothing.
        """
        order = () if self._structure is None else self._structure.upward
        return self._walk(order, fn, execution_context)

    def _walk(
        self,
        order: tuple[str, ...],
        fn: Callable[[AgentGraphNode, dict[str, Any]], Any] | None,
        execution_context: dict[str, Any] | None,
    ) -> Any:
        nodes = tuple(self.nodes[key] for key in order)
        if fn is None:
            return nodes
        results = {} if execution_context is None else execution_context
        for node in nodes:
            results[node.key] = fn(node, results)
        return None if self._structure is None else results[self._structure.root]

    def create_tracker(self, parent: Parent | None = None) -> GraphTracker:
        """A tracker for one run of the graph, with a fresh ``runId``, which its nodes' runs have as parent.

        ``parent`` is the run that the graph's run is part of: its tracker, the run itself, or its id.
        """
        return self._new_tracker() if parent is None else self._new_tracker(run_id_of(parent))


def nodes_of(structure: Structure, configs: Mapping[str, AIAgentConfig]) -> FrozenMapping[AgentGraphNode]:
    """The nodes of a structure, in the order in which it is walked."""
    onward: dict[str, list[Edge]] = {}
    for edge in structure.edges:
        onward.setdefault(edge.source_config, []).append(edge)
    return FrozenMapping(
        {
            key: AgentGraphNode(key=key, config=configs[key], edges=onward.get(key, ()))
            for key in structure.downward
        }
    )
