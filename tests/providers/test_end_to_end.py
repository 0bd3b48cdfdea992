"""From the real SDKs, over a transport in memory, through tracked streams, to LaunchDarkly's events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from fake_http import FakeServer, anthropic_client, broken_connection, openai_client
from ldclient import Context
from recorded import (
    chat_answer,
    chat_chunk,
    chat_stream,
    chat_tool_delta,
    message,
    message_end,
    message_stream,
    message_text_block,
    message_tool_block,
    response_stream,
)

from ldtrack import AICompletionConfigDefault, Ending, Outcome, TokenUsage, TrackedStream, Tracker
from ldtrack.core.reading import Reading, UsageReport, Wants
from ldtrack.testing import Recording, recording

ADA = Context.create("ada")
FLAG = {
    "_ldMeta": {"enabled": True, "variationKey": "short", "version": 3},
    "model": {"name": "gpt-4o"},
    "messages": [{"role": "user", "content": "Hi"}],
}
USAGE = TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
ASKED: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
ASKED_ANTHROPIC: Any = {**ASKED, "max_tokens": 99}
START = {"type": "message_start", "message": message(stop_reason=None)}


@pytest.fixture
def ld() -> Recording:
    """A client over fakes, with one config."""
    return recording({"support-chat": FLAG})


@pytest.fixture
async def tracker(ld: Recording) -> Tracker:
    """The tracker of one run."""
    config = await ld.ai.completion_config("support-chat", ADA, AICompletionConfigDefault())
    return config.create_tracker()


async def read(stream: TrackedStream[Any], ld: Recording, ms: int = 10) -> list[Any]:
    """Read a stream to its end, letting time pass with every chunk."""
    chunks = []
    async for chunk in stream:
        chunks.append(chunk)
        ld.clock.advance(ms=ms)
    return chunks


COMPLETE = [
    "duration:total",
    "tokens:ttf",
    "generation:success",
    "tokens:total",
    "tokens:input",
    "tokens:output",
]


def sent(ld: Recording) -> list[str]:
    """The events LaunchDarkly got, without their common beginning."""
    return [event.key.removeprefix("$ld:ai:") for event in ld.events]


async def test_an_open_openai_stream(ld: Recording, tracker: Tracker) -> None:
    """Awaited first, wrapped after: the chunks pass unchanged, the run is complete."""
    client = openai_client(chat_stream("Hel", "lo"))
    chunks = await read(tracker.stream(await client.chat.completions.create(**ASKED, stream=True)), ld)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    assert sent(ld) == COMPLETE
    assert tracker.summary.tokens == USAGE
    assert tracker.summary.duration_ms == 50
    assert tracker.summary.time_to_first_token == 10, "the role-only chunk is not the first token"


async def test_an_openai_stream_that_is_not_awaited(ld: Recording, tracker: Tracker) -> None:
    """The request goes out with the first read, and the clock starts then."""
    server = FakeServer(chat_stream("Hel", "lo"))
    client = openai_client(server=server)
    stream = tracker.stream(client.chat.completions.create(**ASKED, stream=True))
    ld.clock.advance(1.0)
    assert server.requests == []
    await read(stream, ld)
    assert server.requests[0]["stream"] is True
    assert sent(ld) == COMPLETE
    assert tracker.summary.duration_ms == 50
    assert server.closed == 1


async def test_the_anthropic_helper_as_a_manager(ld: Recording, tracker: Tracker) -> None:
    """Given unopened, entered and left by the tracked stream; its own methods stay within reach."""
    server = FakeServer(
        [
            START,
            *message_text_block(0, "Let me see."),
            *message_tool_block(1, "weather", "{}"),
            *message_end("tool_use"),
        ]
    )
    async with tracker.stream(anthropic_client(server=server).messages.stream(**ASKED_ANTHROPIC)) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert "text" in kinds
    assert [block.type for block in final.content] == ["text", "tool_use"]
    assert sent(ld) == [*COMPLETE, "tool_call"]
    assert tracker.summary.tokens == TokenUsage(19, 12, 7, cached_input=4)
    assert [*tracker.summary.tool_calls] == ["weather"]
    assert server.closed == 1


async def test_the_provider_s_own_attributes(ld: Recording, tracker: Tracker) -> None:
    """``.response`` is the HTTP response; ``.close()`` closes it and ends the run."""
    server = FakeServer(chat_stream("Hel", "lo"))
    stream = tracker.stream(await openai_client(server=server).chat.completions.create(**ASKED, stream=True))
    assert stream.response.status_code == 200
    await anext(stream)
    await anext(stream)
    await stream.close()
    assert stream.response.is_closed
    assert server.closed == 1
    assert tracker.summary.outcome is Outcome.CANCELLED
    assert sent(ld) == ["duration:total", "tokens:ttf"]


async def test_tool_calls_of_an_openai_stream(ld: Recording, tracker: Tracker) -> None:
    """Each call is an event, whatever its deltas repeated."""
    first = chat_chunk(chat_tool_delta(0, id="call_a", name="weather"))
    second = chat_chunk(chat_tool_delta(1, id="call_b", name="weather"))
    client = openai_client([first, first, second, chat_chunk(finish_reason="tool_calls")])
    await read(tracker.stream(client.chat.completions.create(**ASKED, stream=True)), ld)
    calls = [event.data["toolKey"] for event in ld.events if event.key.endswith("tool_call")]
    assert calls == ["weather", "weather"]


@pytest.mark.parametrize(
    ("events", "ending", "keys"),
    [
        pytest.param(
            chat_stream("Hel", "lo")[:3],
            Ending.TRUNCATED,
            ["duration:total", "tokens:ttf", "generation:error"],
            id="cut",
        ),
        pytest.param(
            chat_stream("Hello", usage=None),
            Ending.COMPLETED,
            ["duration:total", "tokens:ttf", "generation:success"],
            id="no usage",
        ),
        pytest.param(
            chat_stream()[:1],
            Ending.TRUNCATED,
            ["duration:total", "generation:error"],
            id="nothing but the role",
        ),
    ],
)
async def test_endings(ld: Recording, tracker: Tracker, events: Any, ending: Ending, keys: list[str]) -> None:
    """What came is recorded, and what did not come is not invented."""
    stream = tracker.stream(openai_client(events).chat.completions.create(**ASKED, stream=True))
    await read(stream, ld)
    assert ending.value in repr(stream)
    assert sent(ld) == keys


@pytest.mark.parametrize(
    "last", [{"error": {"message": "overloaded"}}, broken_connection(openai)], ids=["error", "broken"]
)
async def test_a_failure_in_mid_stream(ld: Recording, tracker: Tracker, last: Any) -> None:
    """The SDK's own error passes, the run is an error, the connection is closed."""
    server = FakeServer([*chat_stream("Hel")[:2], last])
    stream = tracker.stream(openai_client(server=server).chat.completions.create(**ASKED, stream=True))
    with pytest.raises((openai.APIError, type(broken_connection(openai)))):
        await read(stream, ld)
    assert sent(ld) == ["duration:total", "tokens:ttf", "generation:error"]
    assert server.closed == 1


async def test_an_error_event_that_raises_nothing(ld: Recording, tracker: Tracker) -> None:
    """Responses report failure as an event: the loop ends normally, the run is an error all the same."""
    client = openai_client(response_stream("Hel", end="failed"))
    await read(tracker.stream(client.responses.create(model="gpt-4o", input="Hi", stream=True)), ld)
    assert sent(ld) == ["duration:total", "tokens:ttf", "generation:error"]


async def test_how_to_get_usage_is_said_once(
    ld: Recording, tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    """A complete stream without usage: one line in the log tells what to pass."""
    client = openai_client(chat_stream("Hello", usage=None))
    async with tracker.run() as run:
        for _ in range(2):
            await read(run.stream(client.chat.completions.create(**ASKED, stream=True)), ld)
    hints = [record.message for record in caplog.records if "include_usage" in record.message]
    assert len(hints) == 1


async def test_several_providers_in_one_run(ld: Recording, tracker: Tracker) -> None:
    """Streamed or not, of either SDK: usage is summed."""
    openai_ = openai_client(chat_answer("Hi"), chat_stream("Hi"))
    async with tracker.run() as run:
        await run.call(openai_.chat.completions.create(**ASKED))
        await read(run.stream(openai_.chat.completions.create(**ASKED, stream=True)), ld)
        manager = anthropic_client(message_stream("Hi")).messages.stream(**ASKED_ANTHROPIC)
        await read(run.stream(manager), ld)
    assert tracker.summary.tokens is not None
    assert tracker.summary.tokens.total == 3 * 19
    assert sent(ld) == COMPLETE


async def test_a_reader_of_one_s_own() -> None:
    """A user's reader is asked first, and reads chunks that nobody else knows."""

    class Frames:
        wants = Wants.EVERY
        marks_end = False
        usage_hint = ""

        def recognises(self, item: object) -> bool:
            return isinstance(item, tuple)

        def read(self, item: Any) -> Reading:
            return Reading(content=item[0] == "text", usage=UsageReport(1, item[1], None))

    async def frames() -> AsyncIterator[tuple[str, int]]:
        for frame in (("start", 0), ("text", 1), ("text", 2)):
            yield frame

    ld = recording({"support-chat": FLAG}, readers=[Frames()])
    config = await ld.ai.completion_config("support-chat", ADA, AICompletionConfigDefault())
    tracker = config.create_tracker()
    await read(tracker.stream(frames()), ld)
    assert tracker.summary.tokens == TokenUsage(3, 1, 2)
    assert tracker.summary.time_to_first_token == 10
