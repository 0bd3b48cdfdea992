"""Hugging Face's chat completions, on any of the providers that it brokers, and its text generation.

Rule for this file: as in ``kit``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from fake_http import huggingface_clients
from recorded import generated_stream, generated_text, generated_token

from ldtrack import TokenUsage
from ldtrack.providers import HuggingFaceReader
from provider_kits.kit import ASKED, InMemoryKit, Scene
from provider_kits.openai import ChatWire

__all__ = ["HuggingFaceChatKit", "HuggingFaceTextKit"]


CLOSES = {
    "hanging up": "the package closes the connection only with its client",
    "hanging up when cancelled": "the package closes the connection only with its client",
}


class _HuggingFaceKit(InMemoryKit):
    needs = ("huggingface_hub",)
    reader = HuggingFaceReader

    @contextlib.asynccontextmanager
    async def client(self, server: Any) -> AsyncIterator[Any]:
        with huggingface_clients() as make:
            yield make(server=server)


class HuggingFaceChatKit(_HuggingFaceKit, ChatWire):
    """Its package, asked for a chat completion."""

    name = "huggingface chat"
    unable: ClassVar = CLOSES

    def ask_stream(self, client: Any) -> Any:
        return client.chat_completion(ASKED, stream=True)

    async def ask(self, client: Any) -> Any:
        return await client.chat_completion(ASKED)

    def errors(self) -> tuple[type[Exception], ...]:
        import huggingface_hub

        return (huggingface_hub.errors.OverloadedError,)

    def error(self) -> Any:
        return {"error": "overloaded", "error_type": "overloaded"}


class HuggingFaceTextKit(_HuggingFaceKit):
    """Its package, asked for text, token by token, and for details."""

    name = "huggingface text"
    unable: ClassVar = {
        **CLOSES,
        "thoughts": "tokens are all of one kind",
        "tools": "there are no tools without a chat",
        "without usage": "the package hands out plain text then",
        "usage first": "the token that ends the stream is the only one with details",
        "refusal": "the model has no way to decline but words",
        "filtered": "nothing filters",
        "answer": "there are no tools without a chat",
    }
    model = None
    usage = TokenUsage(19, 12, 7)
    reason = "eos_token"
    error_says = "out of memory"

    def ask_stream(self, client: Any) -> Any:
        return client.text_generation("Hi", stream=True, details=True)

    async def ask(self, client: Any) -> Any:
        return await client.text_generation("Hi", details=True)

    def errors(self) -> tuple[type[Exception], ...]:
        import huggingface_hub

        return (huggingface_hub.errors.GenerationError,)

    def whole(self) -> Scene:
        return Scene(generated_stream("Hel", "lo"))

    def opening(self) -> Scene:
        return Scene([generated_token("<s>", special=True), *generated_stream("Hi")], first_token=1)

    def error(self) -> Any:
        return {"error": "out of memory", "error_type": "generation"}

    def answer(self) -> Scene:
        return Scene([generated_text("Hello")], reason="length")
