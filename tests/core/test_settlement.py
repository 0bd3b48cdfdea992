"""The settlement: from the facts of an ended run to what is recorded, in the order it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldtrack.core.meter import Totals
from ldtrack.core.settlement import Facts, settle
from ldtrack.core.slots import DURATION, FIRST_TOKEN, OUTCOME, TOKENS, TOOL_CALL
from ldtrack.core.values import Outcome, TokenUsage

MS = 1_000_000


def facts(outcome: Outcome = Outcome.SUCCESS, totals: Totals | None = None, **changes: Any) -> Facts:
    """A run from 1 ms to 10 ms on its clock."""
    known: dict[str, Any] = {"started_ns": MS, "ended_ns": 10 * MS, **changes}
    return Facts(totals=totals or Totals(), outcome=outcome, **known)


def test_everything_in_the_order_it_is_sent() -> None:
    """Duration, first token, outcome, tokens, tool calls."""
    totals = Totals(
        first_token_ns=3 * MS,
        model_ns=5 * MS,
        usage=TokenUsage(7, 3, 4),
        tool_calls=("search", "fetch", "search"),
    )
    assert settle(facts(totals=totals)) == [
        (DURATION, 9),
        (FIRST_TOKEN, 2),
        (OUTCOME, True),
        (TOKENS, TokenUsage(7, 3, 4)),
        (TOOL_CALL, "search"),
        (TOOL_CALL, "fetch"),
        (TOOL_CALL, "search"),
    ]


@pytest.mark.parametrize(
    ("outcome", "recorded"),
    [
        (Outcome.SUCCESS, [(DURATION, 9), (OUTCOME, True)]),
        (Outcome.ERROR, [(DURATION, 9), (OUTCOME, False)]),
        (Outcome.CANCELLED, [(DURATION, 9)]),
    ],
)
def test_outcomes(outcome: Outcome, recorded: list[object]) -> None:
    """A cancelled run is neither a success nor an error on LaunchDarkly."""
    assert settle(facts(outcome)) == recorded


def test_a_request_that_was_never_issued_took_no_time() -> None:
    """Without a start there is no duration and no time to first token."""
    totals = Totals(first_token_ns=3 * MS)
    assert settle(facts(Outcome.CANCELLED, totals, started_ns=None)) == []


def test_usage_that_is_empty_is_not_recorded() -> None:
    """Neither a missing nor an empty usage claims the slot."""
    for usage in (None, TokenUsage(), TokenUsage(reasoning=3)):
        assert settle(facts(totals=Totals(usage=usage))) == [(DURATION, 9), (OUTCOME, True)]


@pytest.mark.parametrize(
    ("changes", "model_ns", "duration"),
    [
        ({}, None, 9),
        ({}, 5 * MS, 9),
        ({"duration_basis": "model"}, 5 * MS, 5),
        ({"duration_basis": "model"}, 0, 0),
        ({"duration_basis": "model"}, None, 9),
        ({"duration_basis": "model", "started_ns": None}, 5 * MS, 5),
        ({"duration_basis": "model", "started_ns": None}, None, None),
        ({"stated_ms": 3}, 5 * MS, 3),
        ({"stated_ms": 0, "duration_basis": "model"}, 5 * MS, 0),
        ({"stated_ms": 4, "started_ns": None}, None, 4),
        ({"started_ns": 10 * MS}, None, 0),
        ({"started_ns": 11 * MS}, None, 0),
        ({"ended_ns": 2 * MS - 1}, None, 0),
        ({"ended_ns": 2 * MS}, None, 1),
    ],
)
def test_which_duration(changes: dict[str, Any], model_ns: int | None, duration: int | None) -> None:
    """Stated wins, then the basis asked for if it was measured, then the wall clock; never negative."""
    assert facts(totals=Totals(model_ns=model_ns), **changes).duration_ms == duration


@pytest.mark.parametrize(
    ("first_ns", "started_ns", "expected"),
    [(None, MS, None), (3 * MS, None, None), (3 * MS, MS, 2), (MS, MS, 0), (0, MS, 0), (MS + 999_999, MS, 0)],
)
def test_time_to_first_token(first_ns: int | None, started_ns: int | None, expected: int | None) -> None:
    """From the start of the run, in whole milliseconds, never negative."""
    totals = Totals(first_token_ns=first_ns)
    assert facts(totals=totals, started_ns=started_ns).first_token_ms == expected


@pytest.mark.parametrize(("model_ns", "expected"), [(None, None), (0, 0), (2_999_999, 2)])
def test_model_time(model_ns: int | None, expected: int | None) -> None:
    """Time spent waiting for the provider, where it was measured."""
    assert Totals(model_ns=model_ns).model_ms == expected


TIMES = st.none() | st.integers(0, 10**12)


@given(
    st.builds(
        Facts,
        totals=st.builds(
            Totals,
            first_token_ns=TIMES,
            model_ns=TIMES,
            usage=st.none() | st.builds(TokenUsage, st.none() | st.integers(0, 5), st.integers(0, 5)),
            tool_calls=st.lists(st.text(min_size=1), max_size=3).map(tuple),
        ),
        outcome=st.sampled_from(Outcome),
        started_ns=TIMES,
        ended_ns=st.integers(0, 10**12),
        duration_basis=st.sampled_from(["wall", "model"]),
        stated_ms=st.none() | st.integers(0, 10**6),
    )
)
def test_a_settlement_names_each_slot_once_with_a_good_value(known: Facts) -> None:
    """Whatever the facts, each once-only metric is named at most once, and no time is negative."""
    todo = settle(known)
    once = [metric for metric, _ in todo if metric.slot is not None]
    assert len(once) == len(set(once))
    assert all(value >= 0 for metric, value in todo if metric in {DURATION, FIRST_TOKEN})  # type: ignore[operator]
    assert [value for metric, value in todo if metric is TOOL_CALL] == list(known.totals.tool_calls)
    assert (OUTCOME in once) is (known.outcome is not Outcome.CANCELLED)
