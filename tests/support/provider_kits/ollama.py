"""Ollama's chunks, a line of JSON each.

Rule for this file: as in ``kit``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from model_server import Answer, ModelServer, ndjson
from recorded_models import OLLAMA_DONE, ollama_chunk, ollama_stream

from ldtrack import TokenUsage
from ldtrack.providers import OllamaReader
from provider_kits.kit import ASKED, TOOLS, LoopbackKit, Scene

__all__ = ["CALL", "OllamaKit"]

CALL = {"function": {"name": TOOLS[0], "arguments": {"city": "Bern"}}}
"""A tool call; no call has an id."""


class OllamaKit(LoopbackKit):
    """Ollama's package."""

    name = "ollama"
    needs = ("ollama",)
    unable: ClassVar = {
        "usage first": "the last chunk is the only one with counts",
        "refusal": "the model has no way to decline but words",
        "filtered": "nothing filters",
    }
    reader = OllamaReader
    model = "llama3.2"
    names_model_at_once = False  # every chunk has it, but only the last one is looked at for more than text
    usage = TokenUsage(19, 12, 7)
    reason = "stop"
    error_says = "runner has stopped"
    cut_says = "peer closed connection"

    @contextlib.asynccontextmanager
    async def client(self, server: ModelServer) -> AsyncIterator[Any]:
        import ollama

        client = ollama.AsyncClient(server.url)
        try:
            yield client
        finally:
            await client._client.aclose()  # only the newest can be closed by themselves

    def ask_stream(self, client: Any) -> Any:
        return client.chat(model="llama3.2", messages=ASKED, stream=True)

    async def ask(self, client: Any) -> Any:
        return await client.chat(model="llama3.2", messages=ASKED)

    def frame(self, *events: Any) -> Answer:
        return ndjson(*events)

    def errors(self) -> tuple[type[Exception], ...]:
        import ollama

        return (ollama.ResponseError,)

    def whole(self) -> Scene:
        return Scene(ollama_stream("Hel", "lo"))

    def opening(self) -> Scene:
        return Scene([ollama_chunk(), *ollama_stream("Hi")], first_token=1)

    def thoughts(self) -> Scene:
        return Scene([ollama_chunk(thinking="Hm"), *ollama_stream("Hi")])

    def tools(self) -> Scene:
        calls = [ollama_chunk(at, tool_calls=[CALL]) for at in range(len(TOOLS))]
        return Scene([*calls, ollama_chunk(2, OLLAMA_DONE)])

    def without_usage(self) -> Scene:
        done = ollama_chunk(1, {"done": True, "done_reason": "stop"})
        return Scene([ollama_chunk(content="Hi"), done])

    def error(self) -> Any:
        return {"error": "the model runner has stopped"}

    def answer(self) -> Scene:
        return Scene([ollama_chunk(1, OLLAMA_DONE, content="Hi", tool_calls=[CALL] * len(TOOLS))])
