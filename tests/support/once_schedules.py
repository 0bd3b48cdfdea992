"""Schedules for ``once_world``, drawn by hypothesis.

Rule for this file: strategies only. Whatever is drawn can be acted out: numbers are taken modulo what there
is.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from baton import Turn
from hypothesis import strategies as st
from once_asks import BAD_CALLS, EXPLICIT, Bad, Empty, Explicit, Implicit, explicit_call
from once_threads import Call, Failure, Flush, Script
from once_world import (
    Action,
    Answer,
    Begin,
    Cancel,
    Drop,
    Fail,
    GiveUp,
    Hold,
    PassTime,
    Release,
    Resume,
    Steps,
)

__all__ = ["good_calls", "schedules", "scripts", "turns"]

SMALL = st.integers(0, 7)


def _good(method: str, number: int) -> Explicit:
    return explicit_call(method, number)


def _given(ask: Bad | Empty, _: int) -> Bad | Empty:
    return ask


def _implicit(kind: str, moments: int, fails: bool, stops_early: bool, _: int) -> Implicit:
    return Implicit(kind, moments, fails=fails, stops_early=stops_early)


def good_calls(methods: tuple[str, ...] = EXPLICIT) -> st.SearchStrategy[Any]:
    """Good calls of these methods, each to be given its number."""
    return st.sampled_from(methods).map(lambda method: partial(_good, method))


def pointless_calls() -> st.SearchStrategy[Any]:
    """Bad calls and empty ones."""
    asks = st.sampled_from(BAD_CALLS) | st.builds(Empty, SMALL)
    return asks.map(lambda ask: partial(_given, ask))


def implicit_calls() -> st.SearchStrategy[Any]:
    """Runs, streams, timed and measured functions."""
    return st.builds(
        lambda *drawn: partial(_implicit, *drawn),
        st.sampled_from(["timed", "measured", "run", "stream"]),
        st.integers(0, 3),
        st.booleans(),
        st.booleans(),
    )


FOCUSES = (
    EXPLICIT,
    ("track_duration",),
    ("track_success", "track_error"),
    ("track_tokens", "track_feedback"),
    ("track_time_to_first_token", "track_tool_calls"),
    ("track_tool_call", "track_judge_result", "track_duration"),
    ("track_tool_call", "track_tool_calls"),
)
"""Which methods a schedule calls."""

# How often each kind of action comes, compared with the others.
_WEIGHTS = {
    "good": 8,
    "pointless": 1,
    "implicit": 2,
    "steps": 6,
    "cancel": 2,
    "hold": 2,
    "release": 1,
    "answer": 3,
    "give up": 1,
    "fail": 2,
    "resume": 1,
    "drop": 1,
    "pass time": 1,
}


@st.composite
def schedules(
    draw: st.DrawFn, *, loops: int = 1, without: tuple[str, ...] = (), size: int = 60
) -> list[Action]:
    """Calls, cancellations, stalls and failures; most schedules press on few slots, where it gets narrow."""
    methods = draw(st.sampled_from(FOCUSES))
    where = st.integers(0, loops - 1)
    kinds: dict[str, st.SearchStrategy[Action]] = {
        "good": st.builds(Begin, good_calls(methods), SMALL, where),
        "pointless": st.builds(Begin, pointless_calls(), SMALL, where),
        "implicit": st.builds(Begin, implicit_calls(), SMALL, where),
        "steps": st.builds(Steps, st.integers(0, 6), where),
        "cancel": st.builds(Cancel, SMALL),
        "hold": st.just(Hold()),
        "release": st.just(Release()),
        "answer": st.builds(Answer, SMALL),
        "give up": st.builds(GiveUp, SMALL),
        "fail": st.builds(Fail, st.integers(1, 3)),
        "resume": st.just(Resume()),
        "drop": st.just(Drop()),
        "pass time": st.builds(PassTime, where),
    }
    names = [name for name, weight in _WEIGHTS.items() if name not in without for _ in range(weight)]
    one = st.sampled_from(names).flatmap(kinds.__getitem__)
    start: list[Action] = [Hold()] if draw(st.booleans()) else []
    return start + draw(st.lists(one, min_size=size // 4, max_size=size))


@st.composite
def scripts(draw: st.DrawFn, *, threads: int = 3, only_good: bool = False) -> list[Script]:
    """What each of some threads calls, with moments from which on the destination fails."""
    methods = draw(st.sampled_from(FOCUSES))
    kinds: list[st.SearchStrategy[Call | Failure | Flush]] = [st.builds(Call, good_calls(methods), SMALL)] * 6
    if not only_good:
        at_once = st.sampled_from(["timed", "measured", "run"])
        implicit = at_once.map(lambda kind: partial(_implicit, kind, 0, False, False))
        kinds = [*kinds, st.builds(Call, pointless_calls(), SMALL), st.builds(Call, implicit, SMALL)]
        kinds += [st.builds(Failure, st.integers(0, 2)), st.just(Flush())]
    one = st.sampled_from(range(len(kinds))).flatmap(kinds.__getitem__)
    script = st.lists(one, min_size=1, max_size=6)
    return draw(st.lists(script, min_size=2, max_size=threads))


def turns() -> st.SearchStrategy[list[Turn]]:
    """Where threads change over, and to whom."""
    moments = st.integers(0, 12) | st.integers(0, 90)  # a call takes about forty
    return st.lists(st.tuples(moments, st.integers(0, 2)), min_size=12, max_size=40)
