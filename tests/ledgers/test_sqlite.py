"""What a SQLite store does beyond the contract: its file, its versions, its housekeeping."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
import sqlite3
import stat
from pathlib import Path

import attrs
import pytest
from store_kits import SQLiteKit, a_row, rows_of_run

from ldtrack.core.row import FIRST_CLAIMANT
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers import SQLiteLedger
from ldtrack.ledgers.sqlite import SQLiteStore, housekeeping, opening, schema
from ldtrack.ledgers.store import UnavailableError

DAY = 86_400.0
FOREVER = 10**9


@pytest.fixture
def kit(request):
    """A file, and the stores that are opened on it."""
    kit = SQLiteKit(request)
    yield kit
    kit.destroy()


@pytest.fixture
def store(kit):
    """The store under test."""
    return kit.open()


def ask(path: Path, question: str):
    """What a tool that knows nothing of ledgers reads in the file."""
    with sqlite3.connect(path) as connection:
        answer = connection.execute(question).fetchall()
    connection.close()
    return answer


class Listening:
    """A connection that remembers what it was asked."""

    def __init__(self, connection):
        self._connection = connection
        self.heard = []

    def execute(self, statement, parameters=()):
        self.heard.append(statement.split()[0])
        return self._connection.execute(statement, parameters)

    def __getattr__(self, name):
        return getattr(self._connection, name)


def statements_of(store, work):
    """The statements that a call executes."""
    store.standing()
    connection = Listening(store._file._opened.connection)
    store._file._opened = attrs.evolve(store._file._opened, connection=connection)
    work()
    return connection.heard


# What it is made with


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("a.db", {"synchronous": "OFF"}, "synchronous must be 'FULL' or 'NORMAL', got 'OFF'"),
        ("", {}, "needs the path of a file"),
        (":memory:", {}, "needs the path of a file, got ':memory:'"),
        ("a.db", {"keep_claims": 0}, "keep_claims must be positive, got 0"),
        ("a.db", {"busy_timeout": -1}, "busy_timeout must not be negative, got -1"),
    ],
)
def test_wrong_options_are_refused_at_once(path, options, message):
    """With the value, before any file is touched."""
    with pytest.raises(ValueError, match=message):
        SQLiteStore(path, **options)


def test_a_store_that_was_not_used_has_no_file(kit, store):
    """It is made by the first call, so that a process may fork in between."""
    store.close()
    assert not kit.path.exists()


def test_a_batch_needs_room_for_a_row(store):
    """A limit of nought would wait for ever."""
    with pytest.raises(ValueError, match="at least one row, got limit=0"):
        store.lease("ada", 0, 100, 60)


def test_a_single_row_cannot_be_halved(store):
    """Whoever asks for that has not looked."""
    store.record([a_row()])
    with pytest.raises(ValueError, match="one row cannot be split"):
        store.split(store.lease("ada", 1, 100, 60), "ada", 60)


@pytest.mark.parametrize("synchronous", [("FULL", 2), ("NORMAL", 1)], ids=lambda pair: pair[0])
def test_commits_are_as_durable_as_asked_for(kit, synchronous):
    """SQLite is told."""
    store = kit.open(synchronous=synchronous[0])
    assert store._file.run(lambda c: c.execute("PRAGMA synchronous").fetchone()) == (synchronous[1],)


# One step each: between two, a busy process keeps the interpreter's lock for milliseconds


@pytest.mark.parametrize("count", [1, 3, 700, 4096])
def test_recording_is_one_statement(store, count):
    """Begin, claims, rows and commit at once."""
    assert statements_of(store, lambda: store.record(rows_of_run(count))) == ["INSERT"]


def test_recording_duplicates_is_two_statements(store):
    """The second asks who is there."""
    store.record(rows_of_run(5))
    assert statements_of(store, lambda: store.record(rows_of_run(9))) == ["INSERT", "WITH"]


def test_a_relay_needs_three_statements_for_a_batch(store):
    """Look for an old one, take a new one, and delete it."""
    store.record(rows_of_run(100))
    batch = None

    def carry():
        nonlocal batch
        batch = store.lease("ada", 100, FOREVER, 60)
        store.delivered(batch)

    assert statements_of(store, carry) == ["UPDATE", "INSERT", "UPDATE"]
    assert len(batch.bodies) == 100


def test_bodies_that_are_no_json_come_back_whole(store):
    """Even the character that separates bodies on their way out of SQLite."""
    rows = [a_row(place=0, body="a\x1eb"), a_row(place=1, body=""), a_row(place=2, body="\x1e")]
    store.record(rows)
    assert store.lease("ada", 10, 100, 60).bodies == ("a\x1eb", "", "\x1e")


def test_rows_of_a_batch_are_what_was_recorded(store):
    """Spools bring them to another ledger, claimants and all."""
    rows = rows_of_run(3)
    store.record(rows)
    batch = store.lease("ada", 10, FOREVER, 60)
    assert store.rows_of(batch) == rows
    store.delivered(batch)
    assert store.rows_of(batch) == []


@pytest.mark.parametrize("before", [0, 4096])
def test_a_row_that_fails_takes_its_call_along(kit, store, before):
    """However many were stored before it in the same call."""
    store.standing()
    ask(
        kit.path,
        "CREATE TRIGGER fails BEFORE INSERT ON claims WHEN new.run_id = 'bad'"
        " BEGIN SELECT raise(ABORT, 'refused'); END",
    )
    rows = [*rows_of_run(before + 5), a_row("bad"), *rows_of_run(3, "run-2")]
    with pytest.raises(LedgerError, match="refused"):
        store.record(rows)
    assert store.standing().pending == 0
    assert ask(kit.path, "SELECT count(*) FROM claims") == [(0,)]
    ask(kit.path, "DROP TRIGGER fails")
    assert store.record(rows) == [True] * len(rows)


# The clock


def test_a_clock_set_back_brings_postponed_batches_back(kit, store):
    """What was postponed an hour ahead of now is not kept for an hour; a second is no setting back."""
    store.record([a_row()])
    batch = store.lease("ada", 1, 100, 60)
    store.postpone(batch, "ada", 30)
    kit.pass_time(-1)
    assert store.lease("bob", 1, 100, 60) is None
    kit.pass_time(-1)
    assert store.lease("bob", 1, 100, 60).payload_id == batch.payload_id


# The file


def test_only_the_owner_may_read_the_files(kit, store):
    """The file and those that SQLite puts beside it."""
    store.record([a_row()])
    for path in (kit.path, Path(f"{kit.path}-wal"), Path(f"{kit.path}-shm")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_where_making_files_unopened_is_forbidden_they_are_private_too(kit, store, monkeypatch):
    """Some systems keep `mknod` for the administrator, and some have none."""

    def forbidden(*arguments):
        raise PermissionError(1, "not you")

    monkeypatch.setattr(os, "mknod", forbidden)
    assert store.record([a_row()]) == [True]
    assert stat.S_IMODE(kit.path.stat().st_mode) == 0o600
    store.close()
    assert store.record([a_row()]) == [False]


def test_a_path_is_taken_as_it_is(tmp_path, monkeypatch):
    """Odd characters, relative to where the process was when it was given, text or path."""
    monkeypatch.chdir(tmp_path)
    store = SQLiteStore("a b?c#%20ü.db")
    monkeypatch.chdir("/")
    store.record([a_row()])
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a b?c#%20ü.db"]


def test_a_link_leads_to_the_file(kit, tmp_path):
    """And what is beside the file is found there."""
    row = a_row()
    kit.open().record([row])
    link = tmp_path / "link.db"
    link.symlink_to(kit.path)
    store = SQLiteStore(link)
    assert store.record([row, a_row()]) == [True, False]
    store.close()


def test_an_empty_file_becomes_a_ledger(kit, store):
    """Somebody has made it for us."""
    kit.path.touch()
    assert store.record([a_row()]) == [True]


def test_the_last_to_close_leaves_one_file(kit, store, tmp_path):
    """Which is then all there is to copy."""
    other = kit.open()
    store.record([a_row()])
    other.standing()
    store.close()
    other.close()
    assert [path.name for path in tmp_path.iterdir()] == [kit.path.name]


def test_other_tools_know_what_the_file_is(kit, store):
    """By its application id; run ids can be read."""
    store.record([a_row("run-7")])
    assert ask(kit.path, "PRAGMA application_id") == [(schema.APPLICATION_ID,)]
    assert ask(kit.path, "SELECT run_id FROM claims") == [("run-7",)]


# Versions


@pytest.fixture
def next_version(monkeypatch):
    """What a later version of ldtrack would make of the file."""
    step = ("ALTER TABLE tally ADD COLUMN colour TEXT", "UPDATE tally SET colour = 'red'")
    monkeypatch.setattr(schema, "VERSIONS", (*schema.VERSIONS, step))
    monkeypatch.setattr(opening, "VERSIONS", schema.VERSIONS)


def test_an_older_file_is_brought_up_to_date(kit, request):
    """Nothing in it is lost, and it is done once."""
    row = a_row()
    store = kit.open()
    store.record([row])
    store.close()
    request.getfixturevalue("next_version")
    stores = [kit.open(), kit.open()]
    assert [one.record([row, a_row()]) for one in stores] == [[True, False]] * 2
    assert ask(kit.path, "SELECT colour FROM tally") == [("red",)]
    assert ask(kit.path, "PRAGMA user_version") == [(2,)]


def test_a_migration_that_fails_changes_nothing(kit, monkeypatch):
    """The file stays of the version that it was."""
    kit.open().record([a_row()])
    versions = (*schema.VERSIONS, ("ALTER TABLE tally ADD COLUMN colour TEXT", "DELETE FROM nowhere"))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSIONS", versions)
        patch.setattr(opening, "VERSIONS", versions)
        with pytest.raises(LedgerError, match="no such table: nowhere"):
            kit.open().standing()
    assert ask(kit.path, "PRAGMA user_version") == [(1,)]
    assert kit.open().standing().pending == 1


def test_a_newer_file_is_left_alone(kit, store):
    """The error says which versions, and what to do."""
    store.record([a_row()])
    store.close()
    ask(kit.path, "PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match=r"newer ldtrack: its schema has version 99.*upgrade ldtrack here"):
        kit.open().record([a_row()])


def test_a_viewer_does_not_migrate(kit, request):
    """It says that somebody has to open the file for writing."""
    kit.open().record([a_row()])
    request.getfixturevalue("next_version")
    with pytest.raises(LedgerError, match=r"by an older ldtrack.*open it for writing once"):
        kit.open(read_only=True).standing()


def test_the_database_of_another_application_is_left_alone(kit, store):
    """A ledger wants a file of its own."""
    ask(kit.path, "CREATE TABLE customers (name TEXT)")
    with pytest.raises(
        LedgerError, match=r"database of another application; give the ledger a file of its own"
    ):
        store.record([a_row()])
    assert ask(kit.path, "SELECT name FROM sqlite_schema") == [("customers",)]


def test_an_old_sqlite_is_refused(store, monkeypatch):
    """With its version, and the one that is needed."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(LedgerError, match=r"needs 3.35.0 or newer"):
        store.record([a_row()])


def test_a_file_system_without_shared_memory_is_refused(store, monkeypatch):
    """There the journal's mode does not change, and processes could not share the file."""
    monkeypatch.setattr(schema, "JOURNAL", "DELETE")
    with pytest.raises(LedgerError, match=r"cannot share memory.*local disk"):
        store.record([a_row()])


# Viewers


def test_a_viewer_sees_what_others_write(kit, store):
    """At once, and in the middle of their transactions without waiting."""
    viewer = kit.open(read_only=True, busy_timeout=0)
    store.record(rows_of_run(2))
    assert viewer.standing().pending == 2
    with kit.outage():
        assert viewer.standing().pending == 2
    store.record(rows_of_run(3, "run-2"))
    assert viewer.standing().pending == 5
    store.set_aside(store.lease("ada", 1, 100, 60), "no")
    assert [one.reason for one in viewer.aside(10)] == ["no"]


@pytest.mark.parametrize("is_at_rest", [False, True])
def test_a_viewer_writes_nothing(kit, store, is_at_rest):
    """Whatever it is asked for; an error says so."""
    row = a_row()
    store.record([row])
    batch = store.lease("ada", 1, 100, 60)
    if is_at_rest:
        store.close()
    viewer = kit.open(read_only=True)
    for call in (
        lambda: viewer.record([row]),
        lambda: viewer.lease("ada", 1, 100, 60),
        lambda: viewer.delivered(batch),
        lambda: viewer.tidy(1_700_000_000_000),
        viewer.vacuum,
    ):
        with pytest.raises(LedgerError, match="can only be read"):
            call()


def test_a_viewer_of_a_file_at_rest_leaves_no_trace(kit, store, tmp_path):
    """No files beside it, which would be the viewer's own; and it sees later writers all the same."""
    store.record([a_row()])
    store.close()
    viewer = kit.open(read_only=True)
    assert viewer.standing().pending == 1
    assert [path.name for path in tmp_path.iterdir()] == [kit.path.name]
    store.record([a_row("other")])
    assert viewer.standing().pending == 2


def test_a_viewer_of_a_file_that_is_being_written_asks_again(kit, store):
    """Where it could not tell the writer that it reads, it does not trust what it has read."""
    store.record([a_row()])
    store.close()
    viewer = kit.open(read_only=True)
    with pytest.raises(UnavailableError, match=r"was written while it was being read"):
        viewer._file.run(lambda connection: os.utime(kit.path, (1, 1)))
    assert viewer.standing().pending == 1


@pytest.mark.parametrize("make", [lambda path: None, Path.touch], ids=["missing", "empty"])
def test_a_viewer_makes_no_ledger(kit, make):
    """A file that is not there, or has nothing in it, is not made."""
    make(kit.path)
    with pytest.raises(LedgerError, match=r"cannot be opened|by an older ldtrack, or never"):
        kit.open(read_only=True).standing()
    assert not kit.path.exists() or kit.path.stat().st_size == 0


# Housekeeping


def tidy_all(store, now_ms):
    """All steps that there are; returns how many."""
    for steps in itertools.count(1):
        if not store.tidy(now_ms):
            return steps
    raise AssertionError


def test_old_claims_are_forgotten(kit, monkeypatch):
    """Step by step: those that no token is about any more, and of repeatable metrics those of a week ago."""
    monkeypatch.setattr(housekeeping, "CLAIMS_AT_ONCE", 3)
    store = kit.open(keep_claims=30 * DAY)
    now = 1_700_000_000_000
    ages = {"new": 1, "week": 8, "month": 29, "old": 31}
    for name, days in ages.items():
        at_ms = now - int(days * DAY * 1000)
        store.record([a_row(name, place, at_ms=at_ms) for place in (0, 4, FIRST_CLAIMANT + 5)])
    assert tidy_all(store, now) == 5
    kept = ask(kit.path, "SELECT run_id, place FROM claims ORDER BY run_id, place")
    assert kept == [
        *[("month", 0), ("month", 4)],
        *[("new", 0), ("new", 4), ("new", FIRST_CLAIMANT + 5)],
        *[("week", 0), ("week", 4)],
    ]
    assert store.standing().pending == 12


def test_a_ledger_in_a_file_has_no_spool(tmp_path):
    """In which a repeatable metric's row could wait for longer than its claim is remembered."""
    assert "spool" not in inspect.signature(SQLiteLedger).parameters
    assert SQLiteLedger(tmp_path / "ledger.db").spooled is None


def test_claims_are_walked_once_a_day(kit, store):
    """By whoever comes first; a walk that was interrupted goes on."""
    now = 1_700_000_000_000
    store.record([a_row(at_ms=0)])
    store.tidy(now)
    assert ask(kit.path, "SELECT count(*) FROM claims") == [(0,)]
    store.record([a_row(at_ms=0)])
    for later, left in ((1000, 1), (int(DAY * 1000) - 1, 1), (int(DAY * 1000), 0)):
        kit.open().tidy(now + later)
        assert ask(kit.path, "SELECT count(*) FROM claims") == [(left,)]


def test_a_clock_set_back_does_not_stop_the_walk(kit, store):
    """A walk in the future counts for nothing."""
    store.record([a_row(at_ms=0)])
    store.tidy(1_900_000_000_000)
    store.record([a_row(at_ms=0)])
    store.tidy(1_800_000_000_000)
    assert ask(kit.path, "SELECT count(*) FROM claims") == [(0,)]


def fill_and_empty(store, rows=3000):
    """Leave a large hole in the file."""
    store.record([a_row(place=FIRST_CLAIMANT + at, body="x" * 3000) for at in range(rows)])
    while batch := store.lease("ada", 1000, FOREVER, 60):
        store.delivered(batch)


def test_room_is_given_back_step_by_step(kit, store, monkeypatch):
    """Some is kept for what comes next."""
    monkeypatch.setattr(housekeeping, "SPARE_PAGES", 300)
    fill_and_empty(store)
    [(before,)] = ask(kit.path, "PRAGMA freelist_count")
    assert before > 1000
    now = 1_700_000_000_000
    steps = tidy_all(store, now)
    [(after,)] = ask(kit.path, "PRAGMA freelist_count")
    assert 300 - housekeeping.PAGES_AT_ONCE <= after <= 300
    assert steps >= (before - after) // housekeeping.PAGES_AT_ONCE
    assert store.tidy(now) is False


def test_a_vacuum_gives_all_room_back(kit, store):
    """The file has the size of what is in it."""
    store.record([a_row()])
    fill_and_empty(store)
    store.vacuum()
    assert ask(kit.path, "PRAGMA freelist_count") == [(0,)]
    assert kit.path.stat().st_size < 1_000_000
    assert Path(f"{kit.path}-wal").stat().st_size == 0
    assert store.record([a_row()]) == [False]


def test_a_file_that_cannot_shrink_is_left_so(kit, store, monkeypatch):
    """Somebody else began it, in another way; housekeeping ends all the same."""
    monkeypatch.setattr(housekeeping, "SPARE_PAGES", 10)
    ask(kit.path, "PRAGMA user_version = 0")
    with contextlib.closing(sqlite3.connect(kit.path)) as other:
        other.execute("CREATE TABLE passing (a)")
        other.execute("DROP TABLE passing")
    fill_and_empty(store, 500)
    store.vacuum()
    assert tidy_all(store, 1_700_000_000_000) == 1
    assert ask(kit.path, "PRAGMA freelist_count") > [(10,)]


@pytest.fixture
def short_log(monkeypatch):
    """A log is long sooner, so that a test can make one."""
    monkeypatch.setattr(housekeeping, "LONG_LOG", 100_000)
    monkeypatch.setattr(housekeeping, "LONGEST_LOG", 200_000)
    monkeypatch.setattr(housekeeping, "RECORDS_PER_LOOK", 4)
    monkeypatch.setattr(housekeeping, "READERS_MS", 1)


def wal_size(kit):
    return Path(f"{kit.path}-wal").stat().st_size


def test_a_long_log_is_shortened_while_recording(kit, short_log):
    """Nobody has to be idle for that."""
    store = kit.open()
    for at in range(200):
        store.record([a_row(place=at, body="x" * 3000)])
    assert wal_size(kit) < 300_000


def test_a_long_log_is_shortened_when_idle(kit, store, short_log):
    """When there is nothing else to do."""
    store.record([a_row(place=at, body="x" * 3000) for at in range(60)])
    assert wal_size(kit) > 100_000
    tidy_all(store, 1_700_000_000_000)
    assert wal_size(kit) == 0


def test_a_long_reader_delays_the_shortening_and_nothing_else(kit, short_log):
    """Recording goes on; when the reader is done, the log is short again."""
    store = kit.open()
    store.record([a_row()])
    reader = sqlite3.connect(kit.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM claims").fetchall()
    for at in range(100):
        assert store.record([a_row("more", at, body="x" * 3000)]) == [True]
    assert wal_size(kit) > 500_000
    reader.execute("COMMIT")
    reader.close()
    for at in range(100, 200):
        store.record([a_row("more", at, body="x" * 3000)])
    assert wal_size(kit) < 500_000


def test_a_log_that_cannot_be_shortened_fails_no_claim(kit, short_log, monkeypatch):
    """What was recorded is recorded."""
    store = kit.open()

    def fails(self, connection):
        raise sqlite3.OperationalError("no luck")

    monkeypatch.setattr(housekeeping.Housekeeping, "_shorten", fails)
    for at in range(200):
        assert store.record([a_row(place=at, body="x" * 3000)]) == [True]


def test_refused_rows_are_tried_again_in_parts(kit, store, monkeypatch):
    """Others want to write as well."""
    monkeypatch.setattr("ldtrack.ledgers.sqlite.statements.ASIDE_AT_ONCE", 3)
    store.record(rows_of_run(10))
    store.set_aside(store.lease("ada", 10, FOREVER, 60), "no")
    assert store.retry_aside() == 10
    store.set_aside(store.lease("ada", 10, FOREVER, 60), "no")
    assert store.discard_aside() == 10
    assert store.standing().set_aside == 0


def test_a_step_of_the_walk_reads_no_further(store):
    """It is bounded by the key it ends at, so that the last of ten million claims cost what the first do."""
    plan = store._file.run(
        lambda c: c.execute(
            f"EXPLAIN QUERY PLAN {housekeeping._FORGET_UP_TO}", ("a", 1, 0, 0, 0, "b", 1)
        ).fetchall()
    )
    [(*_, detail)] = plan
    assert detail.startswith("SEARCH claims USING PRIMARY KEY")
    assert "(run_id,place)>(?,?) AND (run_id,place)<(?,?)" in detail


def test_standing_is_read_without_counting_rows(store):
    """No plan walks a table: a backlog of millions answers as quickly as none."""
    from ldtrack.ledgers.sqlite import statements

    plan = store._file.run(lambda c: c.execute(f"EXPLAIN QUERY PLAN {statements.STANDING}").fetchall())
    walks = [detail for *_, detail in plan if detail.startswith("SCAN")]
    # `pending` is read from its first row, and no further.
    assert sorted(walks) == ["SCAN pending", "SCAN pending", "SCAN sqlite_sequence", "SCAN tally"]
    assert attrs.asdict(store.standing())["pending"] == 0
