"""What follows from a receipt, and how long a relay waits: tables and arithmetic."""

from __future__ import annotations

import math

import attrs
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldtrack.core.pacing import (
    FIRST_WAIT,
    LONGEST_ASKED,
    LONGEST_WAIT,
    MARGIN,
    MOST_TURNS,
    PATIENCE,
    PROBE,
    REFUSALS,
    REPEATS,
    Action,
    Decision,
    Outlook,
    backoff,
    decide,
)
from ldtrack.core.receipts import Receipt, Verdict

CLEAR = Outlook(accepts=True)
draws = st.floats(min_value=0, max_value=1)
verdicts = st.sampled_from(Verdict)
outlooks = st.builds(
    Outlook,
    accepts=st.booleans(),
    setbacks=st.integers(0, 2000),
    refusals=st.integers(0, 2 * REFUSALS),
    locked=st.booleans(),
)


def decided(
    receipt: Receipt | Verdict,
    *,
    rows: int = 5,
    attempts: int = 0,
    outlook: Outlook = CLEAR,
    before: Outlook | None = None,
    draw: float = 0.5,
    doubt: int | None = None,
) -> Decision:
    receipt = Receipt(receipt) if isinstance(receipt, Verdict) else receipt
    before = outlook if before is None else before
    return decide(
        receipt, rows=rows, attempts=attempts, before=before, outlook=outlook, draw=draw, doubt=doubt
    )


@pytest.mark.parametrize(
    ("verdict", "several", "single", "in_doubt", "not_the_rows"),
    [
        (Verdict.DELIVERED, Action.SETTLE, Action.SETTLE, Action.SETTLE, Action.SETTLE),
        (Verdict.LATER, Action.POSTPONE, Action.POSTPONE, Action.POSTPONE, Action.POSTPONE),
        (Verdict.TOO_LARGE, Action.SPLIT, Action.SET_ASIDE, Action.REPEAT, Action.LOCK),
        (Verdict.REFUSED, Action.SPLIT, Action.SET_ASIDE, Action.REPEAT, Action.LOCK),
        (Verdict.LOCKED, Action.LOCK, Action.LOCK, Action.LOCK, Action.LOCK),
    ],
)
def test_the_table(
    verdict: Verdict, several: Action, single: Action, in_doubt: Action, not_the_rows: Action
) -> None:
    """Verdict, size, whether it may have arrived before, whether row after row was refused: these decide."""
    for doubt in range(REPEATS):
        assert decided(verdict, rows=1, doubt=doubt).action is in_doubt
        assert decided(verdict, rows=2, doubt=doubt).action is in_doubt
    assert decided(verdict, rows=2, doubt=REPEATS).action is several
    assert decided(verdict, rows=2, doubt=0, outlook=Outlook(refusals=REFUSALS)).action is not_the_rows
    refusing = Outlook(refusals=REFUSALS)
    assert decided(verdict, rows=2).action is several
    assert decided(verdict, rows=1).action is single
    assert decided(verdict, rows=1, outlook=refusing).action is not_the_rows
    assert decided(verdict, rows=2, outlook=refusing).action is not_the_rows


@given(receipt=st.builds(Receipt, verdicts), rows=st.integers(1, 1000), outlook=outlooks, draw=draws)
def test_what_goes_on_does_not_wait(receipt: Receipt, rows: int, outlook: Outlook, draw: float) -> None:
    """Only what is tried again waits, and it always does, the relay longer than its batch."""
    decision = decided(receipt, rows=rows, outlook=outlook, draw=draw)
    if decision.action in {Action.POSTPONE, Action.LOCK}:
        assert decision.wait >= MARGIN
        assert not decision.outlook.accepts
    else:
        assert (decision.wait, decision.postponed) == (0.0, 0.0)


@given(doubt=st.integers(0, REPEATS - 1), rows=st.integers(1, 1000), outlook=outlooks, draw=draws)
def test_what_is_in_doubt_rests_and_keeps_nobody_waiting(
    doubt: int, rows: int, outlook: Outlook, draw: float
) -> None:
    """Longer each time; what is known of the destination stays as it is."""
    hypothesis.assume(not outlook.refuses_all)
    decision = decided(Verdict.REFUSED, rows=rows, outlook=outlook, doubt=doubt, draw=draw)
    assert (decision.action, decision.wait, decision.outlook) == (Action.REPEAT, 0.0, outlook)
    assert FIRST_WAIT <= decision.postponed <= FIRST_WAIT + 2**doubt


def test_an_accepted_batch_clears_the_outlook() -> None:
    """After whatever trouble, one accepted batch is enough."""
    trouble = Outlook(setbacks=7, refusals=REFUSALS, locked=True)
    assert decided(Verdict.DELIVERED, outlook=trouble).outlook == CLEAR


def test_old_news_of_success_does_not_end_a_wait() -> None:
    """A batch that set out before the setback says nothing about the time after it."""
    later = decided(Verdict.LATER).outlook
    assert decided(Verdict.DELIVERED, before=CLEAR, outlook=later).outlook == later
    refusing = attrs.evolve(later, refusals=3)
    assert decided(Verdict.DELIVERED, before=CLEAR, outlook=refusing).outlook == later


def test_two_that_fail_side_by_side_are_one_setback() -> None:
    """The wait does not grow with the number of batches that were on their way."""
    once = decided(Verdict.LATER).outlook
    twice = decided(Verdict.LATER, before=CLEAR, outlook=once).outlook
    assert once.setbacks == twice.setbacks == 1
    assert decided(Verdict.LATER, outlook=once).outlook.setbacks == 2


@pytest.mark.parametrize(
    ("setbacks", "longest"), [(1, 1), (2, 2), (3, 4), (4, 8), (6, 32), (7, 60), (8, 60), (5000, 60)]
)
def test_a_wait_doubles_up_to_a_minute(setbacks: int, longest: float) -> None:
    """Exponential, with a cap, for however many setbacks."""
    assert (FIRST_WAIT, LONGEST_WAIT) == (1, 60)
    assert backoff(setbacks, 1.0) == longest


@given(setbacks=st.integers(1, 5000), draw=draws)
def test_a_wait_is_anything_up_to_its_limit(setbacks: int, draw: float) -> None:
    """Full jitter: relays that failed together do not come back together."""
    assert backoff(setbacks, draw) == pytest.approx(draw * backoff(setbacks, 1.0))


@given(after=st.floats(0.01, 3000), setbacks=st.integers(0, 20), draw=draws)
def test_the_wait_that_was_asked_for_is_the_least(after: float, setbacks: int, draw: float) -> None:
    """`Retry-After` is honoured, and the jitter comes on top."""
    outlook = Outlook(setbacks=setbacks)
    decision = decided(Receipt(Verdict.LATER, "busy", after), outlook=outlook, draw=draw)
    assert decision.postponed == pytest.approx(after + backoff(setbacks + 1, draw))
    assert decision.wait == decision.postponed + MARGIN


@pytest.mark.parametrize("after", [None, 0.0, -5.0, math.nan, -math.inf])
def test_nonsense_asks_for_nothing(after: float | None) -> None:
    """A wait that cannot be waited is none."""
    assert decided(Receipt(Verdict.LATER, "", after), draw=1.0).postponed == FIRST_WAIT


@pytest.mark.parametrize("after", [1e12, math.inf])
def test_nobody_is_asked_to_wait_for_ever(after: float) -> None:
    """A destination that asks for years is asked again within the hour."""
    assert decided(Receipt(Verdict.LATER, "", after), draw=0.0).postponed == LONGEST_ASKED
    assert decided(Receipt(Verdict.LOCKED, "", after), draw=0.0).postponed == LONGEST_ASKED


@given(setbacks=st.integers(0, 50), draw=draws)
def test_a_lock_is_probed_about_once_a_minute(setbacks: int, draw: float) -> None:
    """However long it lasts, and not by all relays at once."""
    decision = decided(Verdict.LOCKED, outlook=Outlook(setbacks=setbacks), draw=draw)
    assert PROBE <= decision.postponed <= PROBE * 1.25
    assert decision.postponed == pytest.approx(PROBE + draw * PROBE / 4)
    assert decision.outlook.locked


@given(verdict=verdicts, rows=st.integers(1, 3), draw=draws, outlook=outlooks)
def test_only_an_accepted_batch_ends_a_lock(
    verdict: Verdict, rows: int, draw: float, outlook: Outlook
) -> None:
    """Another refusal or an outage is no sign that the key is right."""
    locked = attrs.evolve(outlook, locked=True)
    decision = decided(verdict, rows=rows, outlook=locked, draw=draw)
    assert decision.outlook.locked == (verdict is not Verdict.DELIVERED)


def test_a_bad_row_does_not_lock() -> None:
    """One row after another is set aside as long as something is accepted in between."""
    outlook = CLEAR
    for _ in range(3 * REFUSALS):
        decision = decided(Verdict.REFUSED, rows=1, outlook=outlook)
        assert decision.action is Action.SET_ASIDE
        outlook = decided(Verdict.DELIVERED, outlook=decision.outlook).outlook
    assert outlook == CLEAR


def test_row_after_row_locks() -> None:
    """Who refuses twenty rows in a row refuses everything: from then on it is kept instead of set aside."""
    outlook = CLEAR
    for _ in range(REFUSALS):
        decision = decided(Verdict.REFUSED, rows=1, outlook=outlook)
        assert decision.action is Action.SET_ASIDE
        assert not decision.outlook.locked
        outlook = decision.outlook
    decision = decided(Verdict.REFUSED, rows=512, outlook=outlook)
    assert decision.action is Action.LOCK
    assert decision.outlook.locked


def test_what_is_refused_with_everything_lets_others_go_first() -> None:
    """If it was the rows after all, another batch finds out."""
    decision = decided(Verdict.REFUSED, outlook=Outlook(refusals=REFUSALS), draw=0.0)
    assert decision.postponed == MOST_TURNS * PROBE
    assert decision.wait == PROBE + MARGIN


@pytest.mark.parametrize(
    ("attempts", "turns"),
    [(0, 1), (PATIENCE - 1, 1), (PATIENCE, 2), (2 * PATIENCE, 3), (9 * PATIENCE, 10), (10_000, MOST_TURNS)],
)
@pytest.mark.parametrize("verdict", [Verdict.LATER, Verdict.LOCKED])
def test_a_batch_that_fails_again_and_again_makes_room(verdict: Verdict, attempts: int, turns: int) -> None:
    """It may be the only one that fails, and must not keep all others from being delivered."""
    decision = decided(verdict, attempts=attempts, draw=1.0)
    assert decision.postponed == pytest.approx(turns * (decision.wait - MARGIN))
