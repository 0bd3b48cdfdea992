"""The values a run is described with.

Rule for this file: frozen, validated on construction, no behaviour beyond saying what they are. Foreign
shapes (strings, mappings, other SDKs' enums) become one of these here, or raise.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

__all__ = ["Ending", "Feedback", "JudgeResult", "LDAIMetrics", "MetricSummary", "Outcome", "TokenUsage"]


class Outcome(enum.Enum):
    """How a run ended, as far as its user is concerned."""

    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"
    """Stopped from outside: by cancellation or by closing the stream early. LaunchDarkly has no such
    event, so it appears in the summary only, unless the run says ``cancelled_as``."""


class Ending(enum.Enum):
    """How one model call ended; five different things that a provider's stream can do."""

    COMPLETED = "completed"
    CLOSED_EARLY = "closed_early"
    CANCELLED = "cancelled"
    TRUNCATED = "truncated"
    """The stream ended without the provider's finish mark: the connection broke politely."""
    FAILED = "failed"


OUTCOME_OF: Final[Mapping[Ending, Outcome]] = {
    Ending.COMPLETED: Outcome.SUCCESS,
    Ending.CLOSED_EARLY: Outcome.CANCELLED,
    Ending.CANCELLED: Outcome.CANCELLED,
    Ending.TRUNCATED: Outcome.ERROR,
    Ending.FAILED: Outcome.ERROR,
}
"""What each ending means for the run whose last call it was."""


class Feedback(enum.Enum):
    """What the user thought of the answer."""

    POSITIVE = "positive"
    NEGATIVE = "negative"

    @classmethod
    def parse(cls, value: object) -> Feedback:
        """Read feedback in any of its spellings: the member, its text, or ``{"kind": ...}``.

        LaunchDarkly's own ``FeedbackKind`` members are understood by their value. Anything else raises.
        """
        if isinstance(value, Feedback):
            return value
        given = value
        if isinstance(value, Mapping):
            if "kind" not in value:
                raise ValueError(
                    f"feedback {dict(value)!r} has no 'kind': pass Feedback.POSITIVE or Feedback.NEGATIVE"
                )
            value = value["kind"]
        if isinstance(value, Feedback):
            return value
        if isinstance(value, enum.Enum):
            value = value.value
        if not isinstance(value, str):
            raise TypeError(
                f"feedback must be Feedback.POSITIVE or Feedback.NEGATIVE, not {given!r} "
                f"({type(given).__name__})"
            )
        if value not in _FEEDBACK_TEXTS:
            raise ValueError(f"feedback must be 'positive' or 'negative', not {given!r}")
        return _FEEDBACK_TEXTS[value]


_FEEDBACK_TEXTS: Final = {member.value: member for member in Feedback}


def count_of(value: object, what: str) -> int:
    """Check that a value counts something: a whole number that is not negative, and not a bool."""
    if type(value) is int and value >= 0:
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be a whole number, not {value!r} ({type(value).__name__})")
    if value < 0:
        raise ValueError(f"{what} must not be negative, got {value!r}")
    return value


def whole_ms(value: object, what: str) -> int:
    """Turn a length of time in milliseconds into a whole number of them, rounding down."""
    if type(value) is int and value >= 0:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number of milliseconds, not {value!r} ({type(value).__name__})")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{what} must be a finite number of milliseconds, got {value!r}")
    if value < 0:
        raise ValueError(f"{what} must not be negative, got {value!r} ms: were start and end swapped?")
    return int(value)


def key_of(value: object, what: str) -> str:
    """Check that a value names something: text that is not empty."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {value!r} ({type(value).__name__})")
    if not value:
        raise ValueError(f"{what} must not be empty")
    return value


@attrs.frozen(init=False, slots=False)  # without slots, attrs sets frozen fields three times faster
class TokenUsage:
    """How many tokens a run used.

    ``total`` may be left out: it is then the sum of ``input`` and ``output``. ``cached_input`` and
    ``reasoning`` are parts of input and output that some providers break out; they are never added to
    anything and never sent as totals. ``estimated`` marks figures that no provider reported.
    """

    total: int
    input: int
    output: int
    cached_input: int | None
    reasoning: int | None
    estimated: bool

    def __init__(
        self,
        total: int | None = None,
        input: int = 0,
        output: int = 0,
        *,
        cached_input: int | None = None,
        reasoning: int | None = None,
        estimated: bool = False,
    ) -> None:
        count_of(input, "TokenUsage.input")
        count_of(output, "TokenUsage.output")
        total = input + output if total is None else count_of(total, "TokenUsage.total")
        if cached_input is not None:
            count_of(cached_input, "TokenUsage.cached_input")
        if reasoning is not None:
            count_of(reasoning, "TokenUsage.reasoning")
        # The one moment at which a frozen value is written.
        self.__dict__.update(
            total=total,
            input=input,
            output=output,
            cached_input=cached_input,
            reasoning=reasoning,
            estimated=estimated,
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to report: no total, no input, no output."""
        return not (self.total or self.input or self.output)

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            self.total + other.total,
            self.input + other.input,
            self.output + other.output,
            cached_input=_sum_of_known(self.cached_input, other.cached_input),
            reasoning=_sum_of_known(self.reasoning, other.reasoning),
            estimated=self.estimated or other.estimated,
        )


def _sum_of_known(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _checked_score(_instance: object, _attribute: attrs.Attribute[float | None], value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"JudgeResult.score must be a number, not {value!r} ({type(value).__name__})")
    if not 0 <= value <= 1:  # which is not so of NaN either
        raise ValueError(f"JudgeResult.score must lie between 0 and 1, got {value!r}")


def _checked_key(_instance: object, attribute: attrs.Attribute[str | None], value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"JudgeResult.{attribute.name} must be a str, not {value!r} ({type(value).__name__})")


@attrs.frozen(kw_only=True)
class JudgeResult:
    """What one judge said of one answer."""

    judge_config_key: str | None = attrs.field(default=None, validator=_checked_key)
    success: bool = False
    error_message: str | None = None
    sampled: bool = False
    metric_key: str | None = attrs.field(default=None, validator=_checked_key)
    score: float | None = attrs.field(default=None, validator=_checked_score)
    reasoning: str | None = None

    @property
    def is_scored(self) -> bool:
        """Whether there is a score to record: the judge was sampled, succeeded, and names its metric."""
        return self.sampled and self.success and bool(self.metric_key) and self.score is not None


def _names(names: Iterable[str] | None) -> tuple[str, ...]:
    if isinstance(names, str | bytes):
        raise TypeError(f"LDAIMetrics.tool_calls must be several names, not the text {names!r}")
    return tuple([key_of(name, "each of LDAIMetrics.tool_calls") for name in names or ()])


def _ms_or_none(value: float | None) -> int | None:
    return None if value is None else whole_ms(value, "LDAIMetrics.duration_ms")


def _checked_tokens(_instance: object, _attribute: attrs.Attribute[TokenUsage | None], value: object) -> None:
    if value is not None and not isinstance(value, TokenUsage):
        raise TypeError(
            f"LDAIMetrics.tokens must be an ldtrack.TokenUsage, not {value!r} ({type(value).__name__})"
        )


@attrs.frozen
class LDAIMetrics:
    """What an extractor reads from a provider's answer."""

    success: bool = True
    tokens: TokenUsage | None = attrs.field(default=None, validator=_checked_tokens)
    tool_calls: tuple[str, ...] = attrs.field(default=(), converter=_names)
    duration_ms: int | None = attrs.field(default=None, converter=_ms_or_none)


@attrs.frozen(kw_only=True)
class MetricSummary:
    """What has been recorded for a run so far: a snapshot that never changes."""

    resumption_token: str
    duration_ms: int | None = None
    time_to_first_token: int | None = None
    tokens: TokenUsage | None = None
    success: bool | None = None
    feedback: Feedback | None = None
    tool_calls: tuple[str, ...] = ()
    outcome: Outcome | None = None
    ending: Ending | None = None
    """How the run's last model call ended; ``None`` while no call has ended."""
    model_ms: int | None = None
    """Time spent waiting for the provider; ``None`` where it was not measured."""
    finish_reason: str | None = None
    """Why the model stopped, in the provider's own words."""
    answered_by: str | None = None
    """The model that really answered, as the provider says; LaunchDarkly's events name the one asked for."""
    refused: bool = False
    """Whether the model declined to answer, or a filter stopped it."""
    parent_run_id: str | None = None
    """The id of the run that this one is part of."""
