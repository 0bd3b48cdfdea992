"""The differential test of the wire: what a real ``LDClient`` posts for the same calls, we post."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from endpoint import Arrival, Endpoint
from launchdarkly import client
from ldclient import Config, Context, ContextBuilder, LDClient

from ldtrack.configs.ldclient_config import introducing_of, privacy_of
from ldtrack.core.slots import DURATION, TOOL_CALL, Claim
from ldtrack.delivery import LaunchDarklyEvents
from ldtrack.ids import VERSION
from ldtrack.ledgers.scribe import Scribe
from ldtrack.testing import ManualClock
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


def calls(real: LDClient, *contexts: Context) -> None:
    """The same calls for everybody; a client has posted everything when it is closed."""
    for context in contexts:
        for key, data, value in EVENTS:
            real.track(key, context, data, value)
    real.flush()
    real.close()


def rows_of(real: LDClient, *contexts: Context) -> list[str]:
    """What a ledger keeps of these calls. A client has one event per call; of ours several may be a row."""
    scribe = Scribe(ManualClock(AT / 1000), privacy_of(real))
    scribe.introduce(introducing_of(real))
    claims = [(TOOL_CALL, EVENTS[:2]), *((DURATION, [event]) for event in EVENTS[2:])]
    return [
        scribe.row_of(Claim("r-1", metric, events, context)).body
        for context in contexts
        for metric, events in claims
    ]


def without_time(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All of the events, those that introduce a context as well."""
    for event in events:
        assert isinstance(event.pop("creationDate"), int)
    return events


async def differences_between(endpoint: Endpoint, *contexts: Context, **options: Any) -> None:
    """Let a real client and us post the same calls, and hold the two payloads against one another."""
    real = client(events_uri=endpoint.uri, **options)
    bodies = rows_of(real, *contexts)
    calls(real, *contexts)
    theirs = endpoint.arrivals[-1].events
    ours = await posted_by_us(LaunchDarklyEvents("sdk-key", events_uri=endpoint.uri), endpoint, *bodies)
    assert {event["creationDate"] for event in ours.events} == {AT}
    assert without_time(ours.events) == without_time(theirs)


@pytest.mark.parametrize("private", PRIVACIES.values(), ids=PRIVACIES)
@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
async def test_the_same_calls_are_the_same_json(
    endpoint: Endpoint, context: Context, private: dict[str, Any]
) -> None:
    """Event by event, index events too, down to the redacted attributes, times aside."""
    await differences_between(endpoint, context, **private)


@pytest.mark.parametrize("omits", [False, True], ids=["introduced", "omitted"])
async def test_contexts_that_nobody_evaluated_are_introduced_as_a_client_does_it(
    endpoint: Endpoint, omits: bool
) -> None:
    """Each once, by its kinds and keys; the anonymous ones with their attributes, or not at all."""
    again = [ada().set("email", "another@example.com").build(), Context.create("ada", "visitor")]
    contexts = [*CONTEXTS.values(), *again]
    await differences_between(endpoint, *contexts, omit_anonymous_contexts=omits)


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
    calls(client(events_uri=endpoint.uri, enable_event_compression=compress, **identity), CONTEXTS["single"])
    theirs = endpoint.arrivals[-1]
    config = Config("sdk-key", events_uri=endpoint.uri + "/", **identity)
    ours = await posted_by_us(LaunchDarklyEvents.from_config(config, compress=compress), endpoint, "{}")
    assert ours.path == theirs.path == "/bulk"
    assert ours.headers["user-agent"] == f"ldtrack/{VERSION}"
    assert uuid.UUID(ours.payload_id).version == uuid.UUID(theirs.payload_id).version
    assert {name: value for name, value in ours.headers.items() if name not in OUR_OWN} == {
        name: value for name, value in theirs.headers.items() if name not in OUR_OWN | OF_A_CLIENT
    }
