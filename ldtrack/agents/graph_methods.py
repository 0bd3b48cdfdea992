"""The method that makes managed graphs, which ``AIClient`` takes over.

Rule for this file: that of ``methods``: report the use, evaluate the graph, find a runner, put the parts
together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ldclient import Context

from ldtrack.agents.methods import ManagedMethods
from ldtrack.agents.registry import candidates_of
from ldtrack.configs.graphs import AgentGraphDefinition

if TYPE_CHECKING:
    from ldtrack.agents.graph import ManagedAgentGraph
    from ldtrack.running import Tools

__all__ = ["ManagedGraphMethods"]

FRAMEWORKS: Final = {"openai": "openai_agents", "langchain": "langgraph"}
"""Who runs graphs where a provider's name is that of plain models: they are asked next."""


class ManagedGraphMethods(ManagedMethods):
    """Makes managed graphs."""

    async def create_agent_graph(
        self,
        key: str,
        context: Context,
        tools: Tools | None = None,
        default_ai_provider: str | None = None,
        *,
        variables: Mapping[str, Any] | None = None,
    ) -> ManagedAgentGraph | None:
        """Evaluate an agent graph, and make one that runs with these tools; ``None`` if it is disabled.

        ``default_ai_provider`` names the only provider to ask. Raises ``NoRunnerError`` if no runner fits.
        Cancelling the wait leaves nothing behind but a usage event.
        """
        self._report("create-agent-graph", key, context)
        graph = await self._agent_graph(key, context, self._filling(context, variables))
        if not graph.enabled:
            return None

        def make(factory: Any) -> Any:
            if not hasattr(factory, "create_agent_graph"):
                raise TypeError("it runs no graphs")
            return factory.create_agent_graph(graph, tools or {})

        candidates = _candidates_of(graph, default_ai_provider)
        runner = self._managing.runners.create(candidates, make, f"the agent graph {key!r}")
        evaluators = {
            node.key: self._evaluator(
                node.config.judge_configuration, context, variables, default_ai_provider
            )
            for node in graph.nodes.values()
        }
        from ldtrack.agents.graph import ManagedAgentGraph  # noqa: PLC0415 - many clients manage nothing

        return ManagedAgentGraph(graph, runner, evaluators, self._managing.failed)


def _candidates_of(graph: AgentGraphDefinition, default_ai_provider: str | None) -> tuple[str, ...]:
    """Whom to ask, in order; a graph has no provider of its own, so its root's is asked."""
    root = graph.root
    provider = "" if root is None or root.config.provider is None else root.config.provider.name
    names = candidates_of(default_ai_provider, provider)
    return tuple(
        dict.fromkeys(one for name in names for one in (name, FRAMEWORKS.get(name)) if one is not None)
    )
