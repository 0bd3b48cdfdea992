"""What an agent of OpenAI's Agents SDK is made of, when it is made for one run.

Rule for this file: from a config to the SDK's settings, tools, output and model. The package, which is called
``agents``, is handed in by whoever imported it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any, Final

import attrs

from ldtrack.configs.types import AIAgentConfig
from ldtrack.core.models import LDMessage
from ldtrack.providers.runners.chat import OUTPUT_NAME, keywords_for, parameters_of
from ldtrack.providers.runners.clients import Clients
from ldtrack.providers.runners.openai_agents_model import KnownModel, MeasuredModel, NotingClient, Why
from ldtrack.providers.runners.tools import NO_PARAMETERS, Toolbox, ToolRequest
from ldtrack.running import Schema

__all__ = [
    "SDK",
    "JSONOutput",
    "ToolErrors",
    "Unreadable",
    "input_of",
    "text_of",
    "tools_of",
]

_OTHER_NAMES: Final = {"max_completion_tokens": "max_tokens", "max_output_tokens": "max_tokens"}
"""Parameters that the SDK knows by another name."""


def _settings_of(agents: Any, config: Any, create: Callable[..., Any]) -> Any:
    """All parameters of the config's model.

    Those that the SDK has no setting for go to the method that makes the request, or into its body.
    """
    known = {field.name for field in dataclasses.fields(agents.ModelSettings)}
    given = {_OTHER_NAMES.get(name, name): value for name, value in parameters_of(config).items()}
    streaming = given.pop("stream_options", None) or {}
    effort = given.pop("reasoning_effort", None)
    if effort is not None:
        given.setdefault("reasoning", {"effort": effort})
    if isinstance(given.get("reasoning"), dict):
        reasoning = importlib.import_module("openai.types.shared").Reasoning
        given["reasoning"] = reasoning(**given["reasoning"])
    settings = {"include_usage": streaming.get("include_usage", True)}
    settings |= {name: value for name, value in given.items() if name in known}
    rest = keywords_for(create, {name: value for name, value in given.items() if name not in known})
    body = {**(rest.pop("extra_body", None) or {}), **(settings.get("extra_body") or {})}
    if rest:
        settings["extra_args"] = {**rest, **(settings.get("extra_args") or {})}
    if body:
        settings["extra_body"] = body
    return agents.ModelSettings(**settings)


def input_of(messages: Sequence[LDMessage]) -> list[Any]:
    """Messages as the SDK takes them."""
    return [message.to_dict() for message in messages]


@attrs.define
class ToolErrors:
    """What the app's tools raised in one run: the SDK wraps it, and the app is to get it as it was."""

    _raised: list[BaseException] = attrs.field(factory=list)

    def note(self, error: BaseException) -> None:
        """Remember an error of a tool."""
        self._raised.append(error)

    @contextlib.contextmanager
    def as_they_were(self) -> Iterator[None]:
        """Let an error of a tool pass without what the SDK has wrapped around it."""
        try:
            yield
        except Exception as error:
            cause = error.__cause__
            if cause is not None and any(cause is one for one in self._raised):
                raise cause  # noqa: B904 - it has a cause of its own
            raise


def tools_of(agents: Any, toolbox: Toolbox, errors: ToolErrors) -> list[Any]:
    """The config's tools with the functions behind them."""
    return [_tool(agents, toolbox, tool, errors) for tool in toolbox.offered]


def _tool(agents: Any, toolbox: Toolbox, tool: Any, errors: ToolErrors) -> Any:
    async def invoke(_context: Any, arguments: str) -> str:
        try:
            return (await toolbox.use([ToolRequest("", tool.name, arguments)]))[0]
        except Exception as error:
            errors.note(error)
            raise

    return agents.FunctionTool(
        name=tool.name,
        description=tool.description or "",
        params_json_schema=tool.to_dict().get("parameters") or dict(NO_PARAMETERS),
        on_invoke_tool=invoke,
        strict_json_schema=False,
    )


@attrs.frozen
class Unreadable:
    """A structured answer that is no JSON object."""

    text: str


@attrs.frozen
class JSONOutput:
    """A JSON schema as the SDK's type of output."""

    schema: Schema

    def is_plain_text(self) -> bool:
        """It is JSON."""
        return False

    def name(self) -> str:
        """What it is called in requests."""
        return OUTPUT_NAME

    def json_schema(self) -> dict[str, Any]:
        """The schema."""
        return dict(self.schema)

    def is_strict_json_schema(self) -> bool:
        """As in the other runners."""
        return True

    def validate_json(self, json_str: str) -> Any:
        """The answer parsed; one that cannot be is for the runner to report."""
        with contextlib.suppress(ValueError):
            parsed = json.loads(json_str)
            if isinstance(parsed, dict):
                return parsed
        return Unreadable(json_str)


def text_of(final_output: Any) -> str:
    """What an agent said in the end, as text."""
    if isinstance(final_output, Unreadable):
        return final_output.text
    if isinstance(final_output, str):
        return final_output
    return "" if final_output is None else json.dumps(final_output, ensure_ascii=False)


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

    def model(self, config: AIAgentConfig) -> KnownModel:
        """The SDK's model of a config, over the client of the running loop; for one run."""
        assert config.model is not None, "others are declined"
        kind = "OpenAIResponsesModel" if self._responses else "OpenAIChatCompletionsModel"
        why = Why()
        client = NotingClient(self._clients.get(), why)
        return KnownModel(getattr(self.agents, kind)(model=config.model.name, openai_client=client), why)

    def agent(self, config: AIAgentConfig, model: MeasuredModel, tools: Sequence[Any], **more: Any) -> Any:
        """An agent that does what a config says."""
        return self.agents.Agent(
            name=config.key,
            instructions=config.instructions or None,
            model=model,
            model_settings=_settings_of(self.agents, config, self._create()),
            tools=[*tools],
            **more,
        )

    def _create(self) -> Callable[..., Any]:
        client = self._clients.get()
        create: Callable[..., Any]
        create = client.responses.create if self._responses else client.chat.completions.create
        return create

    async def texts(
        self, agent: Any, input: Any, said: Callable[[Any], None]
    ) -> AsyncGenerator[tuple[str, str], None]:
        """What the agents of a run say as it comes, with the name of who says it; the result is told apart.

        Whoever stops reading closes the generator, which ends the run with all that it waits for.
        """
        result = self.agents.Runner.run_streamed(agent, input, **self.options)
        events, name = result.stream_events(), agent.name
        try:
            async for event in events:
                if event.type == "agent_updated_stream_event":
                    name = event.new_agent.name
                elif event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    yield event.data.delta, name
            said(result)
        finally:
            task = result.run_loop_task
            result.cancel()
            await events.aclose()
            if task is not None:
                task.cancel()
                # Waited for, not awaited: what it raises was told to whoever reads, and our own end passes.
                await asyncio.wait([task])
                if not task.cancelled():
                    task.exception()
