"""Mistral's chunks: like chat completions, each inside an event.

Rule for this file: as in ``kit``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from model_server import Answer, ModelServer, sse
from recorded_models import MISTRAL_USAGE, mistral_answer, mistral_call, mistral_chunk, mistral_stream

from ldtrack import TokenUsage
from ldtrack.providers import MistralReader
from provider_kits.kit import ASKED, TOOLS, LoopbackKit, Scene

__all__ = ["MistralKit"]

QUESTION: Any = {"model": "mistral-small-latest", "messages": ASKED}
ROLE = {"role": "assistant", "content": ""}


class MistralKit(LoopbackKit):
    """Mistral's package."""

    name = "mistral"
    needs = ("mistralai.client",)
    unable: ClassVar = {"refusal": "the model has no way to decline but words; a host's filter has one"}
    reader = MistralReader
    model = "mistral-small-2506"
    usage = TokenUsage(19, 12, 7, cached_input=4)
    reason = "stop"
    error_says = r"validation error|overloaded"  # the package finds that it is no chunk
    cut_says = "peer closed connection"

    @contextlib.asynccontextmanager
    async def client(self, server: ModelServer) -> AsyncIterator[Any]:
        from mistralai.client import Mistral

        async with Mistral(api_key="none", server_url=server.url) as client:
            yield client.chat

    def ask_stream(self, client: Any) -> Any:
        return client.stream_async(**QUESTION)

    async def ask(self, client: Any) -> Any:
        return await client.complete_async(**QUESTION)

    def frame(self, *events: Any) -> Answer:
        return sse(*events)

    def errors(self) -> tuple[type[Exception], ...]:
        from mistralai.client.errors import MistralError

        return (MistralError,)

    def whole(self) -> Scene:
        return Scene(mistral_stream("Hel", "lo"), first_token=1, begun=2)

    def thoughts(self) -> Scene:
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
        return Scene([mistral_chunk({"content": [thought]}), *mistral_stream("Hi")])

    def tools(self) -> Scene:
        calls = [
            mistral_call(TOOLS[0], '{"city":', id="a", index=0),
            mistral_call(TOOLS[1], "{}", id="b", index=1),
        ]
        more = mistral_call("", '"Bern"}', index=0)
        end = mistral_chunk({"content": ""}, reason="tool_calls", usage=MISTRAL_USAGE)
        events = [
            *(mistral_chunk(delta) for delta in (ROLE, {"tool_calls": calls}, {"tool_calls": [more]})),
            end,
        ]
        return Scene(events, first_token=1, reason="tool_calls")

    def without_usage(self) -> Scene:
        return Scene(mistral_stream("Hi", usage=None), first_token=1)

    def usage_first(self) -> Scene:
        first = mistral_chunk(ROLE, usage=MISTRAL_USAGE)
        return Scene([first, *mistral_stream("Hi", usage=None)[1:]], first_token=1)

    def filtered(self) -> Scene:
        stop = mistral_chunk({}, reason="content_filter", usage=MISTRAL_USAGE)
        return Scene([mistral_chunk({"content": "He"}), stop], reason="content_filter")

    def error(self) -> Any:
        return {"object": "error", "message": "overloaded", "type": "internal_server_error", "code": "1000"}

    def answer(self) -> Scene:
        calls = [mistral_call(name, id=str(at)) for at, name in enumerate(TOOLS)]
        served = mistral_answer("tool_calls", content="Let me see", tool_calls=calls)
        return Scene([served], reason="tool_calls")
