"""The second process: hours later, it gets tokens and thumbs, and knows nothing else of the runs.

It reads a ballot from its input and writes a count to its output. Every thumb is posted as often as it was
clicked, all at once, by tasks in its event loop and by worker threads with loops of their own.

Rule for this file: what a feedback service does. How it is started is not its affair.
"""

from __future__ import annotations

import asyncio
import os
import sys
from random import Random
from typing import Final

from ldtrack import AIClient
from ldtrack.cli.demo.embedded import connected
from ldtrack.cli.demo.logs import kept_logs
from ldtrack.cli.demo.votes import Ballot, Count, Vote

__all__ = ["count_votes", "main"]

FROM_THREADS: Final = 0.25
"""How many of the posts come from worker threads."""


async def count_votes(ballot: Ballot) -> Count:
    """Post every vote as often as it was clicked, and wait until LaunchDarkly's SDK has sent what it has.

    Cancelling it sends what was recorded so far.
    """
    chance = Random(ballot.seed)
    posts = [vote for vote in ballot.votes for _ in range(vote.times)]
    chance.shuffle(posts)
    with kept_logs() as logged:
        async with connected(ballot.events_uri) as client:
            async with AIClient(client) as ai:
                await asyncio.gather(*(_post(ai, vote, chance.random() < FROM_THREADS) for vote in posts))
            duplicates = ai.stats.duplicates
    return Count(
        process_id=os.getpid(),
        posted=len(posts),
        duplicates=duplicates,
        tracked=client.tracked,
        logged=tuple(logged),
    )


async def _post(ai: AIClient, vote: Vote, from_thread: bool) -> bool:  # noqa: FBT001 - drawn, not an option
    if from_thread:
        return await asyncio.to_thread(lambda: asyncio.run(_post(ai, vote, from_thread=False)))
    return await ai.resume(vote.token, vote.person.context).track_feedback(vote.feedback)


def main() -> None:
    """Read a ballot, post its votes, write the count."""
    ballot = Ballot.from_json(sys.stdin.read())
    print(asyncio.run(count_votes(ballot)).to_json())


if __name__ == "__main__":
    main()
