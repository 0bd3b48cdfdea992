"""`ldtrack relay` as a process: what arrives, how it ends, what it says, and what signals do to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from endpoint import Answer, Arrival, Endpoint, Manner
from relay_process import KEY, RelayProcess, ldtrack, rows
from servers import PostgresServer, RedisServer

from ldtrack.cli import main
from ldtrack.core.batch import Standing
from ldtrack.ledgers.sqlite import SQLiteStore
from ldtrack.ledgers.store import Store

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


@pytest.fixture
def endpoint():
    """Where events arrive."""
    with Endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def path(tmp_path) -> Path:
    """Where the ledger is, which is not there yet."""
    return tmp_path / "ledger.db"


@pytest.fixture
def store(path):
    """A store on that file."""
    store = SQLiteStore(path)
    yield store
    store.close()


def options(path: Path, endpoint: Endpoint, *more: str | Path) -> list[str | Path]:
    """A relay from this file to this endpoint."""
    return ["--ledger", path, "--events-uri", endpoint.uri, *more]


def keys_of(endpoint: Endpoint) -> list[str]:
    return sorted(event["key"] for event in endpoint.events)


def keys(count: int) -> list[str]:
    return sorted(f"event-{number}" for number in range(count))


def lines_of(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


# Deliver what is there, then end


def test_all_that_is_there_is_delivered(path, store, endpoint) -> None:
    """A drain brings every claim to the endpoint, counts it in the ledger, and ends with 0."""
    store.record(rows(250))
    done = ldtrack("relay", *options(path, endpoint, "--drain", "--batch-rows=100"))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert keys_of(endpoint) == keys(250)
    assert len(endpoint.arrivals) == 3
    assert (store.standing().pending, store.standing().delivered) == (0, 250)
    stopped = lines_of(done.stderr)[-1]
    assert stopped["event"] == "stopped"
    assert (stopped["delivered"], stopped["pending"], stopped["code"]) == (250, 0, 0)


def test_a_file_that_is_not_there_yet(path, endpoint) -> None:
    """A relay may be there before the first claim: it makes the ledger."""
    assert ldtrack("relay", *options(path, endpoint, "--drain")).returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert endpoint.arrivals == []


def test_a_key_that_is_refused(path, store, endpoint) -> None:
    """A drain that meets a 401 does not wait: it ends with 4, says why, and keeps everything."""
    store.record(rows(3))
    endpoint.judge = lambda _: Answer(401, b"unknown SDK key")
    done = ldtrack("relay", *options(path, endpoint, "--drain"))
    assert done.returncode == 4
    assert "answered 401: unknown SDK key" in str(lines_of(done.stderr)[-1]["reason"])
    assert (store.standing().pending, store.standing().set_aside) == (3, 0)


def test_an_endpoint_that_is_away(path, store, endpoint) -> None:
    """A drain whose time is up ends with 1, and what is left is kept."""
    store.record(rows(3))
    endpoint.judge = lambda _: Answer(503)
    done = ldtrack("relay", *options(path, endpoint, "--drain", "--timeout=0.2"))
    assert done.returncode == 1
    assert lines_of(done.stderr)[-1]["pending"] == 3
    assert store.standing().pending == 3


def test_one_claim_that_is_refused(path, store, endpoint) -> None:
    """Its neighbours are delivered; it is set aside, and the drain ends with 5."""
    store.record(rows(8))
    endpoint.judge = lambda post: Answer(400 if b"event-5" in bodies_in(post) else 202)
    done = ldtrack("relay", *options(path, endpoint, "--drain"))
    assert done.returncode == 5
    assert keys_of(endpoint) == [key for key in keys(8) if key != "event-5"]
    assert [aside.run_id for aside in store.aside(10)] == ["run-5"]


def bodies_in(post: Arrival) -> bytes:
    return json.dumps(post.events).encode()


def test_into_a_file(path, store, tmp_path) -> None:
    """A file of JSON lines is a destination, and needs no key."""
    store.record(rows(3))
    target = tmp_path / "events.jsonl"
    done = ldtrack("relay", "--ledger", path, "--to", f"jsonl:{target}", "--drain", LAUNCHDARKLY_SDK_KEY="")
    assert done.returncode == 0
    assert [line["key"] for line in lines_of(target.read_text())] == ["event-0", "event-1", "event-2"]


# Ledgers on servers


class Place:
    """A ledger on a server: how it is written on a command line, and a store on it."""

    def __init__(self, arguments: Sequence[str], store: Store, leave: Callable[[], None]) -> None:
        self.arguments = arguments
        self.store = store
        self.stop_server = leave


@pytest.fixture
def on_postgres(postgres: PostgresServer):
    """A schema of its own."""
    from ldtrack.ledgers.postgres.store import PostgresStore

    schema = postgres.unique()
    url = f"postgresql://ldtrack:a-password@127.0.0.1:{postgres.port}/postgres"
    store = PostgresStore(url, schema=schema)
    yield Place(["--ledger", "env:LEDGER", "--schema", schema, url], store, postgres.stop)
    store.close()


@pytest.fixture
def on_redis(redis_server: RedisServer):
    """A name of its own."""
    from ldtrack.ledgers.redis.store import RedisStore

    name = redis_server.unique()
    store = RedisStore(redis_server.url, name=name)
    yield Place(["--ledger", "env:LEDGER", "--name", name, redis_server.url], store, redis_server.stop)
    store.close()


@pytest.fixture(params=["on_postgres", "on_redis"])
def place(request) -> Place:
    """Both servers, one after the other."""
    found: Place = request.getfixturevalue(request.param)
    return found


def test_from_a_server(place, endpoint) -> None:
    """A ledger on a server is named by an environment variable, and its password is in no line."""
    place.store.record(rows(30))
    *arguments, url = place.arguments
    done = ldtrack("relay", *arguments, "--events-uri", endpoint.uri, "--drain", LEDGER=url)
    assert done.returncode == 0, done.stderr
    assert keys_of(endpoint) == keys(30)
    assert place.store.standing() == Standing(delivered=30, last=place.store.standing().last)
    assert "a-password" not in done.stderr


def test_from_a_spool(place, endpoint, tmp_path) -> None:
    """What a server could not take when it was away waits in a file, and is delivered from there."""
    with_spool = SQLiteStore(tmp_path / "spool.db")
    with_spool.record(rows(5))
    *arguments, url = place.arguments
    spool = ["--spool", tmp_path / "spool.db"]
    done = ldtrack("relay", *arguments, *spool, "--events-uri", endpoint.uri, "--drain", LEDGER=url)
    assert done.returncode == 0, done.stderr
    assert keys_of(endpoint) == keys(5)
    with_spool.close()


def test_a_server_that_is_away(place, endpoint) -> None:
    """A relay whose ledger cannot be reached at its start ends with 3, and says so in a sentence."""
    place.stop_server()
    *arguments, url = place.arguments
    done = ldtrack("relay", *arguments, "--events-uri", endpoint.uri, LEDGER=url)
    assert done.returncode == 3
    assert lines_of(done.stderr)[-1]["event"] == "failed"
    assert "Traceback" not in done.stderr
    assert "a-password" not in done.stderr


def test_a_server_that_goes(place, endpoint) -> None:
    """A relay outlives its ledger's server; meanwhile its health says what is wrong."""
    place.store.record(rows(1))
    *arguments, url = place.arguments
    with RelayProcess(*arguments, "--events-uri", endpoint.uri, "--health=0", LEDGER=url) as relay:
        relay.ask_until(delivered=1, http=200, ledger_error=None)
        place.stop_server()
        failing = relay.ask_until(http=503, status="failing")
        assert failing.json["ledger_error"]
        assert "ldtrack_ledger_up 0\n" in relay.ask("/metrics").text
        relay.signal(signal.SIGTERM)
        assert relay.ended() == 0


# What keeps it from starting


@pytest.fixture
def here(tmp_path, monkeypatch) -> None:
    """This process, in an empty folder, with a key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAUNCHDARKLY_SDK_KEY", KEY)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        pytest.param(["--ledger=mongodb://host/x"], 2, "no ledger is known by mongodb://", id="scheme"),
        pytest.param(["--ledger=env:NOWHERE"], 2, "NOWHERE does not say where", id="variable"),
        pytest.param(["--ledger=sqlite://ledger.db"], 2, "three slashes", id="slashes"),
        pytest.param(["--ledger=l.db", "--to=kafka:topic"], 2, "not to 'kafka:topic'", id="destination"),
        pytest.param(["--ledger=l.db", "--sdk-key-env=NONE"], 2, "variable NONE", id="no key"),
        pytest.param(["--ledger=l.db", "--sdk-key-file=/nowhere"], 2, "cannot be read", id="no key file"),
        pytest.param(["--ledger=l.db", "--events-uri=events"], 2, "https://", id="no address"),
        pytest.param(["--ledger=l.db", "--ca-certs=/nowhere"], 2, "/nowhere", id="no certificates"),
        pytest.param(["--ledger=l.db", "--health=all"], 2, "127.0.0.1:8321", id="health"),
        pytest.param(["--ledger=l.db", "--spool=s.db"], 2, "--spool", id="spool of a file"),
        pytest.param(["--ledger=l.db", "--shards=2"], 2, "Redis", id="shards of a file"),
        pytest.param(["--ledger=redis://h/0", "--shards=0"], 2, "shards", id="no shards"),
        pytest.param(["--ledger=redis://h/0", "--wait-replicas=-1"], 2, "wait_replicas", id="no replicas"),
        pytest.param(["--ledger=l.db", "--wait-replicas=1"], 2, "--wait-replicas is", id="a file"),
        pytest.param(["--ledger=/nowhere/l.db"], 3, "/nowhere", id="no folder"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments, code, sentence, here, capsys) -> None:
    """One line, no traceback, and the exit code that the documentation gives."""
    assert main(["relay", *arguments]) == code
    err = capsys.readouterr().err
    (line,) = lines_of(err)
    assert (line["code"], line["event"], line["level"]) == (code, "failed", "error")
    assert sentence in str(line["message"])
    assert KEY not in err


def test_a_file_that_is_no_ledger(path, endpoint) -> None:
    """The database of another application is left alone, and the exit code is 3."""
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (id)")
    other.close()
    before = path.read_bytes()
    assert ldtrack("relay", *options(path, endpoint)).returncode == 3
    assert path.read_bytes() == before


def test_a_key_that_is_none(path, endpoint) -> None:
    """What cannot be a key is found at once, and is not repeated."""
    done = ldtrack("relay", *options(path, endpoint), LAUNCHDARKLY_SDK_KEY="two words-of-secret")
    assert done.returncode == 2
    assert "words-of-secret" not in done.stderr


def test_an_address_that_is_taken(path, endpoint) -> None:
    """Health that cannot be asked for is no health: 6."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = ldtrack("relay", *options(path, endpoint, f"--health=127.0.0.1:{taken.getsockname()[1]}"))
    assert done.returncode == 6
    assert "nobody can listen" in done.stderr


# Signals


class Hold:
    """Keeps the endpoint from answering until it is let go."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._go = threading.Event()
        endpoint.judge = self._answer

    def _answer(self, _: Arrival) -> Answer:
        self._go.wait(60)
        return Answer()

    def let_go(self) -> None:
        self._go.set()


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_finishes_what_is_under_way(number, path, store, endpoint) -> None:
    """The batch that was posted is waited for and counted; the next one is left for the next relay."""
    store.record(rows(4))
    hold = Hold(endpoint)
    arguments = options(path, endpoint, "--batch-rows=2", "--concurrency=1", "--health=0")
    with RelayProcess(*arguments) as relay:
        relay.until("started")
        endpoint.wait_for_connection()
        relay.signal(number)
        assert relay.until("stopping")["signal"] == number.name
        assert relay.ask("/health").json["status"] == "stopping"
        hold.let_go()
        stopped = relay.until("stopped")
        assert relay.ended() == 0
    assert (stopped["delivered"], stopped["pending"]) == (2, 2)
    assert keys_of(endpoint) == keys(2)
    assert (store.standing().delivered, store.standing().pending) == (2, 2)


@posix
def test_told_to_end_it_does_not_wait_for_ever(path, store, endpoint) -> None:
    """An endpoint that says nothing is cut off after the grace, and its batch is there for others at once."""
    store.record(rows(4))
    endpoint.judge = lambda _: Answer(manner=Manner.SILENCE)
    with RelayProcess(*options(path, endpoint, "--grace=0.1")) as relay:
        endpoint.wait_for(1)
        relay.signal(signal.SIGTERM)
        assert relay.ended() == 0
    batch = store.lease("another", 1000, 1_000_000, 60)
    assert batch is not None
    assert (batch.attempts, len(batch.bodies)) == (1, 4)
    assert batch.payload_id == endpoint.arrivals[0].payload_id


@posix
def test_the_second_signal_ends_it_at_once(path, store, endpoint) -> None:
    """Nothing is waited for any more, and the exit code names the signal."""
    store.record(rows(1))
    endpoint.judge = lambda _: Answer(manner=Manner.SILENCE)
    with RelayProcess(*options(path, endpoint, "--grace=3600")) as relay:
        endpoint.wait_for(1)
        relay.signal(signal.SIGTERM)
        relay.until("stopping")
        relay.signal(signal.SIGTERM)
        assert relay.ended() == 128 + signal.SIGTERM
    assert store.standing().pending == 1


@posix
def test_a_drain_that_is_told_to_end(path, store, endpoint) -> None:
    """It ends with 1, since something is left."""
    store.record(rows(1))
    endpoint.judge = lambda _: Answer(503, headers={"Retry-After": "3600"})
    with RelayProcess(*options(path, endpoint, "--drain")) as relay:
        endpoint.wait_for(1)
        relay.until("failing")
        relay.signal(signal.SIGTERM)
        assert relay.ended() == 1


@posix
def test_a_hangup_means_to_try_now(path, store, endpoint) -> None:
    """SIGHUP: a relay that was refused asks again at once, instead of in a minute."""
    store.record(rows(1))
    endpoint.script.append(Answer(403, b"not from this network"))
    with RelayProcess(*options(path, endpoint)) as relay:
        assert "403" in relay.until("locked")["reason"]
        relay.signal(signal.SIGHUP)
        relay.until("recovered")
        relay.signal(signal.SIGTERM)
        assert relay.ended() == 0
    assert len(endpoint.arrivals) == 2
    assert store.standing().pending == 0


# The key


def key_judge(right: str) -> Callable[[Arrival], Answer]:
    """Refuses every other key, and repeats it in the answer, as careless servers do."""

    def judge(post: Arrival) -> Answer:
        key = post.headers["authorization"]
        return Answer() if key == right else Answer(401, f"unknown key {key}".encode())

    return judge


def test_a_key_that_is_put_right(path, store, endpoint, tmp_path) -> None:
    """Refused, it keeps everything and is loud about it; a new key in the file is seen and used at once."""
    store.record(rows(3))
    file = tmp_path / "key"
    file.write_text("sdk-key-of-last-year\n")
    endpoint.judge = key_judge("sdk-key-of-this-year")
    with RelayProcess(*options(path, endpoint, "--sdk-key-file", file, "--health=0")) as relay:
        locked = relay.until("locked")
        health = relay.ask_until(state="locked", http=503, status="failing", pending=3)
        assert "401" in health.json["last_error"]
        file.write_text("sdk-key-of-this-year\n")
        relay.until("key_changed")
        relay.until("recovered")
        relay.ask_until(http=200, pending=0, delivered=3, delivered_in_all=3)
        relay.signal(signal.SIGTERM)
        assert relay.ended() == 0
    assert locked["level"] == "error"
    said = json.dumps([*relay.said, health.json])
    assert "sdk-key-of" not in said
    assert len({arrival.payload_id for arrival in endpoint.arrivals}) == 1


def test_a_key_file_that_goes_away(path, store, endpoint, tmp_path) -> None:
    """The key stays in use, the line says what is wrong, and so does health."""
    file = tmp_path / "key"
    file.write_text(KEY)
    with RelayProcess(*options(path, endpoint, "--sdk-key-file", file, "--health=0")) as relay:
        relay.until("listening")
        file.unlink()
        assert "cannot be read" in relay.until("key_not_read")["message"]
        assert "cannot be read" in relay.ask("/health").json["key_problem"]
        store.record(rows(1))
        relay.ask_until(delivered=1)
    assert endpoint.arrivals[0].headers["authorization"] == KEY


def test_a_key_by_another_name(path, store, endpoint) -> None:
    """The environment variable may have any name."""
    store.record(rows(1))
    arguments = options(path, endpoint, "--drain", "--sdk-key-env=OTHER")
    assert ldtrack("relay", *arguments, OTHER="sdk-other").returncode == 0
    assert endpoint.arrivals[0].headers["authorization"] == "sdk-other"


# What it says


def test_what_is_said_of_health(path, store, endpoint) -> None:
    """Figures as JSON and in Prometheus' format, of this relay and of the ledger."""
    store.record(rows(3))
    hold = Hold(endpoint)
    with RelayProcess(*options(path, endpoint, "--health=127.0.0.1:0")) as relay:
        health = relay.ask_until(state="working", pending=3, attempts=1)
        assert health.status == 200
        assert health.headers["Content-Type"] == "application/json"
        assert health.json["oldest_age_seconds"] > 0
        assert (health.json["delivered"], health.json["attempts"], health.json["set_aside"]) == (0, 1, 0)
        assert (health.json["ledger"], health.json["spooled"]) == (str(path), None)
        hold.let_go()
        idle = relay.ask_until(state="idle", pending=0, delivered=3).json
        assert (idle["delivered_events"], idle["oldest_age_seconds"], idle["last_error"]) == (3, None, None)
        metrics = relay.ask("/metrics")
        assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        figures = figures_in(metrics.text)
        assert figures["ldtrack_relay_delivered_claims_total"] == 3
        assert figures["ldtrack_ledger_pending_claims"] == 0
        assert figures['ldtrack_relay_state{state="idle"}'] == 1
        assert relay.ask("/").status == 404
        assert relay.ask("/health", method="POST").status == 405


def figures_in(text: str) -> dict[str, float]:
    """The samples of Prometheus' format, each of them announced."""
    figures, announced = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            announced.add(line.split()[2])
        elif not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            assert name.partition("{")[0] in announced
            figures[name] = float(value)
    return figures


def test_no_event_and_no_key_in_any_line(path, store, endpoint) -> None:
    """Whatever goes wrong: lines are JSON with a time, a level and an event, and say nothing of content."""
    store.record(rows(20, secret="what-the-user-said"))
    answers = [Answer(500), Answer(400), Answer(413), Answer(429, headers={"Retry-After": "0"})]
    endpoint.script.extend([*answers, Answer(manner=Manner.CUT_AFTER), Answer(400), Answer(400)])
    done = ldtrack("relay", *options(path, endpoint, "--drain"))
    for line in lines_of(done.stderr):
        assert {"time", "level", "event"} <= set(line)
        assert str(line["time"]).endswith("Z")
    assert len(endpoint.arrivals) > 7
    assert "what-the-user-said" not in done.stderr
    assert KEY not in done.stderr


def test_lines_for_people(path, store, endpoint) -> None:
    """The same as text."""
    store.record(rows(2))
    done = ldtrack("relay", *options(path, endpoint, "--drain", "--log-format=text"))
    started, stopped = done.stderr.splitlines()
    assert f"INFO    started ledger={path}" in started
    assert "stopped code=0 delivered=2" in stopped


def test_nobody_reads_its_lines(path, store, endpoint) -> None:
    """A relay whose standard error is broken delivers nevertheless."""
    store.record(rows(2))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = ldtrack("relay", *options(path, endpoint, "--drain"), stderr=writing)
    finally:
        os.close(writing)
    assert done.returncode == 0
    assert keys_of(endpoint) == keys(2)
