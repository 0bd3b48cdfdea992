"""What only a store in PostgreSQL has: tables, keys, a queue whose front moves, other processes, forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import servers
from hypothesis import given
from hypothesis import strategies as st
from store_asks import PLENTY, all_bodies, lease
from store_kits import a_row, rows_of_run

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.postgres import PostgresLedger, migrating
from ldtrack.ledgers.postgres.front import LOOK_BACK_EVERY, SURE_AFTER, Front
from ldtrack.ledgers.postgres.housekeeping import MANY_TELLERS, PAGES, PASSES
from ldtrack.ledgers.postgres.keys import key_of, storable
from ldtrack.ledgers.postgres.store import PostgresStore

DAY_MS = 86_400_000
NOW_MS = 1_700_000_000_000


@pytest.fixture
def schema(postgres: servers.PostgresServer) -> str:
    """A schema that nobody else has; not made yet."""
    return postgres.unique()


@pytest.fixture
def new_store(postgres: servers.PostgresServer, schema: str) -> Iterator[Callable[..., PostgresStore]]:
    """Opens one more store on the same schema."""
    stores: list[PostgresStore] = []

    def make(**options: Any) -> PostgresStore:
        stores.append(PostgresStore(postgres.dsn(), **{"schema": schema, **options}))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(new_store: Callable[..., PostgresStore]) -> PostgresStore:
    """The store under test."""
    return new_store()


@pytest.fixture
def admin(postgres: servers.PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    """A way to the server beside the store."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        yield connection


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"schema": ""},
        {"schema": "1st"},
        {"schema": 'a"b'},
        {"schema": "x" * 64},
        {"timeout": 0},
        {"keep_claims": 0},
    ],
    ids=str,
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    """At once, with the value."""
    with pytest.raises(ValueError, match=r"schema|timeout|keep_claims"):
        PostgresStore("", **options)


@pytest.mark.parametrize("dsn", ["host=db password=hunter2 and more", "postgresql://ada:hunter2@db/%zz"])
def test_a_malformed_connection_string_is_refused_without_repeating_it(dsn: str) -> None:
    """Neither the error nor what led to it shows the password."""
    with pytest.raises(ValueError, match="not a connection string") as caught:
        PostgresLedger(dsn)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_ledger_does_not_show_its_password() -> None:
    """Not where it is printed."""
    ledger = PostgresLedger("host=db password=hunter2", schema="mine")
    assert repr(ledger) == "<PostgresLedger mine>"


# Run ids


@pytest.mark.parametrize(
    "run_id", ["", "a\0b", "\ud800", "x" * 100_000, "run-1", "0193A5F2-7C1E-7B6E-9D3A-5B8C2E4F6A71"]
)
def test_any_text_is_a_run_id(store: PostgresStore, run_id: str) -> None:
    """It is claimed once, and its neighbours are stored with it."""
    rows = [a_row(run_id), a_row("another")]
    assert store.record(rows) == [True, True]
    assert store.record([a_row(run_id), rows[0]]) == [False, True]
    store.set_aside(lease(store), "no")
    assert storable(run_id) in [one.run_id for one in store.aside(10)]


@given(st.text(), st.text())
def test_run_ids_that_differ_have_keys_that_differ(one: str, other: str) -> None:
    """And the same one has the same key, which is a UUID as UUIDs are written."""
    assert (key_of(one) == key_of(other)) is (one == other)
    assert str(uuid.UUID(key_of(one))) == key_of(one)


@given(st.uuids())
def test_a_uuid_is_its_own_key_unless_it_could_stand_for_another_text(run_id: uuid.UUID) -> None:
    """Those of version 8 do; and one that is written otherwise is another text."""
    text = str(run_id)
    assert (key_of(text) == text) is (text[14] != "8")
    assert key_of(text.replace("-", "")) != text
    assert key_of(text[:14] + "8" + text[15:]) != text[:14] + "8" + text[15:]


# Tables


def test_many_hosts_make_the_tables_at_once(
    postgres: servers.PostgresServer, admin: psycopg.Connection[Any], schema: str
) -> None:
    """Eight processes that come at the same moment find them made once, and all can record."""
    code = f"""
from ldtrack.core.row import Row
from ldtrack.ledgers.postgres.store import PostgresStore
store = PostgresStore({postgres.dsn()!r}, schema={schema!r}, timeout=30)
print("ready", flush=True)
print(store.record([Row("run-1", 0, int(input()), 1, 1, "{{}}")]))
store.close()
"""
    answers = in_processes(code, 8)
    assert sorted(answers) == ["[False]"] * 7 + ["[True]"]
    assert admin.execute(f'SELECT count(*) FROM "{schema}".ldtrack_version').fetchall() == [(1,)]


def test_who_comes_second_waits_for_who_makes_the_tables(
    store: PostgresStore, admin: psycopg.Connection[Any], schema: str
) -> None:
    """And then finds them."""
    with admin.transaction():
        lock = {"space": migrating.LOCK_SPACE, "lock": zlib.crc32(schema.encode()) >> 1}
        admin.execute(migrating.LOCK, lock)
        answers: list[list[bool]] = []
        thread = threading.Thread(target=lambda: answers.append(store.record([a_row()])))
        thread.start()
        wait_for_lock(admin)
    thread.join(30)
    assert answers == [[True]]


def in_processes(code: str, count: int) -> list[str]:
    """What so many processes print once all are ready, each of which gets a number of its own."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-Ic", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for number, process in enumerate(processes, 1):
        assert process.stdin is not None
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return [answer.strip() for answer in answers]


def test_eight_processes_race_for_the_same_places(
    postgres: servers.PostgresServer, new_store: Callable[..., PostgresStore], schema: str
) -> None:
    """Each asks in an order of its own, in calls of several rows: every place has one winner."""
    code = f"""
import random
from ldtrack.core.row import Row
from ldtrack.ledgers.postgres.store import PostgresStore
store = PostgresStore({postgres.dsn()!r}, schema={schema!r}, timeout=30)
store.standing()
print("ready", flush=True)
me = int(input())
places = [(f"run-{{run}}", place) for run in range(100) for place in range(5)]
random.Random(me).shuffle(places)
rows = [Row(*place, me << 20 | at, 1, 1, repr(place)) for at, place in enumerate(places)]
won = 0
for start in range(0, len(rows), 50):
    won += sum(store.record(rows[start : start + 50]))
print(won)
store.close()
"""
    store = new_store()
    store.standing()
    assert sum(map(int, in_processes(code, 8))) == 500
    assert store.standing().pending == len(set(all_bodies(store))) == 500


def test_tables_of_a_newer_version_are_left_alone(
    new_store: Callable[..., PostgresStore], admin: psycopg.Connection[Any], schema: str
) -> None:
    """What they mean is not known here."""
    new_store().standing()
    admin.execute(f'UPDATE "{schema}".ldtrack_version SET version = 99')
    with pytest.raises(LedgerError, match="version 99, which a newer ldtrack made"):
        new_store().record([a_row()])


def test_tables_of_an_older_version_are_brought_up_to_date(
    new_store: Callable[..., PostgresStore],
    admin: psycopg.Connection[Any],
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the steps that are missing are taken; what was recorded stays."""
    new_store().record([a_row()])
    step = "ALTER TABLE ldtrack_walk ADD COLUMN more integer DEFAULT 7"
    monkeypatch.setattr(migrating, "MIGRATIONS", (*migrating.MIGRATIONS, step))
    assert new_store().record([a_row()]) == [False]
    assert admin.execute(f'SELECT more FROM "{schema}".ldtrack_walk').fetchall() == [(7,)]
    assert admin.execute(f'SELECT version FROM "{schema}".ldtrack_version').fetchall() == [(2,)]


def test_a_migration_that_fails_leaves_the_tables_as_they_were(
    new_store: Callable[..., PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it happens or nothing."""
    row = a_row()
    new_store().record([row])
    with monkeypatch.context() as patched:
        steps = (*migrating.MIGRATIONS, "DROP TABLE ldtrack_claims", "SELECT nonsense")
        patched.setattr(migrating, "MIGRATIONS", steps)
        with pytest.raises(LedgerError, match="nonsense"):
            new_store().standing()
    assert new_store().record([row, a_row()]) == [True, False]


def test_a_schema_that_was_dropped_is_made_anew(
    store: PostgresStore, admin: psycopg.Connection[Any], schema: str
) -> None:
    """With the call after the one that found out."""
    store.record([a_row()])
    admin.execute(f'DROP SCHEMA "{schema}" CASCADE')
    with pytest.raises(LedgerError, match="a table is missing"):
        store.record([a_row()])
    assert store.record([a_row()]) == [True]


def test_a_server_that_does_not_sync_is_told_to(
    postgres: servers.PostgresServer, new_store: Callable[..., PostgresStore], admin: psycopg.Connection[Any]
) -> None:
    """Whatever the role's defaults are: an answer means that it is on disk."""
    role = postgres.unique()
    admin.execute(f"CREATE ROLE {role} LOGIN SUPERUSER")
    for name, value in {"synchronous_commit": "off", "default_transaction_isolation": "serializable"}.items():
        admin.execute(f"ALTER ROLE {role} SET {name} = '{value}'")
    store = PostgresStore(postgres.dsn(user=role), schema=postgres.unique())
    with store._session as connection:
        assert connection.execute("SHOW synchronous_commit").fetchall() == [("on",)]
        assert connection.execute("SHOW transaction_isolation").fetchall() == [("read committed",)]
    store.close()


# Statements that are under way


@pytest.mark.parametrize("is_own", [True, False])
def test_a_claim_that_is_just_being_committed_is_waited_for(
    store: PostgresStore, admin: psycopg.Connection[Any], schema: str, is_own: bool
) -> None:
    """An earlier try of the same claimant that was cut off may still be under way: it is then the first."""
    store.standing()
    row = a_row("run-1")
    with admin.transaction():
        claim = (key_of("run-1"), row.place, row.claimant if is_own else 7, 1)
        admin.execute(
            f'INSERT INTO "{schema}".ldtrack_claims (run, place, claimant, at_ms) VALUES (%s, %s, %s, %s)',
            claim,
        )
        answers: list[list[bool]] = []
        thread = threading.Thread(target=lambda: answers.append(store.record([row, a_row("run-2")])))
        thread.start()
        wait_for_lock(admin)
    thread.join(30)
    assert answers == [[is_own, True]]
    assert store.standing().pending == 1


def test_places_are_claimed_in_one_order_whatever_the_order_of_the_call(
    store: PostgresStore, postgres: servers.PostgresServer, admin: psycopg.Connection[Any], schema: str
) -> None:
    """So two that want the same ones never wait for one another; what is stored keeps the call's order."""
    store.standing()
    rows = [a_row("00000000-0000-4000-9000-000000000000", place) for place in (4, 2, 3)]
    claim = f'INSERT INTO "{schema}".ldtrack_claims (run, place, claimant, at_ms) VALUES (%s, %s, 1, 1)'
    with psycopg.connect(postgres.dsn(), autocommit=True) as other:
        with admin.transaction(force_rollback=True):
            admin.execute(claim, (rows[0].run_id, 2))
            thread = threading.Thread(target=store.record, args=[rows])
            thread.start()
            wait_for_lock(admin)
            other.execute("SET lock_timeout = '100ms'")
            with other.transaction(force_rollback=True):
                other.execute(claim, (rows[0].run_id, 4))
        thread.join(30)
    assert lease(store).bodies == tuple(row.body for row in rows)


def wait_for_lock(admin: psycopg.Connection[Any]) -> None:
    """Until somebody waits for what this transaction holds."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    for _ in range(2000):
        if admin.execute(waiting).fetchall() != [(0,)]:
            return
        admin.execute("SELECT pg_sleep(0.005)")
    pytest.fail("nobody waits")


def test_a_row_that_is_committed_late_is_not_passed_over(
    store: PostgresStore, admin: psycopg.Connection[Any], schema: str
) -> None:
    """Ids are given out in one order and committed in another."""
    store.record(rows_of_run(3))
    batches = [lease(store, limit=1)]
    with admin.transaction():
        admin.execute(
            f'INSERT INTO "{schema}".ldtrack_pending (at_ms, events, run_id, body) VALUES (1, 1, %s, %s)',
            ("late", "late"),
        )
        store.record(rows_of_run(3, "run-2"))
        batches += [lease(store, limit=1) for _ in range(4)]
        last = store.standing().last
    assert "late" not in [body for batch in batches for body in batch.bodies]
    for batch in batches:
        store.delivered(batch)
    first = store.standing().first
    assert first is not None
    assert first <= last
    assert min(all_bodies(store)) == "late"


def test_rows_that_another_relay_is_taking_are_passed_over(
    store: PostgresStore, admin: psycopg.Connection[Any], schema: str
) -> None:
    """They are not waited for; if that relay dies over it, they come back."""
    rows = rows_of_run(4)
    store.record(rows)
    with admin.transaction(force_rollback=True):
        admin.execute(f'SELECT * FROM "{schema}".ldtrack_pending ORDER BY id LIMIT 2 FOR UPDATE')
        assert lease(store).bodies == (rows[2].body, rows[3].body)
        assert store.lease("ada", 10, PLENTY, 60) is None
    assert lease(store).bodies == (rows[0].body, rows[1].body)


# The front of the queue


class Walk:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_front_is_looked_for_where_it_was_last() -> None:
    """And further back from time to time, or when nothing is there."""
    walk = Walk()
    front = Front(walk)
    assert list(front.tries()) == [0]
    front.took(500)
    assert list(front.tries()) == [500, 0]
    walk.now += LOOK_BACK_EVERY
    assert next(front.tries()) == 0
    assert next(front.tries()) == 500


def test_the_front_is_sure_once_nothing_can_turn_up_before_it() -> None:
    """What a look found first is not enough; what both that one and a much later one found is."""
    walk = Walk()
    front = Front(walk)
    assert front.wants_look
    assert front.looked(0, 300, 901, None) is False
    assert (front.sure, front.wants_look) == (0, False)
    walk.now += SURE_AFTER
    assert front.wants_look
    assert front.looked(0, 250, 901, 40) is True, "a row was committed late, or given back"
    assert (front.sure, front.batches) == (250, 40)
    walk.now += SURE_AFTER
    assert front.looked(0, None, 1001, 70) is False, "the candidate was 250"
    walk.now += SURE_AFTER
    assert front.looked(0, None, 1001, None) is True
    assert (front.sure, front.batches) == (1001, 1001)


def test_the_front_that_other_stores_are_sure_of_is_taken_over() -> None:
    """A new one need not begin at the very beginning; what is stored is not moved for that."""
    front = Front(Walk())
    assert front.looked(700, 800, 901, None) is False
    assert front.sure == 700


def test_the_front_is_stored_and_found(new_store: Callable[..., PostgresStore]) -> None:
    """A store that comes later starts where an earlier one was sure of the front, and misses nothing."""
    walk, store = Walk(), new_store()
    store._front = Front(walk)
    store.record(rows_of_run(5))
    store.delivered(lease(store, limit=3))
    store.standing()
    walk.now += SURE_AFTER
    store.standing()
    walk.now += SURE_AFTER
    store.standing()
    assert (store._front.sure, store._front.batches) == (4, 4)
    other = new_store()
    assert len(lease(other).bodies) == 2
    assert other._front.sure == 4


def test_batches_behind_the_front_are_taken_over(new_store: Callable[..., PostgresStore]) -> None:
    """However far the queue has moved on meanwhile, and as halves too."""
    walk, store = Walk(), new_store()
    store._front = Front(walk)
    store.record(rows_of_run(9))
    old = lease(store, limit=4)
    store.delivered(lease(store))
    for _ in range(3):
        walk.now += SURE_AFTER
        store.standing()
    assert (store._front.sure, store._front.batches) == (10, 1)
    halves = store.split(old, "ada", 0)
    assert halves is not None
    assert [lease(store).bodies for _ in halves] == [half.bodies for half in halves]
    assert store.standing().first == 1


# Housekeeping


def test_claims_that_are_old_enough_are_forgotten(new_store: Callable[..., PostgresStore]) -> None:
    """Their slots are free again; those of younger claims are not, and what waits stays."""
    store = new_store(keep_claims=10 * 86_400)
    old, young = a_row("old", at_ms=NOW_MS), a_row("young", at_ms=NOW_MS + 5 * DAY_MS)
    store.record([old, young])
    assert store.tidy(NOW_MS + 9 * DAY_MS) is False
    assert store.record([a_row("old"), a_row("young")]) == [False, False]
    assert store.tidy(NOW_MS + 10 * DAY_MS + 1) is False
    assert store.record([a_row("old"), a_row("young")]) == [True, False]
    assert store.standing().pending == 3


def test_housekeeping_walks_in_steps(new_store: Callable[..., PostgresStore], schema: str) -> None:
    """Each looks through so many pages, and says whether there are more; then it is done for a while."""
    store = new_store(keep_claims=10 * 86_400)
    for run in range(8):
        store.record([row._replace(at_ms=NOW_MS) for row in rows_of_run(8000, f"run-{run}")])
    with store._session as connection:
        [(pages,)] = connection.execute(f"SELECT pg_relation_size('{schema}.ldtrack_claims') / 8192")
    assert PAGES < pages < 2 * PAGES
    later = NOW_MS + 11 * DAY_MS
    assert [store.tidy(later), store.tidy(later)] == [True, False]
    assert store.record([a_row("run-0", 0), a_row("run-7", 7999)]) == [True, True]
    with store._session as connection:
        [(left,)] = connection.execute(f'SELECT count(*) FROM "{schema}".ldtrack_claims')
        [(due,)] = connection.execute(f'SELECT due_ms FROM "{schema}".ldtrack_walk')
    assert left == 2
    assert due == later + 10 * DAY_MS


def test_the_next_walk_begins_when_the_oldest_claim_is_too_old(
    new_store: Callable[..., PostgresStore], admin: psycopg.Connection[Any], schema: str
) -> None:
    """But not too soon: claims that are too old for less than a hundredth of that time may wait."""
    store = new_store(keep_claims=100 * 86_400)
    due = f'SELECT due_ms FROM "{schema}".ldtrack_walk'
    store.record([a_row("old", at_ms=NOW_MS)])
    store.tidy(NOW_MS + DAY_MS)
    assert admin.execute(due).fetchall() == [(NOW_MS + 100 * DAY_MS,)]
    store.record([a_row("older", at_ms=NOW_MS + 3)])
    store.tidy(NOW_MS + 100 * DAY_MS + 2)
    assert admin.execute(due).fetchall() == [(NOW_MS + 100 * DAY_MS + 2 + 100 * DAY_MS // PASSES,)]


def test_one_host_tidies_at_a_time(store: PostgresStore, admin: psycopg.Connection[Any], schema: str) -> None:
    """The others have nothing to do, and do not wait."""
    store.record([a_row()])
    with admin.transaction():
        admin.execute(f'SELECT * FROM "{schema}".ldtrack_walk FOR UPDATE')
        assert store.tidy(NOW_MS) is False
        unmoved = admin.execute(f'SELECT due_ms FROM "{schema}".ldtrack_walk').fetchall()
    assert unmoved == [(0,)]


def test_what_many_stores_have_counted_is_added_up(
    store: PostgresStore, admin: psycopg.Connection[Any], schema: str
) -> None:
    """A counter for each store that ever was would be too many; who still counts begins anew."""
    store.record(rows_of_run(6))
    store.delivered(lease(store, limit=2))
    store.set_aside(lease(store, limit=1), "no")
    admin.execute(
        f'INSERT INTO "{schema}".ldtrack_tellers (id, recorded, delivered)'
        f" SELECT -id, 3, 3 FROM generate_series(1, {MANY_TELLERS}) AS id"
    )
    before = store.standing()
    assert (before.pending, before.delivered, before.set_aside) == (3, 2 + 3 * MANY_TELLERS, 1)
    store.tidy(NOW_MS)
    assert admin.execute(f'SELECT count(*) FROM "{schema}".ldtrack_tellers').fetchall() == [(1,)]
    assert store.standing() == before
    store.record(rows_of_run(2, "run-2"))
    assert store.standing().pending == 5


def test_loans_are_timed_by_the_server(
    new_store: Callable[..., PostgresStore], admin: psycopg.Connection[Any], schema: str
) -> None:
    """Hosts whose clocks differ take nothing away from one another."""
    store = new_store()
    store.record(rows_of_run(2))
    batch = lease(store)
    assert new_store().lease("bob", 10, PLENTY, 60) is None
    admin.execute(
        f'UPDATE "{schema}".ldtrack_batches SET since_ms = since_ms - 60000, until_ms = until_ms - 60000'
    )
    again = new_store().lease("bob", 10, PLENTY, 60)
    assert again is not None
    assert again.payload_id == batch.payload_id


# Forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_a_forked_child_leaves_the_parents_connection_alone(
    new_store: Callable[..., PostgresStore], admin: psycopg.Connection[Any], schema: str
) -> None:
    """It opens its own with its next call; the parent goes on with the session it had."""
    store = new_store()
    store.record([a_row("before")])
    assert store._session._connection is not None
    session = store._session._connection.info.backend_pid
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.abandon()
            code = 0 if store.record([a_row("child"), a_row("before")]) == [True, False] else 2
            store.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.record([a_row("after"), a_row("child")]) == [True, False]
    assert store._session._connection.info.backend_pid == session
