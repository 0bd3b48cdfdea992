"""A whole scenario through real LaunchDarkly clients, read at the other end of the wire."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from launchdarkly import async_client, client
from ldclient import Context
from recorded import CHAT_USAGE, chat_chunk, chat_tool_delta
from sink import EventSink, Inbox

from ldtrack import AIClient, Feedback, JudgeResult, LDAIMetrics, TokenUsage
from ldtrack.ids import VERSION
from ldtrack.testing import ManualClock, SequentialIds

ADA = (
    Context.builder("ada")
    .name("Ada")
    .set("email", "ada@example.com")
    .set("address", {"street": "12 St James's Square", "city": "London"})
    .set("tier", "gold")
    .private("email", "/address/street")
    .build()
)
AT_THE_SINK = {
    "kind": "user",
    "key": "ada",
    "name": "Ada",
    "address": {"city": "London"},
    "tier": "gold",
    "_meta": {"redactedAttributes": ["email", "/address/street"]},
}
"""What may arrive of Ada: what she, or her client's configuration, keeps private does not."""

FLAGS = {
    "chat": {
        "_ldMeta": {
            "enabled": True,
            "variationKey": "warm",
            "version": 3,
            "mode": "completion",
            "modelKey": "OpenAI.gpt-4o",
            "modelVersion": 2,
        },
        "model": {"name": "gpt-4o"},
        "provider": {"name": "openai"},
        "messages": [
            {"role": "user", "content": "Hello {{ldctx.name}} of {{ldctx.address.city}}{{ldctx.email}}"}
        ],
    }
}
RUN = [
    ["configKey", "chat"],
    ["version", 3],
    ["modelName", "gpt-4o"],
    ["providerName", "openai"],
    ["variationKey", "warm"],
    ["modelKey", "OpenAI.gpt-4o"],
    ["modelVersion", 2],
]
RESUMED = [
    ["configKey", "chat"],
    ["version", 3],
    ["modelName", ""],
    ["providerName", ""],
    ["variationKey", "warm"],
]


class Scene:
    """One scenario, the same for both kinds of client; time passes only where it says so."""

    def __init__(self, ld_client: Any) -> None:
        self.clock = ManualClock()
        self.ai = AIClient(ld_client, clock=self.clock, run_ids=SequentialIds())

    async def play(self) -> None:
        async with self.ai as ai:
            config = await ai.completion_config("chat", ADA)
            assert config.messages is not None
            assert config.messages[0].content == "Hello Ada of London"
            token = await self.streamed(config.create_tracker())
            await self.judged_and_liked(token)
            await self.cancelled(config.create_tracker())
            await self.failed(config.create_tracker())
            await self.answered(config.create_tracker())

    async def streamed(self, tracker: Any) -> str:
        """A run with a stream: time to first token, usage and tool calls come out of its chunks."""
        async with tracker.run() as run:
            chunks = [chunk async for chunk in run.stream(self.chunks())]
        assert len(chunks) == 4
        return tracker.resumption_token

    async def chunks(self) -> AsyncIterator[Any]:
        self.clock.advance(ms=100)
        yield chat_chunk({"role": "assistant", "content": ""})
        self.clock.advance(ms=200)
        yield chat_chunk({"content": "Hello"})
        yield chat_chunk(chat_tool_delta(0, id="call", name="search"), finish_reason="tool_calls")
        self.clock.advance(ms=900)
        yield chat_chunk(usage=CHAT_USAGE)

    async def judged_and_liked(self, token: str) -> None:
        """What comes later, through a token; a vote that is posted twice counts once."""
        tracker = self.ai.resume(token, ADA)
        result = JudgeResult(
            judge_config_key="judge", success=True, sampled=True, metric_key="$ld:ai:judge:wit", score=0.75
        )
        assert await tracker.track_judge_result(result)
        assert await tracker.track_feedback(Feedback.POSITIVE)
        assert not await self.ai.resume(token, ADA).track_feedback(Feedback.NEGATIVE)

    async def cancelled(self, tracker: Any) -> None:
        """A closed tab: the run is cancelled while it waits for the provider."""
        waits, goes_on = asyncio.Event(), asyncio.Event()

        async def endless() -> AsyncIterator[str]:
            self.clock.advance(ms=50)
            yield "first"
            self.clock.advance(ms=150)
            waits.set()
            await goes_on.wait()
            yield "never"

        async def handler() -> None:
            async for _ in tracker.stream(endless()):
                pass

        task = asyncio.create_task(handler())
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def failed(self, tracker: Any) -> None:
        """The provider fails while it streams."""

        async def broken() -> AsyncIterator[str]:
            self.clock.advance(ms=50)
            yield "first"
            raise ConnectionError

        with pytest.raises(ConnectionError):
            [chunk async for chunk in tracker.stream(broken())]

    async def answered(self, tracker: Any) -> None:
        """An answer that does not stream, measured by the official SDK's method."""

        async def operation() -> str:
            self.clock.advance(ms=500)
            return "answer"

        def extractor(_answer: str) -> LDAIMetrics:
            return LDAIMetrics(tokens=TokenUsage(input=3, output=4), tool_calls=("lookup", "search"))

        assert await tracker.track_metrics_of(extractor, operation) == "answer"


def expected() -> list[Any]:
    """Every event of the scene: name, data in its order, value."""

    def of_run(number: int, base: list[Any], *extra: list[Any]) -> list[Any]:
        return [["runId", f"00000000-0000-4000-8000-{number:012d}"], *base, *extra]

    first, later = of_run(1, RUN), of_run(1, RESUMED)
    second, third, fourth = of_run(2, RUN), of_run(3, RUN), of_run(4, RUN)
    about_us = [["aiSdkName", "ldtrack"], ["aiSdkVersion", VERSION], ["aiSdkLanguage", "python"]]
    events = [
        ["sdk:info", about_us, 1],
        ["usage:completion-config", "chat", 1],
        ["duration:total", first, 1200],
        ["tokens:ttf", first, 300],
        ["generation:success", first, 1],
        ["tokens:total", first, 19],
        ["tokens:input", first, 12],
        ["tokens:output", first, 7],
        ["tool_call", of_run(1, RUN, ["toolKey", "search"]), 1],
        ["judge:wit", of_run(1, RESUMED, ["judgeConfigKey", "judge"]), 0.75],
        ["feedback:user:positive", later, 1],
        ["duration:total", second, 200],
        ["tokens:ttf", second, 50],
        ["duration:total", third, 50],
        ["tokens:ttf", third, 50],
        ["generation:error", third, 1],
        ["duration:total", fourth, 500],
        ["generation:success", fourth, 1],
        ["tokens:total", fourth, 7],
        ["tokens:input", fourth, 3],
        ["tokens:output", fourth, 4],
        ["tool_call", of_run(4, RUN, ["toolKey", "lookup"]), 1],
        ["tool_call", of_run(4, RUN, ["toolKey", "search"]), 1],
    ]
    return [[f"$ld:ai:{name}", data, value] for name, data, value in events]


def arrived(inbox: Inbox) -> list[Any]:
    """The same of what is at the sink."""
    return [
        [
            event["key"],
            list(map(list, event["data"].items())) if isinstance(event["data"], dict) else event["data"],
            event["metricValue"],
        ]
        for event in inbox.customs
    ]


def without_dates(inbox: Inbox) -> list[Any]:
    """Everything about the custom events but when they happened."""
    return [{name: part for name, part in event.items() if name != "creationDate"} for event in inbox.customs]


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[EventSink]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with EventSink() as sink:
        yield sink


async def through_ldclient(sink: EventSink, **options: Any) -> Inbox:
    """The scene over an ``LDClient``; closing that one waits until everything is sent."""
    inbox = sink.inbox()
    ld = client(FLAGS, events_uri=inbox.uri, **options)
    try:
        await Scene(ld).play()
    finally:
        await asyncio.to_thread(ld.close)
    return inbox


async def through_async_ldclient(sink: EventSink, **options: Any) -> Inbox:
    """The scene over an ``AsyncLDClient``."""
    inbox = sink.inbox()
    async with await async_client(FLAGS, events_uri=inbox.uri, **options) as ld:
        await Scene(ld).play()
    return inbox


both_clients = pytest.mark.parametrize(
    "through", [through_ldclient, through_async_ldclient], ids=["LDClient", "AsyncLDClient"]
)


@both_clients
async def test_a_whole_scenario_arrives(sink: EventSink, through: Any) -> None:
    """Every event, with its data in the official order and its value, once, and nothing else."""
    inbox = await through(sink)
    assert arrived(inbox) == expected()


async def test_both_clients_send_the_same(sink: EventSink) -> None:
    """What arrives through an ``AsyncLDClient`` is what arrives through an ``LDClient``, contexts too."""
    one, other = await through_ldclient(sink), await through_async_ldclient(sink)
    assert without_dates(one) == without_dates(other)


@both_clients
async def test_private_attributes_do_not_arrive(sink: EventSink, through: Any) -> None:
    """Neither in the events' contexts nor anywhere else in what is posted, prompts included."""
    inbox = await through(sink)
    about_ada = [event["context"] for event in inbox.customs if event["key"] != "$ld:ai:sdk:info"]
    assert about_ada == [AT_THE_SINK] * (len(expected()) - 1)
    posted = repr([post.body for post in inbox.posts])
    assert "ada@example.com" not in posted
    assert "James" not in posted


@both_clients
async def test_attributes_that_the_configuration_makes_private_do_not_arrive(
    sink: EventSink, through: Any
) -> None:
    """The client's own list of private attributes counts like the context's."""
    inbox = await through(sink, private_attributes={"tier"})
    contexts = [event["context"] for event in inbox.customs if event["key"] == "$ld:ai:duration:total"]
    assert len(contexts) == 4
    assert all("tier" not in context for context in contexts)


@both_clients
async def test_compressed_posts_say_the_same(sink: EventSink, through: Any) -> None:
    """With compression switched on, what is posted is gzip, and the events are the same."""
    inbox = await through(sink, enable_event_compression=True)
    assert inbox.posts
    assert all(post.was_gzipped for post in inbox.posts)
    assert arrived(inbox) == expected()


@both_clients
async def test_events_happened_in_their_order(sink: EventSink, through: Any) -> None:
    """Dates never go back, and each payload has an id by which LaunchDarkly recognises a repetition."""
    inbox = await through(sink)
    dates = [event["creationDate"] for event in inbox.customs]
    assert all(earlier <= later for earlier, later in itertools.pairwise(dates))
    ids = [post.headers["x-launchdarkly-payload-id"] for post in inbox.posts]
    assert len(set(ids)) == len(ids)


async def test_a_flush_of_an_async_client_is_there_when_it_returns(sink: EventSink) -> None:
    """``ai.flush()`` waits for an ``AsyncLDClient``'s post, though that one does not say how it ended."""
    inbox = sink.inbox()
    async with await async_client(FLAGS, events_uri=inbox.uri) as ld, AIClient(ld) as ai:
        config = await ai.completion_config("chat", ADA)
        await config.create_tracker().track_success()
        result = await ai.flush()
        assert [event["key"] for event in inbox.customs][-1] == "$ld:ai:generation:success"
    assert (result.delivered, result.pending, result.unconfirmed) == (0, 0, 1)


async def test_a_refused_post_is_not_taken_for_a_delivery(sink: EventSink) -> None:
    """The SDK's own flush says yes even where LaunchDarkly said no; ours says what it knows."""
    inbox = sink.inbox()
    sink.status = 401
    async with await async_client(FLAGS, events_uri=inbox.uri) as ld, AIClient(ld) as ai:
        config = await ai.completion_config("chat", ADA)
        await config.create_tracker().track_success()
        assert not await ai.flush()
