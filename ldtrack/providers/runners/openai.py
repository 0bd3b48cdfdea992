"""OpenAI's chat completions, and the many services that speak them.

Rule for this file: from a config to requests, and from answers to texts. The package ``openai`` is imported
when a runner is made.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Sequence
from typing import Any

from ldtrack.core.finish_reasons import NO_FINISH_MARK
from ldtrack.core.models import LDMessage, LDTool
from ldtrack.providers.runners.chat import (
    OUTPUT_NAME,
    ChatRunners,
    Said,
    keywords_for,
    parameters_of,
)
from ldtrack.providers.runners.clients import Clients, require_asynchronous
from ldtrack.providers.runners.tools import NO_PARAMETERS, Toolbox, ToolRequest, provider_tools
from ldtrack.running import Schema

__all__ = ["OpenAIRunners"]


class OpenAIRunners(ChatRunners):
    """Makes runners for OpenAI.

    ``client`` is an ``AsyncOpenAI``, ``AsyncAzureOpenAI`` or the like; by default one is made for each event
    loop, which finds its key in the environment, and closed with the ``AIClient``.
    """

    def __init__(self, client: Any = None) -> None:
        require_asynchronous(client, "AsyncOpenAI")
        self._clients = Clients(client, lambda: importlib.import_module("openai").AsyncOpenAI())

    def _dialect(self, config: Any, toolbox: Toolbox) -> OpenAIDialect:
        importlib.import_module("openai")  # or say that it is missing
        return OpenAIDialect(self._clients, config, toolbox)

    async def aclose(self) -> None:
        """Close the client that was made here; cancelling leaves it to the garbage collector."""
        await self._clients.aclose()


class OpenAIDialect:
    """Chat completions with one config's model and parameters."""

    def __init__(self, clients: Clients[Any], config: Any, toolbox: Toolbox) -> None:
        self._clients = clients
        self._parameters = {**parameters_of(config), "model": config.model.name}
        self._stream_options = {"include_usage": True, **(self._parameters.pop("stream_options", None) or {})}
        tools = [*map(_tool, toolbox.offered), *provider_tools(config.model, toolbox.offered)]
        if tools:
            self._parameters["tools"] = tools

    def opening(self, messages: Sequence[LDMessage]) -> list[Any]:
        """Messages as they are: the roles are OpenAI's own."""
        return [message.to_dict() for message in messages]

    def ask(self, talk: Sequence[Any], output_type: Schema | None) -> Awaitable[Any]:
        """A completion; a structured one follows its schema strictly."""
        request = {**self._parameters, "messages": [*talk]}
        if output_type is not None:
            wanted = {"name": OUTPUT_NAME, "schema": dict(output_type), "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": wanted}
        return self._create(request)

    def open(self, talk: Sequence[Any]) -> Awaitable[Any]:
        """A completion as a stream, which ends with its usage unless the config says otherwise."""
        streaming = {"stream": True, "stream_options": self._stream_options}
        return self._create({**self._parameters, "messages": [*talk], **streaming})

    def _create(self, request: dict[str, Any]) -> Awaitable[Any]:
        create = self._clients.get().chat.completions.create
        made: Awaitable[Any] = create(**keywords_for(create, request))
        return made

    def gather(self, stream: Any) -> _Gathering:
        """What puts the deltas together."""
        return _Gathering()

    def said(self, answer: Any) -> Said:
        """What the first choice says."""
        if not answer.choices:
            return Said("", (), None)
        choice = answer.choices[0]
        message = choice.message
        calls = message.tool_calls or ()
        requests = [
            ToolRequest(call.id, call.function.name, call.function.arguments)
            for call in calls
            if call.type == "function"
        ]
        return _said(message.content or "", requests, choice.finish_reason)

    def results(self, results: Sequence[tuple[ToolRequest, str]]) -> list[Any]:
        """A message of the role ``tool`` for each."""
        return [{"role": "tool", "tool_call_id": asked.id, "content": result} for asked, result in results]


def _tool(tool: LDTool) -> dict[str, Any]:
    members = tool.to_dict()
    parameters = members.get("parameters")
    if tool.type not in {None, "function"}:
        return {"type": tool.type, **(parameters or {})}
    function = {
        "name": tool.name,
        "description": tool.description or "",
        "parameters": parameters or dict(NO_PARAMETERS),
    }
    return {"type": "function", "function": function}


def _said(text: str, requests: Sequence[ToolRequest], finish_reason: str | None) -> Said:
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if requests:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in requests
        ]
    return Said(text, tuple(requests), message, finish_reason)


class _Gathering:
    """The first choice's text and tool calls, whose arguments come in pieces."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._finish_reason = NO_FINISH_MARK

    def add(self, chunk: Any) -> str:
        """Take in one chunk; returns the text it brings, if any."""
        if not chunk.choices or chunk.choices[0].index:
            return ""
        choice = chunk.choices[0]
        self._finish_reason = choice.finish_reason or self._finish_reason
        delta = choice.delta
        if delta is None:  # what Azure's filter says afterwards of a text that has been sent
            return ""
        for call in delta.tool_calls or ():
            known = self._calls.setdefault(call.index, {"id": "", "name": "", "arguments": ""})
            known["id"] = call.id or known["id"]
            if call.function:
                known["name"] = call.function.name or known["name"]
                known["arguments"] += call.function.arguments or ""
        text: str = delta.content or ""
        if text:
            self._texts.append(text)
        return text

    def said(self) -> Said:
        """What all chunks amount to."""
        requests = [ToolRequest(**call) for call in self._calls.values()]
        return _said("".join(self._texts), requests, self._finish_reason)
