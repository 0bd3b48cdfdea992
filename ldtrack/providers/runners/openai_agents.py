"""Agents and agent graphs on OpenAI's Agents SDK.

Rule for this file: an agent is made for one run and forgotten with it, so that runs share nothing but the
model's client. The package, which is called ``agents``, is imported when a runner is made.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final

from ldtrack.configs.types import AIAgentConfig, AICompletionConfig, AIJudgeConfig
from ldtrack.core.models import LDMessage
from ldtrack.core.values import LDAIMetrics
from ldtrack.providers.runners.clients import Clients, require_asynchronous
from ldtrack.providers.runners.openai_agents_parts import (
    JSONOutput,
    MeasuredModel,
    ToolErrors,
    Unreadable,
    input_of,
    settings_of,
    text_of,
    tools_of,
)
from ldtrack.providers.runners.tools import Toolbox
from ldtrack.running import Calls, RunnerResult, Schema, Tools

__all__ = ["OpenAIAgentRunner", "OpenAIAgentsRunners"]

MAX_TURNS: Final = 25
"""How often models are asked in one run, as in LaunchDarkly's SDK: longer means in circles."""


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

    def _sdk(self) -> SDK:
        return SDK(self._clients, self._max_turns, self._run_config, responses=self._responses)

    async def aclose(self) -> None:
        """Close the client that was made here; cancelling leaves it to the garbage collector."""
        await self._clients.aclose()


class SDK:
    """The Agents SDK with the options of one factory."""

    def __init__(self, clients: Clients[Any], max_turns: int, run_config: Any, *, responses: bool) -> None:
        self.agents: Any = importlib.import_module("agents")
        # Its bases are abstract, and ask only whether somebody is one of theirs.
        self.agents.Model.register(MeasuredModel)
        self.agents.AgentOutputSchemaBase.register(JSONOutput)
        config = run_config or self.agents.RunConfig(tracing_disabled=True)
        self.options = {"max_turns": max_turns, "run_config": config}
        self._clients = clients
        self._responses = responses

    def agent(self, config: AIAgentConfig, calls: Calls, tools: Sequence[Any], **more: Any) -> Any:
        """An agent that does what a config says, over the client of the running loop."""
        assert config.model is not None, "others are declined"
        kind = "OpenAIResponsesModel" if self._responses else "OpenAIChatCompletionsModel"
        model = getattr(self.agents, kind)(model=config.model.name, openai_client=self._clients.get())
        return self.agents.Agent(
            name=config.key,
            instructions=config.instructions or None,
            model=MeasuredModel(model, calls),
            model_settings=settings_of(self.agents, config, self._create()),
            tools=[*tools],
            **more,
        )

    def _create(self) -> Callable[..., Any]:
        client = self._clients.get()
        create: Callable[..., Any]
        create = client.responses.create if self._responses else client.chat.completions.create
        return create

    async def texts(self, agent: Any, input: Any, said: Callable[[Any], None]) -> AsyncGenerator[str, None]:
        """What the agents of a run say as it comes, and the result in the end.

        Whoever stops reading closes the generator, which ends the run with all that it waits for.
        """
        result = self.agents.Runner.run_streamed(agent, input, **self.options)
        events = result.stream_events()
        try:
            async for event in events:
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    yield event.data.delta
            said(result)
        finally:
            task = result.run_loop_task
            result.cancel()
            await events.aclose()
            if task is not None:
                task.cancel()
                with contextlib.suppress(BaseException):
                    await task


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
        return _result_of(result, output_type)

    async def stream(self, input: Sequence[LDMessage], *, calls: Calls) -> AsyncGenerator[str, None]:
        """The agent's texts as they come; what the SDK or a tool raises, and cancelling, pass."""
        errors = ToolErrors()
        agent = self._agent(calls, errors, None)
        texts = self._sdk.texts(agent, input_of(input), lambda _result: None)
        with errors.as_they_were():
            async with contextlib.aclosing(texts):
                async for text in texts:
                    yield text

    def _agent(self, calls: Calls, errors: ToolErrors, output_type: Schema | None) -> Any:
        more = {} if output_type is None else {"output_type": JSONOutput(output_type)}
        tools = tools_of(self._sdk.agents, self._toolbox, errors)
        return self._sdk.agent(self._config, calls, tools, **more)


def _result_of(result: Any, output_type: Schema | None) -> RunnerResult:
    output = result.final_output
    content = text_of(output)
    if output_type is None:
        return RunnerResult(content=content, raw=result)
    if isinstance(output, dict):
        return RunnerResult(content=content, raw=result, parsed=output)
    # Cut short, or never what was asked for: of no use to whoever asked, so the run has failed.
    metrics = LDAIMetrics(success=False) if isinstance(output, Unreadable) else None
    return RunnerResult(content=content, raw=result, metrics=metrics)
