"""What was written down against what arrived.

Rule for this file: plain functions over values. It goes by content, never by what a ledger says of itself.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import attrs

from crashtest.journal import Entry, name_of, place_of

__all__ = ["Post", "Verdict", "judge"]

Place: TypeAlias = tuple[str, str]
"""A run's id and the slot of it that an event fills."""
Events: TypeAlias = Mapping[str, float | None]


@attrs.frozen
class Post:
    """What is known of one accepted or refused post."""

    payload_id: str
    body: bytes
    is_accepted: bool = True

    @property
    def content(self) -> bytes:
        """What is in the envelope, which may differ."""
        return gzip.decompress(self.body) if self.body[:2] == b"\x1f\x8b" else self.body


@attrs.define
class Verdict:
    """What was found; each list holds what should not be."""

    tried: int = 0
    acknowledged: int = 0
    arrived: int = 0
    repeats: int = 0
    """Accepted posts that were recognised by their payload id."""
    failed: int = 0
    """Claims that the ledger said it could not record."""
    lost: list[str] = attrs.field(factory=list)
    doubled: list[str] = attrs.field(factory=list)
    strange: list[str] = attrs.field(factory=list)
    """Arrived and never tried, or not as it was tried."""
    changed: list[str] = attrs.field(factory=list)
    """Payload ids under which two different bodies came."""

    @property
    def complaints(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.strange, *self.changed]


def judge(entries: Iterable[Entry], posts: Iterable[Post]) -> Verdict:
    """Every acknowledged claim arrived, whole; none twice under two payload ids; nothing else did."""
    verdict = Verdict()
    arrived = _take_in(posts, verdict)
    said: dict[str, dict[Place, list[Events]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        for place, events in _by_place(entry).items():
            said[entry.said][place].append(events)

    verdict.tried = sum(map(len, said["tried"].values()))
    verdict.failed = sum(map(len, said["failed"].values()))
    verdict.acknowledged = len(said["kept"].keys() | said["held"].keys())
    for place, events in arrived.items():
        _look_at_arrived(place, events, said["tried"].get(place, []), verdict)
    for place, kept in said["kept"].items():
        if len(kept) > 1:
            verdict.doubled.append(f"{_spelled(place)} was acknowledged {len(kept)} times: {kept}")
        if not any(_is_in(events, arrived.get(place, [])) for events in kept):
            verdict.lost.append(
                f"{_spelled(place)}: acknowledged {kept}, arrived {arrived.get(place, 'nothing')}"
            )
    for place in said["held"].keys() - said["kept"].keys() - arrived.keys():
        verdict.lost.append(f"{_spelled(place)}: the run's exit returned, and nothing arrived")
    for place in said["taken"].keys() - said["kept"].keys() - said["held"].keys() - arrived.keys():
        verdict.lost.append(f"{_spelled(place)}: somebody was told that it is recorded, and nothing arrived")
    return verdict


def _take_in(posts: Iterable[Post], verdict: Verdict) -> dict[Place, list[tuple[str, float]]]:
    """What arrived by run and slot, each payload id counted once, as LaunchDarkly does."""
    contents: dict[str, bytes] = {}
    accepted: set[str] = set()
    arrived: dict[Place, list[tuple[str, float]]] = defaultdict(list)
    for post in posts:
        content = post.content
        if contents.setdefault(post.payload_id, content) != content:
            verdict.changed.append(f"payload {post.payload_id} came with two different bodies")
        if not post.is_accepted:
            continue
        if post.payload_id in accepted:
            verdict.repeats += 1
            continue
        accepted.add(post.payload_id)
        for event in json.loads(content):
            if event.get("kind") == "index":
                continue
            verdict.arrived += 1
            name = name_of(event)
            arrived[event["data"]["runId"], place_of(name)].append((name, event["metricValue"]))
    return arrived


def _look_at_arrived(
    place: Place, events: list[tuple[str, float]], tried: list[Events], verdict: Verdict
) -> None:
    if any(len(attempt) == len(events) and _is_in(attempt, events) for attempt in tried):
        return
    names = [name for name, _ in events]
    if len(set(names)) < len(names) or len(names) > max(map(len, tried), default=len(names)):
        verdict.doubled.append(f"{_spelled(place)} arrived as {events}")
    else:
        verdict.strange.append(f"{_spelled(place)} arrived as {events}, and was tried as {tried}")


def _is_in(claimed: Events, arrived: list[tuple[str, float]]) -> bool:
    """Whether all of a claim's events are among these."""
    return all(
        any(name == key and value in (None, metric_value) for key, metric_value in arrived)
        for name, value in claimed.items()
    )


def _by_place(entry: Entry) -> dict[Place, Events]:
    claims: dict[Place, dict[str, float | None]] = defaultdict(dict)
    for name, value in entry.events.items():
        claims[entry.run_id, place_of(name)][name] = value
    return dict(claims)


def _spelled(place: Place) -> str:
    return f"the {place[1]} of run {place[0]}"
