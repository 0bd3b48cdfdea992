"""Once, from however many threads: in every order of their lines, and let loose.

With the baton there is no chance in these tests but what hypothesis draws: threads change over where the
drawn turns say, so a failure can be played again. Let loose, they race as they do in life.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

import hypothesis
import pytest
from baton import Turn
from hypothesis import example, given
from hypothesis import strategies as st
from once_asks import EXPLICIT, explicit_call
from once_schedules import scripts, turns
from once_threads import Call, Failure, Flush, Script, ThreadWorld, let_loose, with_baton

from ldtrack.exceptions import LedgerError

OFTEN = hypothesis.settings(max_examples=2 * hypothesis.settings.default.max_examples)
LOOSE = hypothesis.settings(max_examples=hypothesis.settings.default.max_examples // 5)
DURATION = Call(partial(explicit_call, "track_duration"))
TOKENS = Call(partial(explicit_call, "track_tokens"))
TOOL = Call(partial(explicit_call, "track_tool_call"))
EVERYWHERE = range(120)
"""Further than any single call has points at which the baton can change hands."""


@OFTEN
@given(scripts(), turns())
@example([[TOOL], [TOOL]], [(34, 0)])
def test_in_every_order_of_lines(script: list[Script], order: list[Turn]) -> None:
    """Threads that may lose their turn before any line and in any call."""
    with_baton(ThreadWorld(), script, order)


@OFTEN
@given(scripts(), turns())
def test_in_every_order_of_instructions(script: list[Script], order: list[Turn]) -> None:
    """Threads that may lose their turn before any instruction, as in no CPython that has its lock."""
    with_baton(ThreadWorld(), script, [(4 * after, who) for after, who in order], finely=True)


@pytest.mark.parametrize("call", [DURATION, TOKENS, TOOL], ids=["duration", "tokens", "tool call"])
def test_wherever_one_interrupts_the_other(call: Call) -> None:
    """Two threads with the same call, the second one coming in at every point of the first."""
    changes = 0
    for after in EVERYWHERE:
        changes += with_baton(ThreadWorld(), [[call], [call]], [(after, 0)]).changes
    assert changes > 20


def test_if_the_first_fails_the_other_is_there() -> None:
    """The destination refuses one event: one caller is told, the other one records, wherever they meet."""
    for after in EVERYWHERE:
        world = ThreadWorld()
        with_baton(world, [[Failure(), DURATION], [DURATION]], [(after, 0)])
        first, second = world.asked[:2]
        told = {type(asked.error) for asked in (first, second)}
        assert told == {LedgerError, type(None)}
        assert [first.answer, second.answer].count(True) == 1


def test_nothing_is_lost_in_counting() -> None:
    """Of three calls in two threads two are told of a duplicate, wherever they meet: both are counted."""
    for after in range(0, 1000, 2):
        with_baton(ThreadWorld(), [[DURATION, DURATION], [DURATION]], [(after, 0)], finely=True)


def test_a_flush_and_a_send_do_not_fight_over_what_is_left() -> None:
    """Events left over by a client that broke off are sent once, whoever comes for them first."""
    broken_off = [Failure(after=1), TOKENS]  # the first event goes out, the next one is left over
    for after in EVERYWHERE:
        for back in ([], [(3, 0)], [(9, 0)]):
            world = ThreadWorld()
            with_baton(world, [[*broken_off, DURATION], [Flush()]], [(after, 0), *back])
            assert [asked.answer for asked in world.asked[:2]] == [True, True]


@LOOSE
@given(scripts(threads=6))
def test_let_loose(script: list[Script]) -> None:
    """Real threads, each with a loop of its own, all from the same moment."""
    let_loose(ThreadWorld(), script)


@LOOSE
@given(scripts(threads=6), st.lists(st.booleans(), max_size=12))
def test_let_loose_over_a_ledger_that_takes_its_time(script: list[Script], failures: list[bool]) -> None:
    """Claims are answered later, from another thread, some with a failure; no loop is reached into."""
    let_loose(ThreadWorld(answering=failures), script)


@pytest.mark.parametrize("takes_its_time", [False, True])
def test_a_crowd_that_changes_over_all_the_time(takes_its_time: bool) -> None:
    """Many threads with everything there is to call, on an interpreter that switches as often as it can."""
    for _ in range(3):
        everything = [
            Call(partial(explicit_call, method), tracker) for tracker, method in enumerate(EXPLICIT)
        ]
        crowd = [[Failure(at % 3), *everything, Flush()] for at in range(8)]
        world = ThreadWorld(answering=[True, False] * 20 if takes_its_time else None)
        let_loose(world, crowd, switch_interval=1e-6)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin eagerly since Python 3.12")
@pytest.mark.parametrize("takes_its_time", [False, True])
def test_tasks_that_begin_eagerly(takes_its_time: bool) -> None:
    """A task whose first step is taken where it is made is a caller like any other."""
    everything = [Call(partial(explicit_call, method), at) for at, method in enumerate(EXPLICIT)] * 2
    world = ThreadWorld(answering=[True, False] * 20 if takes_its_time else None)
    let_loose(world, [everything] * 4, task_factory=getattr(asyncio, "eager_task_factory", None))
