"""The recording clients behave as LaunchDarkly's own do: one contract, and four that have to keep it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs
import pytest
from launchdarkly import Captured, async_client, client
from ldclient import Context
from ldclient.impl.events.types import EventInputCustom

from ldtrack import AIClient, Feedback
from ldtrack.testing import AsyncRecordingClient, RecordingClient, SequentialIds
from ldtrack.typing import LaunchDarklyClient

ADA = Context.create("ada")
NOBODY = Context.create("")
FLAG = {
    "_ldMeta": {"enabled": True, "variationKey": "short", "version": 3},
    "model": {"name": "gpt-4o"},
    "messages": [{"role": "user", "content": "Hi"}],
}
FLAGS = {"support-chat": FLAG, "of": False, "zero": 0, "empty": {}}

Event = tuple[str, Context, Any, Any]


@attrs.frozen
class Kept:
    """A client, and a look at the events it has kept."""

    client: LaunchDarklyClient
    events: Callable[[], list[Event]]

    async def variation(self, *arguments: Any) -> Any:
        value = self.client.variation(*arguments)
        return await value if inspect.isawaitable(value) else value

    async def flush(self) -> None:
        pending = self.client.flush()
        if inspect.isawaitable(pending):
            await pending


@contextlib.asynccontextmanager
async def recording_client(flags: Mapping[str, Any]) -> AsyncIterator[Kept]:
    """Ours."""
    fake = RecordingClient(flags)
    yield Kept(fake, lambda: [(e.key, e.context, e.data, e.metric_value) for e in fake.events])


@contextlib.asynccontextmanager
async def async_recording_client(flags: Mapping[str, Any]) -> AsyncIterator[Kept]:
    """Ours, asynchronous."""
    fake = AsyncRecordingClient(flags)
    yield Kept(fake, lambda: [(e.key, e.context, e.data, e.metric_value) for e in fake.events])


@contextlib.asynccontextmanager
async def real_client(flags: Mapping[str, Any]) -> AsyncIterator[Kept]:
    """LaunchDarkly's, over its test source, with its own event processor listened to."""
    captured = Captured()
    real = client(flags, captured=captured)
    try:
        yield Kept(real, lambda: [(e.key, e.context, e.data, e.metric_value) for e in captured.customs])
    finally:
        real.close()


class KeepsAll:
    """An event processor for LaunchDarkly's asynchronous client that sends nothing."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, _config: object) -> KeepsAll:
        return self

    def send_event(self, event: Any) -> None:
        if isinstance(event, EventInputCustom):
            self.events.append((event.key, event.context, event.data, event.metric_value))

    def flush(self) -> None:
        pass

    async def flush_and_wait(self, timeout: float) -> bool:
        return True

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass


@contextlib.asynccontextmanager
async def real_async_client(flags: Mapping[str, Any]) -> AsyncIterator[Kept]:
    """LaunchDarkly's, asynchronous, started."""
    processor = KeepsAll()
    # With a place to send to, it makes a processor at all.
    real = await async_client(flags, events_uri="http://127.0.0.1:9", event_processor_class=processor)
    async with real:
        yield Kept(real, lambda: processor.events)


OPENERS = [recording_client, async_recording_client, real_client, real_async_client]
Opener = Callable[[Mapping[str, Any]], AbstractAsyncContextManager[Kept]]
every_client = pytest.mark.parametrize("opened", OPENERS, ids=lambda opener: opener.__name__)


@every_client
async def test_flags_are_served_as_they_are(opened: Opener) -> None:
    """A flag that exists is served to a valid context, falsy values too; anything else is the default."""
    async with opened(FLAGS) as kept:
        for key, value in FLAGS.items():
            assert await kept.variation(key, ADA, "default") == value
        assert await kept.variation("missing", ADA, "default") == "default"
        assert await kept.variation("support-chat", NOBODY, "default") == "default"


@every_client
async def test_a_flag_that_serves_nothing(opened: Opener) -> None:
    """A variation that is null is served as ``None``, not as the default."""
    async with opened({"nothing": None}) as kept:
        assert await kept.variation("nothing", ADA, "default") is None


@every_client
async def test_events_are_kept_in_order(opened: Opener) -> None:
    """What was tracked is what is kept, with and without data and value."""
    async with opened({}) as kept:
        kept.client.track("one", ADA)
        kept.client.track("two", ADA, {"runId": "r"}, 2.5)
        kept.client.track("three", ADA, metric_value=0)
        assert kept.events() == [
            ("one", ADA, None, None),
            ("two", ADA, {"runId": "r"}, 2.5),
            ("three", ADA, None, 0),
        ]


@every_client
async def test_an_invalid_context_records_nothing(opened: Opener) -> None:
    """LaunchDarkly's clients drop such events, so ours do."""
    async with opened({}) as kept:
        kept.client.track("one", NOBODY, {}, 1)
        assert kept.events() == []


@every_client
async def test_a_flush_changes_nothing_that_is_kept(opened: Opener) -> None:
    """Delivery may be asked for at any time."""
    async with opened({}) as kept:
        kept.client.track("one", ADA)
        await kept.flush()
        kept.client.track("two", ADA)
        assert [key for key, *_ in kept.events()] == ["one", "two"]


async def scenario(opened: Opener) -> tuple[list[Event], Any]:
    """What a small application leaves behind."""
    async with opened(FLAGS) as kept, AIClient(kept.client, run_ids=SequentialIds()) as ai:
        config = await ai.completion_config("support-chat", ADA)
        tracker = config.create_tracker()
        await tracker.track_duration(12)
        await tracker.track_success()
        await tracker.track_success()
        await ai.resume(tracker.resumption_token, ADA).track_feedback(Feedback.POSITIVE)
        flushed = await ai.flush()
        return kept.events(), (config.to_dict(), flushed.pending, flushed.unconfirmed, ai.stats)


@pytest.mark.parametrize("opened", OPENERS[1:], ids=lambda opener: opener.__name__)
async def test_an_application_cannot_tell_them_apart(opened: Opener) -> None:
    """The same calls through an ``AIClient`` leave the same events and answers."""
    assert await scenario(opened) == await scenario(recording_client)
