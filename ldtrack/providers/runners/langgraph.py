"""Agents and agent graphs on LangGraph, whose models are LangChain's.

Rule for this file: an agent is LangChain's own, made for one run and forgotten with it. The packages are
imported when a runner is made.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Final

from ldtrack.configs.graphs import AgentGraphDefinition
from ldtrack.configs.types import AIAgentConfig, AICompletionConfig, AIJudgeConfig
from ldtrack.core.models import LDMessage
from ldtrack.core.values import LDAIMetrics
from ldtrack.providers.runners.chat import OUTPUT_NAME, require_whole
from ldtrack.providers.runners.langchain import model_of, said_in
from ldtrack.providers.runners.langgraph_graph import LangGraphGraphRunner
from ldtrack.providers.runners.tools import NO_PARAMETERS, Toolbox, ToolRequest
from ldtrack.running import Calls, RunnerResult, Schema, Tools

__all__ = ["LangGraphAgentRunner", "LangGraphRunners"]

MAX_STEPS: Final = 25
"""How often models are asked in one run, as in LaunchDarkly's SDK: longer means in circles."""


class LangGraphRunners:
    """Makes runners on LangGraph, for agents and graphs; for plain models there is ``langchain``.

    ``make_model`` makes the chat model for a config; by default ``init_chat_model`` does. ``max_steps``
    bounds an agent's model calls, and a graph's steps; in each step all nodes are visited whose turn it is.
    """

    def __init__(self, make_model: Callable[[Any], Any] | None = None, *, max_steps: int = MAX_STEPS) -> None:
        self._make_model = make_model or model_of
        self._max_steps = max_steps

    def create_model(self, config: AICompletionConfig | AIJudgeConfig, tools: Tools | None = None) -> None:
        """Decline: what asks a model just once needs no graph."""

    def create_agent(self, config: AIAgentConfig, tools: Tools) -> LangGraphAgentRunner:
        """A runner for this agent, which calls its tools itself."""
        return LangGraphAgentRunner(
            config, self._make_model(config), Toolbox.of(config, tools), self._max_steps
        )

    def create_agent_graph(self, graph: AgentGraphDefinition, tools: Tools) -> LangGraphGraphRunner:
        """A runner for this graph, whose nodes call their tools themselves."""
        return LangGraphGraphRunner(graph, self._make_model, tools, self._max_steps)


class LangGraphAgentRunner:
    """Runs an agent's config with LangChain's ``create_agent``."""

    def __init__(self, config: AIAgentConfig, model: Any, toolbox: Toolbox, max_steps: int) -> None:
        self._create = importlib.import_module("langchain.agents").create_agent
        self._middleware = importlib.import_module("langchain.agents.middleware")
        self._callbacks = importlib.import_module("ldtrack.providers.langchain_callbacks").LangChainCallbacks
        self._config = config
        self._model = model
        self._tools = [_tool(toolbox, tool) for tool in toolbox.offered]
        # Between two model calls there is a step for tools.
        self._limit = 2 * max_steps

    def __repr__(self) -> str:
        return f"<LangGraphAgentRunner of {self._config.key!r}>"

    async def run(
        self, input: Sequence[LDMessage], output_type: Schema | None = None, *, calls: Calls
    ) -> RunnerResult:
        """Have the agent answer, tools included; what a provider or a tool raises, and cancelling, pass."""
        more: dict[str, Any] = {}
        if output_type is not None:
            more["response_format"] = {"title": OUTPUT_NAME, "description": "The answer.", **output_type}
        config = {"callbacks": [self._callbacks(calls)], "recursion_limit": self._limit}
        try:
            state = await self._agent(self._model, **more).ainvoke(_state(input), config)
        except _HalfAForm as half:
            return RunnerResult(content=half.text, metrics=LDAIMetrics(success=False))
        parsed = state.get("structured_response")
        if parsed is None:
            return RunnerResult(content=str(state["messages"][-1].text), raw=state)
        content = json.dumps(parsed, ensure_ascii=False)
        answers = [said_in(message) for message in state["messages"] if message.type == "ai"]
        if answers[-1].is_cut_short:
            return RunnerResult(content=content, raw=state, metrics=LDAIMetrics(success=False))
        return RunnerResult(content=content, raw=state, parsed=parsed)

    async def stream(self, input: Sequence[LDMessage], *, calls: Calls) -> AsyncGenerator[str, None]:
        """The agent's texts as they come; what a provider or a tool raises, and cancelling, pass."""
        chunks = self._agent(_streaming(self._model)).astream(
            _state(input), {"recursion_limit": self._limit}, stream_mode="messages"
        )
        async with calls.stream(chunks) as tracked:
            async for message, _ in tracked:
                text = str(message.text) if message.type in {"ai", "AIMessageChunk"} else ""
                if text:
                    yield text

    def _agent(self, model: Any, **more: Any) -> Any:
        return self._create(
            model,
            self._tools,
            system_prompt=self._config.instructions or None,
            name="agent",
            middleware=[self._middleware.wrap_model_call(_whole)],
            **more,
        )


class _HalfAForm(Exception):  # noqa: N818 - nobody else hears of it
    """Ends an agent whose structured answer was cut short: LangChain would mend it, or ask again."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


async def _whole(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    """A model's answer, unless it asks for tools and was cut short: LangChain would call them."""
    response = await handler(request)
    for message in response.result:
        if message.type == "ai":
            said = said_in(message)
            tools = tuple(one for one in said.requests if one.name != OUTPUT_NAME)
            require_whole(said._replace(requests=tools))
            if said.is_cut_short and said.requests:
                raise _HalfAForm(said.text)
    return response


def _streaming(model: Any) -> Any:
    # OpenAI's model: unless the config has decided, usage is asked for only where it is sure to be known.
    is_undecided = getattr(model, "stream_usage", False) is None
    return model.model_copy(update={"stream_usage": True}) if is_undecided else model


def _state(input: Sequence[LDMessage]) -> dict[str, Any]:
    return {"messages": [message.to_dict() for message in input]}


def _tool(toolbox: Toolbox, tool: Any) -> Any:
    async def invoke(**arguments: Any) -> str:
        return (await toolbox.use([ToolRequest("", tool.name, arguments)]))[0]

    structured = importlib.import_module("langchain_core.tools").StructuredTool
    return structured.from_function(
        coroutine=invoke,
        name=tool.name,
        description=tool.description or tool.name,
        args_schema=tool.to_dict().get("parameters") or dict(NO_PARAMETERS),
    )
