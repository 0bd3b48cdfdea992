"""What a store in Redis does when the server is stopped, killed, paused, full, demoted, busy or locked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import servers
from redis._parsers.base import BaseParser
from redis.exceptions import RedisClusterException
from store_asks import all_bodies, every_call, lease
from store_kits import a_row, rows_of_run

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.redis.errors import understood
from ldtrack.ledgers.redis.store import RedisStore
from ldtrack.ledgers.store import UnavailableError

PATIENCE = 10.0
"""Far more than any of these tests takes: what is bounded ends long before."""


@pytest.fixture
def admin(redis_server: servers.RedisServer) -> Iterator[redis.Redis]:
    """A way to the server beside the store."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def new_store(redis_server: servers.RedisServer) -> Iterator[Callable[..., RedisStore]]:
    """Opens one more store on the same ledger."""
    stores: list[RedisStore] = []
    name = redis_server.unique()

    def make(url: str = redis_server.url, **options: Any) -> RedisStore:
        stores.append(RedisStore(url, **{"name": name, "timeout": 1.0, **options}))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(new_store: Callable[..., RedisStore]) -> RedisStore:
    """The store under test."""
    return new_store()


@contextmanager
def configured(admin: redis.Redis, **settings: str) -> Iterator[None]:
    """A server that is set up like this for a while."""
    before = {name: admin.config_get(name)[name] for name in settings}
    for name, value in settings.items():
        admin.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            admin.config_set(name, value)


# Away and back


def test_a_server_that_is_not_there_may_come_back(
    redis_server: servers.RedisServer, store: RedisStore
) -> None:
    """Until then every call says that it may be repeated; afterwards nothing is missing."""
    rows = rows_of_run(5)
    assert store.record(rows) == [True] * 5
    batch = lease(store)
    redis_server.stop()
    for call in every_call(store, batch):
        with pytest.raises(UnavailableError, match="cannot be used right now"):
            call()
    redis_server.start()
    assert store.record([*rows, a_row()]) == [True] * 5 + [False]
    assert store.standing().pending == 5
    store.postpone(batch, "ada", 0)
    again = lease(store)
    assert (again.payload_id, again.bodies, again.attempts) == (batch.payload_id, batch.bodies, 1)


def test_a_restart_between_two_calls_goes_unnoticed(
    redis_server: servers.RedisServer, store: RedisStore
) -> None:
    """The connection was cut meanwhile: it is made anew, and the scripts are brought again."""
    assert store.record([a_row("run-1")]) == [True]
    redis_server.restart()
    assert store.record([a_row("run-2")]) == [True]


def test_a_connection_that_was_killed_goes_unnoticed(store: RedisStore, admin: redis.Redis) -> None:
    """As by a proxy that cuts idle ones."""
    assert store.record([a_row("run-1")]) == [True]
    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert store.record([a_row("run-2")]) == [True]


def test_a_kill_loses_nothing_that_was_answered(
    redis_server: servers.RedisServer, new_store: Callable[..., RedisStore]
) -> None:
    """SIGKILL in the middle of writing, with appendfsync always: all that was answered is there, once."""
    answered: list[Any] = []
    enough = threading.Event()

    def write() -> None:
        store = new_store()
        for at in range(1_000_000):
            rows = rows_of_run(5, f"run-{at}")
            try:
                assert store.record(rows) == [True] * 5
            except UnavailableError:
                return
            answered.extend(rows)
            if at == 100:
                enough.set()

    writer = threading.Thread(target=write, daemon=True)
    for _ in range(3):
        answered.clear()
        enough.clear()
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        assert enough.wait(PATIENCE)
        redis_server.kill()
        writer.join(PATIENCE)
        assert not writer.is_alive()
        redis_server.start()
        store = new_store()
        assert all(store.record(answered))
        bodies = all_bodies(store)
        assert len(bodies) == len(set(bodies))
        assert {row.body for row in answered} <= set(bodies)
        redis.Redis.from_url(redis_server.url).flushall()


def test_a_paused_server_is_noticed_in_time(redis_server: servers.RedisServer, store: RedisStore) -> None:
    """SIGSTOP: the kernel still takes what is sent. The call comes back, and may be repeated."""
    row = a_row()
    store.record([a_row("warm-up")])
    redis_server.pause()
    try:
        for _ in range(2):  # on the old connection, and on a new one
            with pytest.raises(UnavailableError, match="Timeout"):
                store.record([row])
    finally:
        redis_server.resume()
    assert store.record([row]) == [True]
    assert store.record([a_row()]) == [False]
    assert store.standing().pending == 2


# Failovers


def test_a_master_that_became_a_replica_may_change_back(store: RedisStore, admin: redis.Redis) -> None:
    """After a failover the name leads to another server soon: it is connected to anew."""
    store.record([a_row()])
    admin.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(UnavailableError, match=r"(?i)readonly"):
            store.record([a_row("run-2")])
        silent = configured(admin, **{"replica-serve-stale-data": "no"})
        with silent, pytest.raises(UnavailableError, match=r"(?i)masterdown"):
            store.standing()
    finally:
        admin.replicaof("NO", "ONE")
    assert store.record([a_row("run-2")]) == [True]


def test_too_few_replicas_for_the_server_may_pass(store: RedisStore, admin: redis.Redis) -> None:
    """A server that was told to write only with replicas waits for them."""
    store.record([a_row()])
    lonely = configured(admin, **{"min-replicas-to-write": "1"})
    with lonely, pytest.raises(UnavailableError, match="NOREPLICAS"):
        store.record([a_row("run-2")])
    assert store.record([a_row("run-2")]) == [True]


def test_somebody_elses_endless_script_may_end(
    redis_server: servers.RedisServer, store: RedisStore, admin: redis.Redis
) -> None:
    """A server that says it is busy is asked again later."""
    store.record([a_row()])

    def block() -> None:
        other = redis.Redis.from_url(redis_server.url, socket_timeout=PATIENCE)
        with other, pytest.raises(redis.ResponseError):
            other.eval("while true do end", 0)

    with configured(admin, **{"lua-time-limit": "1"}):
        blocker = threading.Thread(target=block, daemon=True)
        blocker.start()
        redis_server._until(lambda: is_busy(admin), "did not become busy")
        with pytest.raises(UnavailableError, match="BUSY"):
            store.record([a_row("run-2")])
        admin.script_kill()
        blocker.join(PATIENCE)
    assert store.record([a_row("run-2")]) == [True]


def is_busy(admin: redis.Redis) -> bool:
    """Whether the server answers nobody but those who end scripts."""
    try:
        admin.ping()
    except redis.ResponseError:
        return True
    return False


# What lasts


def test_a_full_server_says_what_to_do(store: RedisStore, admin: redis.Redis) -> None:
    """Nothing of the rows is stored then, and with room again all of them are."""
    rows = rows_of_run(1200)
    store.record([a_row("run-2")])
    with configured(admin, maxmemory="1"):
        with pytest.raises(LedgerError, match="raise it, or let a relay deliver"):
            store.record(rows)
        assert store.standing().pending == 1
    assert store.record(rows) == [True] * 1200
    assert store.standing().pending == 1201


def test_a_full_server_can_be_emptied(
    new_store: Callable[..., RedisStore], store: RedisStore, admin: redis.Redis
) -> None:
    """Relays go on, also one that begins now: that is how there is room again."""
    store.record(rows_of_run(10))
    store.set_aside(lease(store), "no")
    store.record(rows_of_run(10, "run-2"))
    with configured(admin, maxmemory="1"):
        relay = new_store()
        assert relay.retry_aside() == 10
        batch = lease(relay)
        relay.postpone(batch, "ada", 0)
        halves = relay.split(lease(relay), "ada", 60)
        assert halves is not None
        relay.delivered(halves[0])
        relay.set_aside(halves[1], "no")
        assert relay.discard_aside() == 10
        assert relay.standing().pending == 0


def test_a_wrong_password_is_not_repeated(
    redis_server: servers.RedisServer, new_store: Callable[..., RedisStore], admin: redis.Redis
) -> None:
    """Neither by asking again nor in the error; and none at all is as wrong."""
    url = redis_server.url.replace("redis://", "redis://:not-it@")
    with configured(admin, requirepass="s3cret"):
        admin.execute_command("AUTH", "s3cret")
        for wrong in (url, redis_server.url):
            with pytest.raises(LedgerError, match="refused the user name or the password") as raised:
                new_store(wrong).record([a_row()])
            assert "not-it" not in str(raised.value)
        assert new_store(url.replace("not-it", "s3cret")).record([a_row()]) == [True]


@pytest.mark.parametrize("key", ["queue", "state", "run:run-1"])
def test_a_key_of_another_kind_is_reported(
    redis_server: servers.RedisServer, admin: redis.Redis, key: str
) -> None:
    """And nothing was stored half: once it is gone the row is the first."""
    name, row = redis_server.unique(), a_row()
    store = RedisStore(redis_server.url, name=name)
    store.standing()
    kept = admin.hgetall(f"{{{name}:0}}:state")
    admin.set(f"{{{name}:0}}:{key}", "somebody else's")
    with pytest.raises(LedgerError, match="give the ledger a `name` of its own"):
        store.record([a_row("run-2"), row])
    admin.delete(f"{{{name}:0}}:{key}")
    admin.hset(f"{{{name}:0}}:state", mapping=kept)
    assert store.record([row, a_row("run-2")]) == [True, True]
    assert store.standing().pending == 2
    store.close()


def test_an_address_that_cannot_be_one_is_refused() -> None:
    """At once."""
    with pytest.raises(ValueError, match="redis://"):
        RedisStore("http://127.0.0.1/")


IN_A_SCRIPT = (
    "ERR Error running script (call to f_1234): @user_script:12: @user_script: 12: -{} something. more of it"
)


RAISED_IN_A_SCRIPT = "ERR Error running script (call to f_1234): @user_script:12: {} something. more of it"


@pytest.mark.parametrize(
    "frame",
    ["{} something", IN_A_SCRIPT, RAISED_IN_A_SCRIPT],
    ids=["plain", "in a script of Redis 6", "raised in a script of Redis 6"],
)
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("LOADING", UnavailableError),
        ("READONLY", UnavailableError),
        ("MASTERDOWN", UnavailableError),
        ("CLUSTERDOWN", UnavailableError),
        ("TRYAGAIN", UnavailableError),
        ("BUSY", UnavailableError),
        ("NOREPLICAS", UnavailableError),
        ("OOM", LedgerError),
        ("NOPERM", LedgerError),
        ("MISCONF", LedgerError),
        ("WRONGTYPE", LedgerError),
    ],
)
def test_a_code_says_whether_it_passes(code: str, kind: type[Exception], frame: str) -> None:
    """However the server puts it, and whether or not the driver has a type for it."""
    assert type(understood(BaseParser.parse_error(frame.format(code)))) is kind


@pytest.mark.parametrize("text", ["ERR unknown command", "NOAUTH Authentication required.", "MOVED 1 a:1"])
def test_what_needs_somebody_is_final(text: str) -> None:
    """Asking again would not help."""
    assert type(understood(BaseParser.parse_error(text))) is LedgerError


@pytest.mark.parametrize(
    "error", [redis.TimeoutError(), redis.ConnectionError(), RedisClusterException("no node")]
)
def test_what_networks_do_passes(error: Exception) -> None:
    """Asking again may help."""
    assert type(understood(error)) is UnavailableError
