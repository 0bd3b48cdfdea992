"""A store that is away, or loses answers: who is served later, and who is told when."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st
from plain_store import a_row, away, lost_answer
from writer_bench import DEADLINE, Bench, answers

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers import shift as shifts
from ldtrack.ledgers.asked import BlockingFlight


@pytest.fixture
def bench() -> Bench:
    """A writer over a plain store."""
    return Bench()


def test_a_lost_answer_is_asked_for_again(bench: Bench) -> None:
    """The row knows itself by its claimant: it was first, and is there once."""
    bench.shelf.mishaps = [lost_answer, lost_answer, away]
    flights = [bench.ask(), bench.ask()]
    bench.until_answered(*flights)
    assert answers(flights) == [True, False]
    assert len(bench.shelf.pending) == 1


def test_a_lost_answer_and_a_poisoned_row(bench: Bench) -> None:
    """Being taken apart does not make a group forget what it has stored."""
    bench.shelf.poison = {"run-2"}
    bench.shelf.mishaps = [lost_answer] * 5
    flights = bench.ask_many(5)
    bench.until_answered(*flights)
    assert answers(flights) == [True, True, LedgerError, True, True]
    assert bench.shelf.runs() == ["run-0", "run-1", "run-3", "run-4"]


def test_those_who_come_meanwhile_are_served_when_it_is_back(bench: Bench) -> None:
    """In order, in one group."""
    bench.shelf.mishaps = [away]
    first = bench.ask(a_row("run-a"))
    bench.turn()
    second = bench.ask(a_row("run-b"))
    bench.turn()
    assert not first.done()
    assert len(bench.shelf.calls) == 1, "it is left alone for a while"
    bench.until_answered(first, second)
    assert bench.shelf.runs() == ["run-a", "run-b"]
    assert len(bench.shelf.calls) == 2


def test_pauses_grow_and_stay_bounded(bench: Bench) -> None:
    """A store that is away for long is not hammered, and found soon when it is back."""
    bench.shelf.always = away
    pauses = []
    for _ in range(12):
        bench.ask(is_quiet=True)
        bench.turn()
        assert bench.shift._trouble is not None
        pauses.append(bench.shift._trouble.pause)
        bench.pass_time()
    assert pauses[:3] == [0.05, 0.1, 0.2]
    assert max(pauses) == DEADLINE / 10


@hypothesis.given(st.data())
def test_nobody_waits_longer_than_the_deadline(data: st.DataObject) -> None:
    """Whenever they ask, however long each call takes, and however calls end."""
    bench = Bench()
    wait = st.floats(0, DEADLINE / 3)

    def during() -> None:
        bench.clock.advance(data.draw(wait))

    bench.shelf.during = during
    bench.shelf.mishaps = data.draw(
        st.lists(st.sampled_from([away, away, away, lost_answer, lambda *_: None]), max_size=30)
    )
    asked: list[tuple[float, BlockingFlight]] = []
    answered_at: dict[BlockingFlight, float] = {}
    for at in range(data.draw(st.integers(1, 8))):
        flight = bench.ask(a_row(f"run-{at}"), is_quiet=data.draw(st.booleans()))
        flight.add_done_callback(lambda one: answered_at.setdefault(one, bench.clock.time()))
        asked.append((bench.clock.time(), flight))
        bench.turn()
        patience = bench.shift._patience()
        bench.clock.advance(min(data.draw(wait), 1.0 if patience is None else patience))
    bench.until_answered(*(flight for _, flight in asked))
    for since, flight in asked:
        assert answered_at[flight] <= since + DEADLINE + 0.01
        stored = f"run-{asked.index((since, flight))}" in bench.shelf.runs()
        assert stored or flight.exception(0)


def test_an_error_says_what_and_why(bench: Bench) -> None:
    """Which metric of which run, what was wrong, and what to do."""
    bench.shelf.always = away
    flight = bench.ask(a_row("run-x"))
    bench.until_answered(flight)
    with pytest.raises(
        LedgerError, match=r"^the duration of run run-x could not be recorded: the shelf is away; the slot is"
    ):
        flight.result(0)
    assert "shelf is away" in bench.writer.last_error


def test_a_frozen_process_goes_on_where_it_was(bench: Bench) -> None:
    """A connection that died while the process was frozen: time in the freezer is not time spent waiting."""
    bench.shelf.during = lambda: bench.clock.advance(600 if len(bench.shelf.calls) == 1 else 0.1)
    bench.shelf.mishaps = [away]
    flight = bench.ask()
    bench.until_answered(flight)
    assert flight.result(0) is True


def test_a_queue_that_moves_is_not_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd that takes longer than the deadline is served to the last, hiccups or not."""
    monkeypatch.setattr(shifts, "MAX_GROUP", 10)
    bench.shift._limit = 10
    bench.shelf.during = lambda: bench.clock.advance(1.0)
    bench.shelf.mishaps = [*[lambda *_: None] * 30, away]
    flights = bench.ask_many(400)
    bench.until_answered(*flights)
    assert answers(flights) == [True] * 400
    assert bench.clock.monotonic_ns() / 1e9 > 6 * DEADLINE
