"""The mistralai package itself, over a loopback server: what was served is what is recorded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from model_server import CUT, Answer, ModelServer, plain, serving_model, sse
from recorded_models import MISTRAL_USAGE, mistral_answer, mistral_call, mistral_chunk, mistral_stream
from tracked import Tracked, new_run, tracked_call, tracked_stream

from ldtrack import Ending, Outcome, TokenUsage
from ldtrack.core.reading import CONTENT
from ldtrack.providers import MistralReader, OpenAIChatReader, ReaderRegistry

USAGE = TokenUsage(19, 12, 7, cached_input=4)
ASKED: Any = {"model": "mistral-small-latest", "messages": [{"role": "user", "content": "Hi"}]}


@contextlib.asynccontextmanager
async def mistral(*answers: Answer) -> AsyncIterator[tuple[Any, ModelServer]]:
    """The SDK's chat, and the server behind it."""
    async with serving_model(*answers) as server, Mistral(api_key="none", server_url=server.url) as client:
        yield client.chat, server


async def streamed(*events: Any) -> Tracked:
    """Stream these chunks through the SDK and a run."""
    async with mistral(sse(*events)) as (chat, _):
        return await tracked_stream(chat.stream_async(**ASKED))


async def test_a_whole_stream() -> None:
    """The role, texts, and the finish reason with the usage."""
    tracked = await streamed(*mistral_stream("Hel", "lo"))
    assert type(tracked.chunks[0]).__name__ == "CompletionEvent"
    assert isinstance(ReaderRegistry().find(tracked.chunks[0]), MistralReader)
    assert tracked.first_token == 1
    assert tracked.usage == USAGE
    summary = tracked.summary
    assert (summary.outcome, summary.ending) == (Outcome.SUCCESS, Ending.COMPLETED)
    assert (summary.finish_reason, summary.answered_by) == ("stop", "mistral-small-2506")


async def test_the_common_chunk_is_the_shared_reading() -> None:
    """The short way is taken for the SDK's objects."""
    tracked = await streamed(*mistral_stream("Hel", "lo"))
    assert all(MistralReader().read(chunk) is CONTENT for chunk in tracked.chunks[1:3])


@pytest.mark.parametrize("usage", [None, {}])
async def test_without_usage(usage: Any) -> None:
    """Not sent, not invented; the SDK makes zeros of an empty one."""
    tracked = await streamed(*mistral_stream("Hi", usage=usage))
    assert tracked.usage is None
    assert tracked.summary.outcome is Outcome.SUCCESS


async def test_usage_at_the_start() -> None:
    """Wherever it comes."""
    first = mistral_chunk({"role": "assistant", "content": ""}, usage=MISTRAL_USAGE)
    assert (await streamed(first, *mistral_stream("Hi", usage=None))).usage == USAGE


async def test_thoughts_are_first_tokens_and_references_are_not() -> None:
    """Content may be a list of parts."""
    reference = {"type": "reference", "reference_ids": [1]}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    tracked = await streamed(
        mistral_chunk({"content": [reference]}), mistral_chunk({"content": [thought]}), *mistral_stream("Hi")
    )
    assert tracked.first_token == 1


async def test_tool_calls_split_over_deltas() -> None:
    """Two calls of one tool side by side, and one whose arguments come later under no name."""
    tracked = await streamed(
        mistral_chunk({"role": "assistant", "content": ""}),
        mistral_chunk(
            {
                "tool_calls": [
                    mistral_call("weather", id="a", index=0),
                    mistral_call("weather", id="b", index=1),
                    mistral_call("search", '{"q":', id="c", index=2),
                ]
            }
        ),
        mistral_chunk({"tool_calls": [mistral_call("", '"x"}', index=2)]}),
        mistral_chunk({"content": ""}, reason="tool_calls", usage=MISTRAL_USAGE),
    )
    assert tracked.tools == ["weather", "weather", "search"]
    assert tracked.first_token == 1
    assert tracked.summary.finish_reason == "tool_calls"


async def test_tool_calls_without_an_id() -> None:
    """The SDK calls them all null, and does not count them either: their places tell them apart."""
    calls = [mistral_call("weather"), mistral_call("weather")]
    tracked = await streamed(mistral_chunk({"tool_calls": calls}), *mistral_stream())
    assert tracked.tools == ["weather", "weather"]


async def test_a_content_filter_is_a_refusal() -> None:
    """Where Mistral's models are hosted by others."""
    tracked = await streamed(mistral_chunk({"content": "He"}), mistral_chunk({}, reason="content_filter"))
    assert (tracked.summary.refused, tracked.summary.finish_reason) == (True, "content_filter")
    assert tracked.summary.outcome is Outcome.SUCCESS


async def test_an_end_by_error() -> None:
    """The finish reason is that it failed."""
    tracked = await streamed(mistral_chunk({"content": "He"}), mistral_chunk({"content": ""}, reason="error"))
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.FAILED)


async def test_an_error_in_mid_stream() -> None:
    """The SDK raises, since that is no chunk; what had come by then is recorded."""
    tracked = await new_run()
    error = {"object": "error", "message": "overloaded", "type": "internal_server_error", "code": "1000"}
    async with mistral(sse(*mistral_stream("Hel")[:2], error)) as (chat, _):
        with pytest.raises(Exception, match=r"validation error|overloaded"):
            await tracked_stream(chat.stream_async(**ASKED), into=tracked)
    assert tracked.first_token == 1
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.FAILED)


async def test_a_request_that_is_refused() -> None:
    """An HTTP error before the first chunk."""
    tracked = await new_run()
    async with mistral(plain({"message": "no such model"}, 400)) as (chat, _):
        with pytest.raises(SDKError, match="no such model"):
            await tracked_stream(chat.stream_async(**ASKED), into=tracked)
    assert tracked.summary.outcome is Outcome.ERROR


async def test_a_stream_that_ends_too_soon() -> None:
    """Closed politely before the finish reason."""
    tracked = await streamed(*mistral_stream("Hel", "lo")[:3])
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.TRUNCATED)


async def test_a_connection_that_breaks() -> None:
    """What the HTTP library raises passes."""
    tracked = await new_run()
    async with mistral(sse(*mistral_stream("Hel")[:2], CUT)) as (chat, _):
        with pytest.raises(Exception, match="peer closed connection"):
            await tracked_stream(chat.stream_async(**ASKED), into=tracked)
    assert tracked.summary.ending is Ending.FAILED


async def test_closing_early() -> None:
    """What was read before counts, and the server sees the connection closed."""
    async with mistral(sse(*mistral_stream("Hel")[:2], asyncio.Event())) as (chat, server):
        tracked = await tracked_stream(await chat.stream_async(**ASKED), until=2)
        await server.hung_up.wait()
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.CANCELLED, Ending.CLOSED_EARLY)
    assert tracked.summary.answered_by == "mistral-small-2506"


async def test_cancellation() -> None:
    """Cancelled while it waits: recorded as far as it came, and the connection is closed."""
    tracked = await new_run()
    async with mistral(sse(*mistral_stream("Hel")[:2], asyncio.Event())) as (chat, server):
        reading = asyncio.create_task(tracked_stream(chat.stream_async(**ASKED), into=tracked))
        await server.waiting.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await server.hung_up.wait()
    assert tracked.summary.outcome is Outcome.CANCELLED


async def test_an_answer_that_does_not_stream() -> None:
    """The whole ChatCompletionResponse, by the same reader."""
    served = mistral_answer("tool_calls", content="Let me see", tool_calls=[mistral_call("weather", id="a")])
    async with mistral(plain(served)) as (chat, _):
        tracked = await tracked_call(chat.complete_async(**ASKED))
    assert isinstance(ReaderRegistry().find(tracked.chunks[0]), MistralReader)
    assert tracked.usage == USAGE
    assert tracked.tools == ["weather"]
    assert (tracked.summary.finish_reason, tracked.summary.answered_by) == (
        "tool_calls",
        "mistral-small-2506",
    )


def test_its_json_is_read_as_a_chat_completion() -> None:
    """It says that it is one; an event that somebody made JSON of is still an event."""
    chunk = mistral_chunk({"content": "Hi"})
    assert isinstance(ReaderRegistry().find(chunk), OpenAIChatReader)
    assert isinstance(ReaderRegistry().find({"data": chunk}), MistralReader)
