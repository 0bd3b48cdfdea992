"""An agent graph on OpenAI's Agents SDK: agents that hand the work to one another.

Rule for this file: the agents are made for one run and forgotten with it. One of them is at work at a time;
its visit begins when its model is asked, and ends when it hands over.

Every agent could hand over to every other, but its model is offered only the ways that the graph has. A model
that has seen another way in what was said before, and asks for it, is followed: that is a redirect.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import attrs

from ldtrack.configs.graphs import AgentGraphDefinition
from ldtrack.core.models import LDMessage
from ldtrack.providers.openai_responses import OpenAIResponsesReader
from ldtrack.providers.runners.handoffs import Handoffs, is_handoff, require_no_handoffs
from ldtrack.providers.runners.measuring import WithoutHandoffs
from ldtrack.providers.runners.openai_agents_model import KnownModel, MeasuredModel
from ldtrack.providers.runners.openai_agents_parts import (
    SDK,
    ToolErrors,
    input_of,
    text_of,
    tools_of,
)
from ldtrack.providers.runners.tools import Toolbox
from ldtrack.providers.runners.walk import Walk
from ldtrack.running import Tools
from ldtrack.running_graphs import AgentGraphRunnerResult, GraphCalls, NodeAnswer, NodeText
from ldtrack.tracking.node_run import NodeRun, Visit
from ldtrack.tracking.source import StreamSource
from ldtrack.tracking.stream import TrackedStream

__all__ = ["OpenAIAgentsGraphRunner"]

T = TypeVar("T")

_READER: Final = WithoutHandoffs(OpenAIResponsesReader())


class OpenAIAgentsGraphRunner:
    """Runs an agent graph with ``Runner.run`` and ``Runner.run_streamed``."""

    def __init__(self, sdk: SDK, graph: AgentGraphDefinition, tools: Tools) -> None:
        self.sdk = sdk
        self.graph = graph
        self.handoffs = Handoffs.of(graph)
        self.toolboxes: Mapping[str, Toolbox] = {
            node.key: Toolbox.of(node.config, tools) for node in graph.nodes.values()
        }
        for key, toolbox in self.toolboxes.items():
            require_no_handoffs(toolbox.offered, key)

    def __repr__(self) -> str:
        return f"<OpenAIAgentsGraphRunner of {self.graph.key!r}>"

    async def run(self, input: Sequence[LDMessage], *, calls: GraphCalls) -> AgentGraphRunnerResult:
        """Have the graph answer; what the SDK or a tool raises, and cancelling, pass."""
        tour, sdk = _Tour(self, calls, input), self.sdk
        with tour:
            result = await sdk.agents.Runner.run(tour.root, input_of(input), **sdk.options)
        return tour.result(result)

    async def stream(
        self, input: Sequence[LDMessage], *, calls: GraphCalls
    ) -> AsyncGenerator[NodeText | AgentGraphRunnerResult, None]:
        """What the nodes say as it comes, and the result; what anybody raises, and cancelling, pass."""
        tour = _Tour(self, calls, input)
        results: list[Any] = []
        texts = self.sdk.texts(tour.root, input_of(input), results.append)
        with tour:
            async with contextlib.aclosing(texts):
                async for text, node in texts:
                    yield NodeText(text, node)
        yield tour.result(results[0])


class _Tour:
    """One run of a graph: its agents, and whose turn it is."""

    def __init__(
        self, runner: OpenAIAgentsGraphRunner, calls: GraphCalls, asked: Sequence[LDMessage]
    ) -> None:
        self._runner = runner
        self._walk = Walk(calls)
        self._errors = ToolErrors()
        self._asked = tuple(asked)
        self._here: tuple[str, Visit, NodeRun] | None = None
        self._text = ""
        self._exits = contextlib.ExitStack()
        self._agents = {key: self._agent(key) for key in runner.graph.nodes}
        for key, agent in self._agents.items():
            agent.handoffs = [self._handoff(key, name, target) for name, target in runner.handoffs.targets()]

    def _agent(self, key: str) -> Any:
        runner = self._runner
        config = runner.graph.nodes[key].config
        tools = tools_of(runner.sdk.agents, runner.toolboxes[key], self._errors)
        return runner.sdk.agent(config, _NodeModel(runner.sdk.model(config), _NodeCalls(self, key)), tools)

    def _handoff(self, source: str, name: str, target: str) -> Any:
        async def invoke(_context: Any, _arguments: str) -> Any:
            self._walk.choose(source, name, self._runner.handoffs)
            self._leave(None)
            return self._agents[target]

        description = self._runner.handoffs.description(source, target)
        return self._runner.sdk.agents.Handoff(
            tool_name=name,
            tool_description=description,
            input_json_schema={
                "type": "object",
                "properties": {},
                "required": [],
                "additionalProperties": False,
            },
            on_invoke_handoff=invoke,
            agent_name=target,
        )

    @property
    def root(self) -> Any:
        """The agent that begins."""
        assert self._runner.graph.root is not None, "a graph that is switched off is not run"
        return self._agents[self._runner.graph.root.key]

    def is_offered(self, key: str, handoff: Any) -> bool:
        """Whether a node's model is told of this handoff."""
        return self._runner.handoffs.has_edge(key, handoff.agent_name)

    def at(self, key: str) -> NodeRun:
        """The run of the node whose model is asked now; if it was not there yet, it is from now on."""
        if self._here is None:
            visit = self._walk.calls.visit(key)
            self._here = (key, visit, visit.begin())
            self._walk.arrive(key)
        return self._here[2]

    def heard(self, key: str, output: Sequence[Any]) -> None:
        """Note what a model said: its text, and handoffs that will not come about.

        The SDK follows the first handoff of an answer, and none that leads out of the graph.
        """
        parts = [part for item in output if item.type == "message" for part in item.content]
        self._text = "".join(part.text for part in parts if part.type == "output_text")
        names = [item.name for item in output if item.type == "function_call" and is_handoff(item.name)]
        followed = next((name for name in names if self._runner.handoffs.target(name) is not None), None)
        for name in dict.fromkeys(names):
            if name != followed:
                self._walk.refuse(key, name, self._runner.handoffs)

    def _leave(self, error: BaseException | None) -> None:
        if self._here is not None:
            key, visit, _ = self._here
            self._here = None
            visit.end(error)
            said = [LDMessage("assistant", answer.content) for answer in self._walk.answers if answer.content]
            asked = (*self._asked, *said)
            self._walk.answers.append(NodeAnswer(node=key, asked=asked, content=self._text))

    def result(self, result: Any) -> AgentGraphRunnerResult:
        """What came of the run."""
        content = text_of(result.final_output)
        return AgentGraphRunnerResult(content=content, raw=result, answers=tuple(self._walk.answers))

    def __enter__(self) -> Self:
        self._exits.enter_context(self._errors.as_they_were())
        self._exits.enter_context(self._walk)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        # Nobody reads on, but the SDK runs ahead: how the node ended, its last call knows.
        self._leave(None if isinstance(error, GeneratorExit) else error)
        return self._exits.__exit__(error_type, error, traceback)


@attrs.frozen
class _NodeCalls:
    """The calls of one node's model in one run."""

    tour: _Tour
    key: str

    async def call(self, awaitable: Awaitable[Any]) -> Any:
        """Make a call of the node's; cancelling passes to it."""
        return await self.tour.at(self.key).call(_without_handoffs(awaitable))

    def stream(self, source: StreamSource[T]) -> TrackedStream[T]:
        """Read a stream of the node's."""
        return self.tour.at(self.key).stream(source, reader=_READER)


async def _without_handoffs(awaitable: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    said = await awaitable
    output = [item for item in said["output"] if item.type != "function_call" or not is_handoff(item.name)]
    return {**said, "output": output}


class _NodeModel(MeasuredModel):
    """The model of one node in one run, which is offered the handoffs that the graph has from there."""

    def __init__(self, known: KnownModel, calls: _NodeCalls) -> None:
        super().__init__(known, calls)
        self._node = calls

    def _request(self, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        request = inspect.signature(method).bind(*args, **kwargs)
        offered = [
            one for one in request.arguments["handoffs"] if self._node.tour.is_offered(self._node.key, one)
        ]
        request.arguments["handoffs"] = offered
        return dict(request.arguments)

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        """The model's answer; cancelling passes to the request."""
        response = await super().get_response(**self._request(self._model.get_response, args, kwargs))
        self._node.tour.heard(self._node.key, response.output)
        return response

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        """The model's events; cancelling, or closing this generator, closes the stream."""
        request = self._request(self._model.stream_response, args, kwargs)
        async with contextlib.aclosing(super().stream_response(**request)) as events:
            async for event in events:
                if event.type == "response.completed":
                    self._node.tour.heard(self._node.key, event.response.output)
                yield event
