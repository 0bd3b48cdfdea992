"""A connection that comes back: opened by the first call, dropped when it fails, bounded in time.

Rule for this file: connections and time. It knows neither rows nor batches.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.postgres.faults import meaning_of
from ldtrack.ledgers.postgres.hosts import Hosts, Parameters
from ldtrack.ledgers.store import UnavailableError

__all__ = ["Connection", "Session"]

Rows: TypeAlias = list[tuple[Any, ...]]

OLDEST_SERVER: Final = 140_000
LOOK_EVERY: Final = 0.05
"""How often a wait looks at the time, in seconds; an answer is seen at once."""
SERVERS_SHARE: Final = 0.8
"""The server gives up earlier than we do: then we know what became of the statement."""

# What a session needs, whatever the database's defaults are. An answer means that it is on disk.
SETTINGS: Final = b"""
    SELECT set_config('statement_timeout', %(server_ms)s, false),
        set_config('idle_in_transaction_session_timeout', %(server_ms)s, false),
        set_config('default_transaction_isolation', 'read committed', false),
        set_config('default_transaction_deferrable', 'off', false),
        set_config('jit', 'off', false),
        CASE current_setting('synchronous_commit')
            WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END
"""
FACTS: Final = b"""
    SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'),
        pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean
"""
# A session whose commit waits for a standby waits for good, also when its client has long gone, and nobody
# may end it: that would be a commit on one server. One that waits tells enough: no others are added to it.
WAITS_FOR_STANDBY: Final = b"""
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE usename = current_user AND wait_event = 'SyncRep'
        AND query_start < clock_timestamp() - %(server_ms)s * interval '1 millisecond'
    )
"""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose waits end at a given moment.

    The driver waits for ever for a server that was stopped or that the network lost without a word.
    """

    ends_at = math.inf
    is_called_off = False
    """Whether somebody ended the wait for a synchronous standby: then a commit is on one server only."""

    def heed_notices(self) -> None:
        """Take notice of a commit that was not waited for: the server calls that a success."""

        def heed(notice: psycopg.errors.Diagnostic) -> None:
            # Its words are in the server's language; where they come from is not.
            self.is_called_off |= notice.source_function == "SyncRepWaitForLSN"

        self.add_notice_handler(heed)

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        """Drive one of the driver's operations, as long as there is time."""
        return super().wait(self._timed(gen), LOOK_EVERY)

    def _timed(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        # The driver resumes what it waits for every so often, whether anything happened or not.
        try:
            wants = next(gen)
            while True:
                # Looked at last: what has come in time is an answer, however late we are to read it.
                wants = gen.send((yield wants))
                if time.monotonic() >= self.ends_at:
                    raise psycopg.errors.ConnectionTimeout("the server did not answer in time")
        except StopIteration as end:
            return end.value

    @property
    def is_cut(self) -> bool:
        """Whether the server, or something on the way, has ended it meanwhile."""
        try:
            # What a server says when it goes comes before the end of the stream.
            for _ in range(2):
                self.pgconn.consume_input()
        except psycopg.Error:
            return True
        return self.closed

    def rows(self, statement: bytes, parameters: dict[str, object] | None = None) -> Rows:
        """The rows that a statement answers with, if it answers with rows."""
        cursor = self.execute(statement, parameters, prepare=True)
        if self.is_called_off:
            raise UnavailableError("PostgreSQL's commit was not waited for: a standby may not have it")
        return cursor.fetchall() if cursor.description else []


class Session:
    """``with session as connection:`` gives a connection that works, or says why there is none.

    What the block does comes to an end within ``timeout`` seconds; connecting takes two for each host at
    least that does not answer.
    """

    def __init__(self, dsn: str, *, timeout: float, prepare: Callable[[Connection], None]) -> None:
        parameters = _read(dsn)
        secret = parameters.get("password")
        self._secret = None if secret is None else str(secret)
        self._hosts = Hosts(parameters, timeout=timeout)
        self._timeout = timeout
        self._prepare = prepare
        self._connection: Connection | None = None

    def __enter__(self) -> Connection:
        ends_at = time.monotonic() + self._timeout
        if self._connection is not None and self._connection.is_cut:
            self.close()
        connection = self._connection
        if connection is None:
            connection = self._connect(ends_at)
            # Hosts that did not answer may have taken all the time; some is needed to do anything.
            ends_at = max(ends_at, time.monotonic() + self._timeout / 2)
        connection.ends_at = ends_at
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        # Whatever went wrong: in a new session nothing of it is left.
        self.close()
        if isinstance(error, psycopg.Error):
            # Not chained: the driver's own words may repeat the connection string.
            raise meaning_of(error, self._secret) from None

    def _connect(self, ends_at: float) -> Connection:
        """A connection to the first host that will do, which comes first from then on."""
        problems: list[UnavailableError | LedgerError] = []
        for host in self._hosts.in_turn():
            try:
                connection = Connection.connect(**host, autocommit=True)
            except psycopg.Error as error:
                problems.append(meaning_of(error, self._secret))
                continue
            self._connection = connection
            connection.ends_at = max(ends_at, time.monotonic() + 1.0)
            try:
                with self._closing_on_error():
                    self._begin(connection)
            except UnavailableError as problem:
                problems.append(problem)
            else:
                self._hosts.prefer(host)
                return connection
        raise _all_of(problems) from None

    def _begin(self, connection: Connection) -> None:
        """Set up a new session, on a server that a ledger can be on."""
        connection.heed_notices()
        # One kind of number, so that a statement is prepared once.
        connection.adapters.register_dumper(int, Int8Dumper)
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        server_ms = max(1, int(self._timeout * 1000 * SERVERS_SHARE))
        connection.execute(SETTINGS, {"server_ms": str(server_ms)})
        [(version, encoding, is_standby)] = connection.rows(FACTS)
        if is_standby:
            raise UnavailableError("PostgreSQL takes no writes now: the server is a standby or read-only")
        if version < OLDEST_SERVER:
            raise LedgerError(f"PostgreSQL 14 or newer is needed; the server is {version // 10_000}")
        if encoding != "UTF8":
            raise LedgerError(f"a ledger needs a database whose encoding is UTF8; this one's is {encoding}")
        [(is_waiting,)] = connection.rows(WAITS_FOR_STANDBY, {"server_ms": server_ms})
        if is_waiting:
            raise UnavailableError("PostgreSQL's commits wait for a synchronous standby that does not answer")
        self._prepare(connection)

    @contextlib.contextmanager
    def _closing_on_error(self) -> Generator[None]:
        try:
            yield
        except psycopg.Error as error:
            self.close()
            raise meaning_of(error, self._secret) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection; the next block opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """In a forked child: let go of the copy of the socket, and of nothing else."""
        connection, self._connection = self._connection, None
        if connection is None or connection.closed:
            return
        # Kept for good: when it is collected, the driver would say that it was forgotten.
        _abandoned.append(connection)
        # The number stays taken, so that the driver can never mistake another file for its socket.
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, connection.fileno(), inheritable=False)
        os.close(nothing)


_abandoned: Final[list[Connection]] = []


def _all_of(problems: list[UnavailableError | LedgerError]) -> UnavailableError | LedgerError:
    """What is wrong with every host: for good only if all of them say so."""
    is_passing = any(isinstance(problem, UnavailableError) for problem in problems)
    said = "; ".join(dict.fromkeys(map(str, problems)))
    return UnavailableError(said) if is_passing else LedgerError(said)


def _read(dsn: str) -> Parameters:
    try:
        parameters = dict(conninfo_to_dict(dsn))
    except psycopg.Error:
        # Not chained: the driver's complaint quotes the string, password and all.
        raise ValueError(
            "dsn is not a connection string that PostgreSQL understands, such as"
            " 'postgresql://user@host:5432/database'"
        ) from None
    defaults = {
        "application_name": "ldtrack",
        # Of several hosts, the one that takes writes.
        "target_session_attrs": "read-write",
    }
    return {**defaults, **parameters, "client_encoding": "utf8"}
