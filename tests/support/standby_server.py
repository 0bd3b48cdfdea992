"""Two PostgreSQL servers, one of which follows the other and may take over from it.

Rule for this file: what a failover tool does to servers, one step each. Who calls when is the test's affair.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from servers import PostgresServer, kept, postgres_server

__all__ = ["Pair", "ask", "dsn_of", "pair_of_servers"]

SETTINGS = {
    # When it begins to take writes nobody follows it yet.
    "synchronous_standby_names": "",
    # As it comes, a standby that finds nobody to follow looks again after five seconds.
    "wal_retrieve_retry_interval": "50ms",
}


class StandbyServer(PostgresServer):
    """A server that begins as a copy of another."""

    def __init__(self, folder: Path, primary: PostgresServer) -> None:
        self._primary = primary
        super().__init__(folder)

    def _make(self) -> None:
        follow(self, self._primary)


def follow(server: PostgresServer, primary: PostgresServer) -> None:
    """Throw the server's data away, and have it be a copy of the primary that follows it when started."""
    shutil.rmtree(server.data, ignore_errors=True)
    flags = ("-X", "stream", "-c", "fast", "--no-sync", "-R")
    server._run("pg_basebackup", "-D", str(server.data), *flags, "-d", primary.dsn())
    server.configure(port=str(server.port), **SETTINGS)


def ask(server: PostgresServer, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What the server itself answers, beside everybody else."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


def dsn_of(*servers: PostgresServer) -> str:
    """How to connect to whichever of them takes writes."""
    hosts, ports = ",".join("127.0.0.1" for _ in servers), ",".join(str(one.port) for one in servers)
    return f"host={hosts} port={ports} user=ldtrack dbname=postgres target_session_attrs=read-write"


class Pair:
    """A primary and its standby; with a failover they change places."""

    def __init__(self, primary: PostgresServer, standby: PostgresServer) -> None:
        self.primary = primary
        self.standby = standby
        self._is_followed = True

    def heal(self) -> None:
        """Have both of them run as they should, and every commit wait for the standby."""
        self.primary.ensure()
        if not self._is_followed:
            self.standby.kill()
            follow(self.standby, self.primary)
            self._is_followed = True
        self.standby.ensure()
        self.wait_for_standby("*")

    def wait_for_standby(self, names: str) -> None:
        """Have commits wait for standbys of these names, from when they have caught up."""
        self.primary.configure(synchronous_standby_names=names)
        ask(self.primary, "SELECT pg_reload_conf()")
        states = [("sync",)] if names else [("async",)]
        state = "SELECT sync_state FROM pg_stat_replication"
        self.standby._until(lambda: ask(self.primary, state) == states, "did not catch up")

    def fail_over(self) -> None:
        """The primary crashes, and the standby takes its place."""
        self.primary.kill()
        self.promote()

    def promote(self) -> None:
        """Have the standby take the primary's place, whatever has become of that."""
        self.standby._run("pg_ctl", "promote", "-w", "-D", str(self.standby.data))
        self.primary, self.standby = self.standby, self.primary
        self._is_followed = False

    def waiting(self) -> list[int]:
        """The sessions of the primary whose commits wait for a standby."""
        found = ask(self.primary, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        return [pid for (pid,) in found]

    def somebody_waits(self) -> int:
        """Wait until a commit waits for the standby; returns its session."""
        self.primary._until(lambda: bool(self.waiting()), "has no commit that waits")
        return self.waiting()[0]


@contextlib.contextmanager
def pair_of_servers() -> Iterator[Pair]:
    """Two servers for as long as the block lasts, and no longer than the process."""
    with postgres_server() as primary:
        # The machine stays up: what the kernel has is not lost, and that is all that any of this takes.
        primary.configure(fsync="off")
        ask(primary, "SELECT pg_reload_conf()")
        with kept(partial(StandbyServer, primary=primary)) as standby:
            pair = Pair(primary, standby)
            try:
                yield pair
            finally:
                # Without waiting for either to end as it should.
                pair.standby.kill()
                pair.primary.kill()
