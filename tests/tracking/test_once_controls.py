"""The controls: the same harness, shown trackers and ledgers that are wrong, has to say so.

A harness that never complains proves nothing. Each of these is right in the easy case, which is shown too,
and found out in the narrow one.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import hypothesis
import pytest
from baton import Turn
from hypothesis import Phase, given
from hypothesis import strategies as st
from naive_trackers import CheckThenSet, Family, Official, SpendsFirst, TiesItsClaims
from once import Violation
from once_asks import EXPLICIT, explicit_call
from once_schedules import schedules, scripts, turns
from once_threads import Call, Failure, ThreadWorld, with_baton
from once_world import Action, Begin, CredulousLedger, Steps, World, play

ONLY_GOOD = ("implicit", "pointless")
SEARCH = hypothesis.settings(
    max_examples=3000, database=None, derandomize=True, deadline=None, phases=[Phase.generate]
)
"""The same search every time, and no longer than until the first find."""


def complaint(play_it: Callable[[], object]) -> str:
    """What the harness has to say, or nothing."""
    try:
        play_it()
    except AssertionError as violation:
        return str(violation)
    return ""


def one_after_another() -> list[Action]:
    """Every method twice, each call to its end before the next begins."""
    calls = [Begin(partial(explicit_call, method)) for method in (*EXPLICIT, *EXPLICIT)]
    return [action for call in calls for action in (call, Steps(20))]


NAIVE = [CheckThenSet, SpendsFirst, TiesItsClaims]


@pytest.mark.parametrize("kind", NAIVE)
@pytest.mark.parametrize("ledger", [CredulousLedger, None])
def test_a_naive_tracker_is_right_when_callers_take_turns(kind: type, ledger: Any) -> None:
    """The harness does not complain of anything but races and failures."""
    play(World(ledger and ledger(), new_tracker=Family(kind)), one_after_another())


@pytest.mark.parametrize(
    ("kind", "without", "said"),
    [
        (CheckThenSet, ("hold", "fail", "give up", "cancel"), "emitted ["),
        (CheckThenSet, ("hold", "fail", "give up", "cancel"), "several were told that they recorded it"),
        (SpendsFirst, ("hold", "give up", "cancel"), "told False before anybody had recorded it"),
        (SpendsFirst, ("hold", "give up", "cancel"), "the summary says"),
        (TiesItsClaims, ("fail", "give up"), "taken back from the ledger"),
    ],
)
def test_a_naive_tracker_is_found_out(kind: type, without: tuple[str, ...], said: str) -> None:
    """An await between check and set, a slot spent on a failure, a claim tied to its waiter."""

    def is_found_out(schedule: list[Action]) -> bool:
        world = World(CredulousLedger(), new_tracker=Family(kind))
        return said in complaint(lambda: play(world, schedule))

    hypothesis.find(schedules(without=(*ONLY_GOOD, *without)), is_found_out, settings=SEARCH)


def test_a_property_that_a_naive_tracker_breaks_is_broken() -> None:
    """The very property that the tracker is proved by, over the naive one."""

    @SEARCH
    @given(schedules(without=ONLY_GOOD))
    def one_loop(schedule: list[Action]) -> None:
        play(World(CredulousLedger(), new_tracker=Family(CheckThenSet)), schedule)

    with pytest.raises(Violation):
        one_loop()


def test_locks_of_a_loop_are_not_enough_for_several() -> None:
    """Our own tracker, over a ledger that believes everybody: between loops it is the ledger that decides."""

    def is_found_out(schedule: list[Action]) -> bool:
        return "emitted [" in complaint(lambda: play(World(CredulousLedger(), loops=3), schedule))

    hypothesis.find(schedules(loops=3), is_found_out, settings=SEARCH)


# Threads


def forgetting(world: ThreadWorld) -> ThreadWorld:
    """The same world with a ledger that has forgotten its lock and what is filled."""
    world.ledger._newer = Forgetful()
    return world


class Forgetful(dict[str, int]):
    def get(self, run_id: str, default: Any = None) -> Any:
        return 0


EASY: list[Turn] = []


def every_call_once_and_again() -> list[Any]:
    return [[Call(partial(explicit_call, method)) for method in (*EXPLICIT, *EXPLICIT)]]


def test_the_official_tracker_is_right_in_one_thread() -> None:
    """The harness does not complain of anything but races and failures."""
    with_baton(ThreadWorld(Official), every_call_once_and_again(), EASY)


@pytest.mark.parametrize(
    ("only_good", "said"),
    [(True, "emitted ["), (True, "several were told"), (False, "told False, but nobody recorded it")],
)
def test_the_official_tracker_is_found_out_between_threads(only_good: bool, said: str) -> None:
    """It checks and sets without a lock, and spends a metric on an event that its client refused."""

    def is_found_out(drawn: tuple[list[Any], list[Turn]]) -> bool:
        return said in complaint(lambda: with_baton(ThreadWorld(Official), *drawn))

    tries = st.tuples(scripts(only_good=True) if only_good else failing_scripts(), turns())
    hypothesis.find(tries, is_found_out, settings=SEARCH)


def failing_scripts() -> st.SearchStrategy[list[Any]]:
    """Good calls, after a moment from which on the destination fails."""
    return scripts(only_good=True).map(lambda drawn: [[Failure(), *script] for script in drawn])


def test_forced_to_interleave_the_official_tracker_emits_twice() -> None:
    """Both threads look before either sets: always, not by chance."""
    script = [Call(partial(explicit_call, "track_duration"))]
    found = {
        complaint(lambda after=after: with_baton(ThreadWorld(Official), [script, script], [(after, 0)])) != ""
        for after in range(20)
    }
    assert found == {True, False}


def test_a_ledger_that_forgets_is_found_out_between_threads() -> None:
    """Our own tracker over a ledger that says yes to everybody: between threads it is what decides."""

    def is_found_out(drawn: tuple[list[Any], list[Turn]]) -> bool:
        return "emitted [" in complaint(lambda: with_baton(forgetting(ThreadWorld()), *drawn))

    hypothesis.find(st.tuples(scripts(only_good=True), turns()), is_found_out, settings=SEARCH)


def test_a_schedule_plays_the_same_whenever_the_collector_runs() -> None:
    """Otherwise a find could not be repeated: what the collector calls is not for the baton to count."""

    def points_with(threshold: int) -> int:
        gc.set_threshold(threshold)
        script = [Call(partial(explicit_call, "track_duration"))] * 4
        return with_baton(ThreadWorld(Official), [script], EASY).points

    before, hook = gc.get_threshold(), lambda *_: None
    gc.callbacks.append(hook)
    try:
        assert len({points_with(threshold) for threshold in (700, 1, 2, 3)}) == 1
    finally:
        gc.callbacks.remove(hook)
        gc.set_threshold(*before)
