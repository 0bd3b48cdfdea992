"""Cohere's events, whose kind is in their frame, too.

Rule for this file: as in ``kit``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from model_server import Answer, ModelServer, sse
from recorded_models import (
    COHERE_START,
    COHERE_USAGE,
    cohere_answer,
    cohere_call,
    cohere_end,
    cohere_event,
    cohere_stream,
)

from ldtrack import TokenUsage
from ldtrack.providers import CohereReader
from provider_kits.kit import ASKED, TOOLS, LoopbackKit, Scene

__all__ = ["CohereKit"]

QUESTION: Any = {"model": "command-a-03-2025", "messages": ASKED}


class CohereKit(LoopbackKit):
    """Cohere's package."""

    name = "cohere"
    needs = ("cohere",)
    unable: ClassVar = {
        "usage first": "the event that ends the stream is the only one with usage",
        "refusal": "the model has no way to decline but words; a filter has one",
    }
    reader = CohereReader
    model = None
    usage = TokenUsage(19, 12, 7, cached_input=4)
    reason = "COMPLETE"
    cut_says = "peer closed connection"

    @contextlib.asynccontextmanager
    async def client(self, server: ModelServer) -> AsyncIterator[Any]:
        import cohere
        import httpx

        async with httpx.AsyncClient(timeout=30) as http:
            yield cohere.AsyncClientV2("none", base_url=server.url, httpx_client=http)

    def ask_stream(self, client: Any) -> Any:
        return client.chat_stream(**QUESTION)

    async def ask(self, client: Any) -> Any:
        return await client.chat(**QUESTION)

    def frame(self, *events: Any) -> Answer:
        return sse(*events, named=True)

    def errors(self) -> tuple[type[Exception], ...]:
        from cohere.core.api_error import ApiError

        return (ApiError,)

    def whole(self) -> Scene:
        return Scene(cohere_stream("Hel", "lo"), first_token=2, begun=3)

    def thoughts(self) -> Scene:
        begin = cohere_event("content-start", 0, content={"type": "thinking", "thinking": ""})
        thought = cohere_event("content-delta", 0, content={"thinking": "Hm"})
        return Scene([COHERE_START, begin, thought, *cohere_stream("Hi")[1:]], first_token=2)

    def tools(self) -> Scene:
        plan = cohere_event("tool-plan-delta", tool_plan="I will look")
        calls = [
            *cohere_call(0, TOOLS[0], '{"city":', '"Bern"}'),
            *cohere_call(1, TOOLS[1], "{}"),
        ]
        events = [COHERE_START, plan, *calls, cohere_end("TOOL_CALL")]
        return Scene(events, first_token=1, reason="TOOL_CALL")

    def without_usage(self) -> Scene:
        return Scene([*cohere_stream("Hi")[:-2], cohere_end(usage=None)], first_token=2)

    def filtered(self) -> Scene:
        return Scene(cohere_stream("Hi", reason="ERROR_TOXIC"), reason="ERROR_TOXIC")

    def error(self) -> Any:
        return {"type": "message-end", "delta": {"error": "no more", "usage": COHERE_USAGE}}

    def answer(self) -> Scene:
        calls = [
            {"id": str(at), "type": "function", "function": {"name": name, "arguments": "{}"}}
            for at, name in enumerate(TOOLS)
        ]
        said = {"type": "text", "text": "Let me see"}
        return Scene([cohere_answer(said, reason="TOOL_CALL", tool_calls=calls)], reason="TOOL_CALL")
