"""One way to script every runner: ours for real providers, over an HTTP transport in memory, and the fake.

Rule for this file: a kit turns *turns* (a text, calls of tools, a structured answer, an error) into what its
provider would send; the provider's own package is in between.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anthropic
import attrs
import openai
import pydantic
import pytest
from fake_http import FakeServer, anthropic_client, broken_connection, openai_client
from recorded import (
    CHAT_USAGE,
    chat_answer,
    chat_chunk,
    chat_stream,
    chat_tool_delta,
    message,
    message_end,
    message_stream,
    message_tool_block,
)

from ldtrack.core.models import LDMessage
from ldtrack.providers.runners.anthropic import AnthropicRunners
from ldtrack.providers.runners.langchain import LangChainRunners
from ldtrack.providers.runners.openai import OpenAIRunners
from ldtrack.testing import FakeRunners

__all__ = ["KITS", "TOOL_KITS", "Asks", "Broken", "Kit", "Turn", "langchain_models"]


@attrs.frozen
class Asks:
    """The model asks for tools, by name, with these arguments."""

    calls: tuple[tuple[str, Mapping[str, Any]], ...]

    @classmethod
    def for_tools(cls, **calls: Mapping[str, Any]) -> Asks:
        return cls(tuple(calls.items()))


@attrs.frozen
class Broken:
    """The connection breaks; in a stream, after this text."""

    after: str = ""


Turn = str | Mapping[str, Any] | Asks | Broken


class Kit:
    """A provider, scripted."""

    name = ""
    usage: tuple[int, int, int] | None = (19, 12, 7)
    """What every answer reports: total, input, output; ``None`` if that depends on the texts."""
    error: type[Exception] = Exception
    """What its SDK raises when the connection breaks."""

    def __init__(self, turns: Sequence[Turn], *, streams: bool = False) -> None:
        self.turns = turns
        self.streams = streams

    @property
    def factory(self) -> Any:
        raise NotImplementedError

    @property
    def asked(self) -> list[list[tuple[str, str]]]:
        """Role and text of the messages of each request."""
        raise NotImplementedError


class ServedKit(Kit):
    """A provider whose own package is asked, over an HTTP transport in memory."""

    def __init__(self, turns: Sequence[Turn], *, streams: bool = False) -> None:
        super().__init__(turns, streams=streams)
        self.server = FakeServer(*map(self._stream if streams else self._answer, turns))

    def _answer(self, turn: Turn) -> Any:
        raise NotImplementedError

    def _stream(self, turn: Turn) -> Any:
        raise NotImplementedError


class OpenAIKit(ServedKit):
    name = "openai"
    error = openai.APIConnectionError

    @property
    def factory(self) -> Any:
        return OpenAIRunners(openai_client(server=self.server))

    @property
    def asked(self) -> list[list[tuple[str, str]]]:
        return [
            [(part["role"], str(part.get("content"))) for part in request["messages"]]
            for request in self.server.requests
        ]

    def _answer(self, turn: Turn) -> Any:
        if isinstance(turn, Broken):
            return broken_connection(openai)
        if isinstance(turn, Asks):
            calls = [
                {
                    "id": f"call_{at}",
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(args)},
                }
                for at, (name, args) in enumerate(turn.calls)
            ]
            return chat_answer(None, tool_calls=calls)
        return chat_answer(turn if isinstance(turn, str) else json.dumps(turn))

    def _stream(self, turn: Turn) -> Any:
        if isinstance(turn, Broken):
            return [*chat_stream(turn.after)[:2], broken_connection(openai)]
        if isinstance(turn, Asks):
            deltas = []
            for at, (name, args) in enumerate(turn.calls):
                text = json.dumps(args)
                deltas += [
                    chat_tool_delta(at, id=f"call_{at}", name=name),
                    chat_tool_delta(at, arguments=text[:3]),
                    chat_tool_delta(at, arguments=text[3:]),
                ]
            end = [chat_chunk(finish_reason="tool_calls"), chat_chunk(usage=CHAT_USAGE), "[DONE]"]
            return [*map(chat_chunk, deltas), *end]
        assert isinstance(turn, str)
        return chat_stream(*_halves(turn))


def langchain_models(server: FakeServer) -> Callable[[Any], Any]:
    """What makes LangChain's model for a config, over this server."""
    from langchain_openai import ChatOpenAI

    http_client = server.client_for(openai)

    def make(config: Any) -> Any:
        return ChatOpenAI(
            model=config.model.name,
            api_key=pydantic.SecretStr("none"),
            base_url="http://fake",
            http_async_client=http_client,
            max_retries=0,
        )

    return make


class LangChainKit(OpenAIKit):
    name = "langchain"

    @property
    def factory(self) -> Any:
        why = "the frameworks are a test group of their own: their lowest versions need newer SDKs than ours"
        pytest.importorskip("langchain_openai", reason=why)
        return LangChainRunners(langchain_models(self.server))


class AnthropicKit(ServedKit):
    name = "anthropic"
    error = anthropic.APIConnectionError

    @property
    def factory(self) -> Any:
        return AnthropicRunners(anthropic_client(server=self.server))

    @property
    def asked(self) -> list[list[tuple[str, str]]]:
        return [
            [
                *([("system", request["system"])] if "system" in request else []),
                *((part["role"], str(part["content"])) for part in request["messages"]),
            ]
            for request in self.server.requests
        ]

    def _answer(self, turn: Turn) -> Any:
        if isinstance(turn, Broken):
            return broken_connection(anthropic)
        if isinstance(turn, str):
            return message({"type": "text", "text": turn}, output_tokens=7)
        calls = turn.calls if isinstance(turn, Asks) else (("structured_output", turn),)
        blocks = [
            {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": dict(args)}
            for at, (name, args) in enumerate(calls)
        ]
        return message(*blocks, stop_reason="tool_use", output_tokens=7)

    def _stream(self, turn: Turn) -> Any:
        if isinstance(turn, Broken):
            return [*message_stream(turn.after)[:4], broken_connection(anthropic)]
        if isinstance(turn, Asks):
            start = {"type": "message_start", "message": message(stop_reason=None)}
            blocks = []
            for at, (name, args) in enumerate(turn.calls):
                text = json.dumps(args)
                blocks += message_tool_block(at, name, text[:3], text[3:])
            return [start, *blocks, *message_end("tool_use")]
        assert isinstance(turn, str)
        return message_stream(*_halves(turn))


class FakeKit(Kit):
    name = "fake"
    usage = None
    error = ConnectionError

    def __init__(self, turns: Sequence[Turn], *, streams: bool = False) -> None:
        super().__init__(turns, streams=streams)
        self.factory_made = FakeRunners(*map(self._answer, turns))

    @property
    def factory(self) -> Any:
        return self.factory_made

    @property
    def asked(self) -> list[list[tuple[str, str]]]:
        def plain(messages: Sequence[LDMessage]) -> list[tuple[str, str]]:
            return [(part.role, part.content) for part in messages]

        return [*map(plain, self.factory_made.asked)]

    def _answer(self, turn: Turn) -> Any:
        return ConnectionError("gone") if isinstance(turn, Broken) else turn


def _halves(text: str) -> tuple[str, str]:
    middle = len(text) // 2
    return text[:middle], text[middle:]


KITS: tuple[type[Kit], ...] = (OpenAIKit, AnthropicKit, LangChainKit, FakeKit)
TOOL_KITS: tuple[type[Kit], ...] = (OpenAIKit, AnthropicKit, LangChainKit)
