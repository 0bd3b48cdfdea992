"""What goes through the pipe between the two processes: votes one way, an account of them the other.

Rule for this file: frozen values and how they are written as JSON. All that the second process learns of a
run is its token.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import attrs

from ldtrack import Feedback
from ldtrack.cli.demo.embedded import Person

__all__ = ["Ballot", "Count", "Vote"]


@attrs.frozen
class Vote:
    """What somebody thought of an answer, and how many times their click will arrive."""

    token: str
    person: Person
    feedback: Feedback
    times: int


@attrs.frozen
class Ballot:
    """What the second process is told."""

    events_uri: str
    seed: int
    votes: tuple[Vote, ...]

    def to_json(self) -> str:
        """This as one line of text."""
        return json.dumps(attrs.asdict(self, value_serializer=_plain))

    @classmethod
    def from_json(cls, text: str) -> Ballot:
        """Read what ``to_json`` wrote."""
        given = json.loads(text)
        return cls(given["events_uri"], given["seed"], _votes_of(given["votes"]))


@attrs.frozen(kw_only=True)
class Count:
    """What the second process says of itself."""

    process_id: int
    posted: int
    """How many times a thumb was posted."""
    duplicates: int
    """How many of those were suppressed."""
    tracked: int
    """How many events, of whatever kind, were handed to LaunchDarkly's SDK."""
    logged: tuple[str, ...]

    def to_json(self) -> str:
        """This as one line of text."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Count:
        """Read what ``to_json`` wrote."""
        given = json.loads(text)
        return cls(**{**given, "logged": tuple(given["logged"])})


def _plain(_instance: object, _field: object, value: object) -> object:
    return value.value if isinstance(value, Feedback) else value


def _votes_of(given: Iterable[dict[str, Any]]) -> tuple[Vote, ...]:
    return tuple(
        Vote(
            token=vote["token"],
            person=Person(**vote["person"]),
            feedback=Feedback.parse(vote["feedback"]),
            times=vote["times"],
        )
        for vote in given
    )
