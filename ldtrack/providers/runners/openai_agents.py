"""Agents and agent graphs on OpenAI's Agents SDK.

Rule for this file: an agent is made for one run and forgotten with it, so that runs share nothing but the
model's client. The package, which is called ``agents``, is imported when a runner is made.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from ldtrack.configs.graphs import AgentGraphDefinition
from ldtrack.configs.types import AIAgentConfig, AICompletionConfig, AIJudgeConfig
from ldtrack.core.models import LDMessage
from ldtrack.core.values import LDAIMetrics
from ldtrack.providers.runners.clients import Clients, require_asynchronous
from ldtrack.providers.runners.openai_agents_graph import OpenAIAgentsGraphRunner
from ldtrack.providers.runners.openai_agents_model import MeasuredModel
from ldtrack.providers.runners.openai_agents_parts import (
    SDK,
    JSONOutput,
    ToolErrors,
    Unreadable,
    input_of,
    text_of,
    tools_of,
)
from ldtrack.providers.runners.tools import Toolbox
from ldtrack.running import Calls, RunnerResult, Schema, Tools

__all__ = ["OpenAIAgentRunner", "OpenAIAgentsRunners"]

MAX_TURNS: Final = 25
"""How often models are asked in one run, as in LaunchDarkly's SDK: longer means in circles."""

_OWN: Final = frozenset({"", "openai", "openai_agents"})


class OpenAIAgentsRunners:
    """Makes runners on OpenAI's Agents SDK, for agents and graphs; it has none for plain models.

    ``client`` is an ``AsyncOpenAI`` or the like; by default one is made for each event loop, and closed with
    the ``AIClient``. ``responses=False`` asks for chat completions instead of responses. ``run_config`` is
    the SDK's; without it, the SDK's own tracing is off, which would send prompts to OpenAI.
    """

    def __init__(
        self,
        client: Any = None,
        *,
        responses: bool = True,
        max_turns: int = MAX_TURNS,
        run_config: Any = None,
    ) -> None:
        require_asynchronous(client, "AsyncOpenAI")
        self._clients = Clients(client, lambda: importlib.import_module("openai").AsyncOpenAI())
        self._has_client = client is not None
        self._responses = responses
        self._max_turns = max_turns
        self._run_config = run_config

    def create_model(self, config: AICompletionConfig | AIJudgeConfig, tools: Tools | None = None) -> None:
        """Decline: this SDK runs agents."""

    def create_agent(self, config: AIAgentConfig, tools: Tools) -> OpenAIAgentRunner | None:
        """A runner for this agent, which calls its tools itself; ``None`` if its config has no model."""
        if config.model is None:
            return None
        return OpenAIAgentRunner(self._sdk(), config, Toolbox.of(config, tools))

    def create_agent_graph(self, graph: AgentGraphDefinition, tools: Tools) -> OpenAIAgentsGraphRunner | None:
        """A runner for this graph; ``None`` if one of its nodes has no model, or another provider's."""
        if any(not self._runs(node.config) for node in graph.nodes.values()):
            return None
        return OpenAIAgentsGraphRunner(self._sdk(), graph, tools)

    def _runs(self, config: AIAgentConfig) -> bool:
        provider = "" if config.provider is None else config.provider.name.lower()
        # A client of the user's may lead anywhere.
        return config.model is not None and (self._has_client or provider in _OWN)

    def _sdk(self) -> SDK:
        return SDK(self._clients, self._max_turns, self._run_config, responses=self._responses)

    async def aclose(self) -> None:
        """Close the client that was made here; cancelling leaves it to the garbage collector."""
        await self._clients.aclose()


class OpenAIAgentRunner:
    """Runs an agent's config with ``Runner.run`` and ``Runner.run_streamed``."""

    def __init__(self, sdk: SDK, config: AIAgentConfig, toolbox: Toolbox) -> None:
        self._sdk = sdk
        self._config = config
        self._toolbox = toolbox

    def __repr__(self) -> str:
        return f"<OpenAIAgentRunner of {self._config.key!r}>"

    async def run(
        self, input: Sequence[LDMessage], output_type: Schema | None = None, *, calls: Calls
    ) -> RunnerResult:
        """Have the agent answer, tools included; what the SDK or a tool raises, and cancelling, pass."""
        errors, sdk = ToolErrors(), self._sdk
        agent = self._agent(calls, errors, output_type)
        with errors.as_they_were():
            result = await sdk.agents.Runner.run(agent, input_of(input), **sdk.options)
        return _result_of(result, output_type, is_cut=agent.model.why.is_cut_short)

    async def stream(self, input: Sequence[LDMessage], *, calls: Calls) -> AsyncGenerator[str, None]:
        """The agent's texts as they come; what the SDK or a tool raises, and cancelling, pass."""
        errors = ToolErrors()
        agent = self._agent(calls, errors, None)
        texts = self._sdk.texts(agent, input_of(input), lambda _result: None)
        with errors.as_they_were():
            async with contextlib.aclosing(texts):
                async for text, _ in texts:
                    yield text

    def _agent(self, calls: Calls, errors: ToolErrors, output_type: Schema | None) -> Any:
        more = {} if output_type is None else {"output_type": JSONOutput(output_type)}
        tools = tools_of(self._sdk.agents, self._toolbox, errors)
        model = MeasuredModel(self._sdk.model(self._config), calls)
        return self._sdk.agent(self._config, model, tools, **more)


def _result_of(result: Any, output_type: Schema | None, *, is_cut: bool) -> RunnerResult:
    output = result.final_output
    content = text_of(output)
    if output_type is None:
        return RunnerResult(content=content, raw=result)
    if isinstance(output, dict) and not is_cut:
        return RunnerResult(content=content, raw=result, parsed=output)
    # Cut short, or never what was asked for: of no use to whoever asked, so the run has failed.
    metrics = LDAIMetrics(success=False) if is_cut or isinstance(output, Unreadable) else None
    return RunnerResult(content=content, raw=result, metrics=metrics)
