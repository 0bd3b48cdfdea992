"""The once-only table.

Rule for this file: what may be recorded once, what may be repeated, and how a slot moves from free to
recorded, live here and nowhere else. It does not know who races, what waits, or what is sent.

A slot is FREE until somebody claims it. The ledger then answers: *confirmed* (this claim was the first),
*refused* (another claim was), or *failed* (the ledger could not say, so the slot is free again). Answers
may arrive late and out of order when several threads race: the table is therefore total, and no late
answer ever takes back a recording.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import attrs

from ldtrack.core import events
from ldtrack.core.events import Event

__all__ = ["Claim", "Metric", "SlotSheet", "SlotState", "Step"]


@attrs.frozen(eq=False)
class Metric:
    """A thing that may be recorded for a run: one row of the table."""

    name: str
    slot: int | None
    """The place of a once-only metric in a run, or ``None`` for a metric that may be repeated."""
    events: Callable[[events.Data, Any], tuple[Event, ...]]
    """How a value of the metric becomes events."""


DURATION: Final = Metric("duration", 0, events.duration)
FIRST_TOKEN: Final = Metric("first token", 1, events.first_token)
TOKENS: Final = Metric("tokens", 2, events.tokens)
"""One slot for the three token events."""
OUTCOME: Final = Metric("outcome", 3, events.outcome)
"""One slot for success and error."""
FEEDBACK: Final = Metric("feedback", 4, events.feedback)
"""One slot for both polarities."""
TOOL_CALL: Final = Metric("tool call", None, events.tool_call)
JUDGE_SCORE: Final = Metric("judge score", None, events.judge_score)

METRICS: Final = (DURATION, FIRST_TOKEN, TOKENS, OUTCOME, FEEDBACK, TOOL_CALL, JUDGE_SCORE)
ONCE: Final = tuple(metric for metric in METRICS if metric.slot is not None)

# A graph's run has a run id of its own, and so slots of its own.
GRAPH_DURATION: Final = Metric("graph duration", 0, events.graph_duration)
GRAPH_PATH: Final = Metric("graph path", 1, events.graph_path)
GRAPH_TOKENS: Final = Metric("graph tokens", 2, events.graph_tokens)
GRAPH_OUTCOME: Final = Metric("graph outcome", 3, events.graph_outcome)
"""One slot for success and failure."""
REDIRECT: Final = Metric("redirect", None, events.redirect)
HANDOFF_SUCCESS: Final = Metric("handoff", None, events.handoff_success)
HANDOFF_FAILURE: Final = Metric("failed handoff", None, events.handoff_failure)

GRAPH_METRICS: Final = (
    GRAPH_DURATION,
    GRAPH_PATH,
    GRAPH_TOKENS,
    GRAPH_OUTCOME,
    REDIRECT,
    HANDOFF_SUCCESS,
    HANDOFF_FAILURE,
)
GRAPH_ONCE: Final = tuple(metric for metric in GRAPH_METRICS if metric.slot is not None)
"""No more of them than of the slots of a config's run, for which a sheet has room."""


class Claim(NamedTuple):
    """The right to fill a slot, together with the events that filling it emits: all or none of them.

    A named tuple, not an attrs class: five of these are made per run, and a tuple costs a third.
    """

    run_id: str
    metric: Metric
    events: tuple[Event, ...]
    context: Any
    """Whom the run served. Opaque here: it is handed through to the destination."""


class SlotState(enum.IntEnum):
    """Where a slot stands."""

    FREE = 0
    CLAIMED = 1
    RECORDED = 2
    TAKEN = 3
    """Another claim, made elsewhere, was first."""


class Step(enum.IntEnum):
    """What happens to a slot."""

    CLAIM = 0
    CONFIRM = 1
    REFUSE = 2
    FAIL = 3


_F, _C, _R, _T = SlotState

TRANSITIONS: Final[Mapping[SlotState, tuple[SlotState, ...]]] = {
    #         CLAIM  CONFIRM REFUSE FAIL
    _F: (_C, _R, _T, _F),
    _C: (_C, _R, _T, _F),
    _R: (_R, _R, _R, _R),
    _T: (_T, _R, _T, _T),
}
_NEXT: Final = tuple(TRANSITIONS[state] for state in SlotState)


class SlotSheet:
    """The slots of one run, and what was recorded in each."""

    def __init__(self) -> None:
        self.states: list[SlotState] = _ALL_FREE.copy()
        self.values: list[Any] = _NO_VALUES.copy()

    def state(self, metric: Metric) -> SlotState:
        """Where the metric's slot stands; a repeatable metric is always free."""
        return _F if metric.slot is None else self.states[metric.slot]

    def value(self, metric: Metric) -> Any:
        """What was recorded in the metric's slot, or ``None``."""
        return None if metric.slot is None else self.values[metric.slot]

    def advance(self, metric: Metric, step: Step, value: object = None) -> None:
        """Move the metric's slot by one step of the table; a repeatable metric has none to move.

        ``value`` is what a confirmed claim recorded.
        """
        slot = metric.slot
        if slot is not None:
            if step is _CONFIRM:
                self.values[slot] = value
            self.states[slot] = _NEXT[self.states[slot]][step]


_CONFIRM: Final = Step.CONFIRM
_ALL_FREE: Final = [_F] * len(ONCE)
_NO_VALUES: Final[list[Any]] = [None] * len(ONCE)
