"""Values: what is accepted, what is refused and how the refusal reads, and what they say of themselves."""

from __future__ import annotations

import contextlib
import enum
import math
from collections import UserDict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldai.tracker import FeedbackKind

from ldtrack.core.values import (
    OUTCOME_OF,
    Ending,
    Feedback,
    JudgeResult,
    LDAIMetrics,
    MetricSummary,
    Outcome,
    TokenUsage,
    count_of,
    key_of,
    whole_ms,
)


class Loud(str):
    """Text, though not exactly ``str``."""

    __slots__ = ()


class Count(enum.IntEnum):
    """Numbers, though not exactly ``int``."""

    NONE = 0
    THREE = 3
    LESS = -1
    VAST = 10**400


class Mood(enum.Enum):
    """Somebody else's enum."""

    GOOD = "positive"
    BAD = "negative"
    MIXED = "mixed"
    ODD = 7


COUNTS = st.integers(0, 10**9)
USAGES = st.builds(
    TokenUsage,
    st.none() | COUNTS,
    COUNTS,
    COUNTS,
    cached_input=st.none() | COUNTS,
    reasoning=st.none() | COUNTS,
    estimated=st.booleans(),
)


# Feedback


@pytest.mark.parametrize(
    "given_value",
    [
        Feedback.POSITIVE,
        "positive",
        pytest.param(Loud("positive"), id="subclass of str"),
        {"kind": "positive"},
        {"kind": Feedback.POSITIVE, "comment": "ignored"},
        UserDict(kind="positive"),
        Mood.GOOD,
        {"kind": Mood.GOOD},
        FeedbackKind.Positive,
        {"kind": FeedbackKind.Positive},
    ],
)
def test_feedback_in_any_of_its_spellings(given_value: object) -> None:
    """Our member, its text, LaunchDarkly's member, and the mapping around any of them."""
    assert Feedback.parse(given_value) is Feedback.POSITIVE


def test_feedback_can_be_negative() -> None:
    """The other polarity, in the three spellings."""
    for spelling in (Feedback.NEGATIVE, "negative", {"kind": FeedbackKind.Negative}):
        assert Feedback.parse(spelling) is Feedback.NEGATIVE


@pytest.mark.parametrize(
    ("given_value", "error", "said"),
    [
        ("", ValueError, "must be 'positive' or 'negative', not ''"),
        ("POSITIVE", ValueError, "not 'POSITIVE'"),
        (Mood.MIXED, ValueError, "not <Mood.MIXED"),
        ({"kind": "mixed"}, ValueError, "not {'kind': 'mixed'}"),
        ({}, ValueError, "has no 'kind'"),
        ({"Kind": "positive"}, ValueError, "has no 'kind'"),
        (True, TypeError, r"not True \(bool\)"),
        (1, TypeError, r"\(int\)"),
        (None, TypeError, r"\(NoneType\)"),
        (b"positive", TypeError, r"\(bytes\)"),
        (Mood.ODD, TypeError, r"\(Mood\)"),
        (["positive"], TypeError, r"\(list\)"),
        ({"kind": ["positive"]}, TypeError, r"\(dict\)"),
        ({"kind": {"kind": "positive"}}, TypeError, r"\(dict\)"),
        (Feedback, TypeError, "must be Feedback.POSITIVE"),
    ],
)
def test_feedback_refuses(given_value: object, error: type[Exception], said: str) -> None:
    """Anything else raises, with the value and the remedy."""
    with pytest.raises(error, match=said):
        Feedback.parse(given_value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.sampled_from(Mood),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.just("kind") | st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(ANYTHING)
def test_feedback_of_anything_is_feedback_or_a_plain_error(given_value: object) -> None:
    """Whatever comes in, feedback or a TypeError or ValueError goes out."""
    with contextlib.suppress(TypeError, ValueError):
        assert Feedback.parse(given_value) in Feedback


# Lengths of time, counts, keys


@pytest.mark.parametrize(
    ("given_value", "ms"),
    [(0, 0), (12, 12), (12.9, 12), (0.999, 0), (-0.0, 0), (Count.THREE, 3), (10**30, 10**30), (1e18, 10**18)],
)
def test_whole_ms_rounds_down(given_value: float, ms: int) -> None:
    """Milliseconds become a whole number of them."""
    assert whole_ms(given_value, "duration") == ms
    assert isinstance(whole_ms(given_value, "duration"), int)


@pytest.mark.parametrize(
    ("given_value", "error", "said"),
    [
        (-1, ValueError, "duration must not be negative, got -1 ms: were start and end swapped"),
        (-0.5, ValueError, "negative"),
        (Count.LESS, ValueError, "negative"),
        (math.nan, ValueError, "finite number of milliseconds, got nan"),
        (math.inf, ValueError, "finite"),
        (-math.inf, ValueError, "finite"),
        (True, TypeError, r"not True \(bool\)"),
        (False, TypeError, "bool"),
        ("12", TypeError, r"not '12' \(str\)"),
        (None, TypeError, "NoneType"),
        (Decimal(1), TypeError, "Decimal"),
        (Fraction(1), TypeError, "Fraction"),
        (1j, TypeError, "complex"),
        ([1], TypeError, "list"),
    ],
)
def test_whole_ms_refuses(given_value: object, error: type[Exception], said: str) -> None:
    """Negative, endless and not-a-number raise, and so does what is no number."""
    with pytest.raises(error, match=said):
        whole_ms(given_value, "duration")


def test_whole_ms_is_not_bounded_by_what_a_float_can_say() -> None:
    """A number that is an int by inheritance only is compared as one."""
    assert whole_ms(Count.VAST, "duration") == 10**400


@given(st.floats(0, 1e15))
def test_whole_ms_never_adds(given_value: float) -> None:
    """A length of time is never rounded up."""
    assert whole_ms(given_value, "duration") <= given_value < whole_ms(given_value, "duration") + 1


@pytest.mark.parametrize("given_value", [7, Count.THREE, Count.NONE, 10**30])
def test_count_of_takes_whole_numbers(given_value: int) -> None:
    """A count is what it was."""
    assert count_of(given_value, "n") == given_value


@pytest.mark.parametrize(
    ("given_value", "error", "said"),
    [
        (-1, ValueError, "n must not be negative, got -1"),
        (Count.LESS, ValueError, "negative"),
        (True, TypeError, r"n must be a whole number, not True \(bool\)"),
        (1.0, TypeError, "float"),
        ("1", TypeError, "str"),
        (None, TypeError, "NoneType"),
    ],
)
def test_count_of_refuses(given_value: object, error: type[Exception], said: str) -> None:
    """A bool is no count, nor is a float that happens to be whole."""
    with pytest.raises(error, match=said):
        count_of(given_value, "n")


def test_key_of_takes_text() -> None:
    """A name is any text that is not empty."""
    assert key_of("search", "tool_key") == "search"
    assert key_of(Loud("x"), "tool_key") == "x"


@pytest.mark.parametrize(
    ("given_value", "error", "said"),
    [
        ("", ValueError, "tool_key must not be empty"),
        (None, TypeError, "tool_key must be a str, not None"),
        (b"x", TypeError, "bytes"),
        (3, TypeError, "int"),
    ],
)
def test_key_of_refuses(given_value: object, error: type[Exception], said: str) -> None:
    """A name is never made out of something else."""
    with pytest.raises(error, match=said):
        key_of(given_value, "tool_key")


# Token usage


def test_a_total_left_out_is_the_sum() -> None:
    """Input and output make a total; a total that is given is believed."""
    assert TokenUsage(input=3, output=4).total == 7
    assert TokenUsage(input=3).total == 3
    assert TokenUsage(10, 3, 4).total == 10
    assert TokenUsage(0, 3, 4).total == 0


def test_parts_are_never_added_to_anything() -> None:
    """Cached input and reasoning are parts of input and output."""
    usage = TokenUsage(input=10, output=5, cached_input=8, reasoning=4)
    assert (usage.total, usage.input, usage.output) == (15, 10, 5)
    assert (usage.cached_input, usage.reasoning) == (8, 4)


@pytest.mark.parametrize("field", ["total", "input", "output", "cached_input", "reasoning"])
@pytest.mark.parametrize(
    ("bad", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError), ("x", TypeError)]
)
def test_every_count_is_checked(field: str, bad: object, error: type[Exception]) -> None:
    """A bad count raises under its own name."""
    with pytest.raises(error, match=f"TokenUsage.{field}"):
        TokenUsage(**{field: bad})  # type: ignore[arg-type]  # the point


def test_empty_is_no_total_no_input_no_output() -> None:
    """Parts alone are nothing to report."""
    assert TokenUsage().is_empty
    assert TokenUsage(cached_input=3, reasoning=2).is_empty
    assert not TokenUsage(total=1).is_empty
    assert not TokenUsage(0, 1).is_empty
    assert not TokenUsage(0, 0, 1).is_empty


@given(USAGES, USAGES)
def test_usage_adds_up(one: TokenUsage, other: TokenUsage) -> None:
    """Counts are added one by one; an unknown part does not erase a known one; a guess stays a guess."""
    both = one + other
    assert (both.total, both.input, both.output) == (
        one.total + other.total,
        one.input + other.input,
        one.output + other.output,
    )
    for part in ("cached_input", "reasoning"):
        known = [value for value in (getattr(one, part), getattr(other, part)) if value is not None]
        assert getattr(both, part) == (sum(known) if known else None)
    assert both.estimated is (one.estimated or other.estimated)
    assert both == other + one


def test_usage_is_a_frozen_value() -> None:
    """Equal by what it says, hashable, unchangeable."""
    usage = TokenUsage(input=1, output=2)
    assert usage == TokenUsage(3, 1, 2)
    assert len({usage, TokenUsage(3, 1, 2)}) == 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        usage.total = 4  # type: ignore[misc]  # the point


# Judge results


@pytest.mark.parametrize("score", [0, 1, 0.0, 1.0, 0.5, None])
def test_a_score_lies_between_none_and_all(score: float | None) -> None:
    """Both ends count, and there may be none."""
    assert JudgeResult(score=score).score == score


@pytest.mark.parametrize(
    ("score", "error"),
    [
        (-0.01, ValueError),
        (1.01, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        pytest.param(10**400, ValueError, id="beyond floats"),
        (True, TypeError),
        ("0.5", TypeError),
        (Decimal("0.5"), TypeError),
    ],
)
def test_other_scores_are_refused(score: Any, error: type[Exception]) -> None:
    """A score off the scale, or of another kind, raises."""
    with pytest.raises(error, match=r"JudgeResult\.score must"):
        JudgeResult(score=score)


SCORED = {"sampled": True, "success": True, "metric_key": "m", "score": 0.0}


def test_a_judge_result_is_scored() -> None:
    """Sampled, successful, with a metric to file it under, and a score, which may be zero."""
    assert JudgeResult(**SCORED).is_scored


@pytest.mark.parametrize(
    "missing",
    [{"sampled": False}, {"success": False}, {"metric_key": ""}, {"metric_key": None}, {"score": None}],
)
def test_a_judge_result_is_not_scored(missing: dict[str, Any]) -> None:
    """Each of the four is needed."""
    assert not JudgeResult(**{**SCORED, **missing}).is_scored


@pytest.mark.parametrize("field", ["metric_key", "judge_config_key"])
def test_keys_of_a_judge_result_are_text(field: str) -> None:
    """They become an event's name and a member of its payload."""
    with pytest.raises(TypeError, match=f"JudgeResult.{field} must be a str, not 5"):
        JudgeResult(**{field: 5})


# The others


def test_metrics_of_an_extractor_keep_their_own_list() -> None:
    """Tool calls are copied into a tuple, and none may be said in two ways."""
    names = ["search", "search"]
    metrics = LDAIMetrics(tool_calls=names)  # type: ignore[arg-type]  # a list is taken too
    names.append("late")
    assert metrics.tool_calls == ("search", "search")
    assert LDAIMetrics().tool_calls == ()
    assert LDAIMetrics(tool_calls=None).tool_calls == ()  # type: ignore[arg-type]  # as extractors do
    assert LDAIMetrics().success is True


@pytest.mark.parametrize(
    ("bad", "error", "said"),
    [
        (
            {"tokens": {"total": 3}},
            TypeError,
            "LDAIMetrics.tokens must be an ldtrack.TokenUsage, not {'total': 3}",
        ),
        ({"tool_calls": "search"}, TypeError, "several names, not the text 'search'"),
        ({"tool_calls": [None]}, TypeError, "each of LDAIMetrics.tool_calls must be a str"),
        ({"tool_calls": [""]}, ValueError, "must not be empty"),
        ({"duration_ms": "12"}, TypeError, "LDAIMetrics.duration_ms must be a number"),
        ({"duration_ms": -1}, ValueError, "negative"),
    ],
)
def test_metrics_of_an_extractor_are_checked(bad: dict[str, Any], error: type[Exception], said: str) -> None:
    """What is wrong raises in the extractor, where it is caught, and not later, where the run settles."""
    with pytest.raises(error, match=said):
        LDAIMetrics(**bad)


def test_metrics_of_an_extractor_say_whole_milliseconds() -> None:
    """A duration that a provider states as a float is rounded down."""
    assert LDAIMetrics(duration_ms=12.7).duration_ms == 12  # type: ignore[arg-type]  # what providers say


def test_every_ending_has_an_outcome() -> None:
    """Five endings, three outcomes."""
    assert {ending: OUTCOME_OF[ending] for ending in Ending} == {
        Ending.COMPLETED: Outcome.SUCCESS,
        Ending.CLOSED_EARLY: Outcome.CANCELLED,
        Ending.CANCELLED: Outcome.CANCELLED,
        Ending.TRUNCATED: Outcome.ERROR,
        Ending.FAILED: Outcome.ERROR,
    }


def test_a_summary_says_nothing_by_itself_and_never_changes() -> None:
    """A summary of a run of which nothing was recorded."""
    summary = MetricSummary(resumption_token="t")
    said = attrs.asdict(summary)
    assert said.pop("resumption_token") == "t"
    assert said.pop("tool_calls") == ()
    assert said.pop("refused") is False
    assert set(said.values()) == {None}
    assert {
        "duration_ms",
        "time_to_first_token",
        "tokens",
        "success",
        "feedback",
        "outcome",
        "model_ms",
        "finish_reason",
        "answered_by",
    } < set(said)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        summary.success = True  # type: ignore[misc]  # the point
