"""How a model is told where it may send the work: the handoffs of a graph's nodes, as tools.

Rule for this file: names and descriptions, from a graph's definition alone; no framework.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from ldtrack.configs.graphs import AgentGraphDefinition
from ldtrack.core.models import LDTool

__all__ = ["PREFIX", "Handoffs", "is_handoff", "require_no_handoffs"]

PREFIX: Final = "transfer_to_"
_LONGEST: Final = 64
_HINT: Final = 120
_FORBIDDEN: Final = re.compile(r"[^a-zA-Z0-9_-]")


def is_handoff(tool_name: str) -> bool:
    """Whether a tool of this name is a handoff, to wherever."""
    return tool_name.startswith(PREFIX)


def require_no_handoffs(tools: Iterable[LDTool], node: str) -> None:
    """Refuse tools that could be taken for handoffs."""
    for tool in tools:
        if is_handoff(tool.name):
            raise ValueError(
                f"the tool {tool.name!r} of node {node!r} needs another name: those that begin with "
                f"{PREFIX!r} are the graph's handoffs"
            )


@attrs.frozen
class Handoffs:
    """The handoffs of one graph."""

    _targets: Mapping[str, str]
    """Node keys by the names of the tools that lead to them."""
    _tools: Mapping[str, Mapping[str, LDTool]]
    """The tools of each node, by where they lead."""
    _onward: Mapping[str, str]
    """Where the work goes from each node that has one way onward, which does not lead back."""

    @classmethod
    def of(cls, graph: AgentGraphDefinition) -> Handoffs:
        """One tool for each node, and for each node those that its edges lead to."""
        names = _names_of(graph)
        tools = {
            node.key: {
                edge.target_config: LDTool(
                    name=names[edge.target_config],
                    description=_description(graph, edge.target_config, edge.handoff.get("description")),
                )
                for edge in node.edges
            }
            for node in graph.nodes.values()
        }
        return cls({name: key for key, name in names.items()}, tools, _onward_in(graph))

    def tools(self, node: str) -> tuple[LDTool, ...]:
        """What a node's model is offered."""
        return tuple(self._tools[node].values())

    def has_edge(self, source: str, target: str) -> bool:
        """Whether a way leads from one node to another."""
        return target in self._tools[source]

    def onward(self, node: str) -> str | None:
        """Where the work goes from a node if nobody chooses; ``None`` if somebody must, or it is an end."""
        return self._onward.get(node)

    def targets(self) -> Iterable[tuple[str, str]]:
        """The tool that leads to each node, and the node."""
        return self._targets.items()

    def description(self, source: str, target: str) -> str:
        """What a model is told of a way; of one that the graph does not have, nothing."""
        tool = self._tools[source].get(target)
        return "" if tool is None else tool.description or ""

    def target(self, name: str) -> str | None:
        """The node that a tool leads to; ``None`` if there is none in this graph."""
        return self._targets.get(name)


def _onward_in(graph: AgentGraphDefinition) -> dict[str, str]:
    """The only ways onward. One that leads back is a choice, or there would be no end."""
    place = {node.key: at for at, node in enumerate(graph.traverse())}
    only = [node.edges[0] for node in graph.nodes.values() if len(node.edges) == 1]
    return {
        edge.source_config: edge.target_config
        for edge in only
        if place[edge.target_config] > place[edge.source_config]
    }


def _names_of(graph: AgentGraphDefinition) -> dict[str, str]:
    """A name for each node that every provider accepts, and no two are alike."""
    names: dict[str, str] = {}
    for at, key in enumerate(graph.nodes):
        plain = (PREFIX + _FORBIDDEN.sub("_", key))[:_LONGEST]
        numbered = (f"{plain[: _LONGEST - 1 - len(str(number))]}_{number}" for number in itertools.count(at))
        taken = {*names.values()}
        names[key] = next(name for name in itertools.chain([plain], numbered) if name not in taken)
    return names


def _description(graph: AgentGraphDefinition, target: str, given: object) -> str:
    """What the flag says of the way, or else how the other node is instructed."""
    if isinstance(given, str) and given:
        return given
    instructions = graph.nodes[target].config.instructions or ""
    return f"Hand the work to {target}. {instructions[:_HINT]}".strip()
