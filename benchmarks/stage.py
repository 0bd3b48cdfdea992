"""OpenAI's answers from memory, for ``one_peer.py``: as bytes that are parsed, or as chunks that have been.

Rule for this file: every byte that is served and every chunk that is handed out is the same for every peer.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
from peers import MARKER, QUESTION, STREAMING

httpx: Any = importlib.import_module(openai.DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0])
"""The library that this version of ``openai`` stands on: ``httpx``, or what took its place."""
SHORT, LONG = 100, 1_100
"""What a chunk costs is the difference between a long and a short stream; what a call costs is the rest."""


def usage_for(tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": MARKER,
        "completion_tokens": tokens,
        "total_tokens": MARKER + tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def events_of(count: int) -> list[bytes]:
    """A stream of so many chunks as OpenAI sends it: role, texts, finish reason, usage."""

    def chunk(delta: dict[str, Any] | None, finish: str | None = None, usage: Any = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        data = {
            "id": "chatcmpl-BnchmrkBnchmrkBnchmrk",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "gpt-4o-mini-2024-07-18",
            "service_tier": "default",
            "system_fingerprint": "fp_0123456789",
            "choices": [] if delta is None else [choice],
            "usage": usage,
        }
        return f"data: {json.dumps(data)}\n\n".encode()

    start = chunk({"role": "assistant", "content": "", "refusal": None})
    body = [chunk({"content": f" word{number % 10}"}) for number in range(count - 3)]
    return [start, *body, chunk({}, "stop"), chunk(None, usage=usage_for(count - 3)), b"data: [DONE]\n\n"]


ANSWER = {
    "id": "chatcmpl-BnchmrkBnchmrkBnchmrk",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The Dufourspitze. " * 10, "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": usage_for(50),
}


class Body(httpx.AsyncByteStream):  # type: ignore[misc]  # either library's class
    """Hands out one event at a time, at once."""

    def __init__(self, events: list[bytes]) -> None:
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            yield event


def fresh(model: Any) -> Any:
    """A copy of a chunk that shares with it only what cannot change, at a twelfth of what parsing costs."""
    values = {}
    for name, value in model.__dict__.items():
        if isinstance(value, list):
            values[name] = [fresh(item) for item in value]
        else:
            values[name] = fresh(value) if hasattr(value, "__pydantic_fields_set__") else value
    copy = model.__class__.__new__(model.__class__)
    put = object.__setattr__
    put(copy, "__dict__", values)
    put(copy, "__pydantic_fields_set__", model.__pydantic_fields_set__)
    put(copy, "__pydantic_extra__", model.__pydantic_extra__)
    put(copy, "__pydantic_private__", None)
    return copy


class Stage:
    """What the next calls are answered with, and how their chunks come about."""

    def __init__(self) -> None:
        self._events = {count: events_of(count) for count in (SHORT, LONG)}
        self._chunks: dict[int, list[Any]] = {}
        self.count = SHORT
        self.way = "served"
        original = openai.AsyncStream.__stream__

        async def stream(this: Any) -> AsyncIterator[Any]:
            chunks = self._chunks[self.count]
            try:
                for chunk in chunks if self.way == "same" else map(fresh, chunks):
                    yield chunk
            finally:
                await this.response.aclose()

        self._stream = stream
        self._original = original

    def answer(self, request: Any) -> Any:
        if b'"stream":true' not in request.content.replace(b" ", b""):
            return httpx.Response(200, json=ANSWER)
        body = Body(self._events[self.count])
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)

    def client(self, kind: Any = None, **more: Any) -> Any:
        """An ``AsyncOpenAI``, or what a peer gives for one, that is answered from memory."""
        http_client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        kind = kind or openai.AsyncOpenAI
        return kind(api_key="none", base_url="http://fake/v1", http_client=http_client, max_retries=0, **more)

    async def learn(self, client: Any) -> None:
        """Read each stream once, for the chunks that are replayed."""
        for count in self._events:
            self.count = count
            stream = await client.chat.completions.create(**QUESTION, **STREAMING)
            self._chunks[count] = [chunk async for chunk in stream]
            assert len(self._chunks[count]) == count

    def set(self, way: str, count: int) -> None:
        self.count = count
        self.way = way
        # Only while it is needed: served streams run the SDK's own function and nothing of ours.
        openai.AsyncStream.__stream__ = self._original if way == "served" else self._stream  # type: ignore[method-assign]  # as said
