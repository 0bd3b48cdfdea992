"""How the event endpoint behaves while everything else breaks: badly, by chance.

Rule for this file: a table of answers and their odds. Nothing in it depends on what is posted but the size:
an endpoint that finds the same body too large only sometimes would double events, whoever posts them.
"""

from __future__ import annotations

import random

from endpoint import Answer, Arrival, Manner

__all__ = ["MOST_BYTES", "Weather"]

MOST_BYTES = 60_000
"""A post that is larger when compressed is too large, always."""

_ODDS: tuple[tuple[int, Answer], ...] = (
    (60, Answer(202)),
    (10, Answer(202, manner=Manner.CUT_AFTER)),
    (6, Answer(202, manner=Manner.CUT_INSIDE)),
    (1, Answer(202, manner=Manner.SILENCE)),
    (5, Answer(503, manner=Manner.CUT_BEFORE)),
    (4, Answer(429, headers={"Retry-After": "0"})),
    (4, Answer(500)),
    (4, Answer(503)),
    (4, Answer(408)),
    (1, Answer(503, manner=Manner.SILENCE)),
)
_WEIGHTS, _ANSWERS = zip(*_ODDS, strict=True)


class Weather:
    """Seeded, so that a find can be looked for again, if never repeated to the letter."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"{seed} weather")
        self.posts: list[tuple[Arrival, bool]] = []
        """All that came whole, and whether it was accepted."""

    def __call__(self, arrival: Arrival) -> Answer:
        """What to answer; the endpoint asks one at a time."""
        if len(arrival.body) != int(arrival.headers.get("content-length", "-1")):
            return Answer(400, manner=Manner.CUT_BEFORE)  # whoever was posting it was killed meanwhile
        answer = self._answer_to(arrival)
        self.posts.append((arrival, answer.accepts))
        return answer

    def _answer_to(self, arrival: Arrival) -> Answer:
        if len(arrival.body) > MOST_BYTES:
            return Answer(413)
        return self._random.choices(_ANSWERS, _WEIGHTS)[0]
