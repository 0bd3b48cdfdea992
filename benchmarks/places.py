"""Ledgers for the load benchmarks: fresh ones on this disk, and on private PostgreSQL and Redis servers.

Rule for this file: where ledgers are, what their servers consume, and what a run's rows look like. Nothing
here measures.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from servers import (
    PostgresServer,
    RedisServer,
    missing_postgres,
    missing_redis,
    postgres_server,
    redis_server,
)

NAMES = ("memory", "sqlite full", "sqlite normal", "postgres", "redis everysec", "redis always")
DURABLE = NAMES[1:]
EVENTS_OF_RUN, CLAIMS_OF_RUN = 7, 5
"""Duration, first token, tokens (three events), outcome, feedback."""


@attrs.frozen
class Spot:
    """Where one ledger is: plain data, so that it can be told to another process."""

    kind: str
    address: str = ""
    name: str = ""

    @property
    def arguments(self) -> list[str]:
        return [self.kind, self.address, self.name]

    def ledger(self) -> Any:
        from ldtrack import ledgers

        match self.kind.split():
            case ["memory"]:
                return ledgers.MemoryLedger(Nowhere())
            case ["sqlite", level]:
                return ledgers.SQLiteLedger(self.address, synchronous=level.upper())
            case ["postgres"]:
                return ledgers.PostgresLedger(self.address, schema=self.name, spool=False)
            case _:
                return ledgers.RedisLedger(self.address, name=self.name, spool=False)

    def store(self) -> Any:
        match self.kind.split():
            case ["sqlite", level]:
                from ldtrack.ledgers.sqlite.store import SQLiteStore

                return SQLiteStore(self.address, synchronous=level.upper())
            case ["postgres"]:
                from ldtrack.ledgers.postgres.store import PostgresStore

                return PostgresStore(self.address, schema=self.name, timeout=60)
            case _:
                from ldtrack.ledgers.redis.store import RedisStore

                return RedisStore(self.address, name=self.name, timeout=60)


@attrs.define
class Places:
    """Gives out fresh ledgers, and says what their servers have consumed."""

    folder: Path
    _postgres: PostgresServer | None = None
    _redis: RedisServer | None = None
    _serial: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    def has(self, kind: str) -> bool:
        server = {"postgres": self._postgres, "redis": self._redis}
        return server.get(_family(kind), True) is not None

    @contextlib.contextmanager
    def fresh(self, kind: str) -> Iterator[Spot]:
        """A new ledger, and nothing left of it afterwards."""
        name = f"b{next(self._serial)}"
        match kind.split():
            case ["memory"]:
                yield Spot(kind)
            case ["sqlite", _]:
                path = self.folder / name
                path.mkdir()
                yield Spot(kind, str(path / "ledger.db"))
                shutil.rmtree(path)
            case ["postgres"]:
                assert self._postgres is not None
                yield Spot(kind, self._postgres.dsn(), name)
                _psql(self._postgres.dsn(), f"DROP SCHEMA IF EXISTS {name} CASCADE", "CHECKPOINT")
            case ["redis", fsync]:
                assert self._redis is not None
                _redis(self._redis.url).config_set("appendfsync", fsync)
                yield Spot(kind, self._redis.url, name)
                _redis(self._redis.url).flushall()

    def server_cpu(self, kind: str) -> float:
        """The processor seconds that the ledger's server has used so far; 0 where there is none."""
        server = {"postgres": self._postgres, "redis": self._redis}.get(_family(kind))
        return 0.0 if server is None or server.pid is None else _cpu_of(server.pid)

    def server_memory(self) -> int:
        """What Redis holds, in bytes."""
        assert self._redis is not None
        return int(_redis(self._redis.url).info("memory")["used_memory"])


@contextlib.contextmanager
def places(kinds: tuple[str, ...]) -> Iterator[Places]:
    """A folder on this disk, and the servers that the ledgers of those kinds need, if they are installed."""
    wanted = {_family(kind) for kind in kinds}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ldtrack-bench-")))
        servers: dict[str, Any] = {}
        offers: dict[str, tuple[Callable[[], str | None], Callable[[], Any]]] = {
            "postgres": (missing_postgres, postgres_server),
            "redis": (missing_redis, redis_server),
        }
        for kind, (missing, start) in offers.items():
            if kind in wanted:
                if complaint := missing():
                    print(f"Left out: {complaint}")
                else:
                    servers[kind] = stack.enter_context(start())
        yield Places(folder, servers.get("postgres"), servers.get("redis"))


class Nowhere:
    """An outlet that takes no time and keeps nothing."""

    def send(self, claim: Any) -> None: ...

    async def flush(self, timeout: float) -> Any:
        from ldtrack.typing import FlushResult

        return FlushResult()


def rows_of_runs(count: int, new_run_id: Callable[[], str]) -> Iterator[list[Any]]:
    """The rows of so many runs, a thousand runs at a time, with bodies as trackers write them."""
    from ldclient import Context

    from ldtrack.core import slots
    from ldtrack.core.events import Attribution
    from ldtrack.core.privacy import Privacy
    from ldtrack.core.row import Row
    from ldtrack.core.slots import Claim
    from ldtrack.core.values import Feedback, TokenUsage
    from ldtrack.ids import SystemClock, new_claimant
    from ldtrack.ledgers.scribe import Scribe

    attribution = Attribution("benchmark", 3, "variation", "gpt", "openai")
    blank, user = "0" * 36, "1" * 36
    context = Context.builder(user).name("Ada").set("plan", "pro").build()
    values = {
        slots.DURATION: 1_200,
        slots.FIRST_TOKEN: 300,
        slots.TOKENS: TokenUsage(30, 10, 20),
        slots.OUTCOME: True,
        slots.FEEDBACK: Feedback.POSITIVE,
    }
    scribe = Scribe(SystemClock(), Privacy())
    # Written once; then only run and user are put in, which is what a million different rows need.
    data = attribution.data_of(blank)
    written = [
        scribe.row_of(Claim(blank, metric, metric.events(data, value), context))
        for metric, value in values.items()
    ]
    for start in range(0, count, 1_000):
        rows = []
        for _ in range(min(1_000, count - start)):
            run_id = new_run_id()
            for row in written:
                body = row.body.replace(blank, run_id).replace(user, run_id[::-1])
                rows.append(Row(run_id, row.place, new_claimant(), row.at_ms, row.events, body))
        yield rows


def load() -> str:
    """How busy the machine is, to be shown beside every table."""
    one, five, _ = os.getloadavg()
    return f"load {one:.1f} over the last minute, {five:.1f} over five, {os.cpu_count()} processors"


def seconds_and_cpu() -> tuple[float, float]:
    """Wall time and this process's processor time."""
    return time.perf_counter(), time.process_time()


def _family(kind: str) -> str:
    return kind.partition(" ")[0]


def _psql(dsn: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def _redis(url: str) -> Any:
    import redis

    return redis.Redis.from_url(url)


def _cpu_of(pid: int) -> float:
    """The processor time of a process, of the children it has, and of those it had."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(stat.parent.name) == pid:
                ticks += sum(map(int, fields[11:15]))
            elif int(fields[1]) == pid:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
