"""Agent graphs on real frameworks, whose models answer from a script over an HTTP transport in memory.

Rule for this file: a script says what a node's model answers, call by call of one question; usage differs
from call to call, so that figures cannot be right by chance. What was served is on record.
"""

from __future__ import annotations

import collections
import importlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agent_kits import AgentsOnChat, AgentsOnResponses
from fake_http import FakeServer, openai_client
from ldclient import Context
from runner_kits import Asks, OpenAIKit, langchain_models

from ldtrack import AIClient
from ldtrack.testing import Recording, recording

__all__ = ["ADA", "GRAPH_KITS", "GraphKit", "LangGraphKit", "edges", "go"]

ADA = Context.create("ada")

Script = Mapping[str, Sequence[Any]]
"""The turns of each node's model, call by call; the last one again and again."""


def go(*nodes: str) -> Asks:
    """The model hands over to these nodes."""
    return Asks(tuple((f"transfer_to_{node}", {}) for node in nodes))


def edges(text: str, **handoffs: Any) -> dict[str, list[Any]]:
    """The edges of a graph: ``"R>A R>B"``; ``A={...}`` is the handoff of all edges to A."""
    found: dict[str, list[Any]] = {}
    for edge in text.split():
        source, target = edge.split(">")
        found.setdefault(source, []).append({"key": target, "handoff": handoffs.get(target, {})})
    return found


class GraphKit:
    """One framework, one script, one client."""

    name = ""
    wire: type[OpenAIKit] = OpenAIKit
    provider = "openai_agents"
    parallel = False
    """Whether a node may hand over to several at once."""

    def __init__(
        self,
        graph: str,
        script: Script,
        *,
        streams: bool = False,
        nodes: Mapping[str, Any] | None = None,
        handoffs: Mapping[str, Any] | None = None,
        turn: Callable[[str, str], Awaitable[None]] | None = None,
        **options: Any,
    ) -> None:
        self.streams = streams
        self.script = script
        self.turn = turn
        """Called with question and node before each answer: where the test may wait or draw."""
        self.served: dict[tuple[str, str], list[tuple[int, int]]] = collections.defaultdict(list)
        """Input and output tokens of every answer, by question and node."""
        self.asked: list[tuple[str, str, Any]] = []
        """Question, node and body of every request."""
        self._wire = self.wire([], streams=streams)
        self.server = FakeServer(self._serve)
        self.ld = self._recording(graph, nodes or {}, handoffs or {}, options)

    def _recording(self, graph: str, nodes: Mapping[str, Any], handoffs: Any, options: Any) -> Recording:
        keys = list(dict.fromkeys(graph.replace(">", " ").split()))
        described = edges(graph if ">" in graph else "", **handoffs)
        flags: dict[str, Any] = {
            key: {
                "_ldMeta": {"enabled": True, "mode": "agent"},
                "provider": {"name": self.provider},
                "model": {"name": "gpt-4o"},
                "instructions": f"I am {key}.",
                **nodes.get(key, {}),
            }
            for key in keys
        }
        flags["graph"] = {"root": keys[0], "edges": described}
        return recording(flags, runners={self.provider: self.factory(**options)} | self.more_runners())

    def more_runners(self) -> dict[str, Any]:
        return {}

    def factory(self, **options: Any) -> Any:
        raise NotImplementedError

    async def graph(self, **tools: Any) -> Any:
        """The managed graph."""
        graph = await self.ld.ai.create_agent_graph("graph", ADA, tools)
        assert graph is not None
        return graph

    @property
    def ai(self) -> AIClient:
        return self.ld.ai

    def who(self, body: Any) -> tuple[str, str]:
        """Which question this is about, and whose model is asked."""
        parts = body.get("messages") or body["input"]
        instructions = body.get("instructions") or parts[0]["content"]
        question = next(part["content"] for part in parts if part.get("role") == "user")
        return question, instructions.removeprefix("I am ").partition(".")[0]

    async def _serve(self, body: Any) -> Any:
        question, node = self.who(body)
        self.asked.append((question, node, body))
        if self.turn is not None:
            await self.turn(question, node)
        served = self.served[question, node]
        turns = self.script[node]
        turn = turns[min(len(served), len(turns) - 1)]
        usage = (10 + len(self.asked), len(node) + len(served) + 1)
        served.append(usage)
        answer: Any = (self._wire._stream if self.streams else self._wire._answer)(turn)
        return _of_call(len(self.asked), _with_usage(answer, *usage))

    def total(self, question: str, *nodes: str) -> int:
        """All tokens served for a question, or for some of its nodes."""
        return sum(
            sum(usage)
            for (asked, node), usages in self.served.items()
            for usage in usages
            if asked == question and (not nodes or node in nodes)
        )

    # What LaunchDarkly got

    def graph_events(self, name: str) -> list[Any]:
        """The data of the graph's events of one name."""
        return [e.data for e in self.ld.events if e.key.endswith(f"graph:{name}")]

    def ways(self, name: str) -> list[tuple[str, str]]:
        """Source and target of handoffs or redirects."""
        return [
            (data["sourceKey"], data.get("targetKey") or data["redirectedTarget"])
            for data in self.graph_events(name)
        ]

    def tokens_of(self, node: str) -> list[float | None]:
        """Every total that LaunchDarkly got for a node."""
        return [
            e.metric_value
            for e in self.ld.events
            if e.key.endswith("ai:tokens:total") and e.data["configKey"] == node
        ]


def _of_call(number: int, answer: Any) -> Any:
    """The same answer with ids of its own, as providers give them."""
    if isinstance(answer, list):
        return [_of_call(number, event) for event in answer]
    if not isinstance(answer, dict):
        return answer
    text = re.sub(r'"call_(?!id")', f'"call_{number}_', json.dumps(answer))
    text = text.replace("chatcmpl-1", f"chatcmpl-{number}")
    return json.loads(text)


def _with_usage(answer: Any, tokens_in: int, tokens_out: int) -> Any:
    """The same answer with these counts."""
    if isinstance(answer, list):
        return [_with_usage(event, tokens_in, tokens_out) for event in answer]
    if not isinstance(answer, dict):
        return answer
    changed = dict(answer)
    if isinstance(answer.get("response"), dict):
        changed["response"] = _with_usage(answer["response"], tokens_in, tokens_out)
    usage = answer.get("usage")
    if usage is not None:
        names = (
            ("prompt_tokens", "completion_tokens")
            if "prompt_tokens" in usage
            else ("input_tokens", "output_tokens")
        )
        counts = {names[0]: tokens_in, names[1]: tokens_out, "total_tokens": tokens_in + tokens_out}
        changed["usage"] = {**usage, **counts}
    return changed


class LangGraphKit(GraphKit):
    name = "langgraph"
    provider = "langgraph"
    parallel = True

    def factory(self, **options: Any) -> Any:
        module = importlib.import_module("ldtrack.providers.runners.langgraph")
        return module.LangGraphRunners(langchain_models(self.server), **options)


class AgentsChatKit(GraphKit):
    name = "openai_agents chat"
    wire = AgentsOnChat

    def factory(self, **options: Any) -> Any:
        module = importlib.import_module("ldtrack.providers.runners.openai_agents")
        return module.OpenAIAgentsRunners(openai_client(server=self.server), responses=False, **options)


class AgentsResponsesKit(GraphKit):
    name = "openai_agents responses"
    wire = AgentsOnResponses

    def factory(self, **options: Any) -> Any:
        module = importlib.import_module("ldtrack.providers.runners.openai_agents")
        return module.OpenAIAgentsRunners(openai_client(server=self.server), **options)


GRAPH_KITS: tuple[type[GraphKit], ...] = (LangGraphKit, AgentsChatKit, AgentsResponsesKit)
