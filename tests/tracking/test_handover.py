"""The hand-over: before the first wait, and whatever becomes of the wait; who takes over when it fails."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from once import Asked
from once_asks import BAD_CALLS, EXPLICIT, ONCE, Bad, Empty, Explicit, explicit_call
from once_threads import by_hand
from once_world import ADA, ATTRIBUTION, World, new_recorder
from step_loop import pause, run_dry

from ldtrack.core.slots import DURATION, Claim, SlotState
from ldtrack.core.values import Feedback, LDAIMetrics, TokenUsage
from ldtrack.exceptions import DuplicateError, LedgerError
from ldtrack.testing import strict
from ldtrack.tracking.tracker import Tracker

every_method = pytest.mark.parametrize("method", EXPLICIT)
every_once_method = pytest.mark.parametrize("method", ONCE)
REPEATABLE = EXPLICIT[len(ONCE) :]


def held_world() -> World:
    """A world whose ledger stalls."""
    world = World()
    world.ledger.hold()
    return world


def begun(world: World, method: str, number: int = 0) -> Asked:
    """A call that has got as far as it can."""
    asked = world.begin(explicit_call(method, number))
    run_dry(world.loops)
    return asked


def first_step(world: World, work: Coroutine[Any, Any, Any]) -> None:
    """Take one step of a coroutine by hand, inside the loop, and leave it there."""
    with world.loops[0]._running():
        try:
            work.send(None)
        finally:
            work.close()


# Before the first wait


@every_method
def test_a_claim_is_handed_over_before_the_first_wait(method: str) -> None:
    """One step of the coroutine, and the ledger has the claim; dropping the coroutine then loses nothing."""
    world = held_world()
    ask = explicit_call(method, 1)
    first_step(world, ask.perform(world.trackers[0]))
    assert world.ledger.submitted == 1
    world.judge()
    assert any(claim.events == world.witness.attempts[0].claim.events for claim in world.ledger.claims)


@pytest.mark.parametrize("kind", ["timed", "measured", "run"])
def test_an_exit_hands_over_before_its_first_wait(kind: str) -> None:
    """What settles by itself hands everything over without a wait between its end and the ledger."""
    world = held_world()
    tracker = world.trackers[0]

    async def run() -> None:
        async with tracker.run():
            pass

    works: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "timed": lambda: tracker.track_duration_of(lambda: None),
        "measured": lambda: tracker.track_metrics_of(lambda _: LDAIMetrics(), lambda: None),
        "run": run,
    }
    if kind == "timed":  # which waits for nothing at all
        with world.loops[0]._running():
            by_hand(works[kind]())
    else:
        first_step(world, works[kind]())
    assert world.ledger.submitted == (1 if kind == "timed" else 2)


@every_method
def test_uncontended_there_is_no_trip_through_the_loop(method: str) -> None:
    """A ledger that answers at once leaves nothing to wait for: not even a loop is needed."""
    world = World()
    work = explicit_call(method, 1).perform(world.trackers[0])
    with pytest.raises(StopIteration) as stop:
        work.send(None)
    assert stop.value.value is True


@every_once_method
def test_a_duplicate_of_something_recorded_waits_for_nothing(method: str) -> None:
    """What is known already is answered without the ledger."""
    world = World()
    begun(world, method)
    work = explicit_call(method, 1).perform(world.trackers[0])
    with pytest.raises(StopIteration) as stop:
        work.send(None)
    assert stop.value.value is False
    assert world.ledger.submitted == 1


# Bad and empty calls


@pytest.mark.parametrize("bad", BAD_CALLS, ids=lambda bad: f"{bad.method}({bad.argument!r})")
def test_a_bad_call_spends_nothing(bad: Bad) -> None:
    """It raises what says that the caller is wrong, with the value, and the slot is still free."""
    world = World()
    asked = world.begin(bad)
    world.settle()
    assert isinstance(asked.error, TypeError | ValueError)
    assert str(asked.error)
    assert world.ledger.submitted == 0
    if bad.method in EXPLICIT:
        assert begun(world, bad.method).answer is True
    world.judge()


@pytest.mark.parametrize("at", range(3), ids=["no tokens", "no tool calls", "no score"])
def test_an_empty_call_spends_nothing(at: int) -> None:
    """It returns False, is no duplicate, and the slot is still free."""
    world = World()
    asked = world.begin(Empty(at))
    world.settle()
    assert asked.answer is False
    assert world.ledger.submitted == 0
    assert world.recorder.stats().duplicates == 0
    world.judge()


def test_tool_keys_are_checked_before_the_first_is_claimed() -> None:
    """Keys may come from a generator; one that is no key, or that breaks off, and none is recorded."""
    world = World()
    tracker = world.trackers[0]

    def keys() -> Any:
        yield "search"
        raise OSError("the list broke off")

    with pytest.raises(OSError, match="broke off"):
        by_hand(tracker.track_tool_calls(keys()))
    with pytest.raises(ValueError, match="must not be empty"):
        by_hand(tracker.track_tool_calls(key for key in ["search", ""]))
    assert world.ledger.submitted == 0
    by_hand(tracker.track_tool_calls(key for key in ["search", "fetch"]))
    assert tracker.summary.tool_calls == ("search", "fetch")


# Cancelling the wait


@every_method
def test_cancelling_the_wait_loses_nothing_and_repeats_nothing(method: str) -> None:
    """The claim is on its way; the next caller hears that it came first."""
    world = held_world()
    cancelled = begun(world, method)
    world.cancel(0)
    run_dry(world.loops)
    assert cancelled.is_cancelled
    assert world.ledger.submitted == 1
    again = begun(world, method, 1)
    world.judge()
    assert again.answer is (method in REPEATABLE)
    assert [claim for claim in world.ledger.claims if claim is world.witness.attempts[0].claim]


@every_once_method
def test_cancelling_a_call_that_waits_its_turn_changes_nothing(method: str) -> None:
    """Behind the lock nothing was handed over: the first is recorded, the last hears of it."""
    world = held_world()
    first = begun(world, method, 0)
    second = begun(world, method, 1)
    third = begun(world, method, 2)
    world.cancel(1)
    run_dry(world.loops)
    assert second.is_cancelled
    assert world.ledger.submitted == 1
    world.judge()
    assert (first.answer, third.answer) == (True, False)


@every_once_method
def test_cancelling_the_first_lets_the_next_wait_for_its_claim(method: str) -> None:
    """Whoever is next does not hand over a second claim while the first is on its way."""
    world = held_world()
    begun(world, method, 0)
    second = begun(world, method, 1)
    world.cancel(0)
    run_dry(world.loops)
    assert world.ledger.submitted == 1
    assert second.answer is None
    world.judge()
    assert second.answer is False


@every_method
def test_a_call_that_is_cancelled_before_it_began_spends_nothing(method: str) -> None:
    """A task that never ran has claimed nothing."""
    world = World()
    world.begin(explicit_call(method, 0))
    world.cancel(0)
    world.settle()
    assert world.ledger.submitted == 0


# Failures


@every_once_method
def test_when_the_ledger_fails_the_next_in_line_takes_over(method: str) -> None:
    """With its own value; the first is told, the last hears that somebody was first."""
    world = held_world()
    asked = [begun(world, method, number) for number in range(3)]
    world.ledger.fail_next()
    world.ledger.release()
    world.judge()
    assert isinstance(asked[0].error, LedgerError)
    assert [one.answer for one in asked[1:]] == [True, False]
    assert world.witness.attempts[1].fate == "recorded"
    assert world.witness.attempts[1].caller == 1


@every_once_method
def test_when_the_ledger_gives_up_it_is_an_error_and_no_cancellation(method: str) -> None:
    """A future that the ledger cancels does not look as if somebody had cancelled the caller."""
    world = held_world()
    asked = [begun(world, method, number) for number in range(2)]
    world.ledger.give_up(0)
    world.judge()
    assert isinstance(asked[0].error, LedgerError)
    assert "may be repeated" in str(asked[0].error)
    assert not asked[0].is_cancelled
    assert asked[1].answer is True


@pytest.mark.parametrize("method", ["track_duration", "track_feedback"])
def test_a_failure_wakes_the_next_in_line_and_nobody_else(method: str) -> None:
    """A crowd behind a ledger that fails again and again costs one turn per failure, not one per caller."""
    world = held_world()
    asked = [begun(world, method, number) for number in range(50)]
    world.ledger.fail_next(1)
    world.ledger.answer(0)
    assert sum(world.loops[0].step() for _ in range(500)) < 15
    assert world.ledger.submitted == 2
    world.judge()
    assert [one.answer for one in asked].count(True) == 1


@every_once_method
def test_a_claim_that_fails_in_flight_leaves_the_slot_free(method: str) -> None:
    """Whether anybody waits behind it or not, and whether anybody waits for it or not."""
    world = held_world()
    begun(world, method)
    slots = world.trackers[0]._slots
    assert slots.states.count(SlotState.CLAIMED) == 1
    world.cancel(0)
    world.ledger.give_up(0)
    run_dry(world.loops)
    assert set(slots.states) == {SlotState.FREE}


@every_once_method
def test_nobody_spins_while_a_later_claim_is_in_flight(method: str) -> None:
    """The first claim has failed, the second is on its way: the third waits for that one."""
    world = held_world()
    asked = [begun(world, method, number) for number in range(3)]
    world.ledger.fail_next()
    world.ledger.answer(0)
    run_dry(world.loops, limit=200)
    assert [one.answer for one in asked] == [None] * 3
    assert world.ledger.submitted == 2
    world.judge()
    assert [one.answer for one in asked] == [None, True, False]


@pytest.mark.parametrize("method", REPEATABLE)
@pytest.mark.parametrize("how", ["fails", "gives up"])
def test_a_repeatable_that_failed_may_be_repeated(method: str, how: str) -> None:
    """All of it, since none of it was recorded."""
    world = held_world()
    asked = begun(world, method, 2)
    if how == "fails":
        world.ledger.fail_next()
    else:
        world.ledger.give_up(0)
    world.ledger.release()
    run_dry(world.loops)
    assert isinstance(asked.error, LedgerError)
    assert world.ledger.events == []
    assert begun(world, method, 2).answer is True


@every_method
def test_a_ledger_that_fails_at_once(method: str) -> None:
    """The call raises, leaves no trace, and may be repeated."""
    world = World()
    world.ledger.fail_next()
    asked = begun(world, method)
    assert isinstance(asked.error, LedgerError)
    assert world.ledger.events == []
    assert begun(world, method, 1).answer is True
    world.judge()


def test_what_settles_by_itself_queues_behind_a_claim_in_flight() -> None:
    """And takes over only if that fails; then it may fail too, which is counted and not raised."""
    world = held_world()
    explicit = begun(world, "track_duration")
    with world.loops[0]._running():
        assert world.trackers[0]._record_quietly(DURATION, 7) is None
    world.ledger.fail_next(2)
    world.ledger.release()
    run_dry(world.loops)
    assert isinstance(explicit.error, LedgerError)
    assert dict(world.recorder.stats().failures) == {"duration": 1}
    assert world.trackers[0].summary.duration_ms is None
    begun(world, "track_duration")
    assert world.trackers[0].summary.duration_ms == 1000


def test_a_tool_call_in_flight_stands_for_those_a_run_would_list() -> None:
    """A run that is left while the ledger has yet to answer does not list the tool calls once more."""
    world = held_world()
    tracker = world.trackers[0]

    async def scene() -> None:
        async with tracker.run() as run:
            run.observe("answer", lambda _: LDAIMetrics(tool_calls=("search",)))
            world.begin(Explicit(DURATION, "track_tool_call", "search"))
            await pause()

    task = world.loops[0].create_task(scene())
    run_dry(world.loops)
    world.ledger.release()
    run_dry(world.loops)
    assert task.done()
    assert tracker.summary.tool_calls == ("search",)


@pytest.mark.parametrize("error", [RuntimeError("a broken ledger"), KeyError("x")])
def test_another_error_of_the_ledger_passes_as_it_is(error: Exception) -> None:
    """A bug in a ledger is not dressed up as a failure to record; nothing is claimed."""
    world = World()

    def submit(claim: Claim) -> bool:
        raise error

    world.ledger.submit = submit  # type: ignore[method-assign]  # broken
    with pytest.raises(type(error)) as caught:
        by_hand(world.trackers[0].track_success())
    assert caught.value is error
    del world.ledger.submit  # type: ignore[method-assign]  # mended
    assert begun(world, "track_success").answer is True


def test_a_failure_that_nobody_waits_for_is_no_warning() -> None:
    """A cancelled caller's claim may fail: nobody is there to hear it, and asyncio does not complain."""
    world = held_world()
    for method in ("track_duration", "track_tool_call"):
        begun(world, method)
        world.cancel(0)
    run_dry(world.loops)
    world.ledger.fail_next(2)
    world.ledger.release()
    run_dry(world.loops)
    gc.collect()
    assert world.loops[0].errors == []


# Duplicates


@every_once_method
def test_strict_makes_a_duplicate_an_error(method: str) -> None:
    """Both a duplicate of something recorded and one that had to wait to know; outside of it, neither."""
    world = held_world()
    tracker = world.trackers[0]

    async def twice() -> None:
        ask = explicit_call(method, 1)
        with strict(), pytest.raises(DuplicateError, match="recorded already"):
            await ask.perform(tracker)
        with strict(), pytest.raises(DuplicateError, match="create_tracker"):
            await ask.perform(tracker)
        assert await ask.perform(tracker) is False

    first = begun(world, method)
    task = world.loops[0].create_task(twice())
    run_dry(world.loops)
    world.ledger.release()
    run_dry(world.loops)
    task.result()
    assert first.answer is True
    assert world.recorder.stats().duplicates == 3


def test_strict_is_of_one_task() -> None:
    """Another task's duplicates are none of its business."""
    world = World()
    begun(world, "track_success")
    with strict():
        pass
    other = begun(world, "track_error")
    assert other.answer is False


def test_strict_does_not_mind_repeatables_and_empty_calls() -> None:
    """They are no duplicates."""
    tracker = World().trackers[0]
    with strict():
        by_hand(tracker.track_tool_call("search"))
        by_hand(tracker.track_tool_call("search"))
        by_hand(tracker.track_tokens(TokenUsage()))
        by_hand(tracker.track_tokens(TokenUsage()))
    assert tracker.summary.tool_calls == ("search", "search")


def test_duplicates_are_logged_once_per_metric(caplog: pytest.LogCaptureFixture) -> None:
    """With the remedy, and counted every time."""
    with caplog.at_level(logging.WARNING, "ldtrack"):
        world = World()
        for number in range(4):
            begun(world, "track_duration", number)
            begun(world, "track_success", number)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert [record.getMessage().split(" of run")[0] for record in caplog.records] == [
        "the duration",
        "the outcome",
    ]
    assert "create_tracker()" in caplog.text
    assert world.recorder.stats().duplicates == 6


def test_counters() -> None:
    """Recorded, told False, failed by themselves: each is counted as what it is, and a snapshot stays one."""
    world = World()
    before = world.recorder.stats()
    for number in range(3):
        begun(world, "track_feedback", number)
        begun(world, "track_tool_call", number)
    world.ledger.fail_next(1)
    begun(world, "track_error")
    world.ledger.fail_next(2)
    for _ in range(2):
        world.trackers[0]._record_quietly(DURATION, 1)
    after = world.recorder.stats()
    assert (after.recorded, after.duplicates, dict(after.failures)) == (4, 2, {"duration": 2})
    assert (before.recorded, before.duplicates, dict(before.failures)) == (0, 0, {})
    with pytest.raises(TypeError):
        after.failures["duration"] = 0  # type: ignore[index]  # the point


def test_feedback_from_anywhere_shares_one_slot() -> None:
    """Of two opinions the first counts."""
    tracker = Tracker(new_recorder(World().ledger), ATTRIBUTION, ADA)
    by_hand(tracker.track_feedback("negative"))
    by_hand(tracker.track_feedback(Feedback.POSITIVE))
    assert tracker.summary.feedback is Feedback.NEGATIVE


def test_a_caller_without_a_loop_does_not_wait_for_those_in_one() -> None:
    """It cannot, so it goes to the ledger, which answers it at once; whoever waits is then second."""
    world = held_world()
    waiting = begun(world, "track_duration")
    by_hand(world.trackers[0].track_duration(7))
    assert world.trackers[0].summary.duration_ms == 7
    world.ledger.release()
    run_dry(world.loops)
    assert waiting.answer is False
    assert world.trackers[0].summary.duration_ms == 7
