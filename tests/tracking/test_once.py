"""Once, however callers race: generated schedules of everything that can be asked of the trackers of one run.

The loops of these tests take one step at a time, as the schedule says: there is no chance in them but what
hypothesis draws, and a schedule that fails can be played again.
"""

from __future__ import annotations

from functools import partial

import hypothesis
import pytest
from hypothesis import example, given
from once_asks import EXPLICIT, Implicit, explicit_call
from once_schedules import schedules
from once_world import Action, Begin, Cancel, CredulousLedger, GiveUp, Hold, Resume, Steps, World, play

OFTEN = hypothesis.settings(max_examples=2 * hypothesis.settings.default.max_examples)
DURATION = partial(explicit_call, "track_duration")


def of_another_loop() -> list[Action]:
    """A waiter whose turn comes when a claim of another loop is in flight: it must not wait for that one."""
    here = [Begin(DURATION) for _ in range(7)]
    there = Begin(DURATION, loop=1)
    failed = [Steps(4), GiveUp(0), there, Steps(5), Cancel(0), Cancel(0), Steps(1)]
    return [Hold(), *here, *failed, Steps(1, loop=1)]


@OFTEN
@given(schedules())
def test_one_loop(schedule: list[Action]) -> None:
    """Tasks of one loop over a ledger that stalls and fails."""
    play(World(), schedule)


@OFTEN
@given(schedules(without=("resume",)))
def test_one_loop_without_the_ledgers_help(schedule: list[Action]) -> None:
    """Within a loop the slots' own locks are enough, even over a ledger that believes everybody."""
    play(World(CredulousLedger()), schedule)


@OFTEN
@given(schedules(loops=3))
@example(of_another_loop())
def test_several_loops(schedule: list[Action]) -> None:
    """The same trackers are called from several loops at once; none reaches into another."""
    play(World(loops=3), schedule)


@pytest.mark.parametrize("method", EXPLICIT)
@pytest.mark.parametrize("is_held", [False, True], ids=["answers at once", "stalls"])
def test_a_crowd(method: str, is_held: bool) -> None:
    """A hundred callers of one method through three trackers of the run: one is told that it recorded."""
    world = World()
    world.resume()
    world.resume()
    if is_held:
        world.ledger.hold()
    asked = [world.begin(explicit_call(method, number), tracker=number) for number in range(100)]
    world.judge()
    expected = 100 if method in EXPLICIT[6:] else 1
    assert [one.answer for one in asked].count(True) == expected


@pytest.mark.parametrize("kind", ["timed", "measured", "run", "stream"])
@pytest.mark.parametrize("moments", range(8))
def test_cancelled_at_every_step(kind: str, moments: int) -> None:
    """Whatever settles by itself does so when it is cancelled, at any step, also while the ledger stalls."""
    for is_held in (False, True):
        world = World()
        if is_held:
            world.ledger.hold()
        play(world, [Begin(lambda _: Implicit(kind, 3)), Steps(moments), Cancel(0), Resume()])
