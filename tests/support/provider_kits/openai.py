"""OpenAI's two formats, and what speaks the older one.

Rule for this file: as in ``kit``. ``ChatWire`` is a wire format without a package, for others to mix in.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

from fake_http import azure_client, openai_client
from frameworks import USAGE, chat_calls, chat_calls_answer, chat_refusal, response_calls
from recorded import (
    CHAT_USAGE,
    chat_chunk,
    chat_stream,
    response,
    response_delta,
    response_event,
    response_stream,
)

from ldtrack.providers import OpenAIChatReader, OpenAIResponsesReader
from provider_kits.kit import ASKED, InMemoryKit, Kit, Scene

__all__ = ["AzureKit", "ChatWire", "OpenAIChatKit", "OpenAIResponsesKit", "ResponsesWire"]

ROLE = chat_chunk({"role": "assistant", "content": ""})
CREATED = response_event("created", response=response("in_progress"))


class ChatWire(Kit):
    """Chat completions."""

    model = "gpt-4o-2024-08-06"
    usage = USAGE
    reason = "stop"
    error_says = "overloaded"

    def whole(self) -> Scene:
        return Scene(chat_stream("Hel", "lo"), first_token=1, begun=2)

    def thoughts(self) -> Scene:
        thought = chat_chunk({"content": None, "reasoning_content": "Hm"})
        return Scene([ROLE, thought, *chat_stream("Hi")[1:]], first_token=1)

    def tools(self) -> Scene:
        return Scene(chat_calls("Bern", "Rom"), first_token=1, reason="tool_calls")

    def without_usage(self) -> Scene:
        return Scene(chat_stream("Hi", usage=None), first_token=1)

    def usage_first(self) -> Scene:
        role = chat_chunk({"role": "assistant", "content": ""}, usage=CHAT_USAGE)
        return Scene([role, *chat_stream("Hi", usage=None)[1:]], first_token=1)

    def refusal(self) -> Scene:
        return Scene(chat_refusal("I'm", " sorry"), first_token=1)

    def filtered(self) -> Scene:
        return Scene(chat_stream("Hel", finish_reason="content_filter"), reason="content_filter")

    def error(self) -> Any:
        return {"error": {"message": "overloaded", "code": 503}}

    def answer(self) -> Scene:
        return Scene([chat_calls_answer("Bern", "Rom")], reason="tool_calls")


class ResponsesWire(Kit):
    """Responses."""

    model = "gpt-4o-2024-08-06"
    usage = USAGE
    reason = "completed"
    unable: ClassVar = {"usage first": "the response that ends the stream is the only one with usage"}

    def whole(self) -> Scene:
        return Scene(response_stream("Hel", "lo"), first_token=4, begun=5)

    def thoughts(self) -> Scene:
        thought = response_delta("reasoning_summary_text", "Hm", summary_index=0) | {"item_id": "rs_1"}
        return Scene([CREATED, thought, *response_stream("Hi")[2:]], first_token=1)

    def tools(self) -> Scene:
        return Scene(response_calls("Bern", "Rom"), first_token=1)

    def without_usage(self) -> Scene:
        end = response_event("completed", response=response("completed", usage=None))
        return Scene([*response_stream("Hi")[:-1], end], first_token=4)

    def refusal(self) -> Scene:
        part = {"type": "refusal", "refusal": "I'm sorry"}
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
        whole = response("completed", item | {"content": [part]})
        at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        said = [
            response_delta("refusal", "I'm sorry"),
            response_event("refusal.done", refusal="I'm sorry", **at),
        ]
        return Scene([CREATED, *said, response_event("completed", response=whole)], first_token=1)

    def filtered(self) -> Scene:
        cut = response("incomplete", incomplete_details={"reason": "content_filter"})
        return Scene(
            [*response_stream("Hel")[:-1], response_event("incomplete", response=cut)],
            reason="content_filter",
        )

    def error(self) -> Any:
        return {"type": "error", "code": "x", "message": "overloaded", "param": None, "sequence_number": 9}

    def answer(self) -> Scene:
        return Scene([response_calls("Bern", "Rom")[-1]["response"]])


class OpenAIChatKit(InMemoryKit, ChatWire):
    """OpenAI's package, asked for a chat completion."""

    name = "openai chat"
    needs = ("openai",)
    reader = OpenAIChatReader

    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        return contextlib.nullcontext(openai_client(server=server))

    def ask_stream(self, client: Any) -> Any:
        return client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True)

    async def ask(self, client: Any) -> Any:
        return await client.chat.completions.create(model="gpt-4o", messages=ASKED)


class AzureKit(OpenAIChatKit):
    """The same package on Azure, whose first chunk has no id, no name and no choices."""

    name = "azure"
    opens: ClassVar = {
        "id": "",
        "object": "",
        "created": 0,
        "model": "",
        "choices": [],
        "prompt_filter_results": [
            {"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}
        ],
    }

    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        return contextlib.nullcontext(azure_client(server=server))

    def whole(self) -> Scene:
        return Scene([self.opens, *chat_stream("Hel", "lo")], first_token=2, begun=3)

    def filtered(self) -> Scene:
        held_back: Any = chat_chunk(finish_reason="content_filter")
        held_back["choices"][0]["content_filter_results"] = {"violence": {"filtered": True}}
        events = [self.opens, *chat_stream("Hel")[:2], held_back, *chat_stream()[-2:]]
        return Scene(events, reason="content_filter")


class OpenAIResponsesKit(InMemoryKit, ResponsesWire):
    """OpenAI's package, asked for a response."""

    name = "openai responses"
    needs = ("openai",)
    reader = OpenAIResponsesReader

    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        return contextlib.nullcontext(openai_client(server=server))

    def ask_stream(self, client: Any) -> Any:
        return client.responses.create(model="gpt-4o", input="Hi", stream=True)

    async def ask(self, client: Any) -> Any:
        return await client.responses.create(model="gpt-4o", input="Hi")
