"""A ledger on a PostgreSQL server and its standby: one dies, the other takes over, the first comes back."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
from ledger_kits import a_claim
from server_callers import Arrivals, arrivals_of, calling, relaying
from standby_server import Pair, ask, dsn_of, pair_of_servers
from store_kits import a_row, rows_of_run

from ldtrack.core.slots import DURATION, FEEDBACK
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers import spool
from ldtrack.ledgers.postgres import PostgresLedger, PostgresStore
from ldtrack.ledgers.postgres.hosts import Hosts
from ldtrack.ledgers.store import UnavailableError

PATIENCE = 20.0
"""Far more than any of these tests takes."""
_numbers = itertools.count(1)


def new_schema() -> str:
    """A name that neither of the servers has seen: each knows only its own."""
    return f"failover_{next(_numbers)}"


@pytest.fixture(scope="module")
def pair_of_module(postgres_of_session: servers.PostgresServer) -> Iterator[Pair]:
    """Two servers that may be lost; where there can be none the other fixture says so."""
    with pair_of_servers() as pair:
        yield pair


@pytest.fixture
def pair(pair_of_module: Pair) -> Pair:
    """A primary whose commits wait for its standby, whatever the last test did to them."""
    pair_of_module.heal()
    return pair_of_module


@pytest.fixture
async def new_ledger(pair: Pair) -> AsyncIterator[Callable[..., PostgresLedger]]:
    """One more process' ledger on the two, in the order in which they are at first."""
    ledgers: list[PostgresLedger] = []
    dsn, schema = dsn_of(pair.primary, pair.standby), new_schema()

    def make(**options: Any) -> PostgresLedger:
        ledgers.append(PostgresLedger(dsn, schema=schema, **{"spool": False, **options}))
        return ledgers[-1]

    yield make
    for ledger in ledgers:
        await ledger.aclose()


def claimed_on(server: servers.PostgresServer, ledger: PostgresLedger) -> int:
    """How many claims the server itself has."""
    return int(ask(server, f'SELECT count(*) FROM "{ledger.schema}".ldtrack_claims')[0][0])


# A failover, with every commit on both


async def test_a_standby_that_takes_over_has_all_that_was_acknowledged(
    pair: Pair, new_ledger: Callable[..., PostgresLedger]
) -> None:
    """Under load, and while a relay delivers: callers wait, nothing is lost, and nothing comes twice."""
    arrivals = Arrivals()
    async with calling(new_ledger(deadline=60.0)) as callers, relaying(new_ledger, arrivals):
        await callers.more(300)
        await asyncio.to_thread(pair.fail_over)
        await callers.more(300)
    assert callers.failures == []
    callers.check(await arrivals_of(new_ledger(), arrivals))


async def test_a_primary_that_comes_back_and_knows_nothing_of_it_is_not_used(
    pair: Pair, new_ledger: Callable[..., PostgresLedger]
) -> None:
    """It takes writes, and comes first in the list: but no commit of it is ever confirmed. So it goes on."""
    old = pair.primary
    known, stranger = new_ledger(deadline=3.0), new_ledger(deadline=3.0)
    assert await known.submit(a_claim(DURATION, 1)) is True
    await asyncio.to_thread(pair.fail_over)
    assert await known.submit(a_claim(FEEDBACK, True)) is True
    await asyncio.to_thread(old.start)
    assert ask(old, "SHOW transaction_read_only") == [("off",)]

    await known.aclose()
    for ledger in (known, stranger):
        assert await ledger.submit(a_claim(FEEDBACK, True)) is False
    assert await stranger.submit(a_claim(DURATION, 1, "run-2")) is True
    assert claimed_on(old, known) == 1
    assert claimed_on(pair.primary, known) == 3


async def test_a_primary_that_comes_back_as_a_standby_is_passed_over(
    pair: Pair, new_ledger: Callable[..., PostgresLedger]
) -> None:
    """Though it comes first in the list."""
    ledger, old = new_ledger(), pair.primary
    assert await ledger.submit(a_claim(DURATION, 1)) is True
    await asyncio.to_thread(pair.fail_over)
    await asyncio.to_thread(pair.heal)
    assert ask(old, "SHOW transaction_read_only") == [("on",)]
    assert await new_ledger().submit(a_claim(DURATION, 1)) is False
    assert await new_ledger().submit(a_claim(DURATION, 1, "run-2")) is True
    assert claimed_on(pair.primary, ledger) == 2


# A standby that is away


async def test_without_its_standby_nothing_is_acknowledged_and_nothing_lost(
    pair: Pair,
    new_ledger: Callable[..., PostgresLedger],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Callers get an error that says why, the rest waits in the spool, and no sessions pile up."""
    monkeypatch.setattr(spool, "PAUSE", 0.1)
    ledger = new_ledger(deadline=2.0, spool=tmp_path / "spool.db")
    assert await ledger.submit(a_claim(DURATION, 1, "before")) is True
    await asyncio.to_thread(pair.standby.stop)
    quiet = ledger.submit_quietly(a_claim(DURATION, 1, "quiet"))
    for number in range(2):
        with pytest.raises(LedgerError, match="wait for a synchronous standby that does not answer"):
            await ledger.submit(a_claim(DURATION, 1, f"run-{number}"))
    assert ledger.spooled == 1
    assert not isinstance(quiet, bool)
    assert await quiet is True
    assert len(pair.waiting()) == 1

    await asyncio.to_thread(pair.standby.start)
    for number in range(2):
        await ledger.submit(a_claim(DURATION, 1, f"run-{number}"))
    arrivals = await arrivals_of(ledger, Arrivals())
    assert sorted(arrivals.runs) == ["before", "quiet", "run-0", "run-1"]


@pytest.fixture
def new_store(pair: Pair) -> Iterator[Callable[[], PostgresStore]]:
    """Opens one more store on the primary."""
    stores: list[PostgresStore] = []
    schema = new_schema()

    def make() -> PostgresStore:
        stores.append(PostgresStore(pair.primary.dsn(), schema=schema, timeout=PATIENCE))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


class Asked:
    """A question to a store that is under way."""

    def __init__(self, question: Callable[[], object]) -> None:
        self._question = question
        self._answer: object = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer = self._question()
        except Exception as error:  # noqa: BLE001 - handed over to the test
            self._answer = error

    def answer(self) -> object:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "there is no answer"
        return self._answer


def test_a_commit_whose_wait_somebody_called_off_is_not_acknowledged(
    pair: Pair, new_store: Callable[[], PostgresStore]
) -> None:
    """By whatever means: it can be seen on the primary from then on, and the standby does not have it."""
    store, other, row = new_store(), new_store(), a_row()
    store.standing()
    other.standing()
    pair.standby.pause()
    try:
        asked = Asked(lambda: store.record([row]))
        ask(pair.primary, "SELECT pg_cancel_backend(%s)", pair.somebody_waits())
        said = asked.answer()
        assert isinstance(said, UnavailableError)
        assert "was not waited for" in str(said)

        # Now it is there. Neither its own claimant nor another is told so.
        for one, again in ((store, row), (other, a_row())):
            asked = Asked(lambda one=one, again=again: one.record([again]))
            ask(pair.primary, "SELECT pg_terminate_backend(%s, 10000)", pair.somebody_waits())
            assert isinstance(asked.answer(), UnavailableError)
        asked = Asked(lambda: store.record([row]))
        pair.somebody_waits()
    finally:
        pair.standby.resume()
    assert asked.answer() == [True]
    assert other.record([a_row(), a_row("run-2")]) == [False, True]


# A failover without


def test_without_synchronous_replication_what_the_standby_had_not_received_is_lost(
    pair: Pair, new_store: Callable[[], PostgresStore]
) -> None:
    """Negative control, and the reason for the advice: acknowledged, gone, and its slots are free again."""
    store, rows = new_store(), rows_of_run(5)
    store.record([a_row("before")])
    pair.wait_for_standby("")
    pair.standby.kill()
    assert store.record(rows) == [True] * 5
    pair.primary.kill()
    pair.standby.start()
    pair.promote()

    left = PostgresStore(pair.primary.dsn(), schema=store._schema)
    assert left.record([a_row("before"), *(row._replace(claimant=7) for row in rows)]) == [False] + [True] * 5
    left.close()


# Lists of hosts


def test_of_several_hosts_one_that_says_nothing_leaves_time_for_the_next(
    postgres: servers.PostgresServer,
) -> None:
    """As behind a network that was cut: there is an answer, though the wait took all the time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = f"host=127.0.0.1,127.0.0.1 port={silent.getsockname()[1]},{postgres.port}"
        dsn = f"{hosts} user=ldtrack dbname=postgres"
        store = PostgresStore(dsn, schema=postgres.unique(), timeout=1.0)
        assert store.record([a_row()]) == [True]
        # From now on it comes last.
        store.close()
        assert store.record([a_row()]) == [False]
        store.close()


@pytest.mark.parametrize(
    ("given", "tries"),
    [
        pytest.param({}, [{}], id="none: libpq knows where"),
        pytest.param({"host": "a", "port": "1"}, [{"host": "a", "port": "1"}], id="one"),
        pytest.param(
            {"host": "a,b", "port": "1,2"},
            [{"host": "a", "port": "1"}, {"host": "b", "port": "2"}],
            id="two",
        ),
        pytest.param(
            {"host": "a,b", "port": 1},
            [{"host": "a", "port": "1"}, {"host": "b", "port": "1"}],
            id="one port",
        ),
        pytest.param({"host": "a,b"}, [{"host": "a"}, {"host": "b"}], id="no port"),
        pytest.param(
            {"hostaddr": "::1,::2", "host": "a,b"},
            [{"hostaddr": "::1", "host": "a"}, {"hostaddr": "::2", "host": "b"}],
            id="addresses",
        ),
        pytest.param({"host": "a,b,c", "port": "1,2"}, [{"host": "a,b,c", "port": "1,2"}], id="no match"),
    ],
)
def test_hosts_are_read_as_libpq_reads_them(given: dict[str, Any], tries: list[dict[str, Any]]) -> None:
    """One port may be for all of them; what does not fit together is left to the driver to refuse."""
    found = Hosts(given, timeout=5).in_turn()
    assert [{name: value for name, value in one.items() if name in given} for one in found] == tries


@pytest.mark.parametrize(("hosts", "seconds"), [("a", 12), ("a,b", 6), ("a,b,c,d,e,f,g", 2)])
def test_hosts_share_the_time_that_one_would_have(hosts: str, seconds: int) -> None:
    """Unless the connection string says how long each may take; libpq takes two seconds at least."""
    assert {one["connect_timeout"] for one in Hosts({"host": hosts}, timeout=12.5).in_turn()} == {seconds}
    [*_, last] = Hosts({"host": hosts, "connect_timeout": 9}, timeout=12.5).in_turn()
    assert last["connect_timeout"] == 9


def test_the_host_that_was_good_comes_first() -> None:
    """The others stay in their order."""
    hosts = Hosts({"host": "a,b,c"}, timeout=5)
    hosts.prefer(hosts.in_turn()[2])
    assert [one["host"] for one in hosts.in_turn()] == ["c", "a", "b"]
