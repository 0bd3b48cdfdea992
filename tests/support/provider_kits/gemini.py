"""Gemini's chunks, all of one shape: each has the counts so far.

Rule for this file: as in ``kit``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from model_server import Answer, ModelServer, plain, sse
from recorded_models import GEMINI_USAGE, gemini_chunk, gemini_stream

from ldtrack import TokenUsage
from ldtrack.providers import GeminiReader
from provider_kits.kit import TOOLS, LoopbackKit, Scene

__all__ = ["GeminiKit"]

QUESTION: Any = {"model": "gemini-2.5-flash", "contents": "Hi"}
SO_FAR = {"promptTokenCount": 10, "totalTokenCount": 10}


class GeminiKit(LoopbackKit):
    """Google's package."""

    name = "gemini"
    needs = ("google.genai",)
    # The SDK derives a class from aiohttp's session, which aiohttp discourages.
    warns = ("ignore:Inheritance class AiohttpClientSession:DeprecationWarning",)
    unable: ClassVar = {
        "common chunk": "every chunk has the counts so far beside its text",
        "hanging up": "the package closes the connection only with its client",
        "refusal": "the model has no way to decline but words; filters have one",
    }
    reader = GeminiReader
    model = "gemini-2.5-flash-001"
    usage = TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
    usage_so_far = TokenUsage(10, 10)
    reason = "STOP"
    error_says = "overloaded"
    cut_says = r"payload|peer closed|reset|disconnected"
    failing = plain({"error": {"code": 400, "message": "no such model", "status": "INVALID_ARGUMENT"}}, 400)

    @contextlib.asynccontextmanager
    async def client(self, server: ModelServer) -> AsyncIterator[Any]:
        from google import genai

        options = genai.types.HttpOptions(base_url=server.url)
        async with genai.Client(api_key="none", http_options=options).aio as client:
            yield client.models

    def ask_stream(self, client: Any) -> Any:
        return client.generate_content_stream(**QUESTION)

    async def ask(self, client: Any) -> Any:
        return await client.generate_content(**QUESTION)

    def frame(self, *events: Any) -> Answer:
        return sse(*events)

    def errors(self) -> tuple[type[Exception], ...]:
        from google.genai import errors

        return (errors.APIError,)

    def whole(self) -> Scene:
        return Scene(gemini_stream("Hel", "lo"))

    def opening(self) -> Scene:
        nothing = [gemini_chunk(usage=SO_FAR), gemini_chunk({"text": ""})]
        return Scene([*nothing, *gemini_stream("Hi")], first_token=2)

    def thoughts(self) -> Scene:
        thought = gemini_chunk({"text": "Hm", "thought": True}, usage={**SO_FAR, "thoughtsTokenCount": 3})
        return Scene([thought, *gemini_stream("Hi")])

    def tools(self) -> Scene:
        calls = [
            gemini_chunk({"functionCall": {"name": name, "args": {"city": city}}})
            for name, city in zip(TOOLS, ("Bern", "Rom"), strict=True)
        ]
        return Scene([*calls, *gemini_stream()])

    def without_usage(self) -> Scene:
        return Scene(gemini_stream("Hi", usage=None))

    def usage_first(self) -> Scene:
        first = gemini_chunk({"text": "Hi"}, usage=GEMINI_USAGE)
        return Scene([first, gemini_chunk({"text": "!"}, reason="STOP")])

    def filtered(self) -> Scene:
        stop = gemini_chunk(reason="SAFETY", usage=GEMINI_USAGE)
        return Scene([gemini_chunk({"text": "He"}), stop], reason="SAFETY")

    def error(self) -> Any:
        return {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}

    def answer(self) -> Scene:
        calls = [{"functionCall": {"name": name, "args": {}}} for name in TOOLS]
        return Scene([gemini_chunk({"text": "Let me see"}, *calls, reason="STOP", usage=GEMINI_USAGE)])
