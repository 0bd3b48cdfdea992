"""What OpenAI, Anthropic and Hugging Face send: recorded answers and streams, filled with given text.

For ``fake_http``, and wherever the same JSON is wanted without an SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JSON = dict[str, Any]

CHAT_USAGE: JSON = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
}
RESPONSE_USAGE: JSON = {
    "input_tokens": 12,
    "output_tokens": 7,
    "total_tokens": 19,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 3},
}
MESSAGE_USAGE: JSON = {
    "input_tokens": 5,
    "cache_creation_input_tokens": 3,
    "cache_read_input_tokens": 4,
    "output_tokens": 1,
    "service_tier": "standard",
}


# Chat Completions


def chat_chunk(
    delta: Mapping[str, Any] | None = None,
    *,
    finish_reason: str | None = None,
    usage: Mapping[str, Any] | None = None,
    index: int = 0,
    **beside: Any,
) -> JSON:
    """One chunk; without a delta and a finish reason, one without choices."""
    choice = {"index": index, "delta": delta or {}, "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [] if delta is None and finish_reason is None else [choice],
        "usage": usage,
        **beside,
    }


def chat_tool_delta(
    index: int, *, id: str | None = None, name: str | None = None, arguments: str = "", **beside: Any
) -> JSON:
    """What one chunk says of one tool call."""
    function = {"arguments": arguments} | ({} if name is None else {"name": name})
    first = {} if id is None else {"id": id, "type": "function"}
    return {"tool_calls": [{"index": index, **first, "function": function, **beside}]}


def chat_stream(
    *texts: str, usage: Mapping[str, Any] | None = CHAT_USAGE, finish_reason: str = "stop"
) -> list[JSON | str]:
    """A whole stream: role, texts, finish reason, usage if it was asked for, and the end."""
    return [
        chat_chunk({"role": "assistant", "content": "", "refusal": None}),
        *(chat_chunk({"content": text}) for text in texts),
        chat_chunk(finish_reason=finish_reason),
        *([] if usage is None else [chat_chunk(usage=usage)]),
        "[DONE]",
    ]


def chat_answer(text: str | None, **beside: Any) -> JSON:
    """A whole answer; ``beside`` goes into the message."""
    message = {"role": "assistant", "content": text, "refusal": None, **beside}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": CHAT_USAGE,
    }


# Responses


def response(status: str = "completed", *output: Mapping[str, Any], **beside: Any) -> JSON:
    """A whole response; usage is there once it has ended."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": "gpt-4o-2024-08-06",
        "status": status,
        "error": None,
        "incomplete_details": None,
        "output": [*output],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": RESPONSE_USAGE if status in {"completed", "incomplete"} else None,
        **beside,
    }


def response_text_item(text: str = "") -> JSON:
    """The message in a response's output."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def response_function_item(number: int = 1, name: str = "get_weather") -> JSON:
    """A function call in a response's output."""
    return {
        "id": f"fc_{number}",
        "type": "function_call",
        "call_id": f"call_{number}",
        "name": name,
        "arguments": "",
        "status": "in_progress",
    }


def response_event(kind: str, **fields: Any) -> JSON:
    """One event; ``kind`` is its type without the ``response.``."""
    return {"type": f"response.{kind}", "sequence_number": 1, **fields}


def response_delta(kind: str, delta: str, **fields: Any) -> JSON:
    """One event that adds something to an output item."""
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return response_event(f"{kind}.delta", delta=delta, **at, **fields)


def response_stream(*texts: str, end: str = "completed") -> list[JSON]:
    """A whole stream: created, in progress, the message, its texts, and the response again at the end."""
    item = response_text_item("".join(texts))
    part = item["content"][0]
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return [
        response_event("created", response=response("in_progress")),
        response_event("in_progress", response=response("in_progress")),
        response_event("output_item.added", output_index=0, item={**item, "content": []}),
        response_event("content_part.added", part={**part, "text": ""}, **at),
        *(response_delta("output_text", text, logprobs=[]) for text in texts),
        response_event("output_text.done", text="".join(texts), logprobs=[], **at),
        response_event("content_part.done", part=part, **at),
        response_event("output_item.done", output_index=0, item=item),
        response_event(end, response=response(end, item)),
    ]


# Messages


def message(*blocks: Mapping[str, Any], stop_reason: str | None = "end_turn", **usage: Any) -> JSON:
    """A whole message."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-20250514",
        "content": [*blocks],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": MESSAGE_USAGE | usage,
    }


def message_block(index: int, block: Mapping[str, Any], *deltas: Mapping[str, Any]) -> list[JSON]:
    """The events of one content block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def message_text_block(index: int, *texts: str) -> list[JSON]:
    """The events of a block of text."""
    deltas = [{"type": "text_delta", "text": text} for text in texts]
    return message_block(index, {"type": "text", "text": ""}, *deltas)


def message_tool_block(index: int, name: str, *arguments: str, kind: str = "tool_use") -> list[JSON]:
    """The events of a block that calls a tool."""
    block = {"type": kind, "id": f"toolu_{index}", "name": name, "input": {}}
    return message_block(index, block, *({"type": "input_json_delta", "partial_json": a} for a in arguments))


def message_end(stop_reason: str = "end_turn", **usage: Any) -> list[JSON]:
    """How a stream ends: the reason and the final usage, then the end itself."""
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7} | usage},
        {"type": "message_stop"},
    ]


def message_stream(*texts: str) -> list[JSON]:
    """A whole stream of one block of text, with a ping in between."""
    return [
        {"type": "message_start", "message": message(stop_reason=None)},
        {"type": "ping"},
        *message_text_block(0, *texts),
        *message_end(),
    ]


# Text generation of Hugging Face


def generated_token(text: str, *, special: bool = False, **beside: Any) -> JSON:
    """One event of a stream: a token; the last one has ``generated_text``, and ``details`` if asked for."""
    token = {"id": 5, "text": text, "logprob": -0.5, "special": special}
    return {"index": 1, "token": token, "generated_text": None, "details": None, **beside}


def generated_stream(*texts: str, finish_reason: str = "eos_token") -> list[JSON]:
    """A whole stream with details, which ends with a token that is no text."""
    details = {"finish_reason": finish_reason, "generated_tokens": 7, "input_length": 12, "seed": None}
    end = generated_token("</s>", special=True, generated_text="".join(texts), details=details)
    return [*map(generated_token, texts), end]


def generated_text(text: str, *, given: int = 12, finish_reason: str = "length") -> JSON:
    """A whole answer with details, and with as many tokens of the prompt."""
    prefill = [{"id": at, "text": "x", "logprob": None} for at in range(given)]
    details = {"finish_reason": finish_reason, "generated_tokens": 7, "prefill": prefill, "tokens": []}
    return {"generated_text": text, "details": {**details, "seed": None}}
