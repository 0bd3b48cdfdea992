"""The method that evaluates agent graphs, which ``AIClient`` takes over.

Rule for this file: that of ``methods``: report the use, evaluate the flags, log what is wrong with them. The
configs of the nodes are evaluated silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ldtrack.configs.evaluate import evaluate_agent
from ldtrack.configs.graphs import AgentGraphDefinition, nodes_of
from ldtrack.configs.methods import ConfigMethods
from ldtrack.configs.types import AIAgentConfigDefault
from ldtrack.core.events import GraphAttribution
from ldtrack.core.flag_part import shown
from ldtrack.core.frozen import FrozenMapping
from ldtrack.core.graph import GraphFlag, Structure, parse_graph
from ldtrack.tracking.graph_tracker import GraphTracker

if TYPE_CHECKING:
    from ldclient import Context

    from ldtrack.configs.types import AIAgentConfig
    from ldtrack.core.rendering import Interpolation

__all__ = ["GraphMethods"]

_NO_AGENT: Final = AIAgentConfigDefault.disabled()


class GraphMethods(ConfigMethods):
    """Evaluates agent graphs."""

    async def agent_graph(
        self, key: str, context: Context, variables: Mapping[str, Any] | None = None
    ) -> AgentGraphDefinition:
        """Evaluate an agent graph and the configs of all its nodes, and render their instructions.

        A graph is disabled that is malformed, whose nodes cannot all be reached, or of whose nodes one is
        disabled; it says so in ``problems``. Cancelling the wait leaves nothing behind but a usage event.
        """
        self._report("agent-graph", key, context)
        return await self._agent_graph(key, context, self._filling(context, variables))

    async def _agent_graph(self, key: str, context: Context, filling: Interpolation) -> AgentGraphDefinition:
        """The graph, without a word of its use."""
        flag = await self._graph_flag(key, context)
        structure, problems = flag.structure, flag.problems
        configs: dict[str, AIAgentConfig] = {}
        if structure is not None:
            configs = await self._node_configs(key, context, structure, filling)
            disabled = [config.key for config in configs.values() if not config.enabled]
            if disabled:
                structure, configs = None, {}
                problems += tuple(
                    f"Node {shown(node)} is disabled, or its flag is missing." for node in disabled
                )
        if problems:
            said = " ".join(problems)
            self._recorder.hint(f"graph {key}: {said}", f"Agent graph {key!r} has problems: {said}")
        return AgentGraphDefinition(
            key=key,
            enabled=structure is not None,
            problems=problems,
            nodes=FrozenMapping({}) if structure is None else nodes_of(structure, configs),
            edges=() if structure is None else structure.edges,
            structure=structure,
            new_tracker=self._new_graph_tracker(
                GraphAttribution(key, flag.version, flag.variation_key), context, configs
            ),
        )

    def _new_graph_tracker(
        self, attribution: GraphAttribution, context: Context, configs: Mapping[str, AIAgentConfig]
    ) -> Callable[..., GraphTracker]:
        nodes = {key: config.create_tracker for key, config in configs.items()}

        def new_tracker(parent_run_id: str | None = None) -> GraphTracker:
            return GraphTracker(
                self._recorder, attribution, context, nodes=nodes, parent_run_id=parent_run_id
            )

        return new_tracker

    async def _graph_flag(self, key: str, context: Context) -> GraphFlag:
        try:
            served = await self._flags.value(key, context, {})
        except Exception as error:  # noqa: BLE001 - whatever it is, a graph that cannot be read is disabled
            return GraphFlag(problems=(f"The flag could not be evaluated ({type(error).__name__}).",))
        return parse_graph(served)

    async def _node_configs(
        self, key: str, context: Context, structure: Structure, filling: Interpolation
    ) -> dict[str, AIAgentConfig]:
        evaluations = [
            self._config(node, context, _NO_AGENT, evaluate_agent, filling, graph_key=key)
            for node in structure.downward
        ]
        return dict(zip(structure.downward, await self._all(evaluations), strict=True))
