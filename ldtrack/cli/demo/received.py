"""What LaunchDarkly can know: figures and faults, from the events that arrived and from nothing else.

Rule for this file: plain functions from events to values. Who sent them, and what was meant, is unknown here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from ldtrack.core.slots import DURATION, FEEDBACK, FIRST_TOKEN, OUTCOME, TOKENS, TOOL_CALL, Metric
from ldtrack.core.values import Feedback, TokenUsage

__all__ = [
    "Arrival",
    "Figures",
    "Repeat",
    "arrivals",
    "by_variation",
    "figures_of",
    "once_only",
    "percentile",
    "repeats",
]


def _keys(metric: Metric, value: object) -> tuple[str, ...]:
    return tuple(key for key, _data, _value in metric.events({}, value))


# How events are spelled is known to the core alone; here it is asked.
(_DURATION,) = _keys(DURATION, 1)
(_FIRST_TOKEN,) = _keys(FIRST_TOKEN, 1)
(_SUCCESS,) = _keys(OUTCOME, True)
(_ERROR,) = _keys(OUTCOME, False)
_TOTAL, _INPUT, _OUTPUT = _keys(TOKENS, TokenUsage(input=1, output=1))
(_THUMBS_UP,) = _keys(FEEDBACK, Feedback.POSITIVE)
(_THUMBS_DOWN,) = _keys(FEEDBACK, Feedback.NEGATIVE)
(_TOOL_CALL,) = _keys(TOOL_CALL, "any")

_ONCE: Final[Mapping[str, str]] = {
    _DURATION: DURATION.name,
    _FIRST_TOKEN: FIRST_TOKEN.name,
    _SUCCESS: OUTCOME.name,
    _ERROR: OUTCOME.name,
    _TOTAL: "total tokens",
    _INPUT: "input tokens",
    _OUTPUT: "output tokens",
    _THUMBS_UP: FEEDBACK.name,
    _THUMBS_DOWN: FEEDBACK.name,
}
"""Which metric of its run an event stands for, if there may be only one: success and error are one, so are
both thumbs."""


@attrs.frozen
class Arrival:
    """One event about a run."""

    run_id: str
    key: str
    value: float
    variation: str
    model: str


def arrivals(events: Iterable[Mapping[str, Any]]) -> list[Arrival]:
    """The events that are about runs; the others tell which SDK is at work."""
    return [
        Arrival(
            data["runId"],
            event["key"],
            event.get("metricValue", 0),
            data.get("variationKey", ""),
            data.get("modelName", ""),
        )
        for event in events
        if isinstance(data := event.get("data"), Mapping) and "runId" in data
    ]


def by_variation(arrived: Iterable[Arrival]) -> dict[str, list[Arrival]]:
    """The same events, apart for each variation, in the order of its name."""
    apart: dict[str, list[Arrival]] = {}
    for arrival in arrived:
        apart.setdefault(arrival.variation, []).append(arrival)
    return dict(sorted(apart.items()))


@attrs.frozen
class Repeat:
    """A metric of a run that arrived more than once."""

    run_id: str
    metric: str
    times: int


def once_only(arrived: Iterable[Arrival]) -> Counter[tuple[str, str]]:
    """How often each (runId, metric) arrived that may arrive only once."""
    return Counter((arrival.run_id, _ONCE[arrival.key]) for arrival in arrived if arrival.key in _ONCE)


def repeats(arrived: Iterable[Arrival]) -> list[Repeat]:
    """Every (runId, metric) that arrived more than once."""
    return [
        Repeat(run_id, metric, times) for (run_id, metric), times in once_only(arrived).items() if times > 1
    ]


@attrs.frozen(kw_only=True)
class Figures:
    """What the events of some runs amount to. Times are in milliseconds, ``None`` where none arrived."""

    models: tuple[str, ...]
    runs: int
    succeeded: int
    errors: int
    cancelled: int
    """Runs that have a duration and neither a success nor an error."""
    first_token_p50: float | None
    first_token_p95: float | None
    duration_p50: float | None
    tokens_in: int
    tokens_out: int
    tool_calls: int
    thumbs_up: int
    thumbs_down: int

    @property
    def success_rate(self) -> float | None:
        """The share of successes among the runs that had an outcome."""
        decided = self.succeeded + self.errors
        return self.succeeded / decided if decided else None


def figures_of(arrived: Sequence[Arrival]) -> Figures:
    """Count and add up."""
    values: dict[str, list[float]] = {}
    run_ids: dict[str, set[str]] = {}
    for arrival in arrived:
        values.setdefault(arrival.key, []).append(arrival.value)
        run_ids.setdefault(arrival.key, set()).add(arrival.run_id)

    def runs_with(key: str) -> set[str]:
        return run_ids.get(key, set())

    def sum_of(key: str) -> int:
        return int(sum(values.get(key, ())))

    first_tokens, durations = values.get(_FIRST_TOKEN, []), values.get(_DURATION, [])
    return Figures(
        models=tuple(sorted({arrival.model for arrival in arrived if arrival.model})),
        runs=len(runs_with(_DURATION)),
        succeeded=len(runs_with(_SUCCESS)),
        errors=len(runs_with(_ERROR)),
        cancelled=len(runs_with(_DURATION) - runs_with(_SUCCESS) - runs_with(_ERROR)),
        first_token_p50=percentile(first_tokens, 0.50),
        first_token_p95=percentile(first_tokens, 0.95),
        duration_p50=percentile(durations, 0.50),
        tokens_in=sum_of(_INPUT),
        tokens_out=sum_of(_OUTPUT),
        tool_calls=sum_of(_TOOL_CALL),
        thumbs_up=sum_of(_THUMBS_UP),
        thumbs_down=sum_of(_THUMBS_DOWN),
    )


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least that share of all values do not exceed; ``None`` of no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
