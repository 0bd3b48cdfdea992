"""What every ledger promises, whatever it is made of."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from ledger_kits import ADA, CHAT, KITS, Kit, a_claim, in_threads, kit_maker, waiting

from ldtrack.core.events import GraphAttribution
from ldtrack.core.slots import (
    DURATION,
    FEEDBACK,
    FIRST_TOKEN,
    GRAPH_DURATION,
    GRAPH_METRICS,
    GRAPH_OUTCOME,
    GRAPH_PATH,
    GRAPH_TOKENS,
    JUDGE_SCORE,
    METRICS,
    ONCE,
    OUTCOME,
    TOKENS,
    TOOL_CALL,
    Claim,
    Metric,
)
from ldtrack.core.values import Feedback, JudgeResult, TokenUsage
from ldtrack.exceptions import LedgerError

VALUES: dict[Metric, Any] = {
    DURATION: 12,
    FIRST_TOKEN: 3,
    TOKENS: TokenUsage(input=4, output=5),
    OUTCOME: True,
    FEEDBACK: Feedback.NEGATIVE,
    TOOL_CALL: "search",
    JUDGE_SCORE: JudgeResult(sampled=True, success=True, metric_key="m", score=0.5),
}
REPEATABLE = [metric for metric in METRICS if metric.slot is None]
every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
every_once = pytest.mark.parametrize("metric", ONCE, ids=lambda metric: metric.name)


@pytest.fixture(params=KITS)
def new_kit(request: pytest.FixtureRequest) -> Callable[[], Kit]:
    """Makes the ledger under test, and what is around it."""
    return kit_maker(request.param, request)


@pytest.fixture
def kit(new_kit: Callable[[], Kit]) -> Kit:
    """The ledger under test."""
    return new_kit()


def claim_of(metric: Metric, run_id: str = "run-1") -> Claim:
    """A claim for the metric, with its usual value."""
    return a_claim(metric, VALUES[metric], run_id)


async def keys(kit: Kit) -> list[str]:
    """The keys of everything that has come out."""
    return [key for key, _, _, _ in await kit.delivered()]


# Once


@every_metric
async def test_the_first_claim_is_recorded(kit: Kit, metric: Metric) -> None:
    """It is told so, and its events come out whole and in order."""
    claim = claim_of(metric)
    assert await kit.submit(claim) is True
    assert await kit.delivered() == [(key, data, value, ADA) for key, data, value in claim.events]
    assert kit.ledger.recorded == 1


@every_once
async def test_a_second_claim_for_the_slot_is_refused(kit: Kit, metric: Metric) -> None:
    """It is told so and nothing of it comes out, however different its value."""
    await kit.submit(claim_of(metric))
    before = await kit.delivered()
    other = {OUTCOME: False, FEEDBACK: Feedback.POSITIVE, TOKENS: TokenUsage(total=1)}
    assert await kit.submit(a_claim(metric, other.get(metric, 99))) is False
    assert await kit.submit(claim_of(metric)) is False
    assert await kit.delivered() == before
    assert kit.ledger.recorded == 1


@pytest.mark.parametrize("metric", REPEATABLE, ids=lambda metric: metric.name)
async def test_a_repeatable_metric_is_always_first(kit: Kit, metric: Metric) -> None:
    """The same claim again is another one."""
    assert [await kit.submit(claim_of(metric)) for _ in range(3)] == [True] * 3
    assert len(await kit.delivered()) == 3
    assert kit.ledger.recorded == 3


async def test_slots_and_runs_are_apart(kit: Kit) -> None:
    """Filling one slot of one run fills no other."""
    claims = [claim_of(metric, run_id) for run_id in ("run-1", "run-2") for metric in METRICS]
    assert [await kit.submit(claim) for claim in claims] == [True] * len(claims)
    assert [await kit.submit(claim_of(metric, "run-1")) for metric in ONCE] == [False] * len(ONCE)
    assert len(await kit.delivered()) == sum(len(claim.events) for claim in claims)


async def test_a_graphs_run_has_slots_of_its_own(kit: Kit) -> None:
    """Its once-only metrics once, handoffs and redirects every time, with nested data, beside any run."""
    data = GraphAttribution("trip", 3, "warm").data_of("run-g")
    values = {GRAPH_DURATION: 12, GRAPH_PATH: ("a", "b"), GRAPH_TOKENS: TokenUsage(9), GRAPH_OUTCOME: False}
    claims = [
        Claim("run-g", metric, metric.events(data, values.get(metric, ("a", "b"))), ADA)
        for metric in GRAPH_METRICS
    ]
    assert await kit.submit(claim_of(DURATION, "run-1")) is True
    assert [await kit.submit(claim) for claim in claims] == [True] * len(claims)
    assert [await kit.submit(claim) for claim in claims] == [metric.slot is None for metric in GRAPH_METRICS]
    repeated = [claim for claim in claims if claim.metric.slot is None]
    expected = [(*event, ADA) for claim in claims + repeated for event in claim.events]
    assert (await kit.delivered())[1:] == expected


async def test_several_calls_claimed_together_come_out_together(kit: Kit) -> None:
    """A claim may have as many events as there were tool calls."""
    events = [event for key in "abcd" for event in TOOL_CALL.events(CHAT.data_of("run-1"), key)]
    assert await kit.submit(Claim("run-1", TOOL_CALL, tuple(events), ADA)) is True
    assert [data["toolKey"] for _, data, _, _ in await kit.delivered()] == list("abcd")
    assert kit.ledger.recorded == 1


# Failures


@every_metric
async def test_a_claim_that_fails_leaves_no_trace(kit: Kit, metric: Metric) -> None:
    """It raises, nothing comes out, and the same claim is the first when it comes again."""
    kit.refuse_next()
    with pytest.raises(LedgerError, match=f"{metric.name} of run run-1"):
        await kit.submit(claim_of(metric))
    assert await kit.delivered() == []
    assert kit.ledger.recorded == 0
    assert await kit.submit(claim_of(metric)) is True
    assert len(await kit.delivered()) == len(claim_of(metric).events)


async def test_a_claim_that_fails_leaves_the_other_slots_alone(kit: Kit) -> None:
    """What was filled stays filled, what was free stays free."""
    await kit.submit(claim_of(DURATION))
    kit.refuse_next()
    with pytest.raises(LedgerError, match="outcome of run run-1"):
        await kit.submit(claim_of(OUTCOME))
    assert await kit.submit(claim_of(DURATION)) is False
    assert await kit.submit(claim_of(FEEDBACK)) is True
    assert await kit.submit(claim_of(OUTCOME)) is True
    assert await kit.submit(claim_of(OUTCOME)) is False


@pytest.mark.parametrize("after", [1, 2])
async def test_a_claim_that_breaks_off_comes_out_whole_and_once(kit: Kit, after: int) -> None:
    """Once its first event is out the claim is recorded, and the others follow: all or none, never twice."""
    if not kit.breaks_off:
        return
    kit.break_off_after(after)
    assert await kit.submit(claim_of(TOKENS)) is True
    assert await kit.submit(claim_of(TOKENS)) is False
    assert await kit.delivered() == [(*event, ADA) for event in claim_of(TOKENS).events]
    assert await kit.submit(claim_of(OUTCOME)) is True
    assert Counter(await keys(kit)) == Counter(
        key for metric in (TOKENS, OUTCOME) for key, _, _ in claim_of(metric).events
    )


# Races


async def test_tasks_that_race(kit: Kit) -> None:
    """Claims for the same slots, all at once: one of each is first."""
    claims = [claim_of(metric) for metric in ONCE for _ in range(20)]
    answers = await asyncio.gather(*[kit.submit(claim) for claim in claims])
    firsts = Counter(claim.metric for claim, answer in zip(claims, answers, strict=True) if answer)
    assert firsts == dict.fromkeys(ONCE, 1)
    assert len(await kit.delivered()) == sum(len(claim_of(metric).events) for metric in ONCE)


def test_threads_that_race(new_kit: Callable[[], Kit]) -> None:
    """The same from threads with a loop of their own."""
    for _ in range(5):
        kit = new_kit()
        claims = [claim_of(metric) for metric in ONCE for _ in range(6)]
        answers = in_threads([partial(waiting, kit, claim) for claim in claims])
        firsts = Counter(
            claim.metric for claim, answer in zip(claims, answers, strict=True) if answer is True
        )
        assert firsts == dict.fromkeys(ONCE, 1)
        assert answers.count(False) == len(claims) - len(ONCE)
        assert kit.ledger.recorded == len(ONCE)


def test_a_thread_that_fails_leaves_the_slot_to_the_others(new_kit: Callable[[], Kit]) -> None:
    """One claim fails, another one is first: never none, never two."""
    for _ in range(5):
        kit = new_kit()
        kit.refuse_next()
        answers = in_threads([partial(waiting, kit, claim_of(TOKENS))] * 8)
        assert [type(answer) for answer in answers].count(LedgerError) == 1
        assert answers.count(True) == 1
        assert asyncio.run(kit.delivered()) == [(*event, ADA) for event in claim_of(TOKENS).events]


def test_a_thread_without_a_loop_is_answered_at_once(kit: Kit) -> None:
    """With nothing to wait in, there is nothing to wait for."""
    assert in_threads([lambda: kit.ledger.submit(claim_of(OUTCOME))]) == [True]
    assert in_threads([lambda: kit.ledger.submit(claim_of(OUTCOME))]) == [False]


# What it is given


async def test_what_came_out_is_not_the_claims_own(kit: Kit) -> None:
    """Whoever changes what came out changes neither the claim nor the next one's events."""
    claim = claim_of(TOKENS)
    before = [dict(data) for _, data, _ in claim.events]
    await kit.submit(claim)
    for _, data, _, _ in await kit.delivered():
        data["runId"] = "spoilt"
    assert [dict(data) for _, data, _ in claim.events] == before


async def test_flush_and_close(kit: Kit) -> None:
    """Both may be asked for at any time, and again; a flush says how things stand."""
    assert await kit.ledger.flush(1)
    await kit.submit(claim_of(DURATION))
    result = await kit.ledger.flush(1)
    assert result.delivered + result.unconfirmed + result.pending == 1
    assert result.set_aside == 0
    await kit.ledger.aclose()
    await kit.ledger.aclose()


# Against a model


RUNS = st.sampled_from(["run-1", "run-2", "run-3"])


class LedgerMachine(RuleBasedStateMachine):
    """A ledger, and the plainest model of it."""

    new_kit: Callable[[], Kit]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.kit = type(self).new_kit()
        self.filled: set[tuple[str, Metric]] = set()
        self.expected: list[str] = []

    def teardown(self) -> None:
        self.runner.run(self.kit.ledger.aclose())
        self.runner.close()

    def _submit(self, claim: Claim) -> bool:
        return self.runner.run(self.kit.submit(claim))

    @rule(metric=st.sampled_from(METRICS), run_id=RUNS)
    def submit(self, metric: Metric, run_id: str) -> None:
        """A claim is first if the slot is free, and then it comes out."""
        is_first = (run_id, metric) not in self.filled
        assert self._submit(claim_of(metric, run_id)) is is_first
        if is_first:
            self._note(metric, run_id)

    @rule(metric=st.sampled_from(METRICS), run_id=RUNS)
    def submit_and_fail(self, metric: Metric, run_id: str) -> None:
        """A claim that fails changes nothing."""
        if (run_id, metric) not in self.filled:
            self.kit.refuse_next()
            with pytest.raises(LedgerError, match=run_id):
                self._submit(claim_of(metric, run_id))

    @rule(run_id=RUNS, after=st.integers(1, 2))
    def submit_and_break_off(self, run_id: str, after: int) -> None:
        """A claim that breaks off is recorded."""
        if self.kit.breaks_off and (run_id, TOKENS) not in self.filled:
            self.kit.break_off_after(after)
            assert self._submit(claim_of(TOKENS, run_id)) is True
            self._note(TOKENS, run_id)

    def _note(self, metric: Metric, run_id: str) -> None:
        if metric.slot is not None:
            self.filled.add((run_id, metric))
        self.expected += [f"{run_id} {key}" for key, _, _ in claim_of(metric, run_id).events]

    @invariant()
    def what_came_out_is_what_was_first(self) -> None:
        """All of it, once, in order."""
        delivered = self.runner.run(self.kit.delivered())
        assert [f"{data['runId']} {key}" for key, data, _, _ in delivered] == self.expected


def test_any_story(new_kit: Callable[[], Kit]) -> None:
    """Claims for few runs in any order, with failures in between, against a set of what is filled."""
    machine = type("LedgerMachine", (LedgerMachine,), {"new_kit": staticmethod(new_kit)})
    stories = hypothesis.settings(max_examples=min(hypothesis.settings.default.max_examples // 4, 40))
    run_state_machine_as_test(machine, settings=stories)
