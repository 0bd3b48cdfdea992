"""What is lost when a server is killed in the middle of a write, and it is started twice on the rest.

The effects of a script are one transaction in the append-only file. If its end is missing, Redis 7.0 with
`aof-load-truncated yes` starts without it, but cuts off only the last command that is not whole, so that half
of the transaction stays in the file, open. The next one follows it there, and at the next start both are
run as one: rows that were never recorded take the places of those that were.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from store_asks import all_bodies
from store_kits import a_row, rows_of_run

from ldtrack.core.row import Row
from ldtrack.ledgers.redis.facts import Facts
from ldtrack.ledgers.redis.store import RedisStore

STEP = 16
"""Every so many bytes the file is cut: most commands have more."""


@pytest.fixture
def server(redis_of_session: servers.RedisServer) -> Iterator[servers.RedisServer]:
    """One whose files may be broken, where there can be servers at all."""
    with servers.redis_server() as server:
        yield server


@pytest.fixture
def cut_files(server: servers.RedisServer) -> Iterator[Path]:
    """The file that the server appends to, ending in every way in which a kill may have left it.

    One commit is in it, and of the next one that nobody was told of as much as was written.
    """
    record(server, rows_of_run(1, "run-1"))
    file = appended_by(server)
    before = file.stat().st_size
    record(server, rows_of_run(3, "run-2"))
    server.kill()
    whole = file.read_bytes()
    assert whole.endswith(b"EXEC\r\n")

    def endings() -> Iterator[Path]:
        for end in range(before + 1, len(whole), STEP):
            file.write_bytes(whole[:end])
            yield file

    return endings()


def appended_by(server: servers.RedisServer) -> Path:
    """One file up to Redis 6, the newest of several in a folder from Redis 7."""
    files = sorted(server.data.rglob("*.aof"), key=lambda file: file.stat().st_mtime)
    return files[-1]


def record(server: servers.RedisServer, rows: list[Row]) -> None:
    """Record rows that are all the first, as a process that has just begun."""
    store = RedisStore(server.url)
    assert store.record(rows) == [True] * len(rows)
    store.close()


def arrived_after(server: servers.RedisServer, rows: list[Row]) -> list[str]:
    """Start on what is left, record, kill, start again, deliver: what comes."""
    server.start()
    record(server, rows)
    server.kill()
    server.start()
    store = RedisStore(server.url)
    bodies = all_bodies(store)
    store.close()
    server.kill()
    return bodies


def test_a_write_that_was_cut_off_costs_nothing_later(
    server: servers.RedisServer, cut_files: Iterator[Path]
) -> None:
    """Wherever it was cut, if the file is mended before the server starts: all is there, and no more."""
    for _ in cut_files:
        rows = rows_of_run(3, "run-3")
        first, *others = arrived_after(server, rows)
        assert "run-1" in first
        assert others == [row.body for row in rows]


def test_a_server_that_mends_its_file_itself_may_lose_what_comes_later(
    server: servers.RedisServer, cut_files: Iterator[Path]
) -> None:
    """Negative control, and the reason for the warning: acknowledged, synced to disk, gone."""
    server.settings["aof-load-truncated"] = "yes"
    lost = []
    for _ in cut_files:
        rows = rows_of_run(3, "run-3")
        arrived = arrived_after(server, rows)
        lost.append([row for row in rows if row.body not in arrived])

    if not any(lost):
        pytest.skip("this server cuts off a transaction whole: it needs no mending")
    assert [] in lost  # cut between two transactions, or in the very first command
    assert 3 in map(len, lost)


def test_a_server_that_mends_its_file_itself_is_warned_of_once(
    server: servers.RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """With what to do; the ledger says no more than what is so."""
    server.stop()
    server.settings["aof-load-truncated"] = "yes"
    server.start()
    told: list[Facts] = []
    for _ in range(2):
        store = RedisStore(server.url, tell=told.append)
        store.record([a_row()])
        store.close()

    if not told[-1].cuts_by_itself:
        pytest.skip("this server cuts off a transaction whole: it needs no mending")
    [record] = caplog.records
    assert "set aof-load-truncated to no" in record.getMessage()
    assert "may be lost with the next restart" in told[-1].durability


@pytest.mark.parametrize(
    ("aof", "truncated", "count"),
    [(1, "yes", 1), (1, "no", 0), (1, None, 0), (0, "yes", 0), (None, "yes", 0)],
)
def test_only_a_server_that_appends_can_leave_half_a_transaction(
    aof: int | None, truncated: str | None, count: int
) -> None:
    """One that keeps snapshots, or does not tell, is not warned of."""
    info = {} if aof is None else {"aof_enabled": aof}
    config = {} if truncated is None else {"aof-load-truncated": truncated}
    facts = Facts.of(info, config)

    assert len(facts.warnings) == count
    assert ("next restart" in facts.durability) == bool(count)


@pytest.mark.parametrize(("version", "is_warned_of"), [("8.1.4", True), ("9.1.2", False), ("10.0.0", False)])
def test_a_valkey_that_cuts_off_a_transaction_whole_is_not_warned_of(
    version: str, is_warned_of: bool
) -> None:
    """What it begins to write is gone with the rest of it."""
    info = {"aof_enabled": 1, "redis_version": "7.2.4", "valkey_version": version}
    assert bool(Facts.of(info, {"aof-load-truncated": "yes"}).warnings) is is_warned_of


@pytest.mark.parametrize(("said", "is_cluster"), [("redis_mode", True), ("server_mode", True), ("os", False)])
def test_a_cluster_says_so_in_redis_and_in_valkey(said: str, is_cluster: bool) -> None:
    """Under a name of its own in each."""
    assert Facts.of({said: "cluster"}, {}).is_cluster is is_cluster
