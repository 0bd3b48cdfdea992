"""What Gemini, Bedrock, Mistral, Cohere and Ollama send: recorded shapes, filled with given text.

Rule for this file: JSON only, as it is on the wire; ``model_server`` frames it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JSON = dict[str, Any]

# Gemini

GEMINI_USAGE: JSON = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 4,
    "totalTokenCount": 19,
    "cachedContentTokenCount": 4,
    "thoughtsTokenCount": 3,
    "toolUsePromptTokenCount": 2,
}


def gemini_chunk(
    *parts: Mapping[str, Any],
    reason: str | None = None,
    usage: Mapping[str, Any] | None = None,
    **beside: Any,
) -> JSON:
    """One chunk, or a whole answer: they have the same shape."""
    candidate: JSON = {"content": {"role": "model", "parts": [*parts]}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    counts = {} if usage is None else {"usageMetadata": usage}
    return {
        "candidates": [candidate],
        "modelVersion": "gemini-2.5-flash-001",
        "responseId": "resp-1",
        **counts,
        **beside,
    }


def gemini_stream(*texts: str, usage: Mapping[str, Any] | None = GEMINI_USAGE) -> list[JSON]:
    """A whole stream: every chunk has the counts so far, the last one has them all."""
    so_far = None if usage is None else {"promptTokenCount": 10, "totalTokenCount": 10}
    last = gemini_chunk({"text": ""}, reason="STOP", usage=usage)
    return [*(gemini_chunk({"text": text}, usage=so_far) for text in texts), last]


# Bedrock

BEDROCK_USAGE: JSON = {
    "inputTokens": 5,
    "outputTokens": 7,
    "totalTokens": 19,
    "cacheReadInputTokens": 4,
    "cacheWriteInputTokens": 3,
}


def bedrock_start(index: int, name: str) -> JSON:
    """The event that begins a tool call."""
    use = {"toolUseId": f"tooluse_{index}", "name": name}
    return {"contentBlockStart": {"start": {"toolUse": use}, "contentBlockIndex": index}}


def bedrock_delta(index: int = 0, **delta: Any) -> JSON:
    """The event that adds to a block."""
    return {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}


def bedrock_end(reason: str = "end_turn", usage: Mapping[str, Any] | None = BEDROCK_USAGE) -> list[JSON]:
    """How a stream ends: the reason, then usage."""
    counts = [] if usage is None else [{"metadata": {"usage": usage, "metrics": {"latencyMs": 200}}}]
    return [{"messageStop": {"stopReason": reason}}, *counts]


def bedrock_stream(*texts: str, reason: str = "end_turn") -> list[JSON]:
    """A whole stream of one block of text."""
    return [
        {"messageStart": {"role": "assistant"}},
        *(bedrock_delta(text=text) for text in texts),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        *bedrock_end(reason),
    ]


def bedrock_answer(*blocks: Mapping[str, Any], reason: str = "end_turn", **beside: Any) -> JSON:
    """A whole answer."""
    return {
        "output": {"message": {"role": "assistant", "content": [*blocks]}},
        "stopReason": reason,
        "usage": BEDROCK_USAGE,
        "metrics": {"latencyMs": 200},
        **beside,
    }


# Mistral

MISTRAL_USAGE: JSON = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4},
}


def mistral_chunk(
    delta: Mapping[str, Any], *, reason: str | None = None, usage: Mapping[str, Any] | None = None
) -> JSON:
    """One chunk."""
    return {
        "id": "cmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "mistral-small-2506",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        **({} if usage is None else {"usage": usage}),
    }


def mistral_stream(*texts: str, usage: Mapping[str, Any] | None = MISTRAL_USAGE) -> list[JSON | str]:
    """A whole stream: the role, texts, and the reason with the usage."""
    return [
        mistral_chunk({"role": "assistant", "content": ""}),
        *(mistral_chunk({"content": text}) for text in texts),
        mistral_chunk({"content": ""}, reason="stop", usage=usage),
        "[DONE]",
    ]


def mistral_call(name: str, arguments: str = "{}", **beside: Any) -> JSON:
    """A tool call in a delta or a message."""
    return {"function": {"name": name, "arguments": arguments}, **beside}


def mistral_answer(reason: str = "stop", **message: Any) -> JSON:
    """A whole answer."""
    return {
        "id": "cmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "mistral-small-2506",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}],
        "usage": MISTRAL_USAGE,
    }


# Cohere

COHERE_USAGE: JSON = {
    "billed_units": {"input_tokens": 3, "output_tokens": 2},
    "tokens": {"input_tokens": 12, "output_tokens": 7},
    "cached_tokens": 4,
}
COHERE_START: JSON = {
    "type": "message-start",
    "id": "msg-1",
    "delta": {
        "message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    },
}


def cohere_event(kind: str, index: int | None = None, **message: Any) -> JSON:
    """One event that says something of the message."""
    return {
        "type": kind,
        **({} if index is None else {"index": index}),
        "delta": {"message": message},
    }


def cohere_call(index: int, name: str, *arguments: str) -> list[JSON]:
    """The events of one tool call."""
    call = {"id": f"{name}_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
    return [
        cohere_event("tool-call-start", index, tool_calls=call),
        *(
            cohere_event("tool-call-delta", index, tool_calls={"function": {"arguments": part}})
            for part in arguments
        ),
        {"type": "tool-call-end", "index": index},
    ]


def cohere_end(reason: str = "COMPLETE", usage: Mapping[str, Any] | None = COHERE_USAGE) -> JSON:
    """How a stream ends."""
    return {
        "type": "message-end",
        "delta": {"finish_reason": reason, **({} if usage is None else {"usage": usage})},
    }


def cohere_stream(*texts: str, reason: str = "COMPLETE") -> list[JSON | str]:
    """A whole stream of one text."""
    return [
        COHERE_START,
        cohere_event("content-start", 0, content={"type": "text", "text": ""}),
        *(cohere_event("content-delta", 0, content={"text": text}) for text in texts),
        {"type": "content-end", "index": 0},
        cohere_end(reason),
        "[DONE]",
    ]


def cohere_answer(*parts: Mapping[str, Any], reason: str = "COMPLETE", **message: Any) -> JSON:
    """A whole answer."""
    return {
        "id": "msg-1",
        "finish_reason": reason,
        "message": {"role": "assistant", "content": [*parts], **message},
        "usage": COHERE_USAGE,
    }


# Ollama

OLLAMA_DONE: JSON = {
    "done": True,
    "done_reason": "stop",
    "total_duration": 5_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": 12,
    "prompt_eval_duration": 1_000_000,
    "eval_count": 7,
    "eval_duration": 3_000_000,
}


def ollama_chunk(number: int = 0, done: Mapping[str, Any] | None = None, **message: Any) -> JSON:
    """One chunk of a chat, or with ``done`` its end, or the whole answer."""
    return {
        "model": "llama3.2",
        "created_at": f"2025-07-07T20:22:19.{number:06}Z",
        "message": {"role": "assistant", "content": "", **message},
        **({"done": False} if done is None else done),
    }


def ollama_stream(*texts: str) -> list[JSON]:
    """A whole chat."""
    chunks = [ollama_chunk(number, content=text) for number, text in enumerate(texts)]
    return [*chunks, ollama_chunk(len(texts), OLLAMA_DONE)]
