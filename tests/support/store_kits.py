"""Stores as their contract sees them: how to make one, reach its data again, move its clock, cut it off.

Rule for this file: one kit per store. A new store passes the contract when its kit is in ``STORES``.
"""

from __future__ import annotations

import abc
import contextlib
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest
import redis
from servers import PostgresServer, RedisServer

from ldtrack.core.row import Row
from ldtrack.ids import new_payload_id
from ldtrack.ledgers.postgres.store import PostgresStore
from ldtrack.ledgers.redis.store import RedisStore
from ldtrack.ledgers.sqlite import SQLiteStore
from ldtrack.ledgers.store import Store, UnavailableError
from ldtrack.testing.memory_store import MemoryStore

__all__ = [
    "STORES",
    "Kit",
    "MemoryKit",
    "PostgresKit",
    "RedisKit",
    "SQLiteKit",
    "WalkingClock",
    "a_row",
    "rows_of_run",
]

_claimants = itertools.count(1 << 40)


def a_row(run_id: str = "run-1", place: int = 0, **fields: Any) -> Row:
    """A row with a claimant of its own, unless it is given one."""
    claimant = fields.pop("claimant", None) or next(_claimants)
    body = fields.pop("body", f'{{"key":"{run_id}","place":{place},"by":{claimant}}}')
    row = Row(run_id, place, claimant, 1_700_000_000_000, 1, body)
    return row._replace(**fields)


def rows_of_run(count: int, run_id: str = "run-1") -> list[Row]:
    """So many rows of one run, with places of their own."""
    return [a_row(run_id, place) for place in range(count)]


class Kit(abc.ABC):
    """One set of data, empty at first, and the ways to it. ``destroy`` ends it."""

    @abc.abstractmethod
    def open(self) -> Store:
        """One more store on the data: as another thread, process or host would have it."""

    @abc.abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Move the stores' clock, or all that is stored the other way; a negative time sets it back.

        Real time may go on as well, as long as a test takes less than two seconds of it.
        """

    @abc.abstractmethod
    def outage(self) -> contextlib.AbstractContextManager[None]:
        """While this lasts, whoever writes gets an ``UnavailableError``, and soon."""

    @abc.abstractmethod
    def destroy(self) -> None:
        """Delete the data, and close what the kit has opened for itself."""


class WalkingClock:
    """A wall clock that is moved by hand, and back as well."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def monotonic_ns(self) -> int:
        return int(self.now * 1e9)

    def time(self) -> float:
        return self.now


class SQLiteKit(Kit):
    """A file in the test's folder."""

    _names = itertools.count()

    def __init__(self, request: pytest.FixtureRequest) -> None:
        folder: Path = request.getfixturevalue("tmp_path")
        self.path = folder / f"ledger-{next(self._names)}.db"
        self.clock = WalkingClock()
        self.busy_timeout = 5.0
        self._stores: list[SQLiteStore] = []

    def open(self, **options: Any) -> SQLiteStore:
        options = {"clock": self.clock, "synchronous": "NORMAL", "busy_timeout": self.busy_timeout} | options
        store = SQLiteStore(self.path, **options)
        self._stores.append(store)
        return store

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        other = sqlite3.connect(self.path, isolation_level=None)
        for store in self._stores:
            store.close()
            store._file._options = attrs.evolve(store._file._options, busy_timeout=0.02)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
            for store in self._stores:
                store.close()
                store._file._options = attrs.evolve(store._file._options, busy_timeout=self.busy_timeout)

    def destroy(self) -> None:
        for store in self._stores:
            store.close()
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()


class PostgresKit(Kit):
    """A schema of a real server, which an outage stops."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.server: PostgresServer = request.getfixturevalue("postgres")
        self.schema = self.server.unique()
        self.clock = WalkingClock()
        self._stores: list[PostgresStore] = []

    def open(self, **options: Any) -> PostgresStore:
        options = {"schema": self.schema, "clock": self.clock, "timeout": 30.0} | options
        store = PostgresStore(self.server.dsn(), **options)
        self._stores.append(store)
        return store

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        self.server.stop()
        try:
            yield
        finally:
            self.server.start()

    def destroy(self) -> None:
        for store in self._stores:
            store.close()
        with psycopg.connect(self.server.dsn(), autocommit=True) as admin:
            admin.execute(f'DROP SCHEMA IF EXISTS "{self.schema}" CASCADE'.encode())


class RedisKit(Kit):
    """A name of its own on the tests' server. The server's clock stays: what is stored is moved instead."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        server: RedisServer = request.getfixturevalue("redis_server")
        self.url, self.name = server.url, server.unique()
        self.admin = redis.Redis.from_url(self.url)
        self._stores: list[RedisStore] = []

    def open(self, **options: Any) -> RedisStore:
        store = RedisStore(self.url, **{"name": self.name, **options})
        self._stores.append(store)
        return store

    def pass_time(self, seconds: float) -> None:
        for key in self.admin.scan_iter(f"{{{self.name}:*}}:due"):
            for batch in self.admin.zrange(key, 0, -1):
                self.admin.zincrby(key, -1000 * seconds, batch)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        self.admin.replicaof("127.0.0.1", "1")  # as after a failover: it is no master any more
        try:
            yield
        finally:
            self.admin.replicaof("NO", "ONE")

    def destroy(self) -> None:
        for store in self._stores:
            store.close()
        keys = list(self.admin.scan_iter(f"{{{self.name}:*"))
        if keys:
            self.admin.delete(*keys)
        self.admin.close()


class MemoryKit(Kit):
    """The store of ``ldtrack.testing``: what is opened is the data itself."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.clock = WalkingClock()
        self._data = MemoryStore(self.clock, new_payload_id)
        self._lock = threading.Lock()
        self._is_away = False

    def open(self, **options: Any) -> Any:
        return _Shared(self)

    def ask(self, question: str, *arguments: Any) -> Any:
        with self._lock:
            if self._is_away:
                raise UnavailableError("the memory is away, as it was told to be")
            return getattr(self._data, question)(*arguments)

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        self._is_away = True
        try:
            yield
        finally:
            self._is_away = False

    def destroy(self) -> None:
        """It goes with the kit."""


class _Shared:
    """One of several who use the same data; a store itself is for one thread at a time."""

    def __init__(self, kit: MemoryKit) -> None:
        self._kit = kit

    def __getattr__(self, question: str) -> Any:
        return partial(self._kit.ask, question)


STORES: dict[str, Callable[[pytest.FixtureRequest], Kit]] = {
    "plain": MemoryKit,
    "postgres": PostgresKit,
    "redis": RedisKit,
    "sqlite": SQLiteKit,
}
"""Each makes a kit with data of its own; servers come from the request's fixtures."""
