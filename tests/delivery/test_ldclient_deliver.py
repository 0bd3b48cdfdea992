"""A client as a relay's destination: what goes through it, and what it has no word for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from endpoint import Endpoint
from launchdarkly import async_client, client
from ldclient import Context

from ldtrack.core.privacy import Privacy
from ldtrack.core.redaction import redacted
from ldtrack.core.wire import body_of, index_of, json_of
from ldtrack.delivery import LDClientDestination
from ldtrack.testing import RecordingClient
from ldtrack.typing import Batch, Destination, Receipt, Verdict

DATA = {"runId": "r-1", "version": 3}
ADA = Context.builder("ada").name("Ada").set("email", "a@example.org").private("email").build()
BOTH = Context.create_multi(ADA, Context.builder("acme").kind("org").set("plan", "gold").build())


def batch_of(context: Context, *events: Any) -> Batch:
    body = body_of(events, json_of(redacted(context.to_dict(), Privacy())), 7)
    return Batch(id="1", payload_id="p", bodies=(body, body), events=2 * len(events))


SCORES = batch_of(BOTH, ("first", DATA, 1), ("second", None, 0.5))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as started:
        yield started


def shown(event: dict[str, Any]) -> Any:
    return event["key"], event.get("data"), event["metricValue"], event["context"]


EXPECTED = [
    (
        key,
        data,
        value,
        {"kind": "multi", "user": {"key": "ada", "name": "Ada"}, "org": {"key": "acme", "plan": "gold"}},
    )
    for key, data, value in [("first", DATA, 1), ("second", None, 0.5)] * 2
]
"""The name of what was redacted is lost on this way; so is the time."""


async def test_events_go_through_a_client(endpoint: Endpoint) -> None:
    """With their context, data and value; the client sends them when it likes."""
    real = client(events_uri=endpoint.uri)
    destination = LDClientDestination(real)
    assert isinstance(destination, Destination)
    assert await destination.deliver(SCORES) == Receipt(Verdict.DELIVERED)
    await destination.aclose()
    await asyncio.to_thread(real.close)
    customs = [event for event in endpoint.events if event["kind"] == "custom"]
    assert [shown(event) for event in customs] == EXPECTED
    assert all(event["creationDate"] > 7 for event in customs)


async def test_what_introduces_a_context_is_left_to_the_client() -> None:
    """It has no call for it, and introduces contexts by itself."""
    captured = RecordingClient()
    index = index_of('{"kind":"user","key":"ada"}', 7)
    batch = Batch(id="1", payload_id="p", bodies=(f"{index},{SCORES.bodies[0]}",), events=2)
    assert await LDClientDestination(captured).deliver(batch) == Receipt(Verdict.DELIVERED)
    assert [event.key for event in captured.events] == ["first", "second"]


async def test_events_go_through_an_asynchronous_client(endpoint: Endpoint) -> None:
    """In its own loop, as for claims."""
    async with await async_client(events_uri=endpoint.uri) as real:
        assert await LDClientDestination(real).deliver(SCORES) == Receipt(Verdict.DELIVERED)
    assert [shown(event) for event in endpoint.events if event["kind"] == "custom"] == EXPECTED


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "JSONDecodeError"),
        ("5", "TypeError"),
        ("{}", "KeyError: 'context'"),
        ('{"context":{"kind":"user","key":"a"}}', "KeyError: 'key'"),
        ('{"key":"k","context":{}}', "its context is invalid"),
        ('{"key":"k","context":5}', "AttributeError"),
    ],
)
async def test_what_a_client_cannot_take_is_refused(body: str, reason: str) -> None:
    """With all of its batch, before anything of it is handed over: a relay then tries the halves."""
    captured = RecordingClient()
    batch = Batch(id="1", payload_id="p", bodies=(SCORES.bodies[0], body), events=3)
    receipt = await LDClientDestination(captured).deliver(batch)
    assert receipt.verdict is Verdict.REFUSED
    assert reason in receipt.reason
    assert captured.events == []


async def test_a_client_that_fails_at_the_first_event_is_asked_again_later() -> None:
    """It has taken nothing."""
    captured = RecordingClient()
    captured.fail_next(OSError("no room"))
    destination = LDClientDestination(captured)
    assert await destination.deliver(SCORES) == Receipt(Verdict.LATER, "the client failed: OSError: no room")
    assert captured.events == []
    assert await destination.deliver(SCORES) == Receipt(Verdict.DELIVERED)
    assert len(captured.events) == 4


async def test_a_claim_that_came_before_is_finished_first() -> None:
    """What was left over of it goes out ahead of the batch, in order."""
    captured = RecordingClient()
    destination = LDClientDestination(captured)
    destination._left_over.append(("before", ADA, {}, 1))
    await destination.deliver(SCORES)
    assert [event.key for event in captured.events] == ["before", "first", "second", "first", "second"]
