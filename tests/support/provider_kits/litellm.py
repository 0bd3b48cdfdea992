"""LiteLLM over OpenAI's and Anthropic's formats: another provider's stream, made a chat completion.

Rule for this file: as in ``kit``.
"""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

from fake_http import openai_client

from ldtrack import TokenUsage
from ldtrack.providers import LiteLLMReader
from provider_kits.anthropic import MessagesWire
from provider_kits.kit import ASKED, InMemoryKit, Scene
from provider_kits.openai import ChatWire

__all__ = ["LiteLLMAnthropicKit", "LiteLLMKit"]

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network when it is imported

STREAMED: Any = {"stream": True, "stream_options": {"include_usage": True}}


class _LiteLLMKit(InMemoryKit):
    needs = ("litellm",)
    held_back = "litellm holds openai below 3, so it is not in every environment"
    warns = ("ignore",)  # litellm and pydantic disagree on a type of litellm's
    reader = LiteLLMReader
    asked: ClassVar[dict[str, Any]]

    def ask_stream(self, client: Any) -> Any:
        import litellm

        return litellm.acompletion(**self.asked, **STREAMED, client=client)

    async def ask(self, client: Any) -> Any:
        import litellm

        return await litellm.acompletion(**self.asked, client=client)

    def errors(self) -> tuple[type[Exception], ...]:
        import openai

        return (openai.APIError,)  # its own errors derive from it


class LiteLLMKit(_LiteLLMKit, ChatWire):
    """LiteLLM, asked for a model of OpenAI's."""

    name = "litellm openai"
    asked: ClassVar = {"model": "openai/gpt-4o", "messages": ASKED}
    model = "gpt-4o"  # in streams it names what it was asked for
    model_of_answers = "gpt-4o-2024-08-06"
    unable: ClassVar = {
        "refusal": "it drops the text of a refusal from streams",
        "truncated": "it makes up a finish reason and counts tokens itself",
        "without usage": "it counts tokens itself",
    }

    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        return contextlib.nullcontext(openai_client(server=server))


class LiteLLMAnthropicKit(_LiteLLMKit, MessagesWire):
    """LiteLLM, asked for a model of Anthropic's."""

    name = "litellm anthropic"
    asked: ClassVar = {"model": "anthropic/claude-sonnet-4-20250514", "messages": ASKED, "api_key": "none"}
    reason = "stop"
    names_model_at_once = False
    usage = TokenUsage(19, 12, 7, cached_input=4, reasoning=0)  # it says so of everybody
    usage_so_far = None
    first_tokens: ClassVar = dict.fromkeys(("whole", "tools", "refusal"), 0)
    unable: ClassVar = {
        **MessagesWire.unable,
        "opening": "it hands out none",
        "hanging up": "its versions differ: some leave it to the garbage collector",
        "thoughts": "it counts the tokens of thoughts itself",
        "truncated": "it makes up a finish reason and counts tokens itself",
    }

    def reason_of(self, scene: Scene) -> str:
        """It translates the reasons."""
        return {"tool_use": "tool_calls", "refusal": "content_filter"}.get(scene.reason, self.reason)

    def sdk(self) -> Any:
        import anthropic

        return anthropic

    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

        handler = AsyncHTTPHandler()
        handler.client = server.client_for(self.sdk())
        return contextlib.nullcontext(handler)
