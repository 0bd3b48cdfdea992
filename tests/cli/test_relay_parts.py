"""What `ldtrack relay` is made of: addresses, keys, lines, the gate, beginning anew."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from endpoint import Answer, Endpoint
from relay_process import KEY, rows, until

from ldtrack.cli import main
from ldtrack.cli.address import read_address
from ldtrack.cli.deliveries import Deliveries
from ldtrack.cli.errors import CommandError
from ldtrack.cli.gate import LONGEST_PROBE, Gate
from ldtrack.cli.key import FixedKey, KeyFile
from ldtrack.cli.lines import Lines
from ldtrack.cli.signals import Signals
from ldtrack.cli.watch import Onlooker, Watch
from ldtrack.core.batch import Batch, Standing
from ldtrack.core.receipts import Receipt, Verdict
from ldtrack.delivery import Relay, RelayState, RelayStats
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.sqlite import SQLiteStore
from ldtrack.testing.backlog import RecordingBacklog, RecordingDestination
from ldtrack.testing.clock import ManualClock

# Where a ledger is


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("/var/lib/l.db", "sqlite", "/var/lib/l.db"),
        ("sqlite:///var/lib/l.db", "sqlite", "/var/lib/l.db"),
        ("sqlite:////var/lib/l.db", "sqlite", "/var/lib/l.db"),
        ("sqlite:///var/a%20b.db", "sqlite", "/var/a b.db"),
        (
            "postgresql://ada:pass-word@host:5432/db?password=other-word",
            "postgres",
            "postgresql://host:5432/db",
        ),
        ("postgres://host/db", "postgres", "postgres://host/db"),
        ("host=h dbname=d password='pass-word'", "postgres", "postgres"),
        ("redis://:pass-word@host:6379/0", "redis", "redis://host:6379/0"),
        ("rediss://host", "redis", "rediss://host"),
        ("redis+sentinel://me:pass-word@a:1,b:2/main/0", "redis", "redis+sentinel://a:1,b:2/main/0"),
        ("unix:///run/redis.sock", "redis", "unix:///run/redis.sock"),
    ],
)
def test_where_a_ledger_is(text, kind, shown) -> None:
    """Every form names its kind, and what is shown of it holds no password."""
    address = read_address(text)
    assert (address.kind, address.shown) == (kind, shown)
    assert "word" not in address.shown + repr(address)


def test_a_path_is_one_of_the_present_folder(monkeypatch, tmp_path) -> None:
    """A relative path is made whole once, so that nobody has to guess."""
    monkeypatch.chdir(tmp_path)
    assert read_address("l.db").shown == str(tmp_path / "l.db")
    assert read_address("./host=1.db").kind == "sqlite"


def test_an_address_in_the_environment() -> None:
    """What must not be in an argument list is in a variable."""
    assert read_address("env:PLACE", {"PLACE": "redis://h/0"}).shown == "redis://h/0"
    with pytest.raises(CommandError, match="PLACE does not say"):
        read_address("env:PLACE", {})


@pytest.mark.parametrize(
    "text", ["", ":memory:", "sqlite://l.db", "sqlite:///", "mysql://h/d", "redis://[h/0"]
)
def test_an_address_of_nothing(text) -> None:
    """What is no place for a ledger is refused as wrong usage."""
    with pytest.raises(CommandError, match=r"ledger|file") as refused:
        read_address(text)
    assert refused.value.code == 2


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:se%2Fcret@h/d",
        "postgresql://h/d?user=ada&password=se/cret",
        "host=h password = 'se/cret'",
        "host=h password=se/cret port=1",
    ],
)
def test_passwords_are_hidden_wherever_they_stand(text) -> None:
    """As it was written, and as the server gets it."""
    hidden = read_address(text).hide(f"{text} and se/cret and se%2Fcret")
    assert "cret" not in hidden.replace("se%2Fcret", "" if "%2F" in text else "se%2Fcret").replace(
        "%2Fcret", ""
    )
    assert "se/cret" not in hidden


def test_a_short_password_is_not_worth_hiding() -> None:
    """A password that is a word of every sentence would hide the sentences."""
    assert read_address("redis://:a@h/0").hide("a host") == "a host"


# Keys


def test_a_key_file_is_read_again(tmp_path) -> None:
    """Whoever asks gets what the file holds now; line ends are no part of it."""
    file = tmp_path / "key"
    file.write_text(" sdk-one\r\n")
    key = KeyFile(file)
    assert (key(), key.changes, key.known) == ("sdk-one", 0, ("sdk-one",))
    file.write_text("sdk-two\n")
    assert (key(), key.changes, key.known) == ("sdk-two", 1, ("sdk-two", "sdk-one"))
    assert (key(), key.changes) == ("sdk-two", 1)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", None])
def test_a_key_file_that_is_being_replaced(content, tmp_path) -> None:
    """Without a key in the file the last one stays, and the problem is known until it is gone."""
    file = tmp_path / "key"
    file.write_text("sdk-one")
    key = KeyFile(file)
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert key() == "sdk-one"
    assert key.problem is not None
    assert str(file) in key.problem
    file.write_text("sdk-two")
    assert (key(), key.problem) == ("sdk-two", None)
    file.unlink()
    with pytest.raises(CommandError, match="cannot be read"):
        KeyFile(file)


def test_no_key_is_nothing_to_hide() -> None:
    """A destination that needs no key has none."""
    assert (FixedKey().known, FixedKey("sdk").known) == ((), ("sdk",))


# Lines


def lines_with(*secrets: str, form: str = "json") -> tuple[Lines, io.StringIO]:
    stream = io.StringIO()
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)
    return Lines(form, stream=stream, secrets=lambda: secrets, now=lambda: moment), stream


def test_a_line_is_a_json_object() -> None:
    """Time, level, event, and those fields that are known; on one line whatever is in it."""
    lines, stream = lines_with()
    lines.warning("failing", reason="two\nlines", pending=None, count=3, path=Path("/l"))
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue()) == {
        "time": "2026-01-02T03:04:05.678Z",
        "level": "warning",
        "event": "failing",
        "reason": "two\nlines",
        "count": 3,
        "path": "/l",
    }


def test_a_line_of_text() -> None:
    """What could be mistaken for two fields, or two lines, is quoted."""
    lines, stream = lines_with(form="text")
    lines.error("locked", reason="a b", more="x=y\n", empty="", plain="it")
    assert stream.getvalue() == (
        '2026-01-02T03:04:05.678Z ERROR   locked reason="a b" more="x=y\\n" empty="" plain=it\n'
    )


def test_secrets_are_hidden_in_every_field() -> None:
    """In what others say as well."""
    lines, stream = lines_with("sdk-secret")
    with lines.taking_logs():
        lines.info("started", what="key sdk-secret!")
        logging.getLogger("ldtrack").warning("answered: %s", "unknown key sdk-secret")
    assert stream.getvalue().count("<hidden>") == 2
    assert "sdk-secret" not in stream.getvalue()


def test_what_libraries_log_becomes_lines() -> None:
    """Ours from INFO on, others' warnings; an error by its type, its message being the logger's to tell."""
    lines, stream = lines_with()
    with lines.taking_logs():
        logging.getLogger("ldtrack").info("it went well")
        logging.getLogger("other").info("chatter")
        try:
            raise OSError("secret details")
        except OSError:
            logging.getLogger("other").exception("it did not")
    logging.getLogger("ldtrack").warning("too late")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["logger"], first["message"]) == ("log", "ldtrack", "it went well")
    assert (second["level"], second["error"]) == ("error", "OSError")
    assert "secret details" not in stream.getvalue()


def test_a_stream_that_is_gone() -> None:
    """Nothing that goes wrong with a line stops who writes it."""
    lines, stream = lines_with()
    stream.close()
    lines.info("started")


# The gate


async def leased(gate: Gate) -> Batch:
    batch = await gate.lease(owner="o", limit=2, max_chars=1000, seconds=60)
    assert batch is not None
    return batch


def is_quiet(gate: Gate) -> bool:
    """Whether nothing is on loan."""
    waiting = gate.quiet()
    try:
        waiting.send(None)
    except StopIteration:
        return True
    waiting.close()
    return False


@pytest.fixture
def backlog() -> RecordingBacklog:
    backlog = RecordingBacklog()
    backlog.add("{1}", "{2}", "{3}", "{4}")
    return backlog


async def test_a_closed_gate_lends_nothing(backlog) -> None:
    """What is on loan may come back; it is quiet when all of it has."""
    gate = Gate(backlog)
    assert is_quiet(gate)
    first, second = await leased(gate), await leased(gate)
    backlog.add("{5}")
    gate.close()
    assert await gate.lease(owner="o", limit=2, max_chars=1000, seconds=60) is None
    await gate.delivered(first)
    assert not is_quiet(gate)
    await gate.set_aside(second, "refused")
    assert is_quiet(gate)
    assert await gate.standing() == backlog.store.standing()


async def test_it_is_not_quiet_while_it_is_asked(backlog) -> None:
    """A batch that is being lent when the gate closes is waited for."""
    gate = Gate(backlog)
    asking = asyncio.ensure_future(leased(gate))
    await asyncio.sleep(0)
    gate.close()
    assert not is_quiet(gate)
    batch = await asking
    assert not is_quiet(gate)
    await gate.postpone(batch, 1)
    assert is_quiet(gate)


async def test_halves_are_on_loan_as_well(backlog) -> None:
    """Both have to come back; a batch whose loan was lost is nobody's affair."""
    gate = Gate(backlog)
    batch = await leased(gate)
    halves = await gate.split(batch)
    assert halves is not None
    for half in halves:
        assert not is_quiet(gate)
        await gate.delivered(half)
    assert is_quiet(gate)
    other = await leased(gate)
    backlog.store.delivered(other)
    assert await gate.split(other) is None
    assert is_quiet(gate)


async def test_a_backlog_that_fails_lets_nobody_wait(backlog) -> None:
    """A batch that cannot be given back comes back by itself; one that has arrived is asked for again."""
    gate = Gate(backlog)
    first, second = await leased(gate), await leased(gate)
    backlog.fail_next()
    with pytest.raises(LedgerError, match="as it was told to"):
        await gate.postpone(first, 1)
    backlog.fail_next()
    with pytest.raises(LedgerError, match="as it was told to"):
        await gate.delivered(second)
    assert not is_quiet(gate)
    await gate.delivered(second)
    assert is_quiet(gate)


@pytest.mark.parametrize(
    ("is_locked", "seconds", "later"),
    [(True, 70, 1), (True, LONGEST_PROBE + 1, LONGEST_PROBE + 1), (False, 70, 70), (True, 0.5, 0.5)],
)
async def test_what_a_locked_relay_put_off_is_there_soon(is_locked, seconds, later) -> None:
    """So that it can go at once when the key is right; what lets others go first keeps its turn."""
    clock = ManualClock()
    backlog = RecordingBacklog(clock)
    backlog.add("{1}")
    gate = Gate(backlog, is_locked=lambda: is_locked)
    await gate.postpone(await leased(gate), seconds)
    clock.advance(later - 0.1)
    assert await gate.lease(owner="o", limit=2, max_chars=1000, seconds=60) is None
    clock.advance(0.2)
    await leased(gate)


# Beginning anew


async def test_all_beginnings_are_counted(backlog) -> None:
    """A relay that waits begins anew when it is told to, and what the last one did still counts."""
    destination = RecordingDestination()
    destination.answer_next(Receipt(Verdict.LOCKED, "no such key"))
    deliveries = Deliveries(lambda: Relay(Gate(backlog), destination, batch_rows=2, interval=0.001))
    running = asyncio.ensure_future(deliveries.run())
    await until(lambda: deliveries.is_locked)
    deliveries.try_now()
    await until(lambda: deliveries.stats.delivered == 2)
    stats = deliveries.stats
    assert (stats.attempts, stats.delivered, stats.last_error) == (2, 2, "no such key")
    deliveries.try_now()  # one that does not wait is only hurried
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_a_relay_that_ends_is_an_error(backlog) -> None:
    """What should never happen is not waited for in silence."""

    class Broken(Relay):
        async def run(self) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Deliveries(lambda: Broken(backlog, RecordingDestination())).run()


# Looking


class SlowLedger:
    """Says how it stands when it is told to."""

    def __init__(self) -> None:
        self.questions = 0
        self.answer: asyncio.Future[Standing] = asyncio.get_running_loop().create_future()

    async def standing(self) -> Standing:
        self.questions += 1
        return await asyncio.shield(self.answer)


async def test_one_question_for_many_who_ask(monkeypatch) -> None:
    """However many ask for health, the ledger is asked once; one that hangs is not waited for for ever."""
    monkeypatch.setattr("ldtrack.cli.watch._PATIENCE", 0.0)
    ledger: Any = SlowLedger()
    onlooker = Onlooker(ledger)
    await asyncio.gather(onlooker.look(), onlooker.look())
    assert ledger.questions == 1
    assert "has not answered" in str(onlooker.error)
    ledger.answer.set_result(Standing(pending=3))
    await onlooker.aclose()
    assert (onlooker.standing, onlooker.error) == (Standing(pending=3), None)
    await onlooker.look(max_age=3600)
    assert ledger.questions == 1
    await onlooker.look(max_age=0)
    assert ledger.questions == 2
    await Onlooker(ledger).aclose()


class Said(Lines):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(stream=io.StringIO())
        self.events: list[str] = []

    def write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.events.append(event)


class FakeDeliveries:
    """As many states as a test wants, one after the other."""

    is_locked = False
    stats = RelayStats()


async def test_troubles_are_told_once() -> None:
    """Trouble, worse trouble, and that it is over: when something was delivered, and not before."""
    deliveries, lines, ledger = FakeDeliveries(), Said(), SlowLedger()
    ledger.answer.set_result(Standing())
    anything: Any = deliveries
    watch = Watch(anything, Onlooker(ledger), FixedKey("sdk"), lines)  # type: ignore[arg-type] # a fake
    idle, waiting, locked = RelayState.IDLE, RelayState.WAITING, RelayState.LOCKED
    for state, delivered in [
        *((idle, 0), (waiting, 0), (waiting, 0), (idle, 0), (locked, 0), (locked, 0)),
        *((waiting, 0), (idle, 1), (idle, 1), (locked, 1)),
    ]:
        deliveries.stats = RelayStats(state=state, delivered=delivered, attempts=delivered)
        await watch.look()
    assert lines.events == ["failing", "locked", "recovered", "locked"]
    await watch.tell_progress()
    await watch.tell_progress()
    assert lines.events[4:] == ["progress"]


# Signals


async def test_signals_in_another_thread_change_nothing() -> None:
    """Only the main thread may ask for signals; a relay elsewhere does without."""
    before = signal.getsignal(signal.SIGTERM)

    async def enter() -> None:
        with Signals(lambda name: None, lambda: None):
            assert signal.getsignal(signal.SIGTERM) is before

    thread = threading.Thread(target=lambda: asyncio.run(enter()))
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
async def test_the_handlers_that_were_there_come_back() -> None:
    """After its block, signals do what they did before."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    told: list[str] = []
    with Signals(told.append, lambda: told.append("look")):
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        await until(lambda: len(told) == 2)
    assert told == ["look", "SIGTERM"]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)) == before


# The whole of it, in this process


@pytest.fixture
def endpoint(monkeypatch):
    monkeypatch.setenv("LAUNCHDARKLY_SDK_KEY", KEY)
    with Endpoint() as endpoint:
        yield endpoint


def test_in_this_process(tmp_path, endpoint, capsys) -> None:
    """A drain with a health endpoint; nothing of it is left behind."""
    before = threading.active_count(), signal.getsignal(signal.SIGTERM), logging.getLogger().handlers[:]
    store = SQLiteStore(tmp_path / "l.db")
    store.record(rows(5))
    arguments = ["relay", "--ledger", str(tmp_path / "l.db"), "--events-uri", endpoint.uri]
    assert main([*arguments, "--drain", "--health=[::1]:0", "--sdk-key-env=LAUNCHDARKLY_SDK_KEY"]) == 0
    assert len(endpoint.events) == 5
    endpoint.judge = lambda _: Answer(401)
    store.record(rows(1, first=5))
    assert main([*arguments, "--drain"]) == 4
    endpoint.judge = lambda _: Answer(500)
    assert main([*arguments, "--drain", "--timeout=0.01"]) == 1
    store.close()
    assert capsys.readouterr().out == ""
    assert signal.getsignal(signal.SIGTERM) is before[1]
    assert logging.getLogger().handlers == before[2]


@pytest.mark.parametrize(
    "argument",
    [
        *("--batch-rows=0", "--batch-chars=x", "--concurrency=-1", "--interval=0", "--loan=nan"),
        *("--timeout=-1", "--grace=inf", "--grace=soon", "--log-format=xml", "--sdk-key=sdk-1"),
    ],
)
def test_an_option_that_makes_no_sense(argument, capsys) -> None:
    """It is refused before anything is opened: 2."""
    with pytest.raises(SystemExit) as exited:
        main(["relay", "--ledger=l.db", argument])
    assert exited.value.code == 2
    assert "usage: ldtrack relay" in capsys.readouterr().err


def test_the_key_is_here_or_there(capsys) -> None:
    """A variable and a file exclude each other: 2."""
    with pytest.raises(SystemExit):
        main(["relay", "--ledger=l.db", "--sdk-key-env=A", "--sdk-key-file=b"])
    assert "not allowed with" in capsys.readouterr().err


def test_it_documents_itself(capsys) -> None:
    """--help has examples, the signals and the exit codes."""
    with pytest.raises(SystemExit) as exited:
        main(["relay", "--help"])
    assert exited.value.code == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("examples:", "SIGHUP", "exit codes:", "--sdk-key-file"))


def test_a_file_of_json_lines_needs_a_name(tmp_path, capsys) -> None:
    """And nothing of a network: 2."""
    for more in (["--to=jsonl:"], ["--to=jsonl:x", "--events-uri=http://h"]):
        assert main(["relay", "--ledger", str(tmp_path / "l.db"), *more]) == 2
        assert "JSON lines" in capsys.readouterr().err


@pytest.mark.parametrize("is_hasty", [True, False])
async def test_what_others_put_off_is_due_through_the_gate(is_hasty: bool) -> None:
    """A relay that begins asks for it; a backlog that knows nothing of it is left alone."""
    backlog = RecordingBacklog()
    backlog.add("{}")
    gate = Gate(backlog)
    await gate.postpone(await leased(gate), 600)
    backlog.clock.advance(20)  # type: ignore[attr-defined]  # its own clock, which stands still
    if not is_hasty:
        backlog.hasten = None  # type: ignore[assignment,method-assign]  # a backlog without it
    await gate.hasten(10)
    assert (await gate.lease(owner="us", limit=1, max_chars=9, seconds=60) is not None) is is_hasty
