"""Two models behind one shape: OpenAI's, and a simulated one that needs no key and no network.

`ask` gives what the provider's client gives: something that can be streamed, not opened yet.
`text` takes out of a chunk what the user is to see.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from ldtrack import AICompletionConfig

ANSWER = "You asked: {question} I am only simulated, but I can stream."


class Provider(Protocol):
    def ask(self, config: AICompletionConfig, question: str) -> Any: ...

    def text(self, chunk: Any) -> str: ...


class Simulated:
    """Streams plain dicts. ldtrack reads `content` and `usage` of any mapping."""

    async def ask(self, config: AICompletionConfig, question: str) -> AsyncIterator[dict[str, Any]]:
        words = ANSWER.format(question=question).split(" ")
        for word in words:
            await asyncio.sleep(0.02)
            yield {"content": word + " "}
        usage = {"input_tokens": len(question.split()), "output_tokens": len(words)}
        yield {"usage": usage, "finish_reason": "stop"}

    def text(self, chunk: dict[str, Any]) -> str:
        return chunk.get("content", "")


class OpenAI:
    """Streams OpenAI's chat completions."""

    def __init__(self, client: Any) -> None:
        self._client = client  # an openai.AsyncOpenAI

    def ask(self, config: AICompletionConfig, question: str) -> Any:
        prompt = [message.to_dict() for message in config.messages or ()]
        return self._client.chat.completions.create(
            model=config.model.name,
            messages=[*prompt, {"role": "user", "content": question}],
            stream=True,
            stream_options={"include_usage": True},
        )

    def text(self, chunk: Any) -> str:
        return (chunk.choices[0].delta.content or "") if chunk.choices else ""
