"""The demo from its first line to its last.

Rule for this file: the order of things. It looks into the sink only to see whether all has arrived; what
arrived is read by ``received``, and whether that is as it should be is decided by ``verdict``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Final

import attrs

from ldtrack import AIClient
from ldtrack.cli.demo.embedded import CONFIG_KEY, CountingClient, connected
from ldtrack.cli.demo.logs import kept_logs
from ldtrack.cli.demo.people import Crowd, crowd
from ldtrack.cli.demo.progress import following
from ldtrack.cli.demo.screen import Screen, Style
from ldtrack.cli.demo.second_process import SecondProcessError, count_elsewhere
from ldtrack.cli.demo.sink import EventSink
from ldtrack.cli.demo.verdict import Sent, account_of
from ldtrack.cli.demo.votes import Ballot, Count

__all__ = ["Plot", "tell"]

FAST: Final = 8.0
PATIENCE: Final = 10.0
"""Seconds that events may take to arrive."""
INTERRUPTED: Final = 130


@attrs.frozen(kw_only=True)
class Plot:
    """What the demo was told."""

    users: int
    runs: int
    seed: int
    is_fast: bool

    @property
    def speed(self) -> float:
        """How much faster than life models and users are."""
        return FAST if self.is_fast else 1.0


@attrs.define
class _Course:
    """How far the story got."""

    is_interrupted: bool = False
    is_counting_elsewhere: bool = False
    duplicates: int = 0
    tracked: int = 0
    late: Count | None = None
    logged: list[str] = attrs.field(factory=list)

    @property
    def sent(self) -> Sent:
        """What the senders say of themselves: unknown if one was ended before it could say anything."""
        tracked, duplicates = self.tracked, self.duplicates
        if self.late is not None:
            tracked, duplicates = tracked + self.late.tracked, duplicates + self.late.duplicates
        return Sent(tracked=None if self.is_counting_elsewhere else tracked, duplicates=duplicates)


def tell(plot: Plot) -> int:
    """Run the demo on this terminal; returns the exit code."""
    screen = Screen(sys.stdout, Style.of(sys.stdout, os.environ))
    try:
        return asyncio.run(_tell(plot, screen))
    except SecondProcessError as error:
        screen.say(str(error))
        return 1


async def _tell(plot: Plot, screen: Screen) -> int:
    began = time.monotonic()
    with EventSink() as sink:
        _introduce(plot, sink, screen)
        course = await _happen(plot, sink, screen)
        account = account_of(sink.events, course.sent, screen.style, posts=sink.posts, refused=sink.refused)
    screen.say("", screen.style.bold(f"What LaunchDarkly received of {CONFIG_KEY}, by variation"), "")
    screen.say(*account.lines, *(screen.style.dim(f"logged: {line}") for line in course.logged))
    screen.say("", screen.style.dim(f"{time.monotonic() - began:.1f} s in all"))
    if course.is_interrupted:
        return INTERRUPTED
    return 0 if account.is_good else 1


def _introduce(plot: Plot, sink: EventSink, screen: Screen) -> None:
    pace = f", {plot.speed:.0f} times faster than life" if plot.is_fast else ""
    screen.say(
        screen.style.bold(
            f"{plot.users:,} users make {plot.runs:,} runs of two simulated models{pace} (seed {plot.seed})"
        ),
        screen.style.dim(f"LaunchDarkly's SDK, flags from test data, events to {sink.uri}"),
        "",
    )


async def _happen(plot: Plot, sink: EventSink, screen: Screen) -> _Course:
    people = crowd(users=plot.users, runs=plot.runs, seed=plot.seed, speed=plot.speed)
    course = _Course()
    with kept_logs() as logged:
        async with connected(sink.uri) as client:
            # The flags are in memory: no need to find out whether evaluating them blocks.
            async with AIClient(client, blocking_store=False) as ai:
                try:
                    await _live(people, ai, sink, screen)
                    course.is_counting_elsewhere = True
                    course.late = await _rate_later(plot, people, sink, screen)
                    course.is_counting_elsewhere = False
                except asyncio.CancelledError:
                    # Ctrl-C: every open run has just been settled as cancelled. That is worth seeing too.
                    _uncancel()
                    course.is_interrupted = True
                    screen.say("interrupted")
                await _arrive(ai, client, sink)
            course.duplicates = ai.stats.duplicates
            course.tracked = client.tracked
    course.logged = [*logged, *(course.late.logged if course.late else ())]
    return course


async def _live(people: Crowd, ai: AIClient, sink: EventSink, screen: Screen) -> None:
    async with following(people, sink, screen):
        await people.live(ai)


async def _rate_later(plot: Plot, people: Crowd, sink: EventSink, screen: Screen) -> Count:
    votes = people.votes
    screen.show(screen.style.bar(1), "late feedback, from a second process")
    count = await count_elsewhere(Ballot(sink.uri, plot.seed, tuple(votes)))
    screen.say(
        f"late feedback: process {count.process_id} got {len(votes):,} tokens and posted {count.posted:,} "
        f"thumbs for them, all at once; {count.duplicates:,} were duplicates"
    )
    return count


def _uncancel() -> None:
    task = asyncio.current_task()
    assert task is not None, "a coroutine that was cancelled runs in a task"
    task.uncancel()


async def _arrive(ai: AIClient, client: CountingClient, sink: EventSink) -> None:
    """Flush until all that was handed to the SDK has arrived, or patience is at its end."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        await ai.flush()  # more than once: the SDK skips a flush while five are under way
        if await asyncio.to_thread(sink.wait_for, client.tracked, 0.2):
            return
