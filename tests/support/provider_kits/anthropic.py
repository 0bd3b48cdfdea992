"""Anthropic's events: as they are, of the beta namespace, and through the package's helper.

Rule for this file: as in ``kit``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

from fake_http import anthropic_client
from recorded import (
    message,
    message_block,
    message_end,
    message_stream,
    message_text_block,
    message_tool_block,
)

from ldtrack import TokenUsage
from ldtrack.providers import AnthropicReader
from provider_kits.kit import ASKED, TOOLS, InMemoryKit, Kit, Scene

__all__ = ["AnthropicBetaKit", "AnthropicHelperKit", "AnthropicKit", "MessagesWire"]

START = {"type": "message_start", "message": message(stop_reason=None)}
QUESTION: Any = {"model": "claude-sonnet-4", "max_tokens": 99, "messages": ASKED}


class MessagesWire(Kit):
    """Messages."""

    model: ClassVar[str | None] = "claude-sonnet-4-20250514"
    usage = TokenUsage(19, 12, 7, cached_input=4)
    usage_so_far: ClassVar[TokenUsage | None] = TokenUsage(13, 12, 1, cached_input=4)
    reason = "end_turn"
    error_says = "Overloaded"
    unable: ClassVar[Mapping[str, str]] = {
        "without usage": "the first event counts the input, always",
        "usage first": "the output is counted at the end, always",
        "filtered": "a filter's stop has the same reason as the model's own refusal",
    }

    def end(self, reason: str = "end_turn") -> list[Any]:
        """How a message ends."""
        return message_end(reason)

    def whole(self) -> Scene:
        return Scene(message_stream("Hel", "lo"), first_token=2, begun=4)

    def thoughts(self) -> Scene:
        begin = {"type": "thinking", "thinking": "", "signature": ""}
        thought = message_block(0, begin, {"type": "thinking_delta", "thinking": "Hm"})
        return Scene([START, *thought, *message_text_block(1, "Hi"), *self.end()], first_token=2)

    def tools(self) -> Scene:
        blocks = [
            *message_tool_block(0, TOOLS[0], "", '{"city":', ' "Bern"}'),
            *message_tool_block(1, TOOLS[1], '{"city": "Rom"}'),
        ]
        return Scene([START, *blocks, *self.end("tool_use")], first_token=1, reason="tool_use")

    def refusal(self) -> Scene:
        return Scene([START, *message_text_block(0, "I"), *self.end("refusal")], 2, reason="refusal")

    def error(self) -> Any:
        return {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

    def answer(self) -> Scene:
        uses = [
            {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": {}}
            for at, name in enumerate(TOOLS)
        ]
        said = {"type": "text", "text": "Let me see."}
        return Scene([message(said, *uses, stop_reason="tool_use", output_tokens=7)], reason="tool_use")


class AnthropicKit(InMemoryKit, MessagesWire):
    """Anthropic's package, asked for its events."""

    name = "anthropic events"
    needs = ("anthropic",)
    reader = AnthropicReader

    def sdk(self) -> Any:
        import anthropic

        return anthropic

    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        return contextlib.nullcontext(anthropic_client(server=server))

    def ask_stream(self, client: Any) -> Any:
        return client.messages.create(**QUESTION, stream=True)

    async def ask(self, client: Any) -> Any:
        return await client.messages.create(**QUESTION)


class AnthropicHelperKit(AnthropicKit):
    """The package's helper, which puts events of its own in between."""

    name = "anthropic helper"

    def ask_stream(self, client: Any) -> Any:
        return client.messages.stream(**QUESTION)


class AnthropicBetaKit(AnthropicKit):
    """The beta namespace: types of other names."""

    name = "anthropic beta"

    def ask_stream(self, client: Any) -> Any:
        return client.beta.messages.create(**QUESTION, stream=True)

    async def ask(self, client: Any) -> Any:
        return await client.beta.messages.create(**QUESTION)
