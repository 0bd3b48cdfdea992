"""Who is sampled, what a judge is asked, and what its answer is worth."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldtrack import LDMessage
from ldtrack.core.judging import VERDICT_SCHEMA, Verdict, history_of, is_sampled, question_of, read_verdict

RATES = st.floats(0, 1)
TEXTS = st.text()


class TestSampling:
    """One draw per run and judge."""

    @given(TEXTS, TEXTS)
    def test_rate_0_means_never_and_rate_1_always(self, run_id: str, key: str) -> None:
        """Whatever is drawn."""
        assert not is_sampled(run_id, key, 0)
        assert is_sampled(run_id, key, 1)

    @given(TEXTS, TEXTS, RATES, RATES)
    def test_the_draw_does_not_change(self, run_id: str, key: str, one: float, other: float) -> None:
        """The same question has the same answer, and a higher rate never loses a run."""
        assert is_sampled(run_id, key, one) == is_sampled(run_id, key, one)
        assert is_sampled(run_id, key, max(one, other)) >= is_sampled(run_id, key, min(one, other))

    def test_the_draws_are_even_and_judges_independent(self) -> None:
        """Of 10,000 runs each of two judges looks at about a quarter, and both at about a sixteenth."""
        runs = [f"run-{number}" for number in range(10_000)]
        one = {run for run in runs if is_sampled(run, "one", 0.25)}
        other = {run for run in runs if is_sampled(run, "other", 0.25)}
        assert 2300 < len(one) < 2700
        assert 2300 < len(other) < 2700
        assert 500 < len(one & other) < 750

    def test_a_key_is_no_part_of_the_run_id(self) -> None:
        """Run id and key are told apart, wherever the one ends."""
        runs = [str(number) for number in range(1000)]
        assert [is_sampled(run, "1x", 0.5) for run in runs] != [
            is_sampled(f"{run}1", "x", 0.5) for run in runs
        ]

    @pytest.mark.parametrize(
        ("rate", "error"),
        [(-0.1, ValueError), (1.1, ValueError), (math.nan, ValueError), (True, TypeError), ("1", TypeError)],
    )
    def test_a_rate_that_is_none_raises(self, rate: Any, error: type[Exception]) -> None:
        """NaN included, which is neither below nor above anything."""
        with pytest.raises(error, match=r"sampling rate .*(0 to 1|between 0 and 1)"):
            is_sampled("run", "judge", rate)


class TestQuestions:
    """What a judge reads."""

    def test_a_single_question_stands_for_itself(self) -> None:
        """As in LaunchDarkly's SDKs, a prompt has no label."""
        assert history_of([LDMessage("user", "Hi")]) == "Hi"

    def test_several_messages_say_who_said_them(self) -> None:
        """A line for each; so does a single one that is not the user's."""
        messages = [LDMessage("user", "Hi"), LDMessage("assistant", "Hello")]
        assert history_of(messages) == "user: Hi\nassistant: Hello"
        assert history_of(messages[1:]) == "assistant: Hello"
        assert history_of([]) == ""

    def test_two_blocks_with_labels(self) -> None:
        """Letter by letter what LaunchDarkly's prompts refer to."""
        assert question_of("Hi", "Hello") == "MESSAGE HISTORY:\nHi\n\nRESPONSE TO EVALUATE:\nHello"


class TestVerdicts:
    """What a judge may answer."""

    @given(st.floats(0, 1) | st.integers(0, 1), TEXTS)
    def test_a_score_and_a_reason(self, score: float, reasoning: str) -> None:
        """Every number from 0 to 1, as a float."""
        verdict = read_verdict({"score": score, "reasoning": reasoning})
        assert verdict == Verdict(float(score), reasoning)
        assert isinstance(verdict, Verdict)
        assert type(verdict.score) is float

    @pytest.mark.parametrize(
        ("parsed", "reason"),
        [
            (None, "no structured answer"),
            ([0.5, "text"], "no structured answer"),
            ({"reasoning": "text"}, "score is no number"),
            ({"score": True, "reasoning": "text"}, "score is no number, but True"),
            ({"score": "0.5", "reasoning": "text"}, "score is no number"),
            ({"score": math.nan, "reasoning": "text"}, "between 0 and 1, and is nan"),
            ({"score": math.inf, "reasoning": "text"}, "between 0 and 1"),
            ({"score": 1.01, "reasoning": "text"}, "between 0 and 1"),
            ({"score": -1, "reasoning": "text"}, "between 0 and 1"),
            ({"score": 0.5}, "reasoning is no text"),
            ({"score": 0.5, "reasoning": 7}, "reasoning is no text"),
        ],
    )
    def test_anything_else_is_refused_with_a_reason(self, parsed: Any, reason: str) -> None:
        """A sentence, never an exception."""
        said = read_verdict(parsed)
        assert isinstance(said, str)
        assert not isinstance(said, Verdict)
        assert reason in said

    def test_the_schema_asks_for_just_that(self) -> None:
        """Both members, and no others."""
        assert VERDICT_SCHEMA["required"] == ["score", "reasoning"]
        assert set(VERDICT_SCHEMA["properties"]) == {"score", "reasoning"}
        assert VERDICT_SCHEMA["additionalProperties"] is False
