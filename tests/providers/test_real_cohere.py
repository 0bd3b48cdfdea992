"""The cohere package itself, over a loopback server: what was served is what is recorded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import cohere
import httpx
import pytest
from cohere.core.api_error import ApiError
from model_server import CUT, Answer, ModelServer, plain, serving_model, sse
from recorded_models import (
    COHERE_START,
    COHERE_USAGE,
    cohere_answer,
    cohere_call,
    cohere_end,
    cohere_event,
    cohere_stream,
)
from tracked import Tracked, new_run, tracked_call, tracked_stream

from ldtrack import Ending, Outcome, TokenUsage
from ldtrack.providers import CohereReader, ReaderRegistry

USAGE = TokenUsage(19, 12, 7, cached_input=4)
ASKED: Any = {"model": "command-a-03-2025", "messages": [{"role": "user", "content": "Hi"}]}


@contextlib.asynccontextmanager
async def talking(*answers: Answer) -> AsyncIterator[tuple[Any, ModelServer]]:
    """The SDK's client, and the server behind it."""
    async with serving_model(*answers) as server, httpx.AsyncClient(timeout=30) as http:
        yield cohere.AsyncClientV2("none", base_url=server.url, httpx_client=http), server


async def streamed(*events: Any) -> Tracked:
    """Stream these events through the SDK and a run."""
    async with talking(sse(*events, named=True)) as (client, _):
        return await tracked_stream(client.chat_stream(**ASKED))


async def test_a_whole_stream() -> None:
    """Preamble, texts, and the end with reason and usage."""
    tracked = await streamed(*cohere_stream("Hel", "lo"))
    assert [chunk.type for chunk in tracked.chunks][:3] == ["message-start", "content-start", "content-delta"]
    assert isinstance(ReaderRegistry().find(tracked.chunks[0]), CohereReader)
    assert all(CohereReader().recognises(chunk) for chunk in tracked.chunks)
    assert tracked.first_token == 2
    assert tracked.usage == USAGE
    summary = tracked.summary
    assert (summary.outcome, summary.ending) == (Outcome.SUCCESS, Ending.COMPLETED)
    assert (summary.finish_reason, summary.answered_by) == ("COMPLETE", None)


async def test_thoughts_are_first_tokens() -> None:
    """A block of thinking begins before the text."""
    tracked = await streamed(
        COHERE_START,
        cohere_event("content-start", 0, content={"type": "thinking", "thinking": ""}),
        cohere_event("content-delta", 0, content={"thinking": "Hm"}),
        *cohere_stream("Hi")[1:],
    )
    assert tracked.first_token == 2


async def test_tool_calls_split_over_deltas() -> None:
    """The plan is what a user waits for; each call is named once, its arguments come in pieces."""
    tracked = await streamed(
        COHERE_START,
        cohere_event("tool-plan-delta", tool_plan="I will look"),
        *cohere_call(0, "weather", '{"city":', '"Bern"}'),
        *cohere_call(1, "weather", "{}"),
        cohere_end("TOOL_CALL"),
    )
    assert tracked.tools == ["weather", "weather"]
    assert tracked.first_token == 1
    assert tracked.summary.finish_reason == "TOOL_CALL"


async def test_citations_are_no_content() -> None:
    """They come with text, not instead of it."""
    citation = {"start": 0, "end": 2, "text": "Hi", "sources": []}
    tracked = await streamed(
        COHERE_START,
        cohere_event("citation-start", 0, citations=citation),
        {"type": "citation-end", "index": 0},
        *cohere_stream("Hi")[2:],
    )
    assert tracked.first_token == 3


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({"billed_units": {"input_tokens": 3, "output_tokens": 2}}, TokenUsage(5, 3, 2)),
        ({"tokens": {"output_tokens": 7}, "billed_units": {"input_tokens": 3}}, TokenUsage(10, 3, 7)),
        ({"tokens": {"input_tokens": 1.5, "output_tokens": 7.0}}, TokenUsage(7, 0, 7)),
    ],
    ids=["absent", "billed only", "in parts", "a fraction"],
)
async def test_usage(usage: Any, expected: TokenUsage | None) -> None:
    """What is not counted is taken from the bill, and what is neither is not invented."""
    assert (await streamed(*cohere_stream("Hi")[:-2], cohere_end(usage=usage))).usage == expected


@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT"])
async def test_an_end_by_error(reason: str) -> None:
    """The reason is that it failed; its usage counts."""
    tracked = await streamed(*cohere_stream("Hi", reason=reason))
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.FAILED)
    assert tracked.summary.finish_reason == reason
    assert tracked.usage == USAGE


async def test_an_error_at_the_end() -> None:
    """Said in so many words."""
    end = {"type": "message-end", "delta": {"error": "no more", "usage": COHERE_USAGE}}
    tracked = await streamed(*cohere_stream("Hi")[:-2], end)
    assert tracked.summary.ending is Ending.FAILED


async def test_a_refusal() -> None:
    """What was toxic was stopped by a filter; that is no failure."""
    tracked = await streamed(*cohere_stream("Hi", reason="ERROR_TOXIC"))
    assert (tracked.summary.refused, tracked.summary.outcome) == (True, Outcome.SUCCESS)


async def test_a_request_that_is_refused() -> None:
    """An HTTP error before the first event."""
    tracked = await new_run()
    async with talking(plain({"message": "no such model"}, 400)) as (client, _):
        with pytest.raises(ApiError, match="no such model"):
            await tracked_stream(client.chat_stream(**ASKED), into=tracked)
    assert tracked.summary.outcome is Outcome.ERROR


async def test_a_stream_that_ends_too_soon() -> None:
    """Closed politely before its end."""
    tracked = await streamed(*cohere_stream("Hel", "lo")[:4])
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.TRUNCATED)


async def test_a_connection_that_breaks() -> None:
    """What the HTTP library raises passes."""
    tracked = await new_run()
    async with talking(sse(*cohere_stream("Hel")[:3], CUT, named=True)) as (client, _):
        with pytest.raises(httpx.TransportError):
            await tracked_stream(client.chat_stream(**ASKED), into=tracked)
    assert tracked.first_token == 2
    assert tracked.summary.ending is Ending.FAILED


async def test_closing_early() -> None:
    """What was read before counts, and the server sees the connection closed."""
    async with talking(sse(*cohere_stream("Hel")[:3], asyncio.Event(), named=True)) as (client, server):
        tracked = await tracked_stream(client.chat_stream(**ASKED), until=3)
        await server.hung_up.wait()
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.CANCELLED, Ending.CLOSED_EARLY)
    assert tracked.first_token == 2


async def test_cancellation() -> None:
    """Cancelled while it waits: recorded as far as it came, and the connection is closed."""
    tracked = await new_run()
    async with talking(sse(*cohere_stream("Hel")[:3], asyncio.Event())) as (client, server):
        reading = asyncio.create_task(tracked_stream(client.chat_stream(**ASKED), into=tracked))
        await server.waiting.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await server.hung_up.wait()
    assert tracked.summary.outcome is Outcome.CANCELLED


async def test_an_answer_that_does_not_stream() -> None:
    """The whole V2ChatResponse, by the same reader."""
    call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    served = cohere_answer({"type": "text", "text": "Let me see"}, reason="TOOL_CALL", tool_calls=[call])
    async with talking(plain(served)) as (client, _):
        tracked = await tracked_call(client.chat(**ASKED))
    assert isinstance(ReaderRegistry().find(tracked.chunks[0]), CohereReader)
    assert tracked.usage == USAGE
    assert tracked.tools == ["weather"]
    assert tracked.summary.finish_reason == "TOOL_CALL"


def test_its_json_is_known_by_its_shape() -> None:
    """Events and answers, without the SDK."""
    assert isinstance(ReaderRegistry().find(COHERE_START), CohereReader)
    assert isinstance(ReaderRegistry().find(cohere_answer()), CohereReader)
