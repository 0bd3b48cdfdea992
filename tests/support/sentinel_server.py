"""Two Redis servers, one a replica of the other, and a Sentinel that has it take over.

Rule for this file: servers, and waiting until they say that they are what they should be.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from servers import RedisServer, kept

__all__ = ["SERVICE", "Sentinel", "Watched", "watched_servers"]

SERVICE = "ldtrack"
SETTINGS = {"repl-diskless-sync-delay": "0", "repl-timeout": "5"}
QUICKLY = {"info-period": 100, "ping-period": 300, "ask-period": 50, "publish-period": 100}
"""A Sentinel looks every second and every ten, and reconfigures a server that came back after eight.

It takes no replica that it has not heard of for five pings: they must not be too quick.
"""


class Sentinel(RedisServer):
    """A Sentinel that needs nobody's agreement. Its file is its memory: it is written once."""

    what = "Sentinel"

    def watch(self, port: int, **settings: object) -> None:
        """Start it, with the server on that port as the master."""
        lines: dict[str, object] = {
            "bind": "127.0.0.1",
            "daemonize": "yes",
            "port": self.port,
            "dir": self.data,
            "pidfile": self.pid_file,
            "logfile": self.folder / "log",
            "sentinel monitor": f"{SERVICE} 127.0.0.1 {port} 1",
            "sentinel down-after-milliseconds": f"{SERVICE} 500",
            "sentinel failover-timeout": f"{SERVICE} 1000",
        }
        lines |= {name.replace("_", "-"): value for name, value in settings.items()}
        (self.data / "redis.conf").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        self._launch()

    def start(self) -> None:
        """It is started when it is told what to watch."""

    def _launch(self) -> None:
        command = ["redis-server", str(self.data / "redis.conf"), "--sentinel"]
        with (self.data / "said").open("w") as said:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=said, cwd=self.data, check=True)
        self._until(self.answers, "did not start")
        with contextlib.suppress(redis.ResponseError):  # before Redis 7 it takes its time
            options = [part for pair in QUICKLY.items() for part in pair]
            with redis.Redis(port=self.port) as client:
                client.execute_command("SENTINEL", "DEBUG", *options)

    def master_port(self) -> int | None:
        """Where it says the master is, unless it takes it to be down."""
        with redis.Redis(port=self.port, decode_responses=True) as client:
            master = client.sentinel_master(SERVICE)
        return int(master["port"]) if master["flags"] == "master" else None


class Watched:
    """A master and its replica; with a failover they change places."""

    def __init__(self, master: RedisServer, replica: RedisServer, sentinel: Sentinel) -> None:
        self.master = master
        self.replica = replica
        self.sentinel = sentinel

    def url(self, *before: int) -> str:
        """How to find the master; Sentinels on those ports are to be asked before ours."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in (*before, self.sentinel.port))
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def heal(self) -> None:
        """Have both of them run, the one a replica of the other, and the Sentinel know of it."""
        self.master.ensure()
        self.replica.ensure()
        self.replica._until(self._is_told, "cannot be told to follow")
        self.replica._until(self._is_followed, "does not follow")

    def _is_told(self) -> bool:
        # A Sentinel that finds it may tell it just now, and have it cut connections.
        with contextlib.suppress(redis.ConnectionError), client_of(self.replica) as client:
            return bool(client.replicaof("127.0.0.1", str(self.master.port)))
        return False

    def _is_followed(self) -> bool:
        info = said_by(self.replica)
        follows = info.get("role"), info.get("master_link_status"), info.get("master_port")
        is_named = self.sentinel.master_port() == self.master.port
        return follows == ("slave", "up", self.master.port) and is_named and self._is_known()

    def _is_known(self) -> bool:
        with redis.Redis(port=self.sentinel.port, decode_responses=True) as client:
            replicas = client.sentinel_slaves(SERVICE)
        known = [one for one in replicas if one["port"] == self.replica.port]
        return [(one["flags"], one["master-link-status"]) for one in known] == [("slave", "ok")]

    def fail_over(self) -> None:
        """The master crashes; wait until the Sentinel has the replica take its place."""
        self.master.kill()
        self.taken_over()

    def taken_over(self) -> None:
        """Wait until the replica is the master."""
        self.sentinel._until(self._has_taken_over, "did not fail over")
        self.master, self.replica = self.replica, self.master

    def _has_taken_over(self) -> bool:
        is_master = said_by(self.replica).get("role") == "master"
        return is_master and self.sentinel.master_port() == self.replica.port


def client_of(server: RedisServer) -> redis.Redis:
    """A way to the server beside the ledger."""
    return redis.Redis.from_url(server.url, decode_responses=True)


def said_by(server: RedisServer) -> dict[str, Any]:
    """What a server says of its part; nothing while it cuts connections, since that has just changed."""
    with contextlib.suppress(redis.ConnectionError), client_of(server) as client:
        return client.info("replication")
    return {}


class Replicated(RedisServer):
    """A server that has a replica, or is one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.settings |= SETTINGS


@contextlib.contextmanager
def watched_servers() -> Iterator[Watched]:
    """Two servers and a Sentinel for as long as the block lasts, and no longer than the process."""
    with kept(Replicated) as master, kept(Replicated) as replica, kept(Sentinel) as sentinel:
        with client_of(replica) as client:
            client.replicaof("127.0.0.1", str(master.port))
        sentinel.watch(master.port)
        yield Watched(master, replica, sentinel)
