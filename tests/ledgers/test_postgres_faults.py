"""What a store in PostgreSQL does when the server is stopped, killed, paused, full, closed or read-only."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import servers
from psycopg import errors
from small_disks import small_file_system
from store_asks import every_call, lease
from store_kits import a_row, rows_of_run

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.postgres.faults import meaning_of
from ldtrack.ledgers.postgres.store import PostgresStore
from ldtrack.ledgers.store import UnavailableError

PATIENCE = 20.0
"""Far more than any of these tests takes: what is bounded ends long before."""


@pytest.fixture
def new_store(postgres: servers.PostgresServer) -> Iterator[Callable[..., PostgresStore]]:
    """Opens one more store on the same schema."""
    stores: list[PostgresStore] = []
    schema = postgres.unique()

    def make(dsn: str = "", **options: Any) -> PostgresStore:
        stores.append(PostgresStore(dsn or postgres.dsn(), **{"schema": schema, "timeout": 1.0, **options}))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(new_store: Callable[..., PostgresStore]) -> PostgresStore:
    """The store under test; its tables are there."""
    store = new_store()
    store.standing()
    return store


@pytest.fixture
def admin(postgres: servers.PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    """A way to the server beside the store."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        yield connection


def in_time(work: Callable[[], object]) -> object:
    """What the work returns or raises, which it does within a bound."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # noqa: BLE001 - handed over to the test
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it does not come back"
    return outcome[0]


# Away and back


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_server_that_is_not_there_may_come_back(
    postgres: servers.PostgresServer, store: PostgresStore, way: str
) -> None:
    """Until then every call says that it may be repeated; afterwards nothing is missing."""
    rows = rows_of_run(5)
    assert store.record(rows) == [True] * 5
    batch = lease(store)
    getattr(postgres, way)()
    for call in [*every_call(store, batch), lambda: store.tidy(1)]:
        # A server process that notices before we do that its server has gone says so itself.
        with pytest.raises(UnavailableError, match=r"cannot be reached|stopped the statement"):
            call()
    postgres.start()
    assert store.record([*rows, a_row()]) == [True] * 5 + [False]
    assert store.standing().pending == 5
    store.postpone(batch, "ada", 0)
    again = lease(store)
    assert (again.payload_id, again.bodies, again.attempts) == (batch.payload_id, batch.bodies, 1)


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_restart_between_two_calls_goes_unnoticed(
    postgres: servers.PostgresServer, store: PostgresStore, way: str
) -> None:
    """The connection was cut meanwhile, and is made anew."""
    assert store.record([a_row("run-1")]) == [True]
    getattr(postgres, way)()
    postgres.start()
    assert store.record([a_row("run-1"), a_row("run-2")]) == [False, True]


def test_a_connection_that_was_cut_between_two_calls_goes_unnoticed(
    store: PostgresStore, admin: psycopg.Connection[Any]
) -> None:
    """As by an administrator, or a proxy that cuts idle ones."""
    store.record([a_row("run-1")])
    cut(admin)
    assert store.record([a_row("run-2")]) == [True]


def cut(admin: psycopg.Connection[Any]) -> None:
    """End every session but this one, and wait until they have ended."""
    others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    admin.execute(f"SELECT pg_terminate_backend(pid, 10000) {others}".encode())


@pytest.mark.parametrize(
    "end", [pytest.param("pg_terminate_backend", id="cut"), pytest.param("pg_cancel_backend", id="cancelled")]
)
def test_a_statement_that_is_cut_off_may_be_repeated(
    store: PostgresStore, admin: psycopg.Connection[Any], end: str
) -> None:
    """Nothing of it is left, and the same rows are first."""
    rows = rows_of_run(3)
    with admin.transaction():
        admin.execute(f'LOCK TABLE "{store._schema}".ldtrack_pending'.encode())
        outcome: list[object] = []
        thread = threading.Thread(target=lambda: outcome.append(in_time(lambda: store.record(rows))))
        thread.start()
        waiting = "SELECT pid FROM pg_locks WHERE NOT granted"
        while not (found := admin.execute(waiting).fetchall()):
            admin.execute("SELECT pg_sleep(0.005)")
        admin.execute(f"SELECT {end}(%s)".encode(), found[0])
        thread.join(PATIENCE)
    assert isinstance(outcome[0], UnavailableError)
    assert store.standing().pending == 0
    assert store.record(rows) == [True] * 3


def test_a_lock_that_is_held_for_long_is_not_waited_for_for_ever(
    store: PostgresStore, admin: psycopg.Connection[Any]
) -> None:
    """The server gives up first, so that it is known what became of the statement."""
    with admin.transaction():
        admin.execute(f'LOCK TABLE "{store._schema}".ldtrack_pending'.encode())
        outcome = in_time(lambda: store.record([a_row()]))
    assert isinstance(outcome, UnavailableError)
    assert "SQLSTATE 57014" in str(outcome)
    assert store.record([a_row()]) == [True]


# Paused


def test_a_server_that_does_not_answer_is_given_up(
    postgres: servers.PostgresServer, store: PostgresStore
) -> None:
    """In time, in the middle of a session and at the beginning of one; the same rows are the first later."""
    rows = rows_of_run(3)
    store.record([a_row("before")])
    postgres.pause()
    try:
        outcomes = [in_time(lambda: store.record(rows)) for _ in range(2)]
    finally:
        postgres.resume()
    for outcome in outcomes:
        assert isinstance(outcome, UnavailableError)
        assert "cannot be reached" in str(outcome)
    # Whether the first try was stored after all is open, and makes no difference.
    assert store.record([*rows, a_row("before")]) == [True, True, True, False]
    assert store.standing().pending == 4


def test_a_server_that_accepts_and_says_nothing_is_given_up(new_store: Callable[..., PostgresStore]) -> None:
    """As behind a proxy whose server has gone."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        outcome = in_time(new_store(f"host=127.0.0.1 port={port}").standing)
    assert isinstance(outcome, UnavailableError)


# Full


@pytest.fixture
def small_disk(postgres: servers.PostgresServer) -> Iterator[Path]:
    """A file system of a few megabytes that the server may write to."""
    owner = postgres.data.stat()
    options = ("size=6m", "mode=0700", f"uid={owner.st_uid}", f"gid={owner.st_gid}")
    with small_file_system(postgres.folder / f"small-{postgres.unique()}", *options) as folder:
        yield folder


def test_a_full_disk_is_said_and_loses_nothing(
    postgres: servers.PostgresServer,
    small_disk: Path,
    admin: psycopg.Connection[Any],
    new_store: Callable[..., PostgresStore],
) -> None:
    """What was recorded before stays; when there is room again, it goes on."""
    name = postgres.unique()
    admin.execute(f"CREATE TABLESPACE {name} LOCATION '{small_disk}'".encode())
    admin.execute(f"CREATE ROLE {name} LOGIN SUPERUSER".encode())
    admin.execute(f"ALTER ROLE {name} SET default_tablespace = {name}".encode())
    store = new_store(postgres.dsn(user=name), timeout=10.0)
    ballast = small_disk / "ballast"
    store.record([a_row("before")])
    with pytest.raises(OSError, match="No space left"), ballast.open("wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()
    rows = [a_row(f"run-{at}", body=f'"{os.urandom(2000).hex()}"') for at in range(100)]
    with pytest.raises(LedgerError, match="the server's disk is full"):
        store.record(rows)
    ballast.unlink()
    assert store.record([a_row("before"), *rows]) == [False] + [True] * 100
    assert store.standing().pending == 101
    store.close()
    admin.execute(f'DROP SCHEMA "{store._schema}" CASCADE'.encode())
    admin.execute(f"DROP TABLESPACE {name}".encode())


# Not let in, or only to read


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            {"user": "with_password", "password": "wrong-7"}, "password authentication", id="password"
        ),
        pytest.param({"user": "with_password"}, "no password supplied", id="no password"),
        pytest.param({"dbname": "nowhere"}, '"nowhere" does not exist', id="database"),
        pytest.param({"user": "nobody"}, '"nobody" does not exist', id="role"),
        pytest.param({"sslmode": "require"}, "does not support SSL", id="TLS"),
    ],
)
def test_a_refusal_is_final(
    postgres: servers.PostgresServer,
    admin: psycopg.Connection[Any],
    new_store: Callable[..., PostgresStore],
    change: dict[str, str],
    said: str,
) -> None:
    """To try again would not help; the password is in nothing that is said."""
    role = "SELECT FROM pg_roles WHERE rolname = 'with_password'"
    if not admin.execute(role).fetchall():
        admin.execute("CREATE ROLE with_password LOGIN PASSWORD 'right-7'")
    with pytest.raises(LedgerError, match=said) as caught:
        new_store(postgres.dsn(**change)).standing()
    assert "wrong-7" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_right_password_is_enough(
    postgres: servers.PostgresServer, admin: psycopg.Connection[Any], new_store: Callable[..., PostgresStore]
) -> None:
    """And rights to use the tables: who made them need not be who uses them."""
    maker, role = new_store(), postgres.unique()
    maker.record([a_row()])
    hba = servers.HBA.replace("with_password", f"with_password,{role}")
    (postgres.data / "pg_hba.conf").write_text(hba)
    schema = maker._schema
    for statement in (
        f"CREATE ROLE {role} LOGIN PASSWORD 'let me in'",
        f'GRANT USAGE ON SCHEMA "{schema}" TO {role}',
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{schema}" TO {role}',
        f'GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA "{schema}" TO {role}',
        "SELECT pg_reload_conf()",
    ):
        admin.execute(statement.encode())
    store = new_store(postgres.dsn(user=role, password="'let me in'"))
    assert store.record([a_row(), a_row("more")]) == [False, True]
    store.delivered(lease(store))
    assert (store.standing().pending, store.standing().delivered) == (0, 2)
    assert store.tidy(1_700_000_000_000) is False
    (postgres.data / "pg_hba.conf").write_text(servers.HBA)
    admin.execute("SELECT pg_reload_conf()")


def test_a_role_without_rights_is_told_so(
    postgres: servers.PostgresServer, admin: psycopg.Connection[Any], new_store: Callable[..., PostgresStore]
) -> None:
    """Neither the tables can be made nor those that are there be used."""
    role = postgres.unique()
    admin.execute(f"CREATE ROLE {role} LOGIN".encode())
    with pytest.raises(LedgerError, match="permission is denied"):
        new_store(postgres.dsn(user=role), schema="elsewhere").standing()
    new_store().standing()
    with pytest.raises(LedgerError, match="permission is denied"):
        new_store(postgres.dsn(user=role)).standing()


def test_a_server_that_takes_no_writes_may_take_them_later(
    postgres: servers.PostgresServer, admin: psycopg.Connection[Any], store: PostgresStore
) -> None:
    """As after a failover, as long as the name still leads to the old one."""
    store.record([a_row()])
    admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    admin.execute("SELECT pg_reload_conf()")
    try:
        store.close()
        with pytest.raises(UnavailableError, match="read-only"):
            store.record([a_row("run-2")])
    finally:
        admin.execute("SET default_transaction_read_only = off")
        admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
        admin.execute("SELECT pg_reload_conf()")
    postgres.restart()
    assert store.record([a_row("run-2"), a_row()]) == [True, False]


def test_of_several_hosts_one_that_is_away_does_no_harm(
    postgres: servers.PostgresServer, new_store: Callable[..., PostgresStore]
) -> None:
    """The other one is used."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    hosts = f"host=127.0.0.1,127.0.0.1 port={port},{postgres.port} user=ldtrack dbname=postgres"
    assert new_store(hosts).record([a_row()]) == [True]


def test_too_many_connections_are_waited_out(
    postgres: servers.PostgresServer, admin: psycopg.Connection[Any], new_store: Callable[..., PostgresStore]
) -> None:
    """Others may let go of theirs."""
    name = postgres.unique()
    admin.execute(f"CREATE DATABASE {name} CONNECTION LIMIT 1".encode())
    admin.execute(f"CREATE ROLE {name} LOGIN IN ROLE pg_write_all_data".encode())
    admin.execute(f"ALTER DATABASE {name} OWNER TO {name}".encode())
    first, second = (new_store(postgres.dsn(name, user=name)) for _ in range(2))
    assert first.record([a_row()]) == [True]
    with pytest.raises(UnavailableError, match="too many connections"):
        second.record([a_row()])
    first.close()
    assert second.record([a_row()]) == [False]


def test_a_database_that_cannot_hold_every_text_is_refused(
    postgres: servers.PostgresServer, admin: psycopg.Connection[Any], new_store: Callable[..., PostgresStore]
) -> None:
    """Contexts have names in all scripts."""
    name = postgres.unique()
    admin.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0".encode())
    with pytest.raises(LedgerError, match="this one's is LATIN1"):
        new_store(postgres.dsn(name)).standing()


# What errors mean


@pytest.mark.parametrize(
    ("kind", "is_passing"),
    [
        (errors.AdminShutdown, True),
        (errors.CrashShutdown, True),
        (errors.CannotConnectNow, True),
        (errors.QueryCanceled, True),
        (errors.ConnectionFailure, True),
        (errors.DeadlockDetected, True),
        (errors.SerializationFailure, True),
        (errors.StatementCompletionUnknown, True),
        (errors.TooManyConnections, True),
        (errors.OutOfMemory, True),
        (errors.LockNotAvailable, True),
        (errors.ReadOnlySqlTransaction, True),
        (errors.FeatureNotSupported, True),
        (errors.OperationalError, True),
        (errors.InterfaceError, True),
        (errors.DiskFull, False),
        (errors.DatabaseDropped, False),
        (errors.InsufficientPrivilege, False),
        (errors.InvalidPassword, False),
        (errors.UndefinedTable, False),
        (errors.InvalidCatalogName, False),
        (errors.DataCorrupted, False),
        (errors.IndexCorrupted, False),
        (errors.IoError, False),
        (errors.CheckViolation, False),
        (errors.DataError, False),
    ],
)
def test_errors_are_worth_another_try_or_not(kind: type[psycopg.Error], is_passing: bool) -> None:
    """As the table says; the sentence says what the server said, without the password."""
    meaning = meaning_of(kind("it said hunter2\n  DETAIL"), "hunter2")
    assert isinstance(meaning, UnavailableError if is_passing else LedgerError)
    assert "hunter2" not in str(meaning)
    assert "\n" not in str(meaning)
    assert (kind.sqlstate or "it said ***") in str(meaning)
