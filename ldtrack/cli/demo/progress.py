"""What is going on, while it goes on.

Rule for this file: it looks and tells; a terminal gets one line that changes, anything else a line at every
quarter.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from ldtrack.cli.demo.people import Crowd
from ldtrack.cli.demo.screen import Screen
from ldtrack.cli.demo.sink import EventSink

__all__ = ["following"]

INTERVAL: Final = 0.1
QUARTERS: Final = 4


@asynccontextmanager
async def following(crowd: Crowd, sink: EventSink, screen: Screen) -> AsyncIterator[None]:
    """Tell on the screen, inside the block, how far the crowd is; cancelling the block ends that too."""
    task = asyncio.create_task(_follow(crowd, sink, screen))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        screen.say(line_of(crowd, sink))


async def _follow(crowd: Crowd, sink: EventSink, screen: Screen) -> None:
    told = 0
    while True:
        share = crowd.tally.ended / crowd.runs
        screen.show(screen.style.bar(share), line_of(crowd, sink))
        quarter = int(share * QUARTERS)
        if not screen.style.is_live and told < quarter < QUARTERS:
            told = quarter
            screen.say(line_of(crowd, sink))
        await asyncio.sleep(INTERVAL)


def line_of(crowd: Crowd, sink: EventSink) -> str:
    """How far the crowd is, in one line."""
    tally = crowd.tally
    return (
        f"{tally.ended:,}/{crowd.runs:,} runs, {tally.started - tally.ended} open, {tally.failed} failed, "
        f"{tally.retried} retries, {tally.tabs_closed} tabs closed, {tally.stopped} stopped; "
        f"{sink.count:,} events arrived"
    )
