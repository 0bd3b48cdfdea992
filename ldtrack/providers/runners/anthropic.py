"""Anthropic's messages.

Rule for this file: from a config to requests, and from answers to texts. The package ``anthropic`` is
imported when a runner is made.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from ldtrack.core.finish_reasons import NO_FINISH_MARK
from ldtrack.core.models import LDMessage, LDTool
from ldtrack.exceptions import LdtrackError
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

__all__ = ["AnthropicRunners"]

MAX_TOKENS: Final = 4096
"""What is asked for where the config has no ``max_tokens``, since the API insists on one: the most that every
Claude model can write, the oldest included."""


class AnthropicRunners(ChatRunners):
    """Makes runners for Anthropic.

    ``client`` is an ``AsyncAnthropic``, ``AsyncAnthropicBedrock`` or the like; by default one is made for
    each event loop, which finds its key in the environment, and closed with the ``AIClient``.
    """

    def __init__(self, client: Any = None) -> None:
        require_asynchronous(client, "AsyncAnthropic")
        self._clients = Clients(client, lambda: importlib.import_module("anthropic").AsyncAnthropic())

    def _dialect(self, config: Any, toolbox: Toolbox) -> AnthropicDialect:
        importlib.import_module("anthropic")  # or say that it is missing
        return AnthropicDialect(self._clients, config, toolbox)

    async def aclose(self) -> None:
        """Close the client that was made here; cancelling leaves it to the garbage collector."""
        await self._clients.aclose()


class AnthropicDialect:
    """Messages with one config's model and parameters."""

    def __init__(self, clients: Clients[Any], config: Any, toolbox: Toolbox) -> None:
        self._clients = clients
        parameters = {"max_tokens": MAX_TOKENS, **parameters_of(config)}
        self._parameters = {**parameters, "model": config.model.name}
        self._tools = [*map(_tool, toolbox.offered), *provider_tools(config.model, toolbox.offered)]

    def opening(self, messages: Sequence[LDMessage]) -> list[Any]:
        """Messages as they are; those of the system are sent apart, see ``_request``."""
        return [message.to_dict() for message in messages]

    def _request(self, talk: Sequence[Any]) -> dict[str, Any]:
        request = {**self._parameters, "messages": [part for part in talk if part["role"] != "system"]}
        system = [part["content"] for part in talk if part["role"] == "system"]
        if system:
            request["system"] = "\n\n".join(system)
        if self._tools:
            request["tools"] = self._tools
        return request

    def ask(self, talk: Sequence[Any], output_type: Schema | None) -> Awaitable[Any]:
        """A message; a structured one is what the model fills in for a tool that it has to call.

        That works with every model, and with schemas that the newer ``output_config`` refuses.
        """
        request = self._request(talk)
        if output_type is None:
            return self._create(request)
        output = {
            "name": OUTPUT_NAME,
            "description": "Give your answer with this tool.",
            "input_schema": dict(output_type),
        }
        choice = {"type": "any"} if self._tools else {"type": "tool", "name": OUTPUT_NAME}
        return self._structured({**request, "tools": [*self._tools, output], "tool_choice": choice})

    async def _structured(self, request: dict[str, Any]) -> Any:
        """An answer that shows what was filled in as its text: nobody called a tool of the app's."""
        answer = await self._create(request)
        filled = [block for block in answer.content if _is_output(block)]
        if not filled:
            return answer
        text = importlib.import_module("anthropic.types").TextBlock(
            type="text", text=json.dumps(filled[0].input, ensure_ascii=False), citations=None
        )
        return answer.model_copy(update={"content": [text]})

    def _create(self, request: dict[str, Any]) -> Awaitable[Any]:
        create = self._clients.get().messages.create
        made: Awaitable[Any] = create(**keywords_for(create, request))
        return made

    def open(self, talk: Sequence[Any]) -> Any:
        """A message as a stream, through the SDK's helper, which puts it together as well."""
        stream = self._clients.get().messages.stream
        return stream(**keywords_for(stream, self._request(talk)))

    def gather(self, stream: Any) -> _Gathering:
        """What asks the helper for the whole message."""
        return _Gathering(self, stream)

    def said(self, answer: Any) -> Said:
        """What the blocks of a message say."""
        blocks = answer.content
        text = "".join(block.text for block in blocks if block.type == "text")
        requests = [
            ToolRequest(block.id, block.name, block.input) for block in blocks if block.type == "tool_use"
        ]
        message = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in blocks]}
        return Said(text, tuple(requests), message, answer.stop_reason)

    def results(self, results: Sequence[tuple[ToolRequest, str]]) -> list[Any]:
        """One message of the user's with a block for each: Anthropic wants them together."""
        blocks = [
            {"type": "tool_result", "tool_use_id": asked.id, "content": result} for asked, result in results
        ]
        return [{"role": "user", "content": blocks}]


def _is_output(block: Any) -> bool:
    return bool(block.type == "tool_use" and block.name == OUTPUT_NAME)


def _tool(tool: LDTool) -> dict[str, Any]:
    parameters = tool.to_dict().get("parameters")
    if tool.type not in {None, "function", "custom"}:
        return {"type": tool.type, "name": tool.name, **(parameters or {})}
    return {
        "name": tool.name,
        "description": tool.description or "",
        "input_schema": parameters or dict(NO_PARAMETERS),
    }


class _Gathering:
    """The helper's texts as they come, and its message in the end."""

    def __init__(self, dialect: AnthropicDialect, stream: Any) -> None:
        self._dialect = dialect
        self._stream = stream
        self._has_begun = False

    def add(self, event: Any) -> str:
        """Take in one event; returns the text it brings, if any."""
        self._has_begun = True
        return event.text if event.type == "text" else ""

    def said(self) -> Said:
        """What the whole message says."""
        if not self._has_begun:
            raise LdtrackError("Anthropic's stream ended without a single event: there is no answer.")
        said = self._dialect.said(self._stream.current_message_snapshot)
        return said._replace(finish_reason=said.finish_reason or NO_FINISH_MARK)
