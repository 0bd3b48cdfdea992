"""What a ledger's writer does with rows, one turn at a time."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from plain_store import PlainStore, a_row, away, raising
from writer_bench import Bench, answers

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers import shift as shifts


@pytest.fixture
def bench() -> Bench:
    """A writer over a plain store."""
    return Bench()


# Once, in groups


def test_what_has_gathered_is_stored_in_one_call(bench: Bench) -> None:
    """One call for all, and each is answered."""
    flights = bench.ask_many(10)
    bench.turn()
    assert answers(flights) == [True] * 10
    assert [len(rows) for rows in bench.shelf.calls] == [10]


def test_a_slot_is_filled_once(bench: Bench) -> None:
    """In one group or in two: the first is first, the others hear that they were not."""
    flights = [bench.ask(), bench.ask()]
    bench.turn()
    flights.append(bench.ask())
    bench.turn()
    assert answers(flights) == [True, False, False]
    assert bench.writer.recorded == 1
    assert len(bench.shelf.pending) == 1


def test_a_crowd_is_stored_in_groups_of_some_size(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction grows without end."""
    monkeypatch.setattr(bench.shift, "_limit", 8)
    monkeypatch.setattr(shifts, "MAX_GROUP", 8)
    flights = bench.ask_many(20)
    bench.turn()
    assert answers(flights) == [True] * 20
    assert [len(rows) for rows in bench.shelf.calls] == [8, 8, 4]


# Failures


@hypothesis.given(
    count=st.integers(1, 300), poisoned=st.sets(st.integers(0, 299), max_size=12), seed=st.integers(0, 99)
)
def test_a_poisoned_row_does_not_hurt_its_neighbours(count: int, poisoned: set[int], seed: int) -> None:
    """Wherever they are and however many stand side by side, the others are stored."""
    bench = Bench()
    bench.shelf.poison = {f"run-{at}" for at in poisoned}
    flights = bench.ask_many(count)
    bench.turn()
    bad = {at for at in poisoned if at < count}
    assert answers(flights) == [LedgerError if at in bad else True for at in range(count)]
    for at in bad:
        with pytest.raises(LedgerError, match=rf"duration of run run-{at} .*the slot is free again"):
            flights[at].result(0)
    assert bench.shelf.runs() == [f"run-{at}" for at in range(count) if at not in bad]


def test_many_poisoned_rows_that_are_not_side_by_side(bench: Bench) -> None:
    """Every other row: the store works, so it is the rows."""
    bench.shelf.poison = {f"run-{at}" for at in range(0, 100, 2)}
    flights = bench.ask_many(100)
    bench.turn()
    assert answers(flights) == [LedgerError, True] * 50


@pytest.mark.parametrize("error", [LedgerError("the disk is full"), OverflowError("a bug"), MemoryError()])
def test_a_store_that_fails_for_all_rows_is_not_asked_for_each(bench: Bench, error: Exception) -> None:
    """After some failures the rest fails as well, and when the store works again all is as before."""
    bench.shelf.always = raising(error)
    flights = bench.ask_many(4_000)
    bench.turn()
    assert answers(flights) == [LedgerError] * 4_000
    assert len(bench.shelf.calls) < 40
    bench.shelf.always = None
    flights = bench.ask_many(4_000)
    bench.turn()
    assert answers(flights) == [True] * 4_000
    assert len(bench.shelf.calls) < 80


@pytest.mark.parametrize("answers_of_store", [[], [True, True], None, 7])
def test_a_store_that_answers_nonsense(
    bench: Bench, answers_of_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked hears of it, and the writer lives on."""
    with monkeypatch.context() as patch:
        patch.setattr(PlainStore, "record", lambda *_: answers_of_store)
        flight = bench.ask()
        bench.turn()
    with pytest.raises(LedgerError, match="duration of run run-1"):
        flight.result(0)
    assert answers([flight]) == [LedgerError]
    again = bench.ask()
    bench.turn()
    assert again.result(0) is True


def test_a_store_that_cannot_even_be_opened(bench: Bench) -> None:
    """The same: a driver that is not installed, a wrong option."""

    def open_store() -> PlainStore:
        raise ImportError("no driver")

    bench.writer.keeper._open_store = open_store
    flight = bench.ask()
    bench.turn()
    with pytest.raises(LedgerError, match="no driver"):
        flight.result(0)


@pytest.mark.parametrize("what", ["close", "tidy"])
def test_chores_that_fail(bench: Bench, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are reported and done again later; nobody who claims hears of them."""
    failed: list[object] = []

    def fail(*_: object) -> None:
        failed.append(what)
        raise OSError("no")

    bench.ask()
    bench.turn()
    with monkeypatch.context() as patch:
        patch.setattr(PlainStore, what, fail)
        bench.pass_time()
        for _ in range(3):
            bench.turn()
        last = bench.barrier(is_last=True)
        assert bench.turn()
        assert last.done()
    assert len(failed) == 1
    if what == "tidy":
        assert bench.shelf.tidied == 0
        bench.pass_time()
        bench.turn()
        assert bench.shelf.tidied == 1


# Barriers


def test_a_barrier_is_passed_when_all_before_it_are_answered(bench: Bench) -> None:
    """Not before, and whatever comes after."""
    bench.shelf.mishaps = [away, away]
    first = bench.ask()
    barrier = bench.barrier()
    bench.turn()
    assert not barrier.done()
    bench.until_answered(barrier)
    assert first.done()


def test_a_barrier_does_not_wait_for_who_comes_later(bench: Bench) -> None:
    """While a store is away and others go on asking, those before the barrier fail, and it is passed."""
    bench.shelf.always = away
    bench.ask(a_row("run-0"))
    barrier = bench.barrier()
    for at in range(100):
        bench.clock.advance(0.1)
        bench.ask(a_row(f"later-{at}"))
        bench.turn()
        if barrier.done():
            return
    raise AssertionError("it waits for ever")


def test_the_last_one_turns_off_the_light(bench: Bench) -> None:
    """After the last barrier the store is closed, and before that one is answered: who waits relies on it."""
    bench.ask()
    last = bench.barrier(is_last=True)
    closed_then = []
    last.add_done_callback(lambda _: closed_then.append(bench.shelf.closed))
    assert bench.turn()
    assert closed_then == [1]


def test_whoever_comes_after_the_last_barrier_is_served(bench: Bench) -> None:
    """Another client of the same ledger: its rows are stored before the writer goes."""
    bench.shelf.mishaps = [away]
    last = bench.barrier(is_last=True)
    bench.clock.advance(0.001)
    flight = bench.ask()
    assert not bench.turn()
    assert last.done()
    assert not flight.done()
    bench.clock.advance(1)
    assert bench.turn()
    assert flight.result(0) is True
    assert bench.shelf.closed == 1


# Chores


def test_housekeeping_waits_for_a_quiet_moment(bench: Bench) -> None:
    """A script never does it; a ledger that is written all the time does it now and then."""
    bench.ask()
    bench.turn()
    bench.turn()
    assert bench.shelf.tidied == 0
    bench.clock.advance(shifts.SETTLED_IN)
    bench.ask()
    bench.turn()
    assert bench.shelf.tidied == 0, "others are waiting"
    bench.turn()
    assert bench.shelf.tidied == 1
    assert bench.shift._patience() is None, "nothing was written since"
    bench.ask()
    bench.turn()
    bench.clock.advance(2 * shifts.TIDY_EVERY)
    bench.ask()
    bench.turn()
    assert bench.shelf.tidied == 2, "it cannot wait for ever"


def test_housekeeping_goes_on_in_short_steps(bench: Bench) -> None:
    """While there is more to do and nobody asks for anything."""
    bench.shelf.has_more_to_tidy = True
    bench.clock.advance(shifts.SETTLED_IN)
    for _ in range(3):
        bench.turn()
    assert bench.shelf.tidied == 3
    bench.shelf.has_more_to_tidy = False
    bench.turn()
    bench.turn()
    assert bench.shelf.tidied == 4
