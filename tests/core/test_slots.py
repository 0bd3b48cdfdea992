"""The once-only table: total, never taking a recording back, and what a sheet makes of it."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ldtrack.core import slots
from ldtrack.core.slots import METRICS, ONCE, TRANSITIONS, Claim, Metric, SlotSheet, SlotState, Step

FREE, CLAIMED, RECORDED, TAKEN = SlotState
REPEATABLE = tuple(metric for metric in METRICS if metric.slot is None)
every_state = pytest.mark.parametrize("state", list(SlotState), ids=lambda state: state.name.lower())
every_step = pytest.mark.parametrize("step", list(Step), ids=lambda step: step.name.lower())


def sheet_in(state: SlotState) -> SlotSheet:
    """A sheet whose duration slot was brought to a state by lawful steps."""
    way = {FREE: [], CLAIMED: [Step.CLAIM], RECORDED: [Step.CLAIM, Step.CONFIRM], TAKEN: [Step.REFUSE]}
    sheet = SlotSheet()
    for step in way[state]:
        sheet.advance(slots.DURATION, step, "kept")
    assert sheet.state(slots.DURATION) is state
    return sheet


@every_state
@every_step
def test_table_is_total(state: SlotState, step: Step) -> None:
    """Every step has a place to go from every state, so no late answer can be an error."""
    assert isinstance(TRANSITIONS[state][step], SlotState)


def test_table_has_nothing_else() -> None:
    """The table has a row per state and a column per step."""
    assert set(TRANSITIONS) == set(SlotState)
    assert {len(row) for row in TRANSITIONS.values()} == {len(Step)}


@every_step
def test_recorded_is_final(step: Step) -> None:
    """No step takes a recording back, nor what was recorded."""
    sheet = sheet_in(RECORDED)
    if step is not Step.CONFIRM:
        sheet.advance(slots.DURATION, step, "late")
    assert sheet.state(slots.DURATION) is RECORDED
    assert sheet.value(slots.DURATION) == "kept"


@every_state
def test_a_confirmation_records_from_anywhere(state: SlotState) -> None:
    """The ledger's word is final, even if a refusal or a failure of another claim was heard before it."""
    sheet = sheet_in(state)
    sheet.advance(slots.DURATION, Step.CONFIRM, "mine")
    assert sheet.state(slots.DURATION) is RECORDED
    assert sheet.value(slots.DURATION) == "mine"


@pytest.mark.parametrize("state", [FREE, CLAIMED], ids=["free", "claimed"])
def test_a_failure_frees(state: SlotState) -> None:
    """When the ledger could not say, the slot may be claimed again."""
    sheet = sheet_in(state)
    sheet.advance(slots.DURATION, Step.FAIL)
    assert sheet.state(slots.DURATION) is FREE


def test_a_late_failure_does_not_free_a_slot_that_is_taken() -> None:
    """A claim that failed says nothing about the one that was first."""
    sheet = sheet_in(TAKEN)
    sheet.advance(slots.DURATION, Step.FAIL)
    assert sheet.state(slots.DURATION) is TAKEN


@every_state
@pytest.mark.parametrize("step", [Step.CLAIM, Step.REFUSE, Step.FAIL], ids=["claim", "refuse", "fail"])
def test_only_a_confirmation_says_a_value(state: SlotState, step: Step) -> None:
    """What is claimed, refused or failed leaves the recorded value alone."""
    sheet = sheet_in(state)
    before = sheet.value(slots.DURATION)
    sheet.advance(slots.DURATION, step, "never recorded")
    assert sheet.value(slots.DURATION) == before


@every_state
@every_step
def test_slots_do_not_touch_each_other(state: SlotState, step: Step) -> None:
    """A step in one slot leaves every other slot as it is."""
    sheet = sheet_in(state)
    sheet.advance(slots.FEEDBACK, step, "theirs")
    assert sheet.state(slots.DURATION) is state
    assert sheet.states.count(FREE) >= len(ONCE) - 2


@pytest.mark.parametrize("metric", REPEATABLE, ids=lambda metric: metric.name)
@every_step
def test_a_repeatable_metric_has_nothing_to_move(metric: Metric, step: Step) -> None:
    """A metric without a slot is always free and keeps nothing."""
    sheet = SlotSheet()
    sheet.advance(metric, step, "x")
    assert sheet.state(metric) is FREE
    assert sheet.value(metric) is None
    assert sheet.states == SlotSheet().states
    assert sheet.values == SlotSheet().values


def test_sheets_share_nothing() -> None:
    """Two runs do not see each other."""
    one, other = SlotSheet(), SlotSheet()
    one.advance(slots.TOKENS, Step.CONFIRM, 7)
    assert other.state(slots.TOKENS) is FREE
    assert other.value(slots.TOKENS) is None
    assert SlotSheet().states == [FREE] * len(ONCE)


def test_the_slots_are_numbered_without_gaps() -> None:
    """Five once-only metrics have five places; success and error share one, so do the token events."""
    assert [metric.slot for metric in ONCE] == list(range(len(ONCE)))
    assert [metric.name for metric in ONCE] == ["duration", "first token", "tokens", "outcome", "feedback"]
    assert [metric.name for metric in REPEATABLE] == ["tool call", "judge score"]


def test_metrics_are_told_apart_by_identity() -> None:
    """A metric is a row of the table, not a value that can be made up; and it cannot be changed."""
    twin = Metric("duration", 0, slots.DURATION.events)
    assert twin != slots.DURATION
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        slots.DURATION.slot = 1  # type: ignore[misc]  # the point


def test_a_claim_is_frozen() -> None:
    """A claim cannot be changed between its decision and its delivery."""
    claim = Claim("run", slots.DURATION, (("key", {}, 1),), None)
    with pytest.raises(AttributeError):
        claim.run_id = "another"  # type: ignore[misc]  # the point


class SheetMachine(RuleBasedStateMachine):
    """A sheet against the plainest model there is, under answers in any order."""

    @initialize()
    def begin(self) -> None:
        self.sheet = SlotSheet()
        self.state = dict.fromkeys(ONCE, "free")
        self.recorded: dict[Metric, object] = {}

    @rule(metric=st.sampled_from(METRICS))
    def claim(self, metric: Metric) -> None:
        self.sheet.advance(metric, Step.CLAIM, "a claim records nothing")
        if self.state.get(metric) == "free":
            self.state[metric] = "claimed"

    @rule(metric=st.sampled_from(METRICS), value=st.integers())
    def confirm(self, metric: Metric, value: int) -> None:
        """A ledger confirms once per slot; a second time would be the ledger's fault, not the table's."""
        if metric not in self.recorded:
            self.sheet.advance(metric, Step.CONFIRM, value)
            if metric in self.state:
                self.state[metric] = "recorded"
                self.recorded[metric] = value

    @rule(metric=st.sampled_from(METRICS))
    def refuse(self, metric: Metric) -> None:
        self.sheet.advance(metric, Step.REFUSE, "a refusal records nothing")
        if self.state.get(metric) in {"free", "claimed"}:
            self.state[metric] = "taken"

    @rule(metric=st.sampled_from(METRICS))
    def fail(self, metric: Metric) -> None:
        self.sheet.advance(metric, Step.FAIL, "a failure records nothing")
        if self.state.get(metric) == "claimed":
            self.state[metric] = "free"

    @invariant()
    def agrees_with_the_model(self) -> None:
        for metric in METRICS:
            assert self.sheet.state(metric).name.lower() == self.state.get(metric, "free")
            assert self.sheet.value(metric) == self.recorded.get(metric)

    @invariant()
    def never_takes_a_recording_back(self) -> None:
        for metric, value in self.recorded.items():
            assert self.sheet.state(metric) is RECORDED
            assert self.sheet.value(metric) == value


TestSheetMachine = SheetMachine.TestCase
