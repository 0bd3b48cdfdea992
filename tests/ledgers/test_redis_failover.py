"""A ledger on a Redis master that a Sentinel watches: it dies, its replica takes over, it comes back."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import servers
from ledger_kits import a_claim
from redis.sentinel import MasterNotFoundError
from sentinel_server import Watched, client_of, watched_servers
from server_callers import Arrivals, arrivals_of, calling, relaying
from store_asks import PLENTY, all_bodies
from store_kits import a_row, rows_of_run

from ldtrack.core.slots import DURATION
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers import spool
from ldtrack.ledgers.redis import RedisLedger, RedisStore
from ldtrack.ledgers.redis.address import Address, let_go
from ldtrack.ledgers.redis.errors import understood
from ldtrack.ledgers.store import UnavailableError

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def watched_of_module(redis_of_session: servers.RedisServer) -> Iterator[Watched]:
    """Two servers and their Sentinel; where there can be none the other fixture says so."""
    with watched_servers() as watched:
        yield watched


@pytest.fixture
def watched(watched_of_module: Watched) -> Watched:
    """A master with its replica, whatever the last test did to them."""
    watched_of_module.heal()
    return watched_of_module


@pytest.fixture
def name() -> str:
    """A name that no ledger had before."""
    return f"failover{next(_numbers)}"


@pytest.fixture
async def new_ledger(watched: Watched, name: str) -> AsyncIterator[Callable[..., RedisLedger]]:
    """One more process' ledger, which asks a Sentinel that is away before the other."""
    ledgers: list[RedisLedger] = []
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = watched.url(gone.getsockname()[1])

    def make(**options: Any) -> RedisLedger:
        options = {"name": name, "wait_replicas": 1, "spool": False, **options}
        ledgers.append(RedisLedger(url, **options))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        await ledger.aclose()


@pytest.fixture
def new_store(watched: Watched, name: str) -> Iterator[Callable[..., RedisStore]]:
    """Opens one more store."""
    stores: list[RedisStore] = []

    def make(**options: Any) -> RedisStore:
        options = {"name": name, "timeout": 2.0, "wait_replicas": 1, **options}
        stores.append(RedisStore(watched.url(), **options))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


# Failovers


async def test_a_replica_that_takes_over_has_all_that_was_acknowledged(
    watched: Watched, new_ledger: Callable[..., RedisLedger]
) -> None:
    """Under load, and while a relay delivers: callers wait, nothing is lost, and nothing comes twice."""
    arrivals = Arrivals()
    async with calling(new_ledger(deadline=60.0)) as callers, relaying(new_ledger, arrivals):
        await callers.more(300)
        await asyncio.to_thread(watched.fail_over)
        # Until the server that was the master is back, nobody but the new one has what is claimed.
        await asyncio.to_thread(watched.heal)
        await callers.more(300)
    assert callers.failures == []
    callers.check(await arrivals_of(new_ledger(), arrivals))


def test_a_master_that_comes_back_and_knows_nothing_of_it_is_not_used(
    watched: Watched, new_store: Callable[..., RedisStore]
) -> None:
    """It takes writes until the Sentinel has made it a replica. Nobody is led to it meanwhile."""
    store, old = new_store(wait_replicas=0), watched.master
    assert new_store().record([a_row()]) == [True]
    assert store.record([a_row()]) == [False]
    watched.fail_over()
    old.start()
    assert store.record([a_row(), a_row("run-2")]) == [False, True]
    assert new_store(wait_replicas=0).record([a_row("run-2"), a_row("run-3")]) == [False, True]
    watched.heal()
    with client_of(watched.master) as client:
        assert client.exists(f"{store._shards[0].tag}:run:run-3") == 1


def test_without_waiting_for_replicas_what_they_had_not_received_is_lost(
    watched: Watched, new_store: Callable[..., RedisStore]
) -> None:
    """Negative control, and the reason for the advice: acknowledged, gone, and its slots are free again."""
    rows = rows_of_run(5)
    assert new_store().record([a_row("before")]) == [True]
    with client_of(watched.replica) as client:
        client.replicaof("NO", "ONE")  # cut off
    assert new_store(wait_replicas=0).record(rows) == [True] * 5
    watched.master.kill()
    left = RedisStore(watched.replica.url, name=new_store()._shards[0].tag[1:-3])
    assert left.record([a_row("before"), *(row._replace(claimant=7) for row in rows)]) == [False] + [True] * 5
    left.close()


def test_sentinels_that_do_not_answer_may_come_back(
    watched: Watched, new_store: Callable[..., RedisStore]
) -> None:
    """Gone, or standing still: the call comes back in time. A service that none knows may turn up, too."""
    store = new_store(timeout=1.0)
    watched.sentinel.pause()
    try:
        with pytest.raises(UnavailableError, match=r"no Sentinel names its master \(TimeoutError\)"):
            store.record([a_row()])
    finally:
        watched.sentinel.resume()
    assert store.record([a_row()]) == [True]
    gone = RedisStore(watched.url().replace(str(watched.sentinel.port), str(servers._free_port())))
    with pytest.raises(UnavailableError, match=r"no Sentinel names its master \(ConnectionError\)"):
        gone.record([a_row()])
    typo = RedisStore(watched.url().replace("/ldtrack/", "/ldtrak/"))
    with pytest.raises(UnavailableError, match="no such service, or it has none"):
        typo.record([a_row()])


def test_a_sentinel_that_wants_a_password_says_so(watched: Watched) -> None:
    """At once: to try again would not help. It is not the servers' password."""
    with redis.Redis(port=watched.sentinel.port) as client:
        client.execute_command("ACL", "SETUSER", "default", "resetpass", ">s3cret")
        try:
            for password in ("", "wr0ng"):
                driver = {"sentinel_kwargs": {"password": password}}
                with pytest.raises(LedgerError, match="refused the user name or the password") as raised:
                    RedisStore(watched.url(), driver=driver).record([a_row()])
                assert "wr0ng" not in str(raised.value)
            store = RedisStore(watched.url(), driver={"sentinel_kwargs": {"password": "s3cret"}})
            assert store.standing().set_aside == 0
            store.close()
        finally:
            client.execute_command("AUTH", "s3cret")
            client.execute_command("ACL", "SETUSER", "default", "nopass")


# A replica that is away


async def test_without_its_replica_nothing_is_acknowledged_and_nothing_lost(
    watched: Watched,
    new_ledger: Callable[..., RedisLedger],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Callers get an error that says why, and the rest waits in the spool."""
    monkeypatch.setattr(spool, "PAUSE", 0.1)
    ledger = new_ledger(deadline=2.0, spool=tmp_path / "spool.db")
    assert await ledger.submit(a_claim(DURATION, 1, "before")) is True
    await asyncio.to_thread(watched.replica.kill)
    quiet = ledger.submit_quietly(a_claim(DURATION, 1, "quiet"))
    with pytest.raises(LedgerError, match="only 0 of 1 replicas have it"):
        await ledger.submit(a_claim(DURATION, 1, "run-1"))
    assert ledger.spooled == 1
    assert not isinstance(quiet, bool)
    assert await quiet is True

    await asyncio.to_thread(watched.heal)
    await ledger.submit(a_claim(DURATION, 1, "run-1"))
    arrivals = await arrivals_of(ledger, Arrivals())
    assert sorted(arrivals.runs) == ["before", "quiet", "run-1"]


def test_an_earlier_try_is_not_acknowledged_before_a_replica_has_it(
    watched: Watched, new_store: Callable[..., RedisStore]
) -> None:
    """It is stored on the master, and came over a connection that is no more: WAIT may know nothing of it."""
    row, other = a_row(), a_row()
    watched.replica.pause()
    try:
        for again in (row, row, other):
            with pytest.raises(UnavailableError, match="only 0 of 1 replicas have it"):
                new_store().record([again])
    finally:
        watched.replica.resume()
    assert new_store().record([row, other]) == [True, False]


def test_a_payload_id_is_not_used_before_a_replica_has_it(
    watched: Watched, new_store: Callable[..., RedisStore]
) -> None:
    """Else LaunchDarkly would get the same rows under another one after a failover, and count them twice."""
    store = new_store()
    rows = rows_of_run(4)
    store.record(rows)
    watched.replica.pause()
    try:
        with pytest.raises(UnavailableError, match="only 0 of 1 replicas have it"):
            store.lease("ada", 10, PLENTY, 0)
    finally:
        watched.replica.resume()
    batch = store.lease("ada", 10, PLENTY, 60)
    assert batch is not None
    assert batch.attempts == 1  # it is the one that was not used
    watched.replica.pause()
    try:
        with pytest.raises(UnavailableError, match="only 0 of 1 replicas have it"):
            store.split(batch, "ada", 0)
    finally:
        watched.replica.resume()
    assert sorted(all_bodies(store)) == sorted(row.body for row in rows)


# Addresses


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://ada:pw@host:1/2", "host:1/2"),
        ("unix://ada:pw@/run/redis.sock?db=1", "/run/redis.sock"),
        ("redis+sentinel://one/mine", "one:26379/mine"),
        ("rediss+sentinel://ada:pw@one:1,[::1]:2/mine/3?ssl_cert_reqs=none", "one:1,::1:2/mine"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    """In logs it stands for the server. Nothing is connected to yet."""
    address = Address(url, timeout=1, driver={})
    assert address.shown == shown
    let_go(address.server())


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://host",
        "redis+sentinel://host/",
        "redis+sentinel://host,/mine",
        "redis+sentinel://host:port/mine",
        "redis+sentinel://ada:p/w@host/mine",
        "redis+sentinel://host/mine/first",
        "sentinel://host/mine",
    ],
)
def test_what_is_no_address_of_sentinels_is_refused(url: str) -> None:
    """At once, without repeating it, and with the way to write one."""
    with pytest.raises(ValueError, match=r"redis\+sentinel://user:password") as raised:
        RedisLedger(url)
    assert "p/w" not in str(raised.value)


def test_a_sentinels_address_becomes_the_drivers_options(tmp_path: Path) -> None:
    """Those of the servers for the servers; those of TLS and time for the Sentinels, too."""
    file = tmp_path / "ca.pem"
    file.touch()
    url = f"rediss+sentinel://ada:p%2Fw@one:1,two/mine/3?ssl_ca_certs={file}"
    driver = {"health_check_interval": 9, "sentinel_kwargs": {"password": "theirs"}}
    pool: Any = Address(url, timeout=8.0, driver=driver).server().connection_pool
    kept = pool.connection_kwargs
    assert (kept["username"], kept["password"], kept["db"]) == ("ada", "p/w", 3)
    assert (kept["ssl_ca_certs"], kept["health_check_interval"]) == (str(file), 9)
    assert (kept["ssl_check_hostname"], kept["socket_timeout"]) == (True, 4.0)
    assert pool.service_name == "mine"
    sentinels = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in sentinels] == [("one", 1), ("two", 26379)]
    for one in sentinels:
        assert (one["password"], one.get("username"), one["socket_timeout"]) == ("theirs", None, 2.0)
        assert (one["ssl_ca_certs"], one["ssl_check_hostname"]) == (str(file), True)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("No master found for 'mine'", "no such service, or it has none"),
        (
            "No master found for 'mine' : Redis<pw=s3cret> - TimeoutError(''), Redis<pw> - network:DataError",
            "TimeoutError, DataError",
        ),
    ],
)
def test_a_master_that_no_sentinel_names_may_turn_up(said: str, shown: str) -> None:
    """The driver's own words may hold the Sentinels' password: ours do not."""
    meaning = understood(MasterNotFoundError(said))
    assert isinstance(meaning, UnavailableError)
    assert str(meaning).endswith(f"no Sentinel names its master ({shown})")
