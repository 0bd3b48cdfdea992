"""The protocols of managed agent graphs: what runs a graph, and who makes such runners.

A graph runner visits nodes through the ``GraphCalls`` it is handed, which is the graph's run itself, and
makes each node's provider calls through that node's run. So everything is measured as it comes: when a later
node fails, the path, the handoffs and what the earlier nodes used are there already.

    class AcmeGraphRunner:
        async def run(self, input, *, calls):
            with calls.visit("triage") as node:
                answer = await node.call(self._client.chat(...))
            return AgentGraphRunnerResult(content=answer.text, raw=answer)

A runner of LaunchDarkly's own shape, ``run(input)`` without ``calls``, works too: it is given a plain prompt,
and states its metrics in its result.

Rule for this file: protocols and the frozen values in their signatures; nothing that runs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import attrs

from ldtrack.configs.graphs import AgentGraphDefinition
from ldtrack.core.graph_metrics import AIGraphMetrics
from ldtrack.core.models import LDMessage
from ldtrack.running import Tools
from ldtrack.tracking.node_run import Visit

__all__ = [
    "AgentGraphRunner",
    "AgentGraphRunnerResult",
    "AnyGraphRunner",
    "GraphCalls",
    "GraphRunnerFactory",
    "NodeAnswer",
    "NodeText",
    "PlainAgentGraphRunner",
    "StreamingAgentGraphRunner",
]


class NodeText(NamedTuple):
    """A piece of what one node says, as it comes; nodes that are at work side by side alternate."""

    text: str
    node: str
    """The node's key."""


@attrs.frozen(kw_only=True)
class NodeAnswer:
    """What a node was asked in one visit, and what it answered: for its judges."""

    node: str
    """The node's key."""
    asked: tuple[LDMessage, ...]
    content: str


@attrs.frozen(kw_only=True)
class AgentGraphRunnerResult:
    """What a graph runner brings back."""

    content: str
    """The text of the graph's answer: that of the node that spoke last."""
    raw: Any = None
    """The framework's own result."""
    answers: tuple[NodeAnswer, ...] = ()
    """What the nodes said, visit by visit, as far as judges are to look at it."""
    metrics: AIGraphMetrics | None = None
    """What wins over what was measured through ``calls``; ``None`` if nothing does."""


class GraphCalls(Protocol):
    """Visits nodes, and measures each visit. A ``GraphRun`` does."""

    def visit(self, key: str) -> Visit:
        """One visit of a node: ``with calls.visit(key) as node`` gives what makes the node's calls."""
        ...

    def handoff(self, source_key: str, target_key: str, *, failed: bool = False) -> None:
        """Note that one node hands the work to another, or fails to."""
        ...

    def redirect(self, source_key: str, redirected_target: str) -> None:
        """Note that a node sends the work elsewhere than was planned."""
        ...


class AgentGraphRunner(Protocol):
    """Runs one graph. It keeps nothing of a run, so that runs may be concurrent."""

    async def run(self, input: Sequence[LDMessage], *, calls: GraphCalls) -> AgentGraphRunnerResult:
        """Answer messages; what the framework raises, and cancellation, pass."""
        ...


class StreamingAgentGraphRunner(AgentGraphRunner, Protocol):
    """A graph runner that can stream."""

    def stream(
        self, input: Sequence[LDMessage], *, calls: GraphCalls
    ) -> AsyncGenerator[NodeText | AgentGraphRunnerResult, None]:
        """What the nodes say as it comes, and the result as the last item of all.

        Whoever stops reading closes the generator.
        """
        ...


class PlainAgentGraphRunner(Protocol):
    """A graph runner of LaunchDarkly's own shape: it is given a prompt, and measures itself."""

    async def run(self, input: str) -> Any:
        """Answer a prompt, with ``content`` and ``metrics``; cancellation is for it to survive."""
        ...


AnyGraphRunner: TypeAlias = AgentGraphRunner | PlainAgentGraphRunner


class GraphRunnerFactory(Protocol):
    """Makes graph runners: what a ``RunnerFactory`` may offer besides."""

    def create_agent_graph(self, graph: AgentGraphDefinition, tools: Tools) -> AnyGraphRunner | None:
        """A runner for this graph; ``None`` to decline."""
        ...
