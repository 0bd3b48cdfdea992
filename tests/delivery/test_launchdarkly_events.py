"""One post to the event endpoint: what it says, what each answer means, and that nothing else gets out."""

from __future__ import annotations

import asyncio
import gzip
import logging
import multiprocessing
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme
from endpoint import Answer, Endpoint, Manner
from ldclient import Config
from ldclient.async_config import AsyncConfig
from ldclient.config import HTTPConfig
from urllib3.exceptions import ProtocolError

from ldtrack.delivery import LaunchDarklyEvents
from ldtrack.delivery.http import Attempt, Connections, Route
from ldtrack.testing import ManualClock
from ldtrack.typing import Batch, Destination, Receipt, Verdict

KEY = "sdk-12345678-key"
BATCH = Batch(id="1", payload_id="payload-1", bodies=('{"n":1},{"n":2}', '{"n":3}'), events=3)
EVENTS = [{"n": 1}, {"n": 2}, {"n": 3}]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's environment says."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as started:
        yield started


@pytest.fixture
async def destination(endpoint: Endpoint):
    made = LaunchDarklyEvents(KEY, events_uri=endpoint.uri)
    yield made
    await made.aclose()


async def posted(endpoint: Endpoint, **options: Any) -> Receipt:
    """The receipt for one batch, posted by a destination of its own."""
    destination = LaunchDarklyEvents(options.pop("sdk_key", KEY), **{"events_uri": endpoint.uri, **options})
    receipt = await destination.deliver(BATCH)
    await destination.aclose()
    return receipt


# What is posted


async def test_rows_are_posted_as_they_are(endpoint: Endpoint, destination: LaunchDarklyEvents) -> None:
    """One array of all rows' events, and the batch's own payload id."""
    assert isinstance(destination, Destination)
    assert await destination.deliver(BATCH) == Receipt(Verdict.DELIVERED)
    (arrival,) = endpoint.arrivals
    assert gzip.decompress(arrival.body) == b'[{"n":1},{"n":2},{"n":3}]'
    assert arrival.payload_id == "payload-1"
    assert arrival.headers["authorization"] == KEY


async def test_a_repeat_is_the_same_to_the_last_byte(
    endpoint: Endpoint, destination: LaunchDarklyEvents
) -> None:
    """So that whoever stands between can recognise it as well: not even the time of compression is in it."""
    await destination.deliver(BATCH)
    await destination.deliver(BATCH)
    first, second = endpoint.arrivals
    assert (first.body, first.headers) == (second.body, second.headers)
    assert first.body[4:8] == bytes(4)
    assert endpoint.events == EVENTS
    assert endpoint.repeats == 1


async def test_compression_can_be_left_out(endpoint: Endpoint) -> None:
    """For a relay proxy that cannot read it."""
    await posted(endpoint, compress=False)
    assert endpoint.arrivals[0].body == b'[{"n":1},{"n":2},{"n":3}]'
    assert "content-encoding" not in endpoint.arrivals[0].headers


async def test_half_a_surrogate_pair_is_no_reason_to_fail(
    endpoint: Endpoint, destination: LaunchDarklyEvents
) -> None:
    """Our own rows hold none; one from elsewhere arrives as JSON's escape of it."""
    batch = Batch(id="1", payload_id="p", bodies=('{"n":"\ud800 ü"}',), events=1)
    assert (await destination.deliver(batch)).verdict is Verdict.DELIVERED
    assert endpoint.events == [{"n": "\ud800 ü"}]


async def test_a_connection_is_used_again(endpoint: Endpoint, destination: LaunchDarklyEvents) -> None:
    """Also after refusals with a text; a new one is opened when the old one is closed."""
    endpoint.script += [
        Answer(),
        Answer(400, b"x" * 500),
        Answer(503),
        Answer(headers={"Connection": "close"}),
    ]
    for _ in range(5):
        await destination.deliver(BATCH)
    assert [arrival.connection for arrival in endpoint.arrivals] == [0, 0, 0, 0, 1]
    await destination.aclose()
    await destination.deliver(BATCH)
    assert endpoint.connections == 3


async def test_an_endless_answer_costs_the_connection_and_not_the_memory(
    endpoint: Endpoint, destination: LaunchDarklyEvents
) -> None:
    """What is too long to be worth reading is not read."""
    endpoint.script.append(Answer(400, b"x" * 10_000_000))
    receipt = await destination.deliver(BATCH)
    assert receipt.verdict is Verdict.REFUSED
    assert len(receipt.reason) < 300
    await destination.deliver(BATCH)
    assert endpoint.connections == 2


async def test_several_batches_at_once(endpoint: Endpoint, destination: LaunchDarklyEvents) -> None:
    """Each over a connection of its own."""
    batches = [Batch(id=str(n), payload_id=f"p-{n}", bodies=("{}",), events=1) for n in range(20)]
    receipts = await asyncio.gather(*map(destination.deliver, batches))
    assert {receipt.verdict for receipt in receipts} == {Verdict.DELIVERED}
    assert set(endpoint.accepted) == {batch.payload_id for batch in batches}


# What answers mean


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (202, Verdict.DELIVERED),
        (307, Verdict.LOCKED),
        (400, Verdict.REFUSED),
        (401, Verdict.LOCKED),
        (413, Verdict.TOO_LARGE),
        (429, Verdict.LATER),
        (503, Verdict.LATER),
    ],
)
async def test_a_status_is_a_verdict(
    endpoint: Endpoint, destination: LaunchDarklyEvents, status: int, verdict: Verdict
) -> None:
    """By the core's table, after one single post: nothing is retried or followed here."""
    endpoint.script.append(Answer(status, b" what\nthe  server\x00said ", {"Location": endpoint.uri}))
    receipt = await destination.deliver(BATCH)
    host = endpoint.uri.removeprefix("http://")
    reason = "" if verdict is Verdict.DELIVERED else f"{host} answered {status}: what the server said"
    assert receipt == Receipt(verdict, reason)
    assert len(endpoint.arrivals) == 1


async def test_a_reason_quotes_the_beginning_of_an_answer_and_no_key(
    endpoint: Endpoint, destination: LaunchDarklyEvents
) -> None:
    """A server that repeats the key it was given does not bring it into logs."""
    endpoint.script.append(Answer(401, f"no such key: {KEY}, sorry. ".encode() + b"x" * 300))
    receipt = await destination.deliver(BATCH)
    host = endpoint.uri.removeprefix("http://")
    said = "no such key: <SDK key>, sorry. " + "x" * 300
    assert receipt == Receipt(Verdict.LOCKED, f"{host} answered 401: {said[:200]}")


DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
"""1,700,000,000 seconds after the epoch."""


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 90 "}, 90.0),
        ({"Retry-After": "86400"}, 3600.0),
        ({"Retry-After": "9" * 400}, 3600.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "٣"}, None),
        ({"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT"}, 60.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT", "Date": "Tue, 14 Nov 2023 22:14:00 GMT"}, 20.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT", "Date": "yesterday"}, 60.0),
        ({"Retry-After": "Tue, 14 Nov 2023 21:00:00 GMT"}, 0.0),
        ({"Retry-After": "Tue, 14 Nov 2033 22:14:20 GMT"}, 3600.0),
        ({"Retry-After": "Tue, 99 Nov 2023 22:14:20 GMT"}, None),
    ],
)
async def test_the_wait_that_is_asked_for_is_on_the_receipt(
    endpoint: Endpoint, headers: dict[str, str], after: float | None
) -> None:
    """As seconds or as a date by the server's own clock, at most an hour; nothing if it cannot be read."""
    endpoint.script.append(Answer(429, headers=headers))
    receipt = await posted(endpoint, clock=ManualClock(1_700_000_000))
    assert (receipt.verdict, receipt.after) == (Verdict.LATER, after)


async def test_a_wrong_clock_is_mentioned_once(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody can ask the other side for the time an event was recorded, so somebody should set the clock."""
    clock = ManualClock(1_700_000_000)
    destination = LaunchDarklyEvents(KEY, events_uri=endpoint.uri, clock=clock)
    endpoint.judge = lambda _: Answer(headers={"Date": DATE})
    await destination.deliver(BATCH)
    assert (destination.clock_skew, caplog.messages) == (0, [])
    clock.advance(299)
    await destination.deliver(BATCH)
    assert (destination.clock_skew, caplog.messages) == (-299, [])
    clock.advance(302)
    await destination.deliver(BATCH)
    await destination.deliver(BATCH)
    await destination.aclose()
    assert destination.clock_skew == -601
    (message,) = caplog.messages
    assert "601 seconds away" in message


# What networks do


@pytest.mark.parametrize("manner", [Manner.CUT_BEFORE, Manner.CUT_AFTER, Manner.CUT_INSIDE])
async def test_a_connection_that_is_cut_means_later(
    endpoint: Endpoint, destination: LaunchDarklyEvents, manner: Manner
) -> None:
    """Also when the server had taken the batch: the repeat has the same payload id, and counts once."""
    endpoint.script.append(Answer(manner=manner))
    assert (await destination.deliver(BATCH)).verdict is Verdict.LATER
    assert (await destination.deliver(BATCH)).verdict is Verdict.DELIVERED
    assert endpoint.events == EVENTS


async def test_a_refusal_that_is_cut_is_a_refusal(
    endpoint: Endpoint, destination: LaunchDarklyEvents
) -> None:
    """Its status said all that matters."""
    endpoint.script.append(Answer(413, manner=Manner.CUT_INSIDE))
    assert (await destination.deliver(BATCH)).verdict is Verdict.TOO_LARGE


@pytest.mark.parametrize("manner", [Manner.SILENCE, Manner.DRIP])
async def test_an_attempt_ends_in_time(endpoint: Endpoint, manner: Manner) -> None:
    """Whatever the server sends: the connection is cut, and its thread ends with it."""
    endpoint.script.append(Answer(manner=manner))
    receipt = await posted(endpoint, total_timeout=0.2)
    assert receipt.verdict is Verdict.LATER
    assert receipt.reason == f"127.0.0.1:{endpoint.port} did not answer within 0.2 s"
    for thread in posting_threads():
        thread.join(10)
    assert posting_threads() == []


def posting_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ldtrack-delivery"]


async def test_a_silent_server_is_left_by_the_read_timeout(endpoint: Endpoint) -> None:
    """The same as the base SDK's."""
    endpoint.script.append(Answer(manner=Manner.SILENCE))
    receipt = await posted(endpoint, read_timeout=0.1)
    assert receipt.verdict is Verdict.LATER
    assert "Read timed out" in receipt.reason


@pytest.mark.parametrize("uri", [NOWHERE, "https://127.0.0.1:9"])
async def test_a_server_that_is_not_there_means_later(endpoint: Endpoint, uri: str) -> None:
    """A reason and no exception."""
    receipt = await posted(endpoint, events_uri=uri)
    assert receipt.verdict is Verdict.LATER
    assert "gave no answer: " in receipt.reason
    assert KEY not in receipt.reason


async def test_cancelling_cuts_the_connection(endpoint: Endpoint, destination: LaunchDarklyEvents) -> None:
    """At once, so that no thread and no exit waits for the server; the next delivery is not disturbed."""
    endpoint.script.append(Answer(manner=Manner.SILENCE))
    delivery = asyncio.create_task(destination.deliver(BATCH))
    await asyncio.to_thread(endpoint.wait_for, 1)
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    for thread in posting_threads():
        thread.join(10)
    assert posting_threads() == []
    assert await destination.deliver(BATCH) == Receipt(Verdict.DELIVERED)


def test_an_attempt_that_is_cut_early_posts_nothing(endpoint: Endpoint) -> None:
    """Its thread may still be at the name server when nobody waits for it any more."""
    attempt = Attempt()
    attempt.cut()
    with pytest.raises(ProtocolError, match="nobody waits"):
        Connections(Route(uri=endpoint.uri)).post(attempt, {}, b"[]")
    assert endpoint.connections == 0


async def test_threads_that_are_all_taken_do_not_stop_a_delivery(
    endpoint: Endpoint, destination: LaunchDarklyEvents
) -> None:
    """It has its own, whatever the application does with the loop's."""
    loop, release = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    blocked = loop.run_in_executor(None, release.wait)
    assert await destination.deliver(BATCH) == Receipt(Verdict.DELIVERED)
    release.set()
    await blocked


# The key


@pytest.mark.parametrize("key", ["", "sdk key", "sdk-key\n", "sdk-ké", "x" * 8193, None, 5])
def test_a_key_that_cannot_be_one_is_refused_at_once(key: Any) -> None:
    """By the base SDK's rule, and without quoting it."""
    with pytest.raises(ValueError, match="take it from your project's settings") as caught:
        LaunchDarklyEvents(key)
    assert not key or str(key) not in str(caught.value)


async def test_a_function_is_asked_for_the_key_each_time(endpoint: Endpoint) -> None:
    """So that a key can be exchanged while batches are waiting."""
    keys = iter(["sdk-old", "sdk-new"])
    destination = LaunchDarklyEvents(lambda: next(keys), events_uri=endpoint.uri)
    endpoint.script.append(Answer(401))
    assert (await destination.deliver(BATCH)).verdict is Verdict.LOCKED
    assert (await destination.deliver(BATCH)).verdict is Verdict.DELIVERED
    await destination.aclose()
    assert [arrival.headers["authorization"] for arrival in endpoint.arrivals] == ["sdk-old", "sdk-new"]


STRANGE = "characters that no SDK key has; look for spaces and line ends"


def raising() -> str:
    raise LookupError(f"not in the vault: {KEY}")


@pytest.mark.parametrize(
    ("give", "reason"),
    [
        (raising, "the SDK key cannot be had: its function raised LookupError"),
        (lambda: "", "the SDK key is empty"),
        (
            lambda: KEY + "\n",
            "the SDK key holds characters that no SDK key has; look for spaces and line ends",
        ),
        (lambda: None, "the SDK key is a NoneType, not text"),
    ],
)
async def test_without_a_key_nothing_is_posted_and_nothing_lost(
    endpoint: Endpoint, give: Callable[[], Any], reason: str
) -> None:
    """Somebody has to look: the batch is kept, as with a key that LaunchDarkly does not accept."""
    assert await posted(endpoint, sdk_key=give) == Receipt(Verdict.LOCKED, reason)
    assert endpoint.arrivals == []


async def test_a_password_in_the_address_is_nowhere() -> None:
    """Neither in a reason, which is stored with what is set aside, nor in a representation or an error."""
    destination = LaunchDarklyEvents(KEY, events_uri="http://ada:s3cret@127.0.0.1:1")
    receipt = await destination.deliver(BATCH)
    assert receipt.reason.startswith("127.0.0.1:1 gave no answer")
    assert "s3cret" not in f"{receipt!r} {destination!r} {destination._connections.route!r}"
    with pytest.raises(ValueError, match="events_uri must begin") as refused:
        LaunchDarklyEvents(KEY, events_uri="ftp://ada:s3cret@127.0.0.1:1")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"events_uri": None}, TypeError),
        ({"connect_timeout": "10"}, TypeError),
        ({"read_timeout": True}, TypeError),
        ({"total_timeout": None}, TypeError),
        ({"total_timeout": -1}, ValueError),
        ({"total_timeout": float("nan")}, ValueError),
    ],
    ids=str,
)
def test_options_of_another_kind_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    """At once, and by name: a relay would only ever say that it is tried again."""
    with pytest.raises(error, match=next(iter(options))):
        LaunchDarklyEvents(KEY, **options)


async def test_the_key_is_in_no_log_and_no_representation(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even in those of the HTTP library, at the finest level."""
    caplog.set_level(logging.DEBUG)
    destination = LaunchDarklyEvents(KEY, events_uri=endpoint.uri)
    assert repr(destination) == f"LaunchDarklyEvents(events_uri='{endpoint.uri}')"
    endpoint.script += [Answer(401), Answer(manner=Manner.CUT_AFTER)]
    for _ in range(3):
        await destination.deliver(BATCH)
    await destination.aclose()
    assert caplog.messages
    assert KEY not in caplog.text


# Settings


@pytest.mark.parametrize("suffix", ["", "/", "//", "/proxy", "/proxy/"])
@pytest.mark.parametrize("config_of", [Config, AsyncConfig])
async def test_a_config_says_where(endpoint: Endpoint, suffix: str, config_of: type[Any]) -> None:
    """With or without slashes at the end, as the SDK joins them, for both kinds of client."""
    destination = LaunchDarklyEvents.from_config(config_of(KEY, events_uri=endpoint.uri + suffix))
    assert await destination.deliver(BATCH) == Receipt(Verdict.DELIVERED)
    await destination.aclose()
    assert endpoint.arrivals[0].path == suffix.rstrip("/") + "/bulk"
    assert endpoint.arrivals[0].headers["authorization"] == KEY


def test_a_config_says_how() -> None:
    """Timeouts, proxy and certificates are the SDK's own settings; what is given besides overrides them."""
    http = HTTPConfig(1.5, 2.5, "http://proxy:1", "ca.pem", "client.pem", disable_ssl_verification=True)
    route = LaunchDarklyEvents.from_config(Config(KEY, http=http), read_timeout=9)._connections.route
    assert route.uri == "https://events.launchdarkly.com/bulk"
    assert (route.connect_timeout, route.read_timeout, route.proxy()) == (1.5, 9, "http://proxy:1")
    assert (route.ca_certs, route.cert_file, route.disable_ssl_verification) == ("ca.pem", "client.pem", True)


async def test_another_key_than_the_config_s(endpoint: Endpoint) -> None:
    """A relay may have a function where the client has a text."""
    config = Config(KEY, events_uri=endpoint.uri)
    destination = LaunchDarklyEvents.from_config(config, sdk_key=lambda: "sdk-other")
    await destination.deliver(BATCH)
    await destination.aclose()
    assert endpoint.arrivals[0].headers["authorization"] == "sdk-other"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LaunchDarklyEvents(KEY, events_uri="events.launchdarkly.com"), "must begin with https://"),
        (lambda: LaunchDarklyEvents(KEY, events_uri="https:///bulk"), "and a host, not 'https:///bulk'"),
        (lambda: LaunchDarklyEvents(KEY, application={"id": "my shop"}), "'my shop': LaunchDarkly takes"),
        (lambda: LaunchDarklyEvents(KEY, application={"version": "1" * 65}), "up to 64 letters"),
        (lambda: LaunchDarklyEvents.from_config(Config("", offline=True)), "the config is offline"),
        (lambda: LaunchDarklyEvents.from_config(Config("not a key")), "sdk_key is empty"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(make: Callable[[], object], message: str) -> None:
    """A mistake in a program is found when it starts, not when its events are missed."""
    with pytest.raises(ValueError, match=message):
        make()


# Proxies and certificates

EVENTS_URI = "http://events.example"


async def test_a_given_proxy_is_used(endpoint: Endpoint) -> None:
    """For whatever address, with the name and password in its own."""
    proxy = f"http://ada:secret@127.0.0.1:{endpoint.port}"
    receipt = await posted(endpoint, events_uri=EVENTS_URI, http_proxy=proxy)
    assert receipt.verdict is Verdict.DELIVERED
    assert endpoint.arrivals[0].path == "http://events.example/bulk"
    assert endpoint.arrivals[0].headers["proxy-authorization"] == "Basic YWRhOnNlY3JldA=="


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
async def test_the_environment_names_a_proxy(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In small letters as the SDK reads it, and in capitals as others do."""
    monkeypatch.setenv(name, endpoint.uri)
    assert (await posted(endpoint, events_uri=EVENTS_URI)).verdict is Verdict.DELIVERED
    assert endpoint.arrivals[0].path == "http://events.example/bulk"


@pytest.mark.parametrize("exempt", ["*", "127.0.0.1", "elsewhere, 127.0.0.1:{port}"])
async def test_the_environment_names_exceptions(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, exempt: str
) -> None:
    """Hosts, hosts with ports, and all."""
    monkeypatch.setenv("http_proxy", NOWHERE)
    assert (await posted(endpoint)).verdict is Verdict.LATER
    monkeypatch.setenv("no_proxy", exempt.format(port=endpoint.port))
    assert (await posted(endpoint)).verdict is Verdict.DELIVERED


async def test_a_proxy_is_for_its_kind_of_address(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``https_proxy`` says nothing about an endpoint without TLS."""
    monkeypatch.setenv("https_proxy", NOWHERE)
    assert (await posted(endpoint)).verdict is Verdict.DELIVERED


async def test_a_proxy_of_an_unknown_kind_means_later(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is nobody's program: its mistakes are reported as a network's are."""
    monkeypatch.setenv("http_proxy", "socks9://127.0.0.1:9")
    receipt = await posted(endpoint)
    assert receipt.verdict is Verdict.LATER
    assert "ProxySchemeUnknown" in receipt.reason


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def safe_endpoint(authority: trustme.CA) -> Iterator[Endpoint]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Endpoint(tls=context) as started:
        yield started


async def test_certificates_of_a_given_authority_are_trusted(
    safe_endpoint: Endpoint, authority: trustme.CA, tmp_path: Path
) -> None:
    """And those of nobody else; the connection is kept, and cut where a server drips."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    stranger = await posted(safe_endpoint)
    assert stranger.verdict is Verdict.LATER
    assert "CERTIFICATE_VERIFY_FAILED" in stranger.reason
    destination = LaunchDarklyEvents(
        KEY, events_uri=safe_endpoint.uri, ca_certs=str(tmp_path / "ca.pem"), total_timeout=1
    )
    first = await destination.deliver(BATCH)
    safe_endpoint.script.append(Answer(manner=Manner.DRIP))
    second = await destination.deliver(BATCH)
    await destination.aclose()
    assert (first.verdict, second.verdict) == (Verdict.DELIVERED, Verdict.LATER)
    assert safe_endpoint.arrivals[0].connection == safe_endpoint.arrivals[1].connection
    for thread in posting_threads():
        thread.join(10)
    assert posting_threads() == []


async def test_a_client_shows_its_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    """Where a relay proxy asks for one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    certificate = tmp_path / "client.pem"
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("ada").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    http = HTTPConfig(ca_certs=str(tmp_path / "ca.pem"), cert_file=str(certificate))
    with Endpoint(tls=context) as endpoint:
        destination = LaunchDarklyEvents.from_config(Config(KEY, events_uri=endpoint.uri, http=http))
        assert await destination.deliver(BATCH) == Receipt(Verdict.DELIVERED)
        await destination.aclose()
        receipt = await posted(endpoint, ca_certs=str(tmp_path / "ca.pem"))
        assert receipt.verdict is Verdict.LATER


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
async def test_verification_can_be_switched_off(safe_endpoint: Endpoint) -> None:
    """As in the SDK, for tests; the HTTP library warns of it."""
    receipt = await posted(safe_endpoint, disable_ssl_verification=True)
    assert receipt.verdict is Verdict.DELIVERED


# Fork


async def test_a_forked_child_opens_its_own_connections(
    endpoint: Endpoint, destination: LaunchDarklyEvents
) -> None:
    """Two processes that talk over one connection would read each other's answers."""
    await destination.deliver(BATCH)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=deliver_in_child, args=(destination,))
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # fork beside threads
        child.start()
    await asyncio.to_thread(child.join, 60)
    assert child.exitcode == 0
    await destination.deliver(BATCH)
    assert [arrival.connection for arrival in endpoint.arrivals] == [0, 1, 0]


def deliver_in_child(destination: LaunchDarklyEvents) -> None:
    asyncio.events._set_running_loop(None)  # the parent's, which does not run here
    receipt = asyncio.run(destination.deliver(BATCH))
    asyncio.run(destination.aclose())
    assert receipt.verdict is Verdict.DELIVERED
