"""An agent graph on LangGraph: who is visited after whom, at the same time, and again.

Rule for this file: the graph is compiled once and knows nothing of any run; a run's own things travel in its
configuration. What a node says is for all that come after it, what it does with tools is its own.

From a node with one way onward the work goes that way, unless that leads back to where it came from. From any
other the model chooses, with a tool for each way: one, several, which are then visited side by side, or none,
which ends this branch.
"""

from __future__ import annotations

import importlib
import operator
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Annotated, Any, Final, TypedDict

import attrs

from ldtrack.configs.graphs import AgentGraphDefinition, AgentGraphNode
from ldtrack.core.models import LDMessage
from ldtrack.exceptions import RoundLimitError
from ldtrack.providers.langchain import LangChainReader
from ldtrack.providers.runners.chat import MAX_ROUNDS, Said, opening_of, require_whole
from ldtrack.providers.runners.handoffs import Handoffs, is_handoff, require_no_handoffs
from ldtrack.providers.runners.langchain import LangChainDialect
from ldtrack.providers.runners.measuring import WithoutHandoffs
from ldtrack.providers.runners.tools import Toolbox
from ldtrack.providers.runners.walk import Walk
from ldtrack.running import Tools
from ldtrack.running_graphs import AgentGraphRunnerResult, GraphCalls, NodeAnswer, NodeText
from ldtrack.tracking.node_run import NodeRun

__all__ = ["LangGraphGraphRunner"]

_WALK: Final = "ldtrack_walk"
_READER: Final = WithoutHandoffs(LangChainReader())
_NOT_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")


class State(TypedDict):
    _said: Annotated[list[Any], operator.add]


"""What was asked, and what the nodes said. No node's key begins like this one's."""


@attrs.frozen(eq=False)
class _Station:
    """What it takes to visit one node, on any run."""

    node: AgentGraphNode
    dialect: LangChainDialect
    toolbox: Toolbox
    onward: str | None
    """Where the work goes if the model does not choose."""

    @property
    def key(self) -> str:
        """The node's key."""
        return self.node.key


class LangGraphGraphRunner:
    """Runs an agent graph as a graph of LangGraph's."""

    def __init__(
        self,
        graph: AgentGraphDefinition,
        make_model: Callable[[Any], Any],
        tools: Tools,
        max_steps: int,
    ) -> None:
        self._graph = importlib.import_module("langgraph.graph")
        self._command = importlib.import_module("langgraph.types").Command
        self._config_module = importlib.import_module("langgraph.config")
        self._messages = importlib.import_module("langchain_core.messages")
        self._key = graph.key
        self._limit = max_steps
        self._handoffs = Handoffs.of(graph)
        self._compiled = self._compile(graph, make_model, tools)

    def __repr__(self) -> str:
        return f"<LangGraphGraphRunner of {self._key!r}>"

    def _compile(self, graph: AgentGraphDefinition, make_model: Callable[[Any], Any], tools: Tools) -> Any:
        building = self._graph.StateGraph(State)
        for node in graph.nodes.values():
            building.add_node(node.key, self._visitor(self._station(node, make_model, tools)))
        assert graph.root is not None, "a graph that is switched off is not run"
        building.add_edge(self._graph.START, graph.root.key)
        return building.compile()

    def _station(self, node: AgentGraphNode, make_model: Callable[[Any], Any], tools: Tools) -> _Station:
        if node.config.model is None:
            raise ValueError(f"node {node.key!r} has no model to ask")
        toolbox = Toolbox.of(node.config, tools)
        require_no_handoffs(toolbox.offered, node.key)
        onward = self._handoffs.onward(node.key)
        ways = () if onward is not None else self._handoffs.tools(node.key)
        offer = attrs.evolve(toolbox, offered=(*toolbox.offered, *ways))
        return _Station(node, LangChainDialect(make_model(node.config), node.config, offer), toolbox, onward)

    async def run(self, input: Sequence[LDMessage], *, calls: GraphCalls) -> AgentGraphRunnerResult:
        """Have the graph answer; what a provider, a tool or LangGraph raises, and cancelling, pass."""
        walk = Walk(calls)
        with walk:
            state = await self._compiled.ainvoke(self._asked(input), self._config(walk))
        return self._result(walk, state, len(input))

    async def stream(
        self, input: Sequence[LDMessage], *, calls: GraphCalls
    ) -> AsyncGenerator[NodeText | AgentGraphRunnerResult, None]:
        """What the nodes say as it comes, and the result; what anybody raises, and cancelling, pass."""
        walk = Walk(calls, streams=True)
        events: AsyncGenerator[Any, None] = self._compiled.astream(
            self._asked(input), self._config(walk), stream_mode=["custom", "values"]
        )
        state: dict[str, Any] = {"_said": []}
        with walk:
            try:
                async for mode, event in events:
                    if mode == "custom":
                        yield event
                    else:
                        state = event
            finally:
                await events.aclose()
        yield self._result(walk, state, len(input))

    def _asked(self, input: Sequence[LDMessage]) -> dict[str, Any]:
        return {"_said": [self._message(message) for message in input]}

    def _message(self, message: LDMessage) -> Any:
        (made,) = self._messages.convert_to_messages([message.to_dict()])
        return made

    def _config(self, walk: Walk) -> dict[str, Any]:
        return {"recursion_limit": self._limit, "configurable": {_WALK: walk}}

    def _result(self, walk: Walk, state: dict[str, Any], asked: int) -> AgentGraphRunnerResult:
        said = state["_said"][asked:]
        content = str(said[-1].content) if said else ""
        return AgentGraphRunnerResult(content=content, raw=state, answers=tuple(walk.answers))

    def _visitor(self, station: _Station) -> Callable[[Any], Any]:
        async def visit(state: dict[str, Any]) -> Any:
            walk: Walk = self._config_module.get_config()["configurable"][_WALK]
            return await self._visit(station, state["_said"], walk)

        return visit

    async def _visit(self, station: _Station, said: Sequence[Any], walk: Walk) -> Any:
        """Let a node's model speak and call tools until it is done; then say where the work goes."""
        with walk.visit(station.key) as run:
            talk = [*station.dialect.opening(opening_of(station.node.config)), *said]
            for _ in range(MAX_ROUNDS):
                answer = await self._ask(station, talk, run, walk)
                require_whole(answer)
                targets = self._targets(station, answer, walk)
                if targets:  # what else it asked for is done before it goes
                    tools = [one for one in answer.requests if not is_handoff(one.name)]
                    await station.toolbox.use(tools)
                    break
                if not answer.requests:
                    break
                talk += await self._next(station, answer)
            else:
                raise RoundLimitError(
                    f"The model of node {station.key!r} has been asked {MAX_ROUNDS} times in one visit and "
                    "still wants tools called: it probably goes in circles. Look at what the tools return."
                )
            if not targets and station.onward is not None:
                targets = [station.onward]
                walk.hand_over(station.key, station.onward)
        walk.answers.append(NodeAnswer(node=station.key, asked=_plain(said), content=answer.text))
        return self._command(goto=targets, update={"_said": self._heard(station.key, answer.text)})

    def _heard(self, node: str, text: str) -> list[Any]:
        """What others hear of a node: as from somebody who speaks in the user's place, signed."""
        if not text:
            return []
        return [self._messages.HumanMessage(content=text, name=_NOT_A_NAME.sub("_", node))]

    async def _ask(self, station: _Station, talk: Sequence[Any], run: NodeRun, walk: Walk) -> Said:
        dialect = station.dialect
        if not walk.streams:
            asked = _Asked(dialect)
            await run.call(asked.answer(talk))
            return dialect.said(asked.message)
        write = self._config_module.get_stream_writer()
        chunks: AsyncIterator[Any] = dialect.open(talk)
        async with run.stream(chunks, reader=_READER) as tracked:
            gathering = dialect.gather(tracked)
            async for chunk in tracked:
                text = gathering.add(chunk)
                if text:
                    write(NodeText(text, station.key))
            return gathering.said()

    def _targets(self, station: _Station, answer: Said, walk: Walk) -> list[str]:
        """Where the model sends the work, each place once."""
        targets: list[str] = []
        for request in answer.requests:
            if is_handoff(request.name):
                target = walk.choose(station.key, request.name, self._handoffs)
                if target is not None and target not in targets:
                    targets.append(target)
        return targets

    async def _next(self, station: _Station, answer: Said) -> list[Any]:
        """The answer, and what came of the tools; a handoff among them leads nowhere, and is told so."""
        results = await station.toolbox.use(answer.requests)
        pairs = list(zip(answer.requests, results, strict=True))
        return [answer.message, *station.dialect.results(pairs)]


class _Asked:
    """One question to a model that is not streamed."""

    def __init__(self, dialect: LangChainDialect) -> None:
        self._dialect = dialect
        self.message: Any = None

    async def answer(self, talk: Sequence[Any]) -> Any:
        """The model's message as it is to be measured: without handoffs."""
        message = self.message = await self._dialect.ask(talk, None)
        calls = [call for call in message.tool_calls if not is_handoff(call["name"])]
        return message.model_copy(update={"tool_calls": calls})


def _plain(said: Sequence[Any]) -> tuple[LDMessage, ...]:
    """What was said, for judges: nodes as assistants."""
    roles = {"system": "system", "ai": "assistant"}
    return tuple(
        LDMessage("assistant" if one.name else roles.get(one.type, "user"), str(one.text)) for one in said
    )
