"""Private PostgreSQL and Redis servers for tests, crash tests and benchmarks.

Rule for this file: what a server is and what can be done to it; no fixture and nothing of ours. A server has
a port and a folder of its own, syncs to disk as a production server does, and ends with the process that
started it, however that process ends.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pwd

__all__ = [
    "PostgresServer",
    "RedisServer",
    "kept",
    "missing_postgres",
    "missing_redis",
    "postgres_server",
    "redis_server",
]

POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "lc_messages": "C",
}
HBA = """\
host all with_password 127.0.0.1/32 scram-sha-256
host all,replication all 127.0.0.1/32 trust
"""
REDIS_SETTINGS = {
    "bind": "127.0.0.1",
    "daemonize": "yes",
    "appendonly": "yes",
    "appendfsync": "always",
    "aof-load-truncated": "no",
    "save": "",
    "databases": "1",
}
# Waits for its standard input to end, which it does with whoever holds the other end: then nothing is left.
KEEPER = """
trap '' INT TERM HUP
cat >/dev/null
for file in "$1"/*/pid "$1"/data/postmaster.pid; do
    [ -s "$file" ] && read -r pid <"$file" && kill -CONT "$pid" && kill -QUIT "$pid"
done 2>/dev/null
for try in $(seq 80); do
    [ -e "$1/data/postmaster.pid" ] || break
    sleep 0.1
done
for file in "$1"/*/pid "$1"/data/postmaster.pid; do
    [ -s "$file" ] && read -r pid <"$file" && kill -KILL "$pid"
done 2>/dev/null
rm -rf "$1"
"""


def missing_postgres() -> str | None:
    """What to install before a PostgreSQL server can be started, if anything."""
    if _postgres_binary("initdb") and _postgres_binary("pg_ctl"):
        return None
    return "PostgreSQL's server was not found; install it, on Debian with `apt-get install postgresql`."


def missing_redis() -> str | None:
    """What to install before a Redis server can be started, if anything."""
    if shutil.which("redis-server") and shutil.which("redis-check-aof"):
        return None
    return (
        "redis-server and redis-check-aof were not found; install them, on Debian with "
        "`apt-get install redis-server`."
    )


def _postgres_binary(name: str) -> str | None:
    """The newest of Debian's versions, whose programs are not on PATH; else the one on PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return str(debian[-1]) if debian else shutil.which(name)


def _free_port() -> int:
    """A port that no outgoing connection takes while the server is down: below those handed out for them."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _children(parent: int) -> list[int]:
    """The processes that it started: PostgreSQL's are in process groups of their own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _alive(pid: int) -> bool:
    """Whether it runs, or a thread of it that holds on to its port; not if it only waits for its burial."""
    process = Path(f"/proc/{pid}")
    try:
        has_ended = (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        return not has_ended or len(list((process / "task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


class Server:
    """What the two have in common: a folder, a port, a process, and what may happen to it."""

    what = "server"
    pid_file: Path

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._serial = itertools.count(1)

    def start(self) -> None:
        """Start it, on the data it has, and wait until it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """Shut it down as an administrator does, without waiting for clients to leave."""
        raise NotImplementedError

    def restart(self) -> None:
        """Shut it down and start it again."""
        self.stop()
        self.start()

    def ensure(self) -> None:
        """Have it running, whatever the last test did to it."""
        if self.running:
            self.resume()
        else:
            self.start()

    @property
    def pid(self) -> int | None:
        """Its process, if it was started and did not end by itself."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(self.pid_file.read_text().splitlines()[0])
        return None

    @property
    def running(self) -> bool:
        """Whether there is a process, stopped or not."""
        pid = self.pid
        return pid is not None and _alive(pid)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, the kernel takes new ones, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to all of it, as a crash of the machine would, without losing what the kernel has."""
        pids = self._signal(signal.SIGKILL)
        self._wait_for_end(pids)
        self.pid_file.unlink(missing_ok=True)

    def unique(self) -> str:
        """A name for a schema, a database or a prefix that nobody else has."""
        return f"t{os.getpid()}_{next(self._serial)}"

    def _signal(self, number: signal.Signals) -> list[int]:
        pid = self.pid
        if pid is None or not _alive(pid):
            return []
        # The parent first: a child that it sees die makes it start others.
        pids = [pid]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        for child in _children(pid):
            pids.append(child)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
        return pids

    def _wait_for_end(self, pids: list[int]) -> None:
        self._until(lambda: not any(map(_alive, pids)), "did not end")

    def _until(self, condition: Callable[[], bool], problem: str, seconds: float = 30.0) -> None:
        pause = threading.Event()
        for _ in range(int(seconds / 0.01)):
            if condition():
                return
            pause.wait(0.01)
        raise RuntimeError(f"The {self.what} on port {self.port} {problem}:\n{self.log()}")

    def log(self) -> str:
        """The end of what it had to say."""
        with contextlib.suppress(OSError):
            return (self.folder / "log").read_text(errors="replace")[-4000:]
        return "(no log)"


AnyServer = TypeVar("AnyServer", bound=Server)


class PostgresServer(Server):
    """A cluster of its own. PostgreSQL refuses to run as root, so then it runs as somebody else."""

    what = "PostgreSQL server"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.data = folder / "data"
        self.pid_file = self.data / "postmaster.pid"
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:
            user = _unprivileged()
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._make()

    def _make(self) -> None:
        """Give it data of its own, and no others' settings."""
        flags = (
            "-U",
            "ldtrack",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
            str(self.data),
        )
        self._run("initdb", *flags)
        (self.data / "pg_hba.conf").write_text(HBA)
        lines = [f"{name} = '{value}'" for name, value in POSTGRES_SETTINGS.items()]
        (self.data / "postgresql.auto.conf").write_text("\n".join([*lines, f"port = {self.port}", ""]))

    def dsn(self, database: str = "postgres", **parts: object) -> str:
        """How to connect to it."""
        whole = {"host": "127.0.0.1", "port": self.port, "user": "ldtrack", "dbname": database, **parts}
        return " ".join(f"{key}={value}" for key, value in whole.items())

    def start(self) -> None:
        self._run("pg_ctl", "start", "-w", "-t", "60", "-D", str(self.data), "-l", str(self.folder / "log"))

    def stop(self) -> None:
        self.resume()
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.data))

    def configure(self, **settings: str) -> None:
        """Set what a restart or `pg_reload_conf()` brings into force."""
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _run(self, program: str, *arguments: str) -> None:
        binary = _postgres_binary(program)
        if binary is None:
            raise RuntimeError(missing_postgres())
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                [binary, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                check=False,
                **self._as,  # type: ignore[call-overload] # the types of the arguments differ
            )
            if done.returncode:
                said.seek(0)
                raise RuntimeError(f"{program} failed: {said.read()}\n{self.log()}")


def _unprivileged() -> pwd.struct_passwd:
    """Whom to be instead of root."""
    import pwd  # not there on every system

    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


class RedisServer(Server):
    """A server that appends every write to a file, and syncs it before it answers."""

    what = "Redis server"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.data = folder / "redis"
        self.data.mkdir(mode=0o700)
        self.pid_file = self.data / "pid"
        self.settings = dict(REDIS_SETTINGS)

    @property
    def url(self) -> str:
        """How to connect to it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        files = {
            "dir": self.data,
            "pidfile": self.pid_file,
            "logfile": self.folder / "log",
            "port": self.port,
        }
        # Quoted: an empty value has to be seen.
        options = [f'{name} "{value}"' for name, value in {**self.settings, **files}.items()]
        (self.data / "redis.conf").write_text("\n".join([*options, ""]))
        if self.settings["aof-load-truncated"] == "no":
            self._mend()
        subprocess.run(
            ["redis-server", str(self.data / "redis.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self.data,
            check=True,
        )
        self._until(self.answers, "did not start")

    def _mend(self) -> None:
        """Cut off what it was writing when it was killed, as a service does before it starts the server.

        The server's own way of cutting, `aof-load-truncated yes`, leaves half a transaction in the file.
        """
        for file in (self.data / "appendonlydir" / "appendonly.aof.manifest", self.data / "appendonly.aof"):
            if file.exists():
                subprocess.run(
                    ["redis-check-aof", "--fix", file], input=b"y\n", stdout=subprocess.DEVNULL, check=False
                )

    def answers(self) -> bool:
        """Whether it is up and has read its data."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64) == b"+PONG\r\n"
        except OSError:
            return False

    def stop(self) -> None:
        pid = self.pid
        self.resume()
        self._signal(signal.SIGTERM)
        self._wait_for_end([pid] if pid else [])
        self.pid_file.unlink(missing_ok=True)


@contextlib.contextmanager
def kept(kind: Callable[[Path], AnyServer]) -> Iterator[AnyServer]:
    """A started server in a folder of its own, which both go when this ends, or this process does."""
    folder = Path(tempfile.mkdtemp(prefix="ldtrack-server-"))
    with subprocess.Popen(
        ["sh", "-c", KEEPER, "keeper", str(folder)], stdin=subprocess.PIPE, start_new_session=True
    ):
        # Leaving this block closes the keeper's standard input and waits for it.
        server = kind(folder)
        server.start()
        yield server


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for as long as the block lasts, and no longer than the process."""
    with kept(PostgresServer) as server:
        yield server


@contextlib.contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A Redis server for as long as the block lasts, and no longer than the process."""
    with kept(RedisServer) as server:
        yield server
