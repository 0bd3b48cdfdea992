"""A relay's health over HTTP: what is answered, and that nobody can keep it busy."""

from __future__ import annotations

import asyncio
import contextlib
import json
from http import HTTPStatus

import pytest
from relay_process import until

from ldtrack.cli import health
from ldtrack.cli.errors import CommandError
from ldtrack.cli.health import Answer, HealthServer, endpoint_of
from ldtrack.cli.report import Report, health_of, metrics_of
from ldtrack.core.batch import Standing
from ldtrack.delivery import RelayState, RelayStats

QUESTION = b"GET /health HTTP/1.1\r\nHost: relay\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:8321", ("127.0.0.1", 8321)),
        ("8321", ("127.0.0.1", 8321)),
        (":8321", ("127.0.0.1", 8321)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("relay.internal:80", ("relay.internal", 80)),
    ],
)
def test_where_to_listen(text, endpoint) -> None:
    """A port alone is one of this machine's own interface."""
    assert endpoint_of(text) == endpoint


@pytest.mark.parametrize("text", ["", "relay", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", ":http"])
def test_where_nobody_can_listen(text) -> None:
    """An address without a port that there is, is wrong usage."""
    with pytest.raises(CommandError, match=r"127\.0\.0\.1:8321") as refused:
        endpoint_of(text)
    assert refused.value.code == 2


class Pages:
    """A page that answers when it may."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0

    async def health(self) -> Answer:
        self.asked += 1
        await self.open.wait()
        return Answer(HTTPStatus.OK, "all is well\n")


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
async def server(pages):
    """A server on some port."""
    async with HealthServer("127.0.0.1", 0, {"/health": pages.health}) as server:
        yield server


async def connect(server: HealthServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = server.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def answered(server: HealthServer, question: bytes) -> bytes:
    """All that comes back, until the server closes."""
    reader, writer = await connect(server)
    writer.write(question)
    try:
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("question", "status"),
    [
        pytest.param(QUESTION, 200, id="get"),
        pytest.param(b"GET /health?full=1 HTTP/1.0\r\n\r\n", 200, id="with a query, of HTTP 1.0"),
        pytest.param(b"GET /healthy HTTP/1.1\r\n\r\n", 404, id="another path"),
        pytest.param(b"GET //health HTTP/1.1\r\n\r\n", 404, id="a path that is almost it"),
        pytest.param(b"POST /health HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405, id="post"),
        pytest.param(b"hello\r\n\r\n", 400, id="no HTTP"),
        pytest.param(b"GET /health HTTP/2\r\n\r\n", 400, id="another HTTP"),
        pytest.param(b"\xff\xfe \xfd HTTP/1.1\r\n\r\n", 404, id="bytes"),
        pytest.param(b"GET /health HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", 431, id="too much"),
    ],
)
async def test_what_is_answered(question, status, server) -> None:
    """One answer for each connection, with its length, whatever was asked."""
    answer = await answered(server, question)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Connection: close" in head
    assert (b"Allow: GET, HEAD" in head) is (status == 405)


async def test_the_head_alone(server) -> None:
    """HEAD has the length of the page and not the page."""
    answer = await answered(server, QUESTION.replace(b"GET", b"HEAD"))
    assert b"Content-Length: 12" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_who_asks_in_pieces(server) -> None:
    """A request may come as slowly as the limit allows."""
    reader, writer = await connect(server)
    for start in range(0, len(QUESTION), 7):
        writer.write(QUESTION[start : start + 7])
        await writer.drain()
    assert (await reader.read()).endswith(b"all is well\n")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("question", [b"", b"GET /health HT", QUESTION])
async def test_who_takes_for_ever(question, server, pages, monkeypatch) -> None:
    """Who does not finish asking, and what does not finish answering, is cut off."""
    monkeypatch.setattr(health, "_MOST_SECONDS", 0.01)
    pages.open.clear()
    assert await answered(server, question) == b""


async def test_too_many_at_once(server, monkeypatch) -> None:
    """So many may ask at once; others are turned away, until those have gone."""
    monkeypatch.setattr(health, "_MOST_AT_ONCE", 2)
    first = [await connect(server) for _ in range(2)]
    reader, writer = await connect(server)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    for reader, writer in first:
        writer.write(QUESTION)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
    await until(lambda: not server._open)
    assert (await answered(server, QUESTION)).startswith(b"HTTP/1.1 200")


async def test_who_leaves_without_listening(server) -> None:
    """A client that resets its connection leaves nothing behind."""
    _, writer = await connect(server)
    writer.write(QUESTION)
    writer.transport.abort()
    assert (await answered(server, QUESTION)).startswith(b"HTTP/1.1 200")


async def test_the_end_of_the_server(pages) -> None:
    """Whoever is still asking is cut off, and nobody listens any more."""
    pages.open.clear()
    async with HealthServer("127.0.0.1", 0, {"/health": pages.health}) as server:
        reader, writer = await connect(server)
        writer.write(QUESTION)
        await until(lambda: pages.asked)
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await connect(server)


async def test_an_address_of_another_machine(pages) -> None:
    """Nobody can listen there: 6."""
    with pytest.raises(CommandError, match=r"192\.0\.2\.1:8321") as refused:
        async with HealthServer("192.0.2.1", 8321, {"/health": pages.health}):
            pass
    assert refused.value.code == 6


# What is said


def report(state: RelayState = RelayState.IDLE, **fields: object) -> Report:
    stats = RelayStats(state=state, delivered=7, events=9, waiting_until=1010.5)
    standing = Standing(pending=3, set_aside=2, delivered=70, oldest_ms=940_000)
    some = {"ledger": "l.db", "stats": stats, "standing": standing, "now": 1000.0, "uptime": 12.0}
    return Report(**(some | fields))


@pytest.mark.parametrize("spooled", [None, 0, 5])
def test_what_waits_in_a_spool_is_counted_where_it_can_be_known(spooled) -> None:
    """A ledger in a file has none; the ledger itself does not count it."""
    said = json.loads(health_of(report(spooled=spooled)).text)
    assert (said["spooled"], said["pending"]) == (spooled, 3)
    samples = [line for line in metrics_of(report(spooled=spooled)).text.splitlines() if line[0] != "#"]
    told = [line for line in samples if "spooled" in line]
    assert told == ([] if spooled is None else [f"ldtrack_ledger_spooled_claims {spooled}"])


@pytest.mark.parametrize(
    ("given", "status", "word"),
    [
        (report(), 200, "ok"),
        (report(RelayState.WORKING), 200, "ok"),
        (report(RelayState.WAITING), 200, "ok"),
        (report(RelayState.LOCKED), 503, "failing"),
        (report(ledger_error="it is away"), 503, "failing"),
        (report(is_stopping=True), 503, "stopping"),
        (report(standing=None), 200, "ok"),
    ],
)
def test_when_somebody_has_to_look(given, status, word) -> None:
    """503 where a relay cannot help itself, or is leaving; not while a destination is away."""
    answer = health_of(given)
    assert (answer.status, json.loads(answer.text)["status"]) == (status, word)


def test_the_figures_of_health() -> None:
    """This relay's, and the ledger's."""
    said = json.loads(health_of(report()).text)
    assert (said["pending"], said["oldest_age_seconds"], said["set_aside"]) == (3, 60.0, 2)
    assert (said["delivered"], said["delivered_events"], said["delivered_in_all"]) == (7, 9, 70)
    assert (said["waiting_seconds"], said["uptime_seconds"], said["last_error"]) == (10.5, 12.0, None)


def test_the_figures_of_metrics() -> None:
    """Each with its help and its type; the ledger's are left out while it does not answer."""
    text = metrics_of(report(RelayState.LOCKED)).text
    assert (
        "# TYPE ldtrack_relay_delivered_claims_total counter\nldtrack_relay_delivered_claims_total 7\n"
        in text
    )
    assert 'ldtrack_relay_state{state="locked"} 1\n' in text
    assert 'ldtrack_relay_state{state="idle"} 0\n' in text
    assert "ldtrack_ledger_up 1\n" in text
    assert "ldtrack_ledger_oldest_age_seconds 60.0\n" in text
    assert text.count("# HELP") == text.count("# TYPE")
    away = metrics_of(report(ledger_error="it is away")).text
    assert "ldtrack_ledger_up 0\n" in away
    assert "ldtrack_ledger_pending_claims" not in away
    assert "ldtrack_ledger_oldest_age_seconds 0.0\n" in metrics_of(report(standing=Standing())).text
