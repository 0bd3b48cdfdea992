"""LangChain's chat models, which speak to nearly every provider.

Rule for this file: from a config to a LangChain model, and from its messages to texts. The packages are
imported when a runner is made.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

from ldtrack.core.finish_reasons import NO_FINISH_MARK
from ldtrack.core.models import LDMessage, LDTool
from ldtrack.exceptions import MisuseError
from ldtrack.providers.langchain import read_message
from ldtrack.providers.runners.chat import OUTPUT_NAME, ChatRunners, Said, parameters_of
from ldtrack.providers.runners.tools import (
    NO_PARAMETERS,
    Toolbox,
    ToolRequest,
    arguments_of,
    provider_tools,
)
from ldtrack.running import Schema

__all__ = ["LangChainDialect", "LangChainRunners", "langchain_provider", "model_of", "said_in"]

_NAMES: Final = {
    "gemini": "google_genai",
    "bedrock": "bedrock_converse",
    "openai_agents": "openai",
    "langchain": "",
    "langgraph": "",
}
"""Providers that LangChain knows by another name than LaunchDarkly; it knows nothing of those of its own."""
_BEDROCK: Final = "bedrock:"


def langchain_provider(name: str) -> str | None:
    """LaunchDarkly's name of a provider as LangChain has it; ``None`` to let it guess from the model."""
    lower = name.lower()
    return "bedrock_converse" if lower.startswith(_BEDROCK) else _NAMES.get(lower, lower) or None


class LangChainRunners(ChatRunners):
    """Makes runners for any provider that LangChain has an integration for.

    ``make_model`` makes the chat model for a config; by default ``init_chat_model`` does.
    """

    def __init__(self, make_model: Callable[[Any], Any] | None = None) -> None:
        self._make_model = make_model or model_of

    def _dialect(self, config: Any, toolbox: Toolbox) -> LangChainDialect:
        return LangChainDialect(self._make_model(config), config, toolbox)


def model_of(config: Any) -> Any:
    """The chat model of a config, with all its parameters."""
    name = "" if config.provider is None else config.provider.name
    provider = langchain_provider(name)
    parameters = parameters_of(config)
    if provider == "bedrock_converse":
        if name.lower().startswith(_BEDROCK):
            parameters.setdefault("provider", name[len(_BEDROCK) :])
        if config.model is not None and config.model.region:
            parameters.setdefault("region_name", config.model.region)
    model = None if config.model is None else config.model.name
    init_chat_model = importlib.import_module("langchain.chat_models").init_chat_model
    return init_chat_model(model, model_provider=provider, **parameters)


class LangChainDialect:
    """A chat model with one config's tools bound."""

    def __init__(self, model: Any, config: Any, toolbox: Toolbox) -> None:
        self._messages = importlib.import_module("langchain_core.messages")
        tools = [*map(_tool, toolbox.offered), *provider_tools(config.model, toolbox.offered)]
        self._model = model
        self._bound = model.bind_tools(tools) if tools else model
        self._has_tools = bool(tools)
        # OpenAI's model: unless the config has decided, usage is asked for only where it is sure to be known.
        is_undecided = getattr(model, "stream_usage", False) is None
        self._streaming = {"stream_usage": True} if is_undecided else {}

    def opening(self, messages: Sequence[LDMessage]) -> list[Any]:
        """Messages as LangChain's."""
        return [self._message(message) for message in messages]

    def _message(self, message: LDMessage) -> Any:
        kinds = {"system": "SystemMessage", "user": "HumanMessage", "assistant": "AIMessage"}
        if message.role in kinds:
            return getattr(self._messages, kinds[message.role])(content=message.content)
        return self._messages.ChatMessage(role=message.role, content=message.content)

    def ask(self, talk: Sequence[Any], output_type: Schema | None) -> Awaitable[Any]:
        """The model's message."""
        if output_type is None:
            answer: Awaitable[Any] = self._bound.ainvoke([*talk])
            return answer
        if self._has_tools:
            raise MisuseError(
                "LangChain models cannot both call tools and fill in output_type: leave one of them out"
            )
        return self._structured(talk, output_type)

    async def _structured(self, talk: Sequence[Any], output_type: Schema) -> Any:
        """The model's message, which shows what was filled in as its text: no tool was called."""
        schema = {"title": OUTPUT_NAME, "description": "The answer.", **output_type}
        answer = await self._model.with_structured_output(schema, include_raw=True).ainvoke([*talk])
        message, filled = answer["raw"], answer["parsed"]
        spoilt = "".join(call["args"] or "" for call in message.invalid_tool_calls)
        text = spoilt if filled is None else json.dumps(filled, ensure_ascii=False)
        content = {"content": text} if text else {}
        return message.model_copy(update={"tool_calls": [], "invalid_tool_calls": [], **content})

    def open(self, talk: Sequence[Any]) -> AsyncIterator[Any]:
        """The model's message in chunks; OpenAI's models report usage only on request."""
        chunks: AsyncIterator[Any] = self._bound.astream([*talk], **self._streaming)
        return chunks

    def gather(self, stream: Any) -> _Gathering:
        """What adds the chunks up, which LangChain's can do."""
        return _Gathering(self)

    def said(self, answer: Any) -> Said:
        """What a message says."""
        return said_in(answer)

    def results(self, results: Sequence[tuple[ToolRequest, str]]) -> list[Any]:
        """A tool's message for each."""
        return [
            self._messages.ToolMessage(content=result, tool_call_id=asked.id) for asked, result in results
        ]


def said_in(message: Any) -> Said:
    """What a message of the model's says."""
    reading = read_message(message)
    reason = None if reading is None else reading.finish_reason
    return Said(_text_of(message), tuple(map(_request, _calls_of(message))), message, reason)


def _tool(tool: LDTool) -> dict[str, Any]:
    parameters = tool.to_dict().get("parameters")
    if tool.type not in {None, "function"}:
        return {"type": tool.type, "name": tool.name, **(parameters or {})}
    function = {
        "name": tool.name,
        "description": tool.description or "",
        "parameters": parameters or dict(NO_PARAMETERS),
    }
    return {"type": "function", "function": function}


def _calls_of(message: Any) -> list[Any]:
    """What is asked for, as the model wrote it: LangChain mends what is cut, and sets bad JSON apart."""
    return getattr(message, "tool_call_chunks", None) or [*message.tool_calls, *message.invalid_tool_calls]


def _request(call: Any) -> ToolRequest:
    arguments = call["args"]
    return ToolRequest(call["id"] or "", call["name"] or "", "" if arguments is None else arguments)


def _text_of(message: Any) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    parts = [part if isinstance(part, str) else part.get("text") for part in content]
    return "".join(part for part in parts if isinstance(part, str))


class _Gathering:
    """The sum of the chunks."""

    def __init__(self, dialect: LangChainDialect) -> None:
        self._dialect = dialect
        self._sum: Any = None

    def add(self, chunk: Any) -> str:
        """Take in one chunk; returns the text it brings, if any."""
        self._sum = chunk if self._sum is None else self._sum + chunk
        return _text_of(chunk)

    def said(self) -> Said:
        """What all chunks amount to; not every provider gives a reason, so whole arguments do as well."""
        if self._sum is None:
            return Said("", (), None)
        said = self._dialect.said(self._sum)
        is_whole = all(call.arguments != "" and arguments_of(call) is not None for call in said.requests)
        return said if said.finish_reason or is_whole else said._replace(finish_reason=NO_FINISH_MARK)
