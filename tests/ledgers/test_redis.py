"""What only a store in Redis has: keys that expire, shards, replicas, a server that says how safe it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import servers
from store_asks import PLENTY, all_bodies, lease
from store_kits import a_row, rows_of_run

from ldtrack.core.row import Row
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers import RedisLedger
from ldtrack.ledgers.redis.facts import Facts
from ldtrack.ledgers.redis.store import RedisStore
from ldtrack.ledgers.store import UnavailableError


@pytest.fixture
def admin(redis_server: servers.RedisServer) -> Iterator[redis.Redis]:
    """A way to the server beside the store."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def name(redis_server: servers.RedisServer) -> str:
    """A ledger's name that nobody else has."""
    return redis_server.unique()


@pytest.fixture
def new_store(redis_server: servers.RedisServer, name: str) -> Iterator[Callable[..., RedisStore]]:
    """Opens one more store on the same ledger."""
    stores: list[RedisStore] = []

    def make(url: str = redis_server.url, **options: Any) -> RedisStore:
        stores.append(RedisStore(url, **{"name": name, **options}))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(new_store: Callable[..., RedisStore]) -> RedisStore:
    """The store under test."""
    return new_store()


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"name": ""},
        {"name": "a{b}"},
        {"name": "a:b"},
        {"name": "a b"},
        {"shards": 0},
        {"shards": 2000},
        {"keep_claims": 0},
        {"timeout": 0},
        {"wait_replicas": -1},
    ],
    ids=str,
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """At once, before anything connects."""
    with pytest.raises(ValueError, match="|".join(options)):
        RedisStore("redis://127.0.0.1:1/0", **options)


def test_a_batch_has_rows(store: RedisStore) -> None:
    """None at all cannot be leased, and one cannot be halved."""
    store.record([a_row()])
    with pytest.raises(ValueError, match="at least one row"):
        store.lease("ada", 0, PLENTY, 60)
    with pytest.raises(ValueError, match="one row cannot be split"):
        store.split(lease(store), "ada", 60)


def test_nothing_to_record_is_not_asked(new_store: Callable[..., RedisStore]) -> None:
    """Not even whether the server is there."""
    assert new_store("redis://127.0.0.1:1/0").record([]) == []


WITHOUT_DRIVER = """
import sys
sys.modules["redis"] = None
import ldtrack.ledgers.redis
try:
    ldtrack.ledgers.redis.RedisLedger
except ImportError as error:
    print(error)
"""


def test_a_driver_that_is_not_installed_is_named() -> None:
    """With what to install; the rest of the package does without."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", WITHOUT_DRIVER]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert said == "RedisLedger needs the driver redis-py: pip install 'ldtrack[redis]'\n"


# Keys


def test_all_keys_of_a_ledger_share_its_tag(store: RedisStore, admin: redis.Redis, name: str) -> None:
    """So they are in one slot of a cluster, and two ledgers do not meet."""
    store.record(rows_of_run(3))
    batch = lease(store)
    store.set_aside(batch, "no")
    store.record(rows_of_run(3, "run-2"))
    lease(store)
    keys = set(admin.scan_iter(f"*{name}*"))
    assert keys == {
        f"{{{name}:0}}:{key}"
        for key in ("queue", "aside", "batches", "due", "state", "run:run-1", "run:run-2")
    }


def test_claims_expire_and_rows_do_not(
    new_store: Callable[..., RedisStore], admin: redis.Redis, name: str
) -> None:
    """A run is forgotten so long after its last claim; what waits to be delivered stays."""
    store = new_store(keep_claims=1000)
    run, queue = f"{{{name}:0}}:run:run-1", f"{{{name}:0}}:queue"
    store.record([a_row()])
    assert 990 < admin.ttl(run) <= 1000
    admin.expire(run, 10)
    store.record([a_row()])
    assert admin.ttl(run) <= 10, "a duplicate is no claim"
    store.record([a_row(place=1)])
    assert 990 < admin.ttl(run) <= 1000
    admin.delete(run)  # as if the time had passed
    assert store.record([a_row()]) == [True]
    assert admin.ttl(queue) == -1
    assert len(all_bodies(store)) == 3


def test_delivering_leaves_no_rows_behind(store: RedisStore, admin: redis.Redis, name: str) -> None:
    """In order or not: the queue is as short as what is pending, and no batch is remembered."""
    store.record(rows_of_run(1200))
    batches = [lease(store, limit=400) for _ in range(3)]
    for at, left in ((1, 800), (0, 400), (2, 0)):
        store.delivered(batches[at])
        assert admin.xlen(f"{{{name}:0}}:queue") == left
    assert store.standing().delivered == 1200
    assert not admin.exists(f"{{{name}:0}}:batches", f"{{{name}:0}}:due")


def test_a_long_batch_is_deleted_whole(store: RedisStore) -> None:
    """Behind one that still waits, however many rows it has."""
    store.record(rows_of_run(2502))
    first = lease(store, limit=1)
    second = store.lease("ada", 2500, PLENTY, 60)
    assert second is not None
    store.delivered(second)
    assert (store.standing().pending, store.standing().delivered) == (2, 2500)
    store.delivered(first)
    assert len(all_bodies(store)) == 1


def test_more_rows_than_a_script_takes(store: RedisStore) -> None:
    """Are answered for, each in its place."""
    rows = rows_of_run(1700)
    assert store.record(rows[100:1600:3]) == [True] * 500
    mine = set(range(100, 1600, 3))
    others = [row._replace(claimant=row.claimant + 1_000_000_000) for row in rows]
    assert store.record(others) == [at not in mine for at in range(1700)]
    assert store.standing().pending == 1700


def test_more_characters_than_a_script_takes(store: RedisStore, admin: redis.Redis) -> None:
    """Are as many scripts as it takes, and a body that is too long for one is one of its own."""
    sizes = [5_000_000, 1_500_000, 1_500_000, 1_500_000, 5_000_000, 10, 10]
    rows = [a_row(place=at, body="x" * size) for at, size in enumerate(sizes)]
    store.standing()
    admin.config_resetstat()
    assert store.record(rows) == [True] * 7
    assert admin.info("commandstats")["cmdstat_evalsha"]["calls"] == 5
    assert [len(body) for body in all_bodies(store)] == sizes


def test_scripts_the_server_forgot_are_brought_again(store: RedisStore, admin: redis.Redis) -> None:
    """Nobody notices, for one call and for many at once."""
    rows = rows_of_run(1200)
    assert store.record(rows[:1]) == [True]
    admin.script_flush()
    assert store.record(rows) == [True] * 1200
    assert store.standing().pending == 1200
    admin.script_flush()
    assert len(lease(store).bodies) == 1000


def test_texts_of_any_kind_come_out_as_they_went_in(store: RedisStore) -> None:
    """Also half a surrogate pair, a blank in a run's id, a line break in a reason."""
    rows = [a_row("run \ud83d", body='"\udc00 ü 🎈"'), a_row("", body="{}")]
    assert store.record(rows) == [True, True]
    batch = lease(store)
    assert batch.bodies == (rows[0].body, rows[1].body)
    store.set_aside(batch, "first\nsecond: ü")
    assert [(one.run_id, one.reason) for one in store.aside(5)] == [
        ("run \ud83d", "first\nsecond: ü"),
        ("", "first\nsecond: ü"),
    ]


def test_characters_are_counted_not_bytes(store: RedisStore) -> None:
    """A batch is bounded in what a body's length is for everybody else."""
    store.record([a_row(place=at, body="ü🎈" * 5) for at in range(3)])
    batch = store.lease("ada", 10, 20, 60)
    assert batch is not None
    assert len(batch.bodies) == 2


def test_rows_that_come_back_are_in_order(store: RedisStore) -> None:
    """Behind what was recorded before, and before what is recorded then."""
    store.record(rows_of_run(1200, "refused"))
    for _ in range(2):
        store.set_aside(lease(store), "no")
    store.record([a_row("before")])
    assert store.retry_aside() == 1200
    assert store.standing().last == 2401
    store.record([a_row("after")])
    bodies = all_bodies(store)
    assert "before" in bodies[0]
    assert "after" in bodies[-1]
    assert len(bodies) == 1202


def test_nobody_is_no_owner(store: RedisStore) -> None:
    """Who names none cannot touch a batch that nobody has on loan."""
    store.record(rows_of_run(2))
    batch = lease(store)
    store.postpone(batch, "ada", 1000)
    store.postpone(batch, "", 0)
    assert store.split(batch, "", 60) is None
    assert store.lease("bob", 10, PLENTY, 60) is None


def test_a_pause_longer_than_a_loan_is_kept(store: RedisStore, admin: redis.Redis, name: str) -> None:
    """It ends later than a loan that begins now, and the clock was not set back for that."""
    store.record([a_row()])
    batch = lease(store)
    store.postpone(batch, "ada", 10_000)
    assert store.lease("bob", 10, PLENTY, 1) is None
    admin.zincrby(f"{{{name}:0}}:due", 60_000, batch.id.partition("-")[2])
    taken = store.lease("bob", 10, PLENTY, 1)
    assert taken is not None, "now it was"
    assert taken.payload_id == batch.payload_id


# Shards


def test_shards_share_the_rows(new_store: Callable[..., RedisStore], admin: redis.Redis, name: str) -> None:
    """Every shard has some, a run's rows are all in one, and answers and figures are of all of them."""
    store, other = new_store(shards=4), new_store(shards=4)
    rows = [a_row(f"run-{run}", place) for place in range(3) for run in range(200)]
    assert store.record(rows) == [True] * 600
    assert other.record([row._replace(claimant=7) for row in rows]) == [False] * 600
    assert other.record(rows) == [True] * 600
    lengths = [admin.xlen(f"{{{name}:{shard}}}:queue") for shard in range(4)]
    assert all(length % 3 == 0 and length > 60 for length in lengths)
    assert (store.standing().pending, sum(lengths)) == (600, 600)
    batch = lease(store)
    store.set_aside(batch, "no")
    assert store.standing().set_aside == len(other.aside(PLENTY)) == len(batch.bodies)
    assert len(other.aside(5)) == 5
    assert other.retry_aside() == len(batch.bodies)
    assert sorted(all_bodies(other)) == sorted(row.body for row in rows)
    assert other.standing().delivered == 600


def test_what_was_refused_is_in_order(
    new_store: Callable[..., RedisStore], admin: redis.Redis, name: str
) -> None:
    """By the time when it was set aside, whichever shards it is in."""
    for moment in range(1, 6):
        entry = {"m": f"1 1 run-{moment}", "b": "{}", "a": str(moment), "w": "no"}
        admin.xadd(f"{{{name}:{moment % 2}}}:aside", entry)
    assert [one.aside_ms for one in new_store(shards=2).aside(4)] == [1, 2, 3, 4]


def test_a_mark_holds_for_all_shards(new_store: Callable[..., RedisStore]) -> None:
    """What is recorded after it, in whichever shard, does not keep it from being passed."""
    store = new_store(shards=4)
    store.record([a_row("run-1", place) for place in range(50)])
    mark = store.standing()
    assert mark.first is not None
    assert mark.first <= mark.last
    store.record([a_row(f"other-{run}") for run in range(50)])
    batches = [lease(store) for _ in range(4)]
    assert store.lease("ada", 10, PLENTY, 60) is None
    for batch in batches:
        if "run-1" in batch.bodies[0]:
            store.delivered(batch)
    now = store.standing()
    assert now.first is not None
    assert now.first > mark.last


def test_shards_are_for_good(new_store: Callable[..., RedisStore]) -> None:
    """With another number of them, claims would be looked for where they are not."""
    new_store(shards=2).record([a_row()])
    with pytest.raises(LedgerError, match=r"has 2 shards, not 3.*say shards=2"):
        new_store(shards=3).standing()
    assert new_store(shards=2).standing().pending == 1


def test_a_later_layout_is_left_alone(
    new_store: Callable[..., RedisStore], admin: redis.Redis, name: str
) -> None:
    """An older ldtrack does not touch what it does not understand."""
    admin.hset(f"{{{name}:0}}:state", mapping={"shards": "1", "layout": "2"})
    with pytest.raises(LedgerError, match="another version of ldtrack"):
        new_store().record([a_row()])


# What the server says


@pytest.mark.parametrize(
    ("aof", "fsync", "promise"),
    [
        (1, "always", "of the server and of its machine"),
        (1, "everysec", "the last second or two may be lost"),
        (1, "no", "had not written yet"),
        (1, None, "did not tell"),
        (0, "always", "after the last snapshot is lost"),
        (None, None, "did not tell how"),
    ],
)
def test_durability_is_said_in_words(aof: int | None, fsync: str | None, promise: str) -> None:
    """As the server is set up, and no better where it does not tell."""
    info = {} if aof is None else {"aof_enabled": aof}
    config = {} if fsync is None else {"appendfsync": fsync}
    assert promise in Facts.of(info, config).durability


async def test_durability_is_the_servers_own(redis_server: servers.RedisServer, name: str) -> None:
    """It is asked when it is connected to."""
    ledger = RedisLedger(redis_server.url, name=name, spool=False)
    assert not ledger.durability
    await ledger.standing()
    assert "appendfsync always" in ledger.durability
    await ledger.aclose()


@pytest.mark.parametrize(
    "url", ["redis://:s3cret/x@cache:6379/0", "rediss://:s3cret@[cache", "cache:6379", None, 6379], ids=str
)
def test_an_address_that_is_none_is_not_quoted(url: Any) -> None:
    """A password that was not quoted looks like a port, and does not belong into an error."""
    with pytest.raises((TypeError, ValueError), match="url ") as refused:
        RedisStore(url)
    assert "s3cret" not in f"{refused.value} {refused.value.__cause__} {refused.value.__context__}"


def test_a_ledger_keeps_its_password_to_itself() -> None:
    """Whoever prints it sees which one it is, and no more."""
    assert repr(RedisLedger("redis://:s3cret@localhost", name="mine", spool=False)) == "<RedisLedger mine>"


def test_eviction_is_warned_of_once(
    new_store: Callable[..., RedisStore], admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that may evict keys may lose events; whoever reads the log can change that."""
    new_store().standing()
    assert not caplog.records
    admin.config_set("maxmemory-policy", "allkeys-lru")
    try:
        for _ in range(3):
            new_store().standing()
    finally:
        admin.config_set("maxmemory-policy", "noeviction")
    [record] = caplog.records
    assert "allkeys-lru" in record.getMessage()
    assert "set maxmemory-policy to noeviction" in record.getMessage()


def test_a_user_with_few_rights_is_enough(
    redis_server: servers.RedisServer, new_store: Callable[..., RedisStore], admin: redis.Redis, name: str
) -> None:
    """Those that the error names, and no others: it may not even ask how the server is set up."""
    rights = ["+@read", "+@write", "+@scripting", "+time"]
    admin.execute_command("ACL", "SETUSER", name, "on", ">secret", f"~{{{name}:*", *rights)
    try:
        url = redis_server.url.replace("redis://", f"redis://{name}:secret@")
        told: list[Facts] = []
        store = new_store(url, tell=told.append)
        assert store.record(rows_of_run(5)) == [True] * 5
        assert "did not tell how" in told[0].durability
        assert len(all_bodies(store)) == 5
        with pytest.raises(LedgerError, match="may not do") as raised:
            new_store(url, name="other").record([a_row()])
        assert "secret" not in str(raised.value)
    finally:
        admin.execute_command("ACL", "DELUSER", name)


# Together

RACER = """
import random, sys
from ldtrack.core.row import Row
from ldtrack.ledgers.redis.store import RedisStore

url, name, seed = sys.argv[1:]
store = RedisStore(url, name=name)
sys.stdin.readline()
keys = [(f"run-{run}", place) for run in range(200) for place in range(5)]
random.Random(int(seed)).shuffle(keys)
for at in range(0, len(keys), 50):
    rows = [Row(run, place, int(seed) << 40 | at, 1, 1, "{}") for run, place in keys[at : at + 50]]
    for row, first in zip(rows, store.record(rows)):
        if first:
            print(row.run_id, row.place)
"""


def test_processes_that_race_have_one_winner_each(
    redis_server: servers.RedisServer, store: RedisStore, name: str
) -> None:
    """8 processes claim every place of 200 runs: each place has one winner, and one row."""
    command = [sys.executable, "-c", RACER, redis_server.url, name]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    racers = [
        subprocess.Popen(
            [*command, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for seed in range(1, 9)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [line for racer in racers for line in racer.communicate(timeout=120)[0].splitlines()]
    assert [racer.returncode for racer in racers] == [0] * 8
    assert len(won) == len(set(won)) == 1000
    assert store.standing().pending == 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # pytest's own threads
def test_a_forked_child_leaves_the_connection_alone(store: RedisStore, admin: redis.Redis) -> None:
    """It makes one of its own; the parent's goes on, and is the same one."""
    store.record([a_row("parent")])
    before = {client["id"] for client in admin.client_list()}
    child = os.fork()
    if not child:
        store.abandon()
        done = store.record([a_row("child")]) == [True]
        store.close()
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.standing().pending == 2
    assert {client["id"] for client in admin.client_list()} == before


def test_a_store_that_was_closed_opens_again(store: RedisStore) -> None:
    """Closing lets go of the connection, and the next call takes it up."""
    store.record([a_row()])
    store.close()
    store.close()
    assert store.standing().pending == 1


# Replicas


@pytest.fixture
def replica(redis_server: servers.RedisServer, admin: redis.Redis) -> Iterator[servers.RedisServer]:
    """A replica of the server, in step with it."""
    with servers.redis_server() as other, redis.Redis.from_url(other.url) as client:
        admin.config_set("repl-diskless-sync-delay", "0")
        client.replicaof("127.0.0.1", str(redis_server.port))
        # Writes go on until one is confirmed: only then it is in step.
        other._until(lambda: bool(admin.set("step", 1)) and admin.wait(1, 100) == 1, "did not follow")
        admin.delete("step")
        yield other


def test_without_enough_replicas_nothing_is_confirmed(new_store: Callable[..., RedisStore]) -> None:
    """Nor when it is asked again, though the rows are there already."""
    store, row = new_store(wait_replicas=1, timeout=1.0), a_row()
    for _ in range(2):
        with pytest.raises(UnavailableError, match="only 0 of 1 replicas"):
            store.record([row])
    assert store.standing().pending == 1


def test_a_replica_that_lags_confirms_nothing(
    new_store: Callable[..., RedisStore], replica: servers.RedisServer, admin: redis.Redis
) -> None:
    """Nor when scripts had to be brought, nor when it is asked again with nothing left to write."""
    store, row, before = new_store(wait_replicas=1, timeout=1.0), a_row(), a_row("before")
    replica._until(lambda: is_confirmed(store, before), "did not follow")
    replica.pause()
    admin.script_flush()
    for _ in range(2):
        with pytest.raises(UnavailableError, match="only 0 of 1 replicas"):
            store.record([row])
        store.close()
    replica.resume()
    replica._until(lambda: is_confirmed(store, row), "did not catch up")


def is_confirmed(store: RedisStore, row: Row) -> bool:
    """Whether the replica has the row by now."""
    try:
        return store.record([row]) == [True]
    except UnavailableError:
        return False


def test_with_enough_replicas_it_is_confirmed(
    new_store: Callable[..., RedisStore], replica: servers.RedisServer, name: str
) -> None:
    """And the replica, once it has taken over, knows who claimed what and what waits."""
    store, row = new_store(wait_replicas=1), a_row()
    assert store.record([row]) == [True]
    batch = lease(store)
    store.postpone(batch, "ada", 0)
    store.record([a_row("run-2")])
    with redis.Redis.from_url(replica.url) as client:
        client.replicaof("NO", "ONE")
    survivor = new_store(replica.url)
    assert survivor.record([row, a_row()]) == [True, False]
    taken = lease(survivor)
    assert (taken.payload_id, taken.bodies) == (batch.payload_id, batch.bodies)
