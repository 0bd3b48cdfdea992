"""How two providers stream: the same answer as OpenAI's and as Anthropic's chunks, in their JSON.

Rule for this file: shapes only. When a chunk comes, and whether it comes at all, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

import attrs

__all__ = ["DIALECTS", "Answer", "Chunk", "Dialect"]

Chunk = dict[str, Any]


@attrs.frozen(kw_only=True)
class Answer:
    """What a model has to say: some words, or the wish to call a tool; never both."""

    words: tuple[str, ...] = ()
    tool: str | None = None
    tokens_in: int
    tokens_out: int


class Dialect(Protocol):
    """One provider's way to stream."""

    def opening(self, answer: Answer) -> Iterator[Chunk]:
        """What comes before there is anything to read."""
        ...

    def content(self, answer: Answer) -> Iterator[Chunk]:
        """What the user waits for."""
        ...

    def closing(self, answer: Answer) -> Iterator[Chunk]:
        """The finish mark, and the usage."""
        ...

    def text_of(self, chunk: Chunk) -> str:
        """What of a chunk an application shows; may be empty."""
        ...

    def tool_of(self, chunk: Chunk) -> str | None:
        """The tool that a chunk asks for."""
        ...


class OpenAIChat:
    """A role, then deltas; usage comes in a chunk of its own, after the finish reason."""

    def opening(self, answer: Answer) -> Iterator[Chunk]:
        """A chunk that says who speaks, and says nothing."""
        yield self._delta({"role": "assistant", "content": ""})

    def content(self, answer: Answer) -> Iterator[Chunk]:
        """A delta for each word, or the tool's name and then its arguments."""
        if answer.tool is not None:
            function = {"name": answer.tool, "arguments": ""}
            called = {"index": 0, "id": "call_1", "type": "function", "function": function}
            yield self._delta({"tool_calls": [called]})
            yield self._delta({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]})
        for word in answer.words:
            yield self._delta({"content": word})

    def closing(self, answer: Answer) -> Iterator[Chunk]:
        """The finish reason, and what was asked for with ``include_usage``."""
        yield self._delta({}, finish_reason="stop" if answer.tool is None else "tool_calls")
        total = answer.tokens_in + answer.tokens_out
        usage = {"prompt_tokens": answer.tokens_in, "completion_tokens": answer.tokens_out}
        yield {"object": "chat.completion.chunk", "choices": [], "usage": {**usage, "total_tokens": total}}

    def text_of(self, chunk: Chunk) -> str:
        """The delta's content."""
        return "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])

    def tool_of(self, chunk: Chunk) -> str | None:
        """The name in a tool call's first delta."""
        calls = [call for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", ())]
        return next((call["function"]["name"] for call in calls if "name" in call["function"]), None)

    def _delta(self, delta: Chunk, finish_reason: str | None = None) -> Chunk:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {"object": "chat.completion.chunk", "choices": [choice]}


class AnthropicMessages:
    """Typed events: input usage comes first, output usage last."""

    def opening(self, answer: Answer) -> Iterator[Chunk]:
        """The empty message, with what the prompt cost."""
        usage = {"input_tokens": answer.tokens_in, "output_tokens": 1}
        message = {"type": "message", "role": "assistant", "content": [], "usage": usage}
        yield {"type": "message_start", "message": message}
        yield {"type": "ping"}

    def content(self, answer: Answer) -> Iterator[Chunk]:
        """One block: of text that grows, or of a tool call."""
        block = {"type": "text", "text": ""}
        deltas: list[Chunk] = [{"type": "text_delta", "text": word} for word in answer.words]
        if answer.tool is not None:
            block = {"type": "tool_use", "id": "toolu_1", "name": answer.tool}
            deltas = [{"type": "input_json_delta", "partial_json": "{}"}]
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}

    def closing(self, answer: Answer) -> Iterator[Chunk]:
        """The stop reason with the output's usage, and the last word."""
        reason = "end_turn" if answer.tool is None else "tool_use"
        usage = {"output_tokens": answer.tokens_out}
        yield {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}
        yield {"type": "message_stop"}

    def text_of(self, chunk: Chunk) -> str:
        """The text of a text delta."""
        text: str = chunk.get("delta", {}).get("text", "")
        return text

    def tool_of(self, chunk: Chunk) -> str | None:
        """The name of a block that calls a tool."""
        name: str | None = chunk.get("content_block", {}).get("name")
        return name


DIALECTS: Final[Mapping[str, Dialect]] = {"openai": OpenAIChat(), "anthropic": AnthropicMessages()}
"""By the name that a config gives its provider."""
