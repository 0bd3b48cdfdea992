"""The differential test of the wire: what a real ``LDClient`` posts for the same calls, we post."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from endpoint import Arrival, Endpoint
from launchdarkly import client
from ldclient import Config, Context, ContextBuilder

from ldtrack.core.privacy import Privacy
from ldtrack.core.redaction import redacted
from ldtrack.core.wire import body_of, json_of
from ldtrack.delivery import LaunchDarklyEvents
from ldtrack.ids import VERSION
from ldtrack.typing import Batch, Verdict

AT = 1_700_000_000_000
DATA = {"runId": "r-1", "configKey": "chat", "version": 3, "modelName": "größer", "toolKey": "\ud800"}
EVENTS = [
    ("$ld:ai:duration:total", DATA, 1234),
    ("score", {**DATA, "judgeConfigKey": "j"}, 0.25),
    ("plain", "chat", 1),
    ("bare", None, 2),
]


def ada() -> ContextBuilder:
    builder = Context.builder("ada").name("Ada").set("email", "ada@example.com").set("/odd~name", 1)
    builder.set("address", {"city": "London", "street": {"name": "St James", "number": 12}})
    return builder.set("roles", [{"name": "admin"}])


def acme() -> ContextBuilder:
    return Context.builder("acme").kind("org").set("plan", "gold").set("seats", 5)


CONTEXTS = {
    "single": Context.create("ada"),
    "attributes": ada().build(),
    "another kind": acme().build(),
    "anonymous": ada().anonymous(True).build(),
    "private": ada().private("email", "name", "/~1odd~0name").build(),
    "nested private": ada().private("/address/street/number", "/address/city", "/roles/0/name").build(),
    "multi": Context.create_multi(ada().private("/address/street").build(), acme().private("seats").build()),
    "multi, one anonymous": Context.create_multi(ada().anonymous(True).build(), acme().build()),
}
PRIVACIES = {
    "open": {},
    "listed": {"private_attributes": {"email", "/address/city", "plan"}},
    "all private": {"all_attributes_private": True},
}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as started:
        yield started


async def posted_by_us(destination: LaunchDarklyEvents, endpoint: Endpoint, *bodies: str) -> Arrival:
    batch = Batch(id="1", payload_id=str(uuid.uuid4()), bodies=bodies, events=len(bodies))
    receipt = await destination.deliver(batch)
    await destination.aclose()
    assert receipt.verdict is Verdict.DELIVERED
    assert endpoint.arrivals[-1].payload_id == batch.payload_id
    return endpoint.arrivals[-1]


def posted_by_client(endpoint: Endpoint, context: Context, **options: Any) -> Arrival:
    """What a real client posts for the events; it has posted everything when it is closed."""
    real = client(events_uri=endpoint.uri, **options)
    for key, data, value in EVENTS:
        real.track(key, context, data, value)
    real.flush()
    real.close()
    return endpoint.arrivals[-1]


def without_time(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Custom events; a client announces each new context once besides."""
    customs = [event for event in events if event["kind"] == "custom"]
    for event in customs:
        assert isinstance(event.pop("creationDate"), int)
    return customs


@pytest.mark.parametrize("private", PRIVACIES.values(), ids=PRIVACIES)
@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
async def test_the_same_calls_are_the_same_json(
    endpoint: Endpoint, context: Context, private: dict[str, Any]
) -> None:
    """Event by event, down to the redacted attributes, times aside."""
    theirs = posted_by_client(endpoint, context, **private)
    shown = json_of(redacted(context.to_dict(), Privacy(**private)))
    # A client knows one event per call; of ours several may be one row.
    bodies = [body_of(EVENTS[:2], shown, AT), *(body_of([event], shown, AT) for event in EVENTS[2:])]
    ours = await posted_by_us(LaunchDarklyEvents("sdk-key", events_uri=endpoint.uri), endpoint, *bodies)
    assert [event["creationDate"] for event in ours.events] == [AT] * len(EVENTS)
    assert without_time(ours.events) == without_time(theirs.events)


IDENTITY = {"application": {"id": "shop", "version": "1.2"}, "wrapper_name": "wrap", "wrapper_version": "3"}
OUR_OWN = {"user-agent", "content-length", "x-launchdarkly-payload-id"}
OF_A_CLIENT = {"x-launchdarkly-instance-id"}
"""Names one client in one process; a relay speaks for many."""


@pytest.mark.parametrize("identity", [{}, IDENTITY, {"wrapper_name": "wrap"}], ids=["none", "all", "some"])
@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "plain"])
async def test_the_same_config_is_the_same_headers(
    endpoint: Endpoint, identity: dict[str, Any], compress: bool
) -> None:
    """Who we are is our own affair; all else is what a client with this config sends, to the same path."""
    theirs = posted_by_client(endpoint, CONTEXTS["single"], enable_event_compression=compress, **identity)
    config = Config("sdk-key", events_uri=endpoint.uri + "/", **identity)
    ours = await posted_by_us(LaunchDarklyEvents.from_config(config, compress=compress), endpoint, "{}")
    assert ours.path == theirs.path == "/bulk"
    assert ours.headers["user-agent"] == f"ldtrack/{VERSION}"
    assert uuid.UUID(ours.payload_id).version == uuid.UUID(theirs.payload_id).version
    assert {name: value for name, value in ours.headers.items() if name not in OUR_OWN} == {
        name: value for name, value in theirs.headers.items() if name not in OUR_OWN | OF_A_CLIENT
    }
