"""The SDKs' own helpers read their stream past ours, and what they read is measured all the same."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import openai
import pytest
from fake_http import FakeServer, anthropic_client, broken_connection, openai_client
from ldclient import Context
from recorded import (
    MESSAGE_USAGE,
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

from ldtrack import AICompletionConfigDefault, Ending, Outcome, TokenUsage, Tracker
from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport, Wants
from ldtrack.providers import AnthropicReader, OpenAIChatReader
from ldtrack.testing import Recording, recording

ADA = Context.create("ada")
FLAG = {"_ldMeta": {"enabled": True, "variationKey": "short", "version": 3}, "model": {"name": "gpt-4o"}}
ASKED: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
ASKED_ANTHROPIC: Any = {**ASKED, "max_tokens": 99}
START = {"type": "message_start", "message": message(stop_reason=None)}
WITH_TOOL: list[Any] = [
    START,
    *message_text_block(0, "Let me ", "see."),
    *message_tool_block(1, "weather", "{}"),
    *message_end("tool_use"),
]
CHAT_WITH_TOOL: list[Any] = [
    *chat_stream("Let me ", "see.")[:3],
    chat_chunk(chat_tool_delta(0, id="call_a", name="weather", arguments="{}")),
    *chat_stream(finish_reason="tool_calls")[1:],
]
ANTHROPIC_USAGE = TokenUsage(19, 12, 7, cached_input=4)
OPENAI_USAGE = TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
SUCCESS = ["generation:success", "tokens:total", "tokens:input", "tokens:output"]


@pytest.fixture
def ld() -> Recording:
    """A client over fakes, with one config."""
    return recording({"support-chat": FLAG})


@pytest.fixture
async def tracker(ld: Recording) -> Tracker:
    """The tracker of one run."""
    return await tracker_of(ld)


async def tracker_of(ld: Recording) -> Tracker:
    config = await ld.ai.completion_config("support-chat", ADA, AICompletionConfigDefault())
    return config.create_tracker()


def sent(ld: Recording) -> list[str]:
    """The events LaunchDarkly got, without their common beginning."""
    return [event.key.removeprefix("$ld:ai:") for event in ld.events]


def helper(provider: str, events: list[Any] | None = None, server: FakeServer | None = None) -> Any:
    """The stream helper of an SDK, not yet entered."""
    if provider == "anthropic":
        server = server or FakeServer(WITH_TOOL if events is None else events)
        return anthropic_client(server=server).messages.stream(**ASKED_ANTHROPIC)
    if provider == "beta":
        server = server or FakeServer(WITH_TOOL if events is None else events)
        return anthropic_client(server=server).beta.messages.stream(**ASKED_ANTHROPIC)
    server = server or FakeServer(CHAT_WITH_TOOL if events is None else events)
    return openai_client(server=server).chat.completions.stream(**ASKED)


ALL_METHODS = [
    ("anthropic", "get_final_message"),
    ("anthropic", "get_final_text"),
    ("anthropic", "until_done"),
    ("beta", "get_final_message"),
    ("openai", "get_final_completion"),
    ("openai", "until_done"),
]
every_method = pytest.mark.parametrize(("provider", "method"), ALL_METHODS)


def usage_of(provider: str) -> TokenUsage:
    return OPENAI_USAGE if provider == "openai" else ANTHROPIC_USAGE


async def served(server: FakeServer, events: int) -> None:
    """Let the other tasks run until the server has sent all that, and somebody waits for more."""
    for _ in range(100):
        await asyncio.sleep(0)
    assert server.sent == events


# Methods that read the stream


@every_method
async def test_a_method_that_reads_everything(
    ld: Recording, tracker: Tracker, provider: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Duration, success, tokens and tools; a first token that nobody saw is not made up."""
    server = FakeServer(CHAT_WITH_TOOL if provider == "openai" else WITH_TOOL)
    async with tracker.stream(helper(provider, server=server)) as stream:
        ld.clock.advance(ms=30)
        await getattr(stream, method)()
        assert tracker.summary.ending is Ending.COMPLETED
        ld.clock.advance(ms=500)
    assert tracker.summary.outcome is Outcome.SUCCESS
    assert tracker.summary.tokens == usage_of(provider)
    assert tracker.summary.duration_ms == 30, "what happens to the answer is not the model's time"
    assert sent(ld) == ["duration:total", *SUCCESS, "tool_call"]
    assert server.closed == 1
    assert caplog.records == []
    assert ld.ai.stats.failures == {}
    assert ld.ai.stats.open_calls == 0


@every_method
async def test_a_method_after_some_chunks(
    ld: Recording, tracker: Tracker, provider: str, method: str
) -> None:
    """What came through us and is told again by the helper counts once; the first token is known."""
    async with tracker.stream(helper(provider)) as stream:
        async for event in stream:
            if begins_tool(event):
                break
        await getattr(stream, method)()
    assert tracker.summary.outcome is Outcome.SUCCESS
    assert tracker.summary.tokens == usage_of(provider)
    assert [*tracker.summary.tool_calls] == ["weather"]
    assert sorted(sent(ld)) == sorted(["duration:total", "tokens:ttf", *SUCCESS, "tool_call"])


def begins_tool(event: Any) -> bool:
    if event.type == "chunk":
        return bool(event.chunk.choices and event.chunk.choices[0].delta.tool_calls)
    return bool(event.type == "content_block_start" and event.content_block.type == "tool_use")


@every_method
async def test_a_method_after_all_chunks(ld: Recording, tracker: Tracker, provider: str, method: str) -> None:
    """The call has ended with the last chunk; the helper's answer adds nothing to it."""
    async with tracker.stream(helper(provider)) as stream:
        async for _ in stream:
            ld.clock.advance(ms=10)
        before = sent(ld)
        await getattr(stream, method)()
    assert sent(ld) == before
    assert tracker.summary.tokens == usage_of(provider)
    assert before.count("tool_call") == 1


@every_method
async def test_a_method_on_a_stream_that_was_cut(
    ld: Recording, tracker: Tracker, provider: str, method: str
) -> None:
    """It returns what there is; without the finish mark that is no success."""
    events = (
        [*chat_stream("Hel", "lo")[:3], "[DONE]"] if provider == "openai" else message_stream("Hello")[:-2]
    )
    async with tracker.stream(helper(provider, events)) as stream:
        await getattr(stream, method)()
    assert tracker.summary.ending is Ending.TRUNCATED
    assert "generation:error" in sent(ld)


async def test_a_chat_that_was_cut_after_the_role(ld: Recording, tracker: Tracker) -> None:
    """The helper has gathered nothing that says anything, but it is known whose stream this was."""
    async with tracker.stream(helper("openai", [*chat_stream()[:1], "[DONE]"])) as stream:
        await stream.until_done()
    assert tracker.summary.ending is Ending.TRUNCATED


@every_method
async def test_a_method_that_raises_in_mid_stream(
    ld: Recording, tracker: Tracker, provider: str, method: str
) -> None:
    """The error passes unchanged, the call is an error, the connection is closed."""
    is_openai = provider == "openai"
    events = chat_stream("Hello")[:2] if is_openai else message_stream("Hello")[:4]
    error = broken_connection(openai if is_openai else anthropic)
    server = FakeServer([*events, error])
    stream = tracker.stream(helper(provider, server=server))
    async with stream:
        with pytest.raises((type(error), openai.APIConnectionError)) as raised:
            await getattr(stream, method)()
    assert error in (raised.value, raised.value.__cause__), "OpenAI's SDK makes an error of its own of it"
    assert tracker.summary.ending is Ending.FAILED
    assert sent(ld)[:2] == ["duration:total", "generation:error"]
    assert server.closed == 1


@every_method
async def test_a_method_that_is_cancelled(
    ld: Recording, tracker: Tracker, provider: str, method: str
) -> None:
    """The cancellation passes, and the stream ends as cancelled."""
    events = chat_stream("Hello")[:2] if provider == "openai" else message_stream("Hello")[:4]
    server = FakeServer([*events, asyncio.Event()])

    async def consume() -> None:
        async with tracker.stream(helper(provider, server=server)) as stream:
            await getattr(stream, method)()

    task = asyncio.create_task(consume())
    await served(server, len(events))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tracker.summary.ending is Ending.CANCELLED
    assert tracker.summary.outcome is Outcome.CANCELLED
    assert server.closed == 1


@every_method
async def test_a_close_while_a_method_waits(
    ld: Recording, tracker: Tracker, provider: str, method: str
) -> None:
    """The connection is closed at once, which ends the wait: nobody waits for another chunk to do it."""
    events = chat_stream("Hello")[:2] if provider == "openai" else message_stream("Hello")[:4]
    more = asyncio.Event()
    server = FakeServer([*events, more])
    async with tracker.stream(helper(provider, server=server)) as stream:
        waiting = asyncio.create_task(getattr(stream, method)())
        await served(server, len(events))
        await stream.aclose()
        assert tracker.summary.ending is Ending.CLOSED_EARLY
        assert server.closed == 1
        more.set()
        with contextlib.suppress(Exception):  # what it makes of that is the SDK's affair
            await waiting
    assert server.closed == 1


async def test_a_method_s_coroutine_that_is_destroyed(ld: Recording, tracker: Tracker) -> None:
    """A coroutine thrown away while it waits ends the call, like a chunk nobody waits for any more."""
    server = FakeServer([*message_stream("Hello")[:4], asyncio.Event()])
    stream = tracker.stream(helper("anthropic", server=server))
    async with stream:
        waiting = stream.until_done()
        for _ in range(20):
            with contextlib.suppress(RuntimeError):
                step = waiting.send(None)
                if asyncio.isfuture(step):
                    break
        waiting.close()
        assert tracker.summary.ending is Ending.CLOSED_EARLY
    assert server.closed == 1


async def test_until_done_returns_the_tracked_stream(tracker: Tracker) -> None:
    """OpenAI's returns its stream, for chaining: the way past us it would be."""
    async with tracker.stream(helper("openai")) as stream:
        assert await stream.until_done() is stream


async def test_a_helper_that_was_handed_over_open(ld: Recording, tracker: Tracker) -> None:
    """Entered by its user, and never iterated or entered through us."""
    async with helper("anthropic") as opened:
        stream = tracker.stream(opened)
        final = await stream.get_final_message()
    assert final.stop_reason == "tool_use"
    assert tracker.summary.outcome is Outcome.SUCCESS
    assert sent(ld) == ["duration:total", *SUCCESS, "tool_call"]


async def test_model_time_is_measured_by_a_method(ld: Recording, tracker: Tracker) -> None:
    """Time spent in the helper is the provider's."""

    class Slow(Homemade):
        async def __anext__(self) -> Any:
            ld.clock.advance(ms=10)
            return await super().__anext__()

    async with tracker.run(model_time=True) as run:
        async with run.stream(Slow("a", "b")) as stream:
            await stream.collect()
            ld.clock.advance(ms=70)
        async with run.stream(Slow("a")) as stream:
            async for _ in stream.words:
                ld.clock.advance(ms=70)
    assert tracker.summary.model_ms == 50


async def test_a_method_is_as_transparent_as_can_be(tracker: Tracker) -> None:
    """Name, doc and kind are those of the provider's own."""
    async with tracker.stream(helper("anthropic")) as stream:
        method = stream.get_final_message
        own = anthropic.AsyncMessageStream.get_final_message
        assert inspect.iscoroutinefunction(method)
        assert (method.__name__, method.__doc__) == (own.__name__, own.__doc__)
        assert inspect.signature(method) == inspect.signature(own.__get__(object()))
        assert not inspect.iscoroutinefunction(stream.response.close)


@pytest.mark.parametrize("end", ["completed", "incomplete", "failed"])
@pytest.mark.parametrize("method", ["until_done", "get_final_response"])
async def test_responses(ld: Recording, tracker: Tracker, method: str, end: str) -> None:
    """Their helper shows no snapshot: what it keeps, or returns, is read."""
    events: list[Any] = response_stream("Hello", end=end)
    manager = openai_client(events).responses.stream(model="gpt-4o", input="Hi")
    stream = tracker.stream(manager)
    with contextlib.suppress(RuntimeError):
        async with stream:
            await getattr(stream, method)()
    if end == "completed":
        assert tracker.summary.tokens == OPENAI_USAGE
        assert sent(ld) == ["duration:total", *SUCCESS]


# Iterators beside ours


@pytest.mark.parametrize("provider", ["anthropic", "beta"])
async def test_the_text_stream(ld: Recording, tracker: Tracker, provider: str) -> None:
    """Its first text is the first token, its end the call's, and the rest is what the helper gathered."""
    server = FakeServer(WITH_TOOL)
    async with tracker.stream(helper(provider, server=server)) as stream:
        texts = []
        async for text in stream.text_stream:
            texts.append(text)
            ld.clock.advance(ms=10)
        assert tracker.summary.ending is Ending.COMPLETED
        ld.clock.advance(ms=500)
    assert texts == ["Let me ", "see."]
    assert tracker.summary.tokens == ANTHROPIC_USAGE
    assert tracker.summary.duration_ms == 20
    assert tracker.summary.time_to_first_token == 0
    assert sorted(sent(ld)) == sorted(["duration:total", "tokens:ttf", *SUCCESS, "tool_call"])
    assert server.closed == 1
    assert ld.ai.stats.failures == {}


async def test_a_text_stream_that_is_left(ld: Recording, tracker: Tracker) -> None:
    """Leaving in the middle is leaving in the middle; the input was reported before."""
    async with tracker.stream(helper("anthropic", message_stream("Hel", "lo"))) as stream:
        async for _ in stream.text_stream:
            break
    assert tracker.summary.ending is Ending.CLOSED_EARLY
    assert sent(ld)[:2] == ["duration:total", "tokens:ttf"]


async def test_a_text_stream_and_then_the_final_message(ld: Recording, tracker: Tracker) -> None:
    """As the SDK's documentation has it, before the text is over and after."""
    async with tracker.stream(helper("anthropic")) as stream:
        async for _ in stream.text_stream:
            break
        final = await stream.get_final_message()
        assert [text async for text in stream.text_stream] == []
        assert await stream.get_final_message() is final
    assert tracker.summary.outcome is Outcome.SUCCESS
    assert tracker.summary.tokens == ANTHROPIC_USAGE
    assert [*tracker.summary.tool_calls] == ["weather"]


async def test_a_text_stream_and_then_chunks(ld: Recording, tracker: Tracker) -> None:
    """The first token stays where it was, and the chunks end the call as ever."""
    async with tracker.stream(helper("anthropic", message_stream("Hel", "lo"))) as stream:
        ld.clock.advance(ms=10)
        assert await anext(stream.text_stream) == "Hel"
        ld.clock.advance(ms=90)
        kinds = [event.type async for event in stream]
    assert kinds[-1] == "message_stop"
    assert tracker.summary.time_to_first_token == 10
    assert tracker.summary.outcome is Outcome.SUCCESS


async def test_chunks_and_then_a_text_stream(ld: Recording, tracker: Tracker) -> None:
    """A first event that says nothing, and the first text beside it; items that follow are not timed."""
    async with tracker.stream(helper("anthropic", message_stream("Hel", "lo"))) as stream:
        assert (await anext(stream)).type == "message_start"
        ld.clock.advance(ms=10)
        assert "".join([text async for text in stream.text_stream]) == "Hello"
    assert tracker.summary.time_to_first_token == 10
    assert tracker.summary.tokens == ANTHROPIC_USAGE


async def test_a_first_token_that_was_seen_already(ld: Recording, tracker: Tracker) -> None:
    """The first text of the text stream is not the call's first."""
    async with tracker.stream(helper("anthropic", message_stream("Hel", "lo"))) as stream:
        async for event in stream:
            if event.type == "text":
                break
        ld.clock.advance(ms=10)
        assert [text async for text in stream.text_stream] == ["lo"]
    assert tracker.summary.time_to_first_token == 0


async def test_a_text_stream_that_breaks(ld: Recording, tracker: Tracker) -> None:
    """The error passes, the call is an error."""
    server = FakeServer([*message_stream("Hello")[:4], broken_connection(anthropic)])
    async with tracker.stream(helper("anthropic", server=server)) as stream:
        with pytest.raises(type(broken_connection(anthropic))):
            assert [text async for text in stream.text_stream] == []
    assert sent(ld)[:3] == ["duration:total", "tokens:ttf", "generation:error"]
    assert server.closed == 1


async def test_a_text_stream_that_is_cut(ld: Recording, tracker: Tracker) -> None:
    """Without the finish mark it was not all."""
    async with tracker.stream(helper("anthropic", message_stream("Hello")[:-2])) as stream:
        assert [text async for text in stream.text_stream] == ["Hello"]
    assert tracker.summary.ending is Ending.TRUNCATED


async def test_a_text_stream_that_is_cancelled(tracker: Tracker) -> None:
    """Like a cancelled wait for a chunk."""
    server = FakeServer([*message_stream("Hello")[:4], asyncio.Event()])

    async def consume() -> None:
        async with tracker.stream(helper("anthropic", server=server)) as stream:
            async for _ in stream.text_stream:
                pass

    task = asyncio.create_task(consume())
    await served(server, 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tracker.summary.ending is Ending.CANCELLED
    assert server.closed == 1


async def test_a_text_stream_is_the_same_one_every_time(tracker: Tracker) -> None:
    """And looks like the provider's own."""
    async with tracker.stream(helper("anthropic")) as stream:
        texts = stream.text_stream
        assert texts is stream.text_stream
        assert aiter(texts) is texts
        assert isinstance(texts, AsyncIterator)
        assert repr(texts) == repr(texts.iterator)
        assert texts.ag_frame is not None
        assert not hasattr(texts, "__len__")
        await texts.aclose()
        assert texts.ag_frame is None


async def test_a_text_stream_that_is_dropped(tracker: Tracker) -> None:
    """Nothing holds the stream but its user: dropping it ends the call."""
    server = FakeServer(message_stream("Hel", "lo"))
    stream = await tracker.stream(helper("anthropic", server=server)).__aenter__()
    texts = stream.text_stream
    await anext(texts)
    del stream
    assert tracker.summary.ending is None
    gc.disable()
    try:
        del texts
        for _ in range(20):
            await asyncio.sleep(0)
        assert tracker.summary.ending is Ending.CLOSED_EARLY
    finally:
        gc.enable()
    assert server.closed == 1


# Streams that nobody knows


class Homemade:
    """A stream with ways of its own to be read."""

    def __init__(self, *chunks: Any) -> None:
        self._chunks = [*chunks]
        self._private = self

    def __aiter__(self) -> Homemade:
        return self

    async def __anext__(self) -> Any:
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.pop(0)

    @property
    def words(self) -> AsyncIterator[Any]:
        return self._words()

    async def _words(self) -> AsyncIterator[Any]:
        async for chunk in self:
            yield chunk

    async def collect(self, upper: bool = False) -> Any:
        said = "".join([chunk async for chunk in self])
        return said.upper() if upper else said

    get_final_text = collect

    async def start(self) -> None:
        """Read nothing."""

    async def until_done(self) -> dict[str, Any]:
        return {"text": await self.collect(), "usage": {"input_tokens": 3, "output_tokens": 4}}

    async def give_up(self) -> None:
        raise StopAsyncIteration


def hints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "past the tracker" in record.getMessage()]


@pytest.mark.parametrize("method", ["collect", "get_final_text"])
async def test_a_stream_that_nobody_knows(
    ld: Recording, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was read, that much is known: a completed call, and a hint, once."""
    for _ in range(2):
        tracker = await tracker_of(ld)
        async with tracker.stream(Homemade("a", "b")) as stream:
            ld.clock.advance(ms=10)
            assert await getattr(stream, method)(upper=True) == "AB"
        assert tracker.summary.ending is Ending.COMPLETED
        assert tracker.summary.duration_ms == 10
    assert sent(ld) == ["duration:total", "generation:success"] * 2
    assert len(hints(caplog)) == 1


async def test_a_result_that_is_known(
    ld: Recording, tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the stream says nothing, the answer it made may."""
    async with tracker.stream(Homemade("a", "b")) as stream:
        assert (await stream.until_done())["text"] == "ab"
    assert tracker.summary.tokens == TokenUsage(7, 3, 4)
    assert hints(caplog) == []


async def test_a_method_that_read_nothing(ld: Recording, tracker: Tracker) -> None:
    """A chunk that still comes shows that the stream was not read past us: leaving it is leaving it early."""
    async with tracker.stream(Homemade("a", "b")) as stream:
        await stream.start()
        await stream.start()
        ld.clock.advance(ms=10)
        assert await anext(stream) == "a"
    assert tracker.summary.ending is Ending.CLOSED_EARLY
    assert tracker.summary.time_to_first_token == 10


async def test_a_method_that_read_nothing_later(ld: Recording, tracker: Tracker) -> None:
    """The same once nobody looks at chunks any more, and an estimator is not forgotten."""

    class Letters:
        count = 0

        def see(self, chunk: Any) -> None:
            self.count += len(chunk)

        def usage(self) -> TokenUsage:
            return TokenUsage(None, 0, self.count)

    async with tracker.stream(Homemade("a", "b", "c", "d"), estimator=Letters) as stream:
        assert await anext(stream) == "a"
        await stream.start()
        assert await anext(stream) == "b"
    assert tracker.summary.ending is Ending.CLOSED_EARLY
    assert tracker.summary.tokens == TokenUsage(None, 0, 2, estimated=True)
    timed = await tracker_of(ld)
    async with timed.stream(Homemade("a", "b", "c")) as stream:
        await anext(stream)
        await stream.start()
        await anext(stream)
        await anext(stream)
    assert timed.summary.ending is Ending.CLOSED_EARLY


@pytest.mark.parametrize("method", ["collect", "get_final_text"])
async def test_a_guess_of_what_nobody_saw(ld: Recording, tracker: Tracker, method: str) -> None:
    """An estimator that saw no chunk is not asked."""

    class Never:
        def see(self, chunk: Any) -> None:
            raise AssertionError

        usage = see

    async with tracker.stream(Homemade("a"), estimator=Never) as stream:  # type: ignore[arg-type]
        await getattr(stream, method)()
    assert tracker.summary.tokens is None
    assert ld.ai.stats.failures == {}
    assert tracker.summary.outcome is Outcome.SUCCESS


async def test_another_iterator_of_a_stream_that_nobody_knows(
    ld: Recording, tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    """Timed like chunks of an unknown kind; a property that makes a new iterator each time does so."""
    async with tracker.stream(Homemade(object(), object())) as stream:
        assert stream.words is not stream.words
        ld.clock.advance(ms=10)
        assert len([word async for word in stream.words]) == 2
        assert isinstance(stream._private, Homemade), "what is private is handed out as it is"
    assert tracker.summary.time_to_first_token == 10
    assert tracker.summary.ending is Ending.COMPLETED
    assert len(hints(caplog)) == 1


async def test_an_empty_iterator_after_the_end(ld: Recording, tracker: Tracker) -> None:
    """What has ended stays as it is."""
    stream = tracker.stream(Homemade("a"))
    assert [chunk async for chunk in stream] == ["a"]
    before = sent(ld)
    assert [word async for word in stream.words] == []
    assert await stream.collect() == ""
    assert sent(ld) == before


async def test_a_method_that_raises_what_ends_a_loop(tracker: Tracker) -> None:
    """Nothing more to come is no failure; the block settles the call."""
    async with tracker.stream(Homemade("a")) as stream:
        with pytest.raises(StopAsyncIteration):
            await stream.give_up()
        assert tracker.summary.ending is None
    assert tracker.summary.ending is Ending.CLOSED_EARLY


async def test_a_method_during_which_the_call_ends(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    """Closed by somebody else meanwhile: what comes back then adds nothing."""

    class Closing(Homemade):
        then: Callable[[], Any]

        async def collect(self, upper: bool = False) -> Any:
            return await self.then()

    source = Closing("a")
    stream = tracker.stream(source)
    source.then = stream.aclose
    async with stream:
        await stream.collect()
    assert tracker.summary.ending is Ending.CLOSED_EARLY
    assert hints(caplog) == []


class Gathering:
    """A user's reader that knows ``Homemade``, and may not like it."""

    modules = ()
    marks_end = True
    usage_hint = ""

    def __init__(self, reading: Reading | Exception | None, wants: Wants = Wants.EVERY) -> None:
        self.reading = reading
        self.wants = wants

    def recognises(self, item: object) -> bool:
        return True

    def read(self, item: Any) -> Reading | None:
        if not isinstance(item, Homemade):
            return Reading(content=True, usage=UsageReport(1, 1))
        if isinstance(self.reading, Exception):
            raise self.reading
        return self.reading


@pytest.mark.parametrize(
    ("reading", "ending"),
    [
        (CONTENT, Ending.CLOSED_EARLY),
        (Reading(finished=True), Ending.COMPLETED),
        (Reading(failed=True), Ending.FAILED),
        (ValueError("no"), Ending.COMPLETED),
        (Reading(tool_calls=(ToolCall("1", ""),)), Ending.COMPLETED),
    ],
)
@pytest.mark.parametrize("method", ["collect", "words"])
async def test_a_reader_of_the_stream_itself(method: str, reading: Any, ending: Ending) -> None:
    """What it says decides; what it raises is counted, and then nobody knows the stream."""
    ld = recording({"support-chat": FLAG}, readers=[Gathering(reading)])
    tracker = await tracker_of(ld)
    async with tracker.stream(Homemade("a")) as stream:
        if method == "collect":
            await stream.collect()
            is_over = isinstance(reading, Reading) and (reading.finished or reading.failed)
            assert (tracker.summary.ending is not None) is is_over, "known to be over, it ends at once"
        else:
            assert [word async for word in stream.words] == ["a"]
            ending = Ending.TRUNCATED if ending is Ending.CLOSED_EARLY else ending
    assert tracker.summary.ending is ending
    is_odd = isinstance(reading, Exception) or bool(reading.tool_calls)
    assert ld.ai.stats.failures == ({"reader": 1} if is_odd else {})


@pytest.mark.parametrize("method", ["collect", "get_final_text", "words"])
async def test_a_stream_whose_end_nobody_saw(method: str) -> None:
    """Its chunks have a finish mark, which was read past us: that it is missing proves nothing."""
    ld = recording({"support-chat": FLAG}, readers=[Gathering(None)])
    tracker = await tracker_of(ld)
    async with tracker.stream(Homemade("a", "b")) as stream:
        await anext(stream)
        if method == "words":
            assert [word async for word in stream.words] == ["b"]
        else:
            await getattr(stream, method)()
    assert tracker.summary.ending is Ending.COMPLETED


async def test_a_chunk_that_was_held_came_before() -> None:
    """A reader of the last chunk is shown the one it has before the stream that knows more."""
    knows = Reading(usage=UsageReport(5, 5), finished=True)
    ld = recording({"support-chat": FLAG}, readers=[Gathering(knows, Wants.LAST)])
    tracker = await tracker_of(ld)
    async with tracker.stream(Homemade("a", "b", "c")) as stream:
        await anext(stream)
        await anext(stream)
        await stream.collect()
    assert tracker.summary.tokens == TokenUsage(10, 5, 5)


async def test_a_reader_that_does_not_like_an_item() -> None:
    """It is counted, and the item timed as one of an unknown kind."""

    class Picky(Gathering):
        def recognises(self, item: object) -> bool:
            if isinstance(item, str):
                raise TypeError("no text")
            return False

    ld = recording({"support-chat": FLAG}, readers=[Picky(CONTENT)])
    tracker = await tracker_of(ld)
    async with tracker.stream(Homemade("a", "b")) as stream:
        assert [word async for word in stream.words] == ["a", "b"]
    assert ld.ai.stats.failures == {"reader": 1}
    assert tracker.summary.time_to_first_token == 0


async def test_items_that_say_nothing(ld: Recording, tracker: Tracker) -> None:
    """An empty text is not the first token, beside our chunks as among them."""
    async with tracker.stream(Homemade("", "a")) as stream:
        async for _ in stream.words:
            ld.clock.advance(ms=10)
    assert tracker.summary.time_to_first_token == 10


# The readers


@pytest.mark.parametrize("provider", ["anthropic", "beta", "openai"])
async def test_a_helper_that_has_read_nothing(provider: str) -> None:
    """Its snapshot raises; it is recognised and says nothing."""
    reader = OpenAIChatReader() if provider == "openai" else AnthropicReader()
    async with helper(provider) as opened:
        assert reader.recognises(opened)
        assert reader.read(opened) is None


async def test_the_final_usage_of_the_real_sdk_without_a_cache(ld: Recording, tracker: Tracker) -> None:
    """Its events have every field, null where nothing was sent: what the start said stays."""
    start = message(
        stop_reason=None, input_tokens=10, cache_creation_input_tokens=0, cache_read_input_tokens=1000
    )
    events = [
        {"type": "message_start", "message": start},
        *message_text_block(0, "Hi"),
        *message_end(input_tokens=10, cache_creation_input_tokens=None, cache_read_input_tokens=None),
    ]
    async with tracker.stream(helper("anthropic", events)) as stream:
        assert len([event async for event in stream]) > 0
    assert tracker.summary.tokens == TokenUsage(1017, 1010, 7, cached_input=1000)
    again = await tracker_of(ld)
    async with again.stream(helper("anthropic", events)) as stream:
        await stream.until_done()
    assert again.summary.tokens == tracker.summary.tokens
    assert MESSAGE_USAGE["output_tokens"] == 1
