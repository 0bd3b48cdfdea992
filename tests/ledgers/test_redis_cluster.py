"""A store on a real Redis Cluster of three nodes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis
import servers
from store_asks import PLENTY
from store_kits import a_row

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.redis.store import RedisStore
from ldtrack.ledgers.store import UnavailableError


@pytest.fixture(scope="module")
def nodes(redis_of_session: servers.RedisServer) -> Iterator[list[servers.RedisServer]]:
    """Three masters that share the slots; where Redis is missing the other fixture says so."""
    with ExitStack() as stack:
        found = [stack.enter_context(servers.redis_server()) for _ in range(3)]
        for node in found:
            node.settings |= {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}
            # The usual port of its bus, 10,000 above its own, is one that outgoing connections may have.
            node.settings |= {
                "cluster-require-full-coverage": "no",
                "cluster-port": str(servers._free_port()),
            }
            node.restart()
        addresses = [f"127.0.0.1:{node.port}" for node in found]
        command = ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        for node in found:
            node._until(lambda node=node: is_up(node), "did not join")
        yield found


def is_up(node: servers.RedisServer) -> bool:
    """Whether it knows who has which slot."""
    with redis.Redis.from_url(node.url) as client:
        return "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO"))


@pytest.fixture
def store(nodes: list[servers.RedisServer]) -> Iterator[RedisStore]:
    """A ledger of six shards."""
    store = RedisStore(nodes[0].url, name=nodes[0].unique(), shards=6, timeout=2.0)
    yield store
    store.close()


def test_a_cluster_is_recognised_and_shared(nodes: list[servers.RedisServer], store: RedisStore) -> None:
    """Every node has some of the rows, and all of them come out, once."""
    rows = [a_row(f"run-{run}", place) for run in range(100) for place in range(4)]
    assert store.record(rows) == [True] * 400
    assert store.record([row._replace(claimant=7) for row in rows]) == [False] * 400
    for node in nodes:
        with redis.Redis.from_url(node.url) as client:
            assert client.dbsize() > 10
    assert store.standing().pending == 400
    bodies: list[str] = []
    while batch := store.lease("ada", 50, PLENTY, 60):
        halves = store.split(batch, "ada", 60)
        assert halves is not None
        store.postpone(halves[0], "ada", 0)
        again = store.lease("bob", 50, PLENTY, 60)
        for one in (halves[1], again):
            if one is not None and again is not None:
                bodies += one.bodies
                store.delivered(one)
    assert sorted(bodies) == sorted(row.body for row in rows)
    assert store.standing().delivered == 400


def test_one_shard_is_enough_for_a_cluster(nodes: list[servers.RedisServer]) -> None:
    """Whichever node has it, and whichever is asked first; scripts that were forgotten are brought again."""
    name = nodes[0].unique()
    for node in nodes:
        store = RedisStore(node.url, name=name)
        assert store.record([a_row(f"run-{node.port}")]) == [True]
        with redis.Redis.from_url(node.url) as client:
            client.script_flush()
        assert store.record([a_row(f"other-{node.port}")]) == [True]
        store.close()
    store = RedisStore(nodes[1].url, name=name)
    assert store.standing().pending == 6
    store.close()


def test_a_cluster_cannot_be_asked_for_replicas(nodes: list[servers.RedisServer]) -> None:
    """A confirmation by one node's replicas says nothing of the other nodes: it is refused, and said."""
    store = RedisStore(nodes[0].url, name=nodes[0].unique(), wait_replicas=1)
    with pytest.raises(LedgerError, match="wait_replicas is for one server"):
        store.record([a_row()])


def test_one_node_that_is_away_leaves_the_others(nodes: list[servers.RedisServer], store: RedisStore) -> None:
    """Even if it is the one in the URL: what the others have goes on, and the rest once it is back."""
    rows = [a_row(f"run-{run}") for run in range(40)]
    store.record(rows[:10])
    nodes[0].stop()
    recorded: list[bool] = []
    try:
        for row in rows:
            try:
                recorded += store.record([row])
            except UnavailableError:
                recorded.append(False)
    finally:
        nodes[0].start()
        for node in nodes:
            node._until(lambda node=node: is_up(node), "did not join again")
    assert set(recorded) == {True, False}
    assert store.record(rows) == [True] * 40
    assert store.standing().pending == 40


def test_a_node_that_is_away_may_come_back(nodes: list[servers.RedisServer], store: RedisStore) -> None:
    """What could not be recorded can be recorded again, and what was is once."""
    rows = [a_row(f"run-{run}") for run in range(60)]
    store.record(rows[:10])
    nodes[1].stop()
    try:
        with pytest.raises(UnavailableError, match="cannot be used right now"):
            store.record(rows)
    finally:
        nodes[1].start()
        for node in nodes:
            node._until(lambda node=node: is_up(node), "did not join again")
    assert store.record(rows) == [True] * 60
    assert store.standing().pending == 60
