"""Scenarios, and how they are played on both SDKs.

Rule for this file: a scenario is either the *same* on both sides, down to the order of the keys, or it
*differs* as one row of the table of differences says; there is nothing in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import attrs
import ldai.tracker
import pytest
from sink import EventSink

from ldtrack.testing import ManualClock

from .flags import FLAGS
from .sides import Observation, Side, of_official, of_ours

__all__ = ["SCENARIOS", "Scenario", "clock_module", "differs", "play", "same"]

Play = Callable[[Side], Awaitable[Any]]


@attrs.frozen
class Scenario:
    """One thing done with an SDK."""

    name: str
    does: Play
    flags: Mapping[str, Any]
    row: str | None = None
    """The row of the table that says why the two differ, if they do."""
    official: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    """What each side is known to do then, in short."""
    changes_data: bool = False
    """Whether the difference is in the data of events that both send."""
    loosely: bool = False
    """Whether those events are compared without run ids and in any order, as of graphs, whose runs have an
    id in one of the two only."""
    options: Mapping[str, Any] = attrs.field(factory=dict)
    """Options of our client."""


SCENARIOS: list[Scenario] = []


def same(*, flags: Mapping[str, Any] = FLAGS, **options: Any) -> Callable[[Play], Play]:
    """Both SDKs do the same."""

    def register(does: Play) -> Play:
        SCENARIOS.append(Scenario(does.__name__, does, flags, options=options))
        return does

    return register


def differs(
    row: str,
    *,
    official: list[str],
    ours: list[str],
    flags: Mapping[str, Any] = FLAGS,
    changes_data: bool = False,
    loosely: bool = False,
) -> Callable[[Play], Play]:
    """The SDKs differ as that row of the table says, and each does exactly this."""

    def register(does: Play) -> Play:
        SCENARIOS.append(
            Scenario(
                does.__name__, does, flags, row, tuple(official), tuple(ours), changes_data, loosely=loosely
            )
        )
        return does

    return register


async def play(
    scenario: Scenario, sink: EventSink, monkeypatch: pytest.MonkeyPatch
) -> tuple[Observation, Observation]:
    """Play a scenario on the official SDK and on ours, one after the other."""
    seen = []
    for make, options in ((of_official, {}), (of_ours, scenario.options)):
        clock = ManualClock()
        with monkeypatch.context() as patch, make(scenario.flags, sink.inbox(), clock, **options) as side:
            patch.setattr(ldai.tracker, "time", clock_module(clock))
            answer = await scenario.does(side)
        seen.append(side.observed(answer))
    return seen[0], seen[1]


def clock_module(clock: ManualClock) -> SimpleNamespace:
    """What the official tracker uses of ``time``, standing still until it is moved."""
    return SimpleNamespace(perf_counter_ns=clock.monotonic_ns)
