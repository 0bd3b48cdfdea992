"""The memory ledger's own: how much it remembers, and what may come in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_kits import MemoryKit, a_claim

from ldtrack.core.slots import DURATION, FEEDBACK, OUTCOME, TOOL_CALL, Claim
from ldtrack.core.values import Feedback
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers import MemoryLedger
from ldtrack.typing import FlushResult


def remembered(ledger: MemoryLedger) -> int:
    """How many runs take up memory."""
    return len(ledger._newer.keys() | ledger._older.keys())


@pytest.mark.parametrize("max_runs", [0, -1])
def test_it_has_to_remember_something(max_runs: int) -> None:
    """A ledger that remembers nothing cannot say who was first."""
    with pytest.raises(ValueError, match=f"max_runs must be at least 1, got {max_runs}"):
        MemoryKit(max_runs=max_runs)


@given(st.integers(1, 12), st.lists(st.integers(0, 20), max_size=60))
def test_the_newest_runs_are_remembered_within_bounds(max_runs: int, story: list[int]) -> None:
    """No more runs than allowed, give or take two, and always the newest half of them, or the last one."""
    ledger = MemoryKit(max_runs=max_runs).ledger
    claimed: list[int] = []
    for number in story:
        recent = list(dict.fromkeys(reversed(claimed)))[: max(1, max_runs // 2)]
        answer = ledger.submit(a_claim(DURATION, 1, f"run-{number}"))
        assert number not in recent or answer is False
        if answer:
            claimed.append(number)
        assert remembered(ledger) <= max_runs + 2
        assert ledger.submit(a_claim(DURATION, 1, f"run-{number}")) is False


def test_a_run_that_goes_on_is_not_forgotten() -> None:
    """A run that keeps recording counts as new, with all of its slots."""
    ledger = MemoryKit(max_runs=4).ledger
    assert ledger.submit(a_claim(DURATION, 1, "long"))
    for number in range(20):
        ledger.submit(a_claim(DURATION, 1, f"run-{number}"))
        ledger.submit(a_claim(TOOL_CALL, "search", "long"))
    assert ledger.submit(a_claim(DURATION, 1, "long")) is False


def test_runs_whose_claims_all_fail_are_within_bounds_too() -> None:
    """A client that is down for long fills no memory."""
    kit = MemoryKit(max_runs=4)
    for number in range(50):
        kit.refuse_next()
        with pytest.raises(LedgerError, match=f"run-{number}"):
            kit.ledger.submit(a_claim(DURATION, 1, f"run-{number}"))
    assert remembered(kit.ledger) <= 5
    assert kit.ledger.submit(a_claim(DURATION, 1, "run-49"))


class Interrupting:
    """A destination in the middle of whose work something else happens, once."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.interruption: Callable[[], Any] | None = None

    def send(self, claim: Claim) -> None:
        interruption, self.interruption = self.interruption, None
        if interruption is not None:
            interruption()
        self.sent.append(claim.metric.name)

    async def flush(self, timeout: float) -> FlushResult:
        return FlushResult()


def test_a_finalizer_that_claims_the_same_slot_is_second() -> None:
    """It runs in the middle of the sending, in the same thread, where no lock keeps it out."""
    destination = Interrupting()
    ledger = MemoryLedger(destination)
    answers = []
    destination.interruption = lambda: answers.append(ledger.submit(a_claim(OUTCOME, False)))
    assert ledger.submit(a_claim(OUTCOME, True)) is True
    assert answers == [False]
    assert destination.sent == ["outcome"]


def test_a_finalizer_that_claims_another_slot_of_the_run_is_not_forgotten() -> None:
    """Neither overwrites what the other filled."""
    destination = Interrupting()
    ledger = MemoryLedger(destination)
    destination.interruption = lambda: ledger.submit(a_claim(FEEDBACK, Feedback.POSITIVE))
    assert ledger.submit(a_claim(OUTCOME, True)) is True
    assert ledger.submit(a_claim(FEEDBACK, Feedback.POSITIVE)) is False
    assert ledger.submit(a_claim(OUTCOME, True)) is False
    assert destination.sent == ["feedback", "outcome"]


@pytest.mark.parametrize("others", [0, 1, 5])
def test_a_failure_after_an_interruption_frees_its_own_slot_only(others: int) -> None:
    """Wherever the run has got to in the meantime among those that are remembered."""
    destination = Interrupting()
    ledger = MemoryLedger(destination, max_runs=4)

    def interrupt_and_fail() -> None:
        ledger.submit(a_claim(FEEDBACK, Feedback.POSITIVE))
        for number in range(others):
            ledger.submit(a_claim(DURATION, 1, f"run-{number}"))
        raise OSError("no room")

    destination.interruption = interrupt_and_fail
    with pytest.raises(LedgerError, match="no room"):
        ledger.submit(a_claim(OUTCOME, True))
    assert ledger.submit(a_claim(OUTCOME, True)) is True
    if others < 2:
        assert ledger.submit(a_claim(FEEDBACK, Feedback.POSITIVE)) is False


def test_an_interrupt_from_the_keyboard_passes_and_the_slot_counts_as_filled() -> None:
    """Nobody knows whether the event went out: rather lost than twice."""
    destination = Interrupting()
    ledger = MemoryLedger(destination)

    def interrupt() -> None:
        raise KeyboardInterrupt

    destination.interruption = interrupt
    with pytest.raises(KeyboardInterrupt):
        ledger.submit(a_claim(OUTCOME, True))
    assert ledger.submit(a_claim(OUTCOME, True)) is False


def test_a_failure_says_what_happened_and_what_to_do() -> None:
    """The metric, the run, the reason, and that the call may be repeated; the reason is its cause."""
    kit = MemoryKit()
    kit.refuse_next()
    with pytest.raises(
        LedgerError, match=r"duration of run run-1 .* \(no room in the queue\).*repeated"
    ) as told:
        kit.ledger.submit(a_claim(DURATION, 1))
    assert isinstance(told.value.__cause__, OSError)


async def test_a_flush_counts_what_it_cannot_vouch_for() -> None:
    """What an SDK was given is neither delivered nor lost, as far as anybody knows."""
    kit = MemoryKit()
    assert bool(await kit.ledger.flush(1)) is True
    kit.ledger.submit(a_claim(DURATION, 1))
    kit.ledger.submit(a_claim(DURATION, 1))
    result = await kit.ledger.flush(1)
    assert (result.unconfirmed, result.delivered, result.pending) == (1, 0, 0)
    assert not result
    assert kit.client.flushes == 2
