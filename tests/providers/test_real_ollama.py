"""The ollama package itself, over a loopback server: what was served is what is recorded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import ollama
import pytest
from model_server import CUT, Answer, ModelServer, ndjson, plain, serving_model
from recorded_models import OLLAMA_DONE, ollama_chunk, ollama_stream
from tracked import Tracked, new_run, tracked_call, tracked_stream

from ldtrack import Ending, Outcome, TokenUsage
from ldtrack.core.reading import CONTENT
from ldtrack.providers import OllamaReader, ReaderRegistry

USAGE = TokenUsage(19, 12, 7)
ASKED: Any = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hi"}]}
CALL = {"function": {"name": "weather", "arguments": {"city": "Bern"}}}


@contextlib.asynccontextmanager
async def talking(*answers: Answer) -> AsyncIterator[tuple[ollama.AsyncClient, ModelServer]]:
    """The SDK's client, and the server behind it."""
    async with serving_model(*answers) as server:
        client = ollama.AsyncClient(server.url)
        try:
            yield client, server
        finally:
            await client._client.aclose()  # only the newest can be closed by themselves


async def streamed(*events: Any) -> Tracked:
    """Stream these chunks through the SDK and a run."""
    async with talking(ndjson(*events)) as (client, _):
        return await tracked_stream(client.chat(**ASKED, stream=True))


async def test_a_whole_stream() -> None:
    """Texts, and the end with reason and counts."""
    tracked = await streamed(*ollama_stream("Hel", "lo"))
    assert [chunk.message.content for chunk in tracked.chunks] == ["Hel", "lo", ""]
    assert isinstance(ReaderRegistry().find(tracked.chunks[0]), OllamaReader)
    assert tracked.first_token == 0
    assert tracked.usage == USAGE
    summary = tracked.summary
    assert (summary.outcome, summary.ending) == (Outcome.SUCCESS, Ending.COMPLETED)
    assert (summary.finish_reason, summary.answered_by) == ("stop", "llama3.2")


async def test_the_common_chunk_is_the_shared_reading() -> None:
    """The short way is taken for the SDK's objects."""
    tracked = await streamed(*ollama_stream("Hel", "lo"))
    assert all(OllamaReader().read(chunk) is CONTENT for chunk in tracked.chunks[:2])


async def test_an_opening_without_text_is_not_the_first_token() -> None:
    """A role alone is no token."""
    assert (await streamed(ollama_chunk(), *ollama_stream("Hi"))).first_token == 1


async def test_thoughts_are_first_tokens() -> None:
    """Reasoning comes beside an empty text."""
    assert (await streamed(ollama_chunk(thinking="Hm"), *ollama_stream("Hi"))).first_token == 0


async def test_tool_calls_have_no_ids() -> None:
    """Two in a chunk and one in a chunk of its own, all of one tool: three calls."""
    tracked = await streamed(
        ollama_chunk(1, tool_calls=[CALL, CALL]),
        ollama_chunk(2, tool_calls=[CALL]),
        ollama_chunk(3, OLLAMA_DONE),
    )
    assert tracked.tools == ["weather", "weather", "weather"]
    assert tracked.first_token == 0


async def test_without_usage() -> None:
    """A prompt that needed no work is not counted, an answer without counts is not guessed."""
    assert (await streamed(ollama_chunk(1, {"done": True, "done_reason": "stop"}))).usage is None
    assert (await streamed(ollama_chunk(1, {"done": True, "eval_count": 7}))).usage == TokenUsage(7, 0, 7)


async def test_cut_short_by_a_limit() -> None:
    """That is an end."""
    tracked = await streamed(
        ollama_chunk(content="He"), ollama_chunk(1, {**OLLAMA_DONE, "done_reason": "length"})
    )
    assert (tracked.summary.outcome, tracked.summary.finish_reason) == (Outcome.SUCCESS, "length")


async def test_an_error_in_mid_stream() -> None:
    """The SDK raises its own error; what had come by then is recorded."""
    tracked = await new_run()
    async with talking(ndjson(ollama_chunk(content="He"), {"error": "the model runner has stopped"})) as (
        client,
        _,
    ):
        with pytest.raises(ollama.ResponseError, match="runner has stopped"):
            await tracked_stream(client.chat(**ASKED, stream=True), into=tracked)
    assert tracked.first_token == 0
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.FAILED)


async def test_a_request_that_is_refused() -> None:
    """An HTTP error before the first chunk."""
    tracked = await new_run()
    async with talking(plain({"error": "no such model"}, 404)) as (client, _):
        with pytest.raises(ollama.ResponseError, match="no such model"):
            await tracked_stream(client.chat(**ASKED, stream=True), into=tracked)
    assert tracked.summary.outcome is Outcome.ERROR


async def test_a_stream_that_ends_too_soon() -> None:
    """Closed politely before it was done."""
    tracked = await streamed(*ollama_stream("Hel", "lo")[:2])
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.TRUNCATED)


async def test_a_connection_that_breaks() -> None:
    """What the HTTP library raises passes."""
    tracked = await new_run()
    async with talking(ndjson(*ollama_stream("Hel")[:1], CUT)) as (client, _):
        with pytest.raises(httpx.TransportError):
            await tracked_stream(client.chat(**ASKED, stream=True), into=tracked)
    assert tracked.summary.ending is Ending.FAILED


async def test_closing_early() -> None:
    """What was read before counts, and the server sees the connection closed."""
    async with talking(ndjson(*ollama_stream("Hel")[:1], asyncio.Event())) as (client, server):
        tracked = await tracked_stream(await client.chat(**ASKED, stream=True), until=1)
        await server.hung_up.wait()
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.CANCELLED, Ending.CLOSED_EARLY)
    assert tracked.first_token == 0


async def test_cancellation() -> None:
    """Cancelled while it waits: recorded as far as it came, and the connection is closed."""
    tracked = await new_run()
    async with talking(ndjson(*ollama_stream("Hel")[:1], asyncio.Event())) as (client, server):
        reading = asyncio.create_task(tracked_stream(client.chat(**ASKED, stream=True), into=tracked))
        await server.waiting.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await server.hung_up.wait()
    assert tracked.summary.outcome is Outcome.CANCELLED


async def test_an_answer_that_does_not_stream() -> None:
    """The whole ChatResponse, by the same reader."""
    async with talking(plain(ollama_chunk(1, OLLAMA_DONE, content="Hi", tool_calls=[CALL]))) as (client, _):
        tracked = await tracked_call(client.chat(**ASKED))
    assert tracked.usage == USAGE
    assert tracked.tools == ["weather"]
    assert (tracked.summary.finish_reason, tracked.summary.answered_by) == ("stop", "llama3.2")


async def test_generate() -> None:
    """Completions without a chat: text and thoughts are at the top."""
    chunk = {"model": "llama3.2", "created_at": "2025-07-07T20:22:19Z", "response": "", "done": False}
    served = ndjson(chunk, {**chunk, "thinking": "Hm"}, {**chunk, "response": "Hi"}, {**chunk, **OLLAMA_DONE})
    async with talking(served) as (client, _):
        tracked = await tracked_stream(client.generate(model="llama3.2", prompt="Hi", stream=True))
    assert tracked.first_token == 1
    assert tracked.usage == USAGE
    assert tracked.summary.outcome is Outcome.SUCCESS


async def test_a_download_is_no_answer() -> None:
    """Other streams of the SDK are timed, and not taken for truncated answers."""
    async with talking(ndjson({"status": "pulling", "total": 9, "completed": 1})) as (client, _):
        tracked = await tracked_stream(client.pull("llama3.2", stream=True))
    assert tracked.summary.outcome is Outcome.SUCCESS
