"""The users: they ask, they wait, they close tabs, they stop answers, they try again, and some rate.

Rule for this file: what people do. Each draws from a source of chance of their own, so that what they decide
does not depend on who else is there.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from random import Random
from typing import Final

import attrs

from ldtrack import AIClient, Feedback
from ldtrack.cli.demo.embedded import Person
from ldtrack.cli.demo.provider import Provider, ProviderError
from ldtrack.cli.demo.service import answer
from ldtrack.cli.demo.votes import Vote

__all__ = ["Crowd", "Tally", "crowd"]

NAMES: Final = ("Ada", "Alan", "Barbara", "Donald", "Edsger", "Grace", "Katherine", "Niklaus", "Radia")
QUESTIONS: Final = (
    "where is my order",
    "do you still have the first edition of the book that I looked at on Monday",
    "can I send a gift to my sister and pay for it on my next invoice",
    "which of the three atlases would you give to somebody who has never been abroad",
)
LIKES: Final = {"A": 0.80, "B": 0.66}
"""How likely a vote is a thumbs-up, by cohort."""
GIVES_UP, STOPS, RETRIES, RATES = 0.07, 0.05, 0.7, 0.45


@attrs.define
class Tally:
    """What goes on, for the live line; the table at the end knows nothing of it."""

    started: int = 0
    ended: int = 0
    failed: int = 0
    tabs_closed: int = 0
    stopped: int = 0
    retried: int = 0


@attrs.define
class _User:
    person: Person
    runs: int
    chance: Random
    speed: float
    votes: list[Vote] = attrs.field(factory=list)

    async def live(self, ai: AIClient, tally: Tally) -> None:
        """Ask until all runs are used up; cancelling ends the run that is open."""
        provider = Provider(self.chance, self.speed)
        await self._pause(0.5)
        is_retry = False
        for _ in range(self.runs):
            tally.retried += is_retry
            tally.started += 1
            try:
                await self._ask(ai, provider, tally)
                is_retry = False
            except ProviderError:
                tally.failed += 1
                is_retry = self.chance.random() < RETRIES
            tally.ended += 1
            await self._pause(0.1 if is_retry else 0.25)

    async def _ask(self, ai: AIClient, provider: Provider, tally: Tally) -> None:
        mood, patience = self.chance.random(), self.chance.uniform(0.15, 1.2)
        pieces_wanted = self.chance.randint(2, 12) if GIVES_UP < mood < GIVES_UP + STOPS else None
        try:
            # A server cancels the task of a request whose tab was closed; so does this.
            async with asyncio.timeout(patience / self.speed if mood < GIVES_UP else None):
                await self._read(ai, provider, pieces_wanted, tally)
        except TimeoutError:
            tally.tabs_closed += 1

    async def _read(self, ai: AIClient, provider: Provider, pieces_wanted: int | None, tally: Tally) -> None:
        question = self.chance.choice(QUESTIONS)
        read = 0
        async with aclosing(answer(ai, provider, self.person.context, question, self._consider)) as pieces:
            async for _piece in pieces:
                read += 1
                if read == pieces_wanted:
                    tally.stopped += 1
                    break

    def _consider(self, token: str) -> None:
        """Rate an answer, or not; who does clicks as often as people click."""
        is_rated, is_liked = self.chance.random() < RATES, self.chance.random() < LIKES[self.person.cohort]
        times = self.chance.randint(1, 4)
        if is_rated:
            feedback = Feedback.POSITIVE if is_liked else Feedback.NEGATIVE
            self.votes.append(Vote(token, self.person, feedback, times))

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(self.chance.uniform(0, 2 * seconds) / self.speed)


@attrs.frozen
class Crowd:
    """All users at once."""

    users: list[_User]
    runs: int
    tally: Tally = attrs.field(factory=Tally)

    async def live(self, ai: AIClient) -> None:
        """Let everybody ask at once until all have done; cancelling ends every run that is open."""
        async with asyncio.TaskGroup() as tasks:
            for user in self.users:
                tasks.create_task(user.live(ai, self.tally))

    @property
    def votes(self) -> list[Vote]:
        """What the users thought of the answers they got, so far."""
        return [vote for user in self.users for vote in user.votes]


def crowd(*, users: int, runs: int, seed: int, speed: float) -> Crowd:
    """As many users as asked for, who make so many runs between them."""
    cohorts = ["AB"[number % 2] for number in range(users)]
    Random(f"{seed}: cohorts").shuffle(cohorts)
    return Crowd(
        [
            _User(
                Person(f"user-{number:03}", NAMES[number % len(NAMES)], cohort),
                runs=runs // users + (number < runs % users),
                chance=Random(f"{seed}: user {number}"),
                speed=speed,
            )
            for number, cohort in enumerate(cohorts)
        ],
        runs,
    )
