"""Rows that nobody waits for, while their ledger is away: kept beside it, and brought there later."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from plain_store import PlainStore, a_row, away, lost_answer, raising
from writer_bench import DEADLINE, Bench, answers

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers import shift as shifts
from ldtrack.ledgers import spool as spools
from ldtrack.ledgers.store import UnavailableError


@pytest.fixture
def spooling() -> Bench:
    """A writer with a spool."""
    return Bench(spools=True)


def test_what_nobody_waits_for_is_spilled(spooling: Bench) -> None:
    """And comes to the ledger when it is back, once; who waits gets an error as ever."""
    spooling.shelf.always = away
    quiet, loud = spooling.ask(a_row("quiet"), is_quiet=True), spooling.ask(a_row("loud"))
    spooling.turn()
    assert quiet.result(0) is True
    assert not loud.done()
    spooling.until_answered(loud)
    assert answers([loud]) == [LedgerError]
    spooling.shelf.always = None
    for _ in range(20):
        spooling.pass_time()
        spooling.turn()
    assert spooling.shelf.runs() == ["quiet"]
    assert spooling.spooled.pending == {}
    assert spooling.spool is not None
    assert spooling.spool.due_at is None


@pytest.mark.parametrize("is_away", [False, True])
def test_every_call_that_may_take_long_is_followed_by_a_sign_of_life(
    spooling: Bench, monkeypatch: pytest.MonkeyPatch, *, is_away: bool
) -> None:
    """Of the ledger, of its housekeeping and of the spool: or two of them would look like one that hangs."""
    seen: list[int] = []
    for name in ("record", "tidy", "lease"):
        call = getattr(PlainStore, name)

        def counted(*arguments: Any, call: Any = call) -> Any:
            seen.append(spooling.writer.calls)
            return call(*arguments)

        monkeypatch.setattr(PlainStore, name, counted)
    for number in range(6):
        spooling.shelf.mishaps = [away] if is_away or number == 2 else []
        spooling.ask(a_row(f"run-{number}"), is_quiet=True)
        spooling.turn()
        for _ in range(5):
            spooling.pass_time()
            spooling.turn()
    assert len(seen) > 12
    # Bringing a portion to the ledger is two calls: one to read it, which is a file's, and one to record it.
    assert max(Counter(seen).values()) <= 2


def test_a_spilled_row_may_turn_out_not_to_be_first(spooling: Bench) -> None:
    """Somebody else was: the ledger says so, and nothing is doubled."""
    spooling.shelf.mishaps = [away]
    spooling.ask(a_row("run-1"), is_quiet=True)
    spooling.turn()
    spooling.shelf.store([other := a_row("run-1")])
    for _ in range(5):
        spooling.pass_time()
        spooling.turn()
    assert list(spooling.shelf.pending.values()) == [other]
    assert spooling.spooled.pending == {}


def test_a_spilled_row_that_had_arrived(spooling: Bench) -> None:
    """Its answer was lost: it comes again out of the spool, and is recognised, even after its delivery."""
    spooling.shelf.mishaps = [lost_answer]
    spooling.ask(a_row("run-1"), is_quiet=True)
    spooling.turn()
    assert spooling.shelf.runs() == ["run-1"]
    spooling.shelf.pending.clear()
    for _ in range(5):
        spooling.pass_time()
        spooling.turn()
    assert spooling.shelf.runs() == []
    assert spooling.spooled.pending == {}


def test_a_full_disk_spares_what_nobody_waits_for(spooling: Bench) -> None:
    """When a ledger refuses everything, it is not the rows: the quiet ones are kept."""
    spooling.shelf.always = raising(LedgerError("out of memory"))
    flights = [spooling.ask(a_row(f"run-{at}"), is_quiet=True) for at in range(100)]
    spooling.turn()
    kept = answers(flights).count(True)
    assert kept >= 100 - shifts.HOPELESS
    assert len(spooling.spooled.pending) == kept


def test_a_spool_that_does_not_work_either(spooling: Bench) -> None:
    """Then there is nothing left but to fail, in time."""
    spooling.shelf.always = spooling.spooled.always = away
    flight = spooling.ask(is_quiet=True)
    spooling.until_answered(flight)
    assert answers([flight]) == [LedgerError]
    assert spooling.clock.monotonic_ns() / 1e9 <= DEADLINE


def test_what_a_process_leaves_that_ends_is_found(
    spooling: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that was there before it, and before the outage, looks now and then."""
    spooling.turn()
    assert spooling.spool is not None
    spooling.spooled.store([a_row("left")])
    spooling.pass_time()
    spooling.turn()
    assert spooling.shelf.runs() == []  # there was no file
    monkeypatch.setattr(spooling.spool, "_path", tmp_path)
    for _ in range(4):
        spooling.pass_time()
        spooling.turn()
    assert spooling.shelf.runs() == ["left"]
    assert spooling.clock.monotonic_ns() <= 4 * spools.LOOK_EVERY * 1e9


@pytest.mark.parametrize("call", ["record", "lease", "delivered"])
def test_a_spool_that_fails_as_it_should_not(
    spooling: Bench, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it raises, the ledger's thread outlives it, and everybody is answered."""

    def fail(*_: object) -> None:
        raise OverflowError("no store raises this")

    spooling.shelf.mishaps = [away]
    if call != "record":
        spooling.ask(a_row("before"), is_quiet=True)
        spooling.turn()
    real = getattr(PlainStore, call)

    def fail_there(store: PlainStore, *arguments: object) -> object:
        return fail() if store._shelf is spooling.spooled else real(store, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PlainStore, call, fail_there)
        quiet, loud = spooling.ask(a_row("quiet"), is_quiet=True), spooling.ask(a_row("loud"))
        spooling.until_answered(quiet, loud)
        spooling.pass_time()
        spooling.turn()
    assert answers([quiet, loud]) == [True, True]


def test_a_portion_that_cannot_be_brought_comes_again_soon(spooling: Bench) -> None:
    """A short outage in the middle of draining: nothing is stuck on loan."""
    spooling.shelf.mishaps = [away, away, away]
    spooling.ask(a_row("run-1"), is_quiet=True)
    for _ in range(20):
        spooling.turn()
        if spooling.spool is not None and spooling.spool.due_at is not None:
            spooling.pass_time()
    assert spooling.shelf.runs() == ["run-1"]
    assert spooling.clock.monotonic_ns() < 2 * spools.PAUSE * 1e9


def test_one_row_that_the_ledger_refuses_does_not_hold_up_the_others(spooling: Bench) -> None:
    """Its portion is halved until it is alone; it stays in the spool, and is tried again now and then."""
    spooling.shelf.poison = {"run-5"}
    spooling.shelf.always = away
    for at in range(20):
        spooling.ask(a_row(f"run-{at}"), is_quiet=True)
    spooling.turn()
    assert len(spooling.spooled.pending) == 20
    spooling.shelf.always = None
    for _ in range(60):
        spooling.pass_time()
        spooling.turn()
    assert sorted(spooling.shelf.runs()) == sorted({f"run-{at}" for at in range(20)} - {"run-5"})
    assert spooling.spooled.runs() == ["run-5"]
    asked = len(spooling.shelf.calls)
    for _ in range(10):
        spooling.pass_time()
        spooling.turn()
    assert len(spooling.shelf.calls) == asked, "it is left alone for a while"
    spooling.shelf.poison.clear()
    spooling.clock.advance(spools.REST)
    spooling.turn()
    assert "run-5" in spooling.shelf.runs()


def test_another_process_takes_over_what_one_left(spooling: Bench) -> None:
    """A process that died with a portion on loan: its rows come to the ledger in the end, and once."""
    spooling.shelf.always = away
    spooling.ask(a_row("run-1"), is_quiet=True)
    spooling.turn()
    dead = spooling.spooled.open()
    batch = dead.lease("somebody else", 10, 10_000, spools.LOAN)
    assert batch is not None
    spooling.shelf.always = None
    spooling.shelf.store(dead.rows_of(batch))  # it had even brought them there
    for _ in range(60):
        spooling.pass_time()
        spooling.turn()
    assert spooling.shelf.runs() == ["run-1"]
    assert spooling.spooled.pending == {}
    assert spooling.spool is not None
    assert spooling.spool.due_at is None


@pytest.mark.parametrize("call", ["lease", "rows_of", "delivered", "standing"])
def test_a_spool_that_fails_does_not_put_its_ledger_away(
    spooling: Bench, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that others write all the time: rows come later, and claims are recorded meanwhile."""

    def busy(*_: object) -> None:
        raise UnavailableError("busy")

    spooling.shelf.mishaps = [away]
    spooling.ask(a_row("run-1"), is_quiet=True)
    spooling.turn()
    real = getattr(PlainStore, call)

    def busy_there(store: PlainStore, *arguments: object) -> object:
        return busy() if store._shelf is spooling.spooled else real(store, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PlainStore, call, busy_there)
        for at in range(3):
            spooling.pass_time()
            spooling.turn()
            flight = spooling.ask(a_row(f"other-{at}"))
            spooling.turn()
            assert flight.result(0) is True
    for _ in range(60):
        spooling.pass_time()
        spooling.turn()
    assert spooling.spooled.pending == {}
    assert spooling.shelf.runs().count("run-1") == 1


def test_the_end_is_short(spooling: Bench) -> None:
    """When there is no thread to be had, one try has to do, and everybody is answered."""
    spooling.shelf.always = away
    quiet, loud = spooling.ask(a_row("quiet"), is_quiet=True), spooling.ask(a_row("loud"))
    last = spooling.barrier(is_last=True)
    spooling.shift.finish()
    assert answers([quiet, loud, last]) == [True, LedgerError, True]
    assert len(spooling.shelf.calls) == 1
    assert spooling.spooled.runs() == ["quiet"]


def test_any_order_of_troubles() -> None:
    """Whatever befalls the store, no row is stored twice, and none is confirmed and lost."""
    for seed in range(200):
        chance = random.Random(seed)
        bench = Bench(spools=True)
        bench.shelf.poison = {"run-3", "run-4"}
        bench.shelf.mishaps = [
            chance.choice([away, lost_answer, raising(OSError("odd")), lambda *_: None]) for _ in range(20)
        ]
        flights = [bench.ask(a_row(f"run-{at % 12}"), is_quiet=chance.random() < 0.3) for at in range(24)]
        bench.until_answered(*flights)
        bench.shelf.mishaps.clear()
        for _ in range(300):
            bench.pass_time()
            bench.turn()
        stored = bench.shelf.runs()
        assert len(stored) == len(set(stored)), seed
        confirmed = {f"run-{at % 12}" for at, flight in enumerate(flights) if answers([flight]) == [True]}
        assert confirmed - {"run-3", "run-4"} <= set(stored), seed
