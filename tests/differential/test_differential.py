"""The official SDK and ours on the same flags, through the same real ``LDClient`` machinery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sink import EventSink

from . import (  # noqa: F401 - each registers its scenarios
    config_scenarios,
    graph_scenarios,
    malformed_scenarios,
    managed_graph_scenarios,
    managed_scenarios,
    token_scenarios,
    tracking_scenarios,
)
from .differences import DIFFERENCES, DOCUMENT, as_document
from .harness import SCENARIOS, Scenario, play
from .sides import Observation

SAME = [scenario for scenario in SCENARIOS if scenario.row is None]
DIFFERING = [scenario for scenario in SCENARIOS if scenario.row is not None]
ROWS = [row for rows in DIFFERENCES.values() for row in rows]


def by_name(scenario: Scenario) -> str:
    return scenario.name


@pytest.fixture(scope="module")
def sink() -> Iterator[EventSink]:
    with EventSink() as sink:
        yield sink


@pytest.mark.parametrize("scenario", SAME, ids=by_name)
async def test_both_do_the_same(scenario: Scenario, sink: EventSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events, contexts, data with the order of its keys, values and their types, and answers are equal."""
    official, ours = await play(scenario, sink, monkeypatch)
    assert ours.shown == official.shown
    assert ours.events == official.events
    assert ours.answer == official.answer
    assert ours.wire == official.wire
    assert_arrived(ours)


@pytest.mark.parametrize("scenario", DIFFERING, ids=by_name)
async def test_they_differ_as_the_table_says_and_in_nothing_else(
    scenario: Scenario, sink: EventSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each side does exactly what is known of it; events that both send have the same context and data."""
    official, ours = await play(scenario, sink, monkeypatch)
    assert official.shown == list(scenario.official)
    assert ours.shown == list(scenario.ours)
    if not scenario.changes_data:
        seen, theirs = shared(ours, official), shared(official, ours)
        assert (loose(seen) == loose(theirs)) if scenario.loosely else (seen == theirs)
    assert_arrived(official)
    assert_arrived(ours)


def shared(one: Observation, other: Observation) -> list[Any]:
    """Of the events of one side, those whose key and value the other side sends too, once each."""
    theirs = Counter((key, repr(value)) for key, _, _, value, _ in other.events)
    found = []
    for event in one.events:
        key, _, _, value, _ = event
        if theirs[key, repr(value)]:
            theirs[key, repr(value)] -= 1
            found.append(event)
    return found


def loose(events: list[Any]) -> list[str]:
    """Events without run ids, in an order of their own."""
    return sorted(
        repr([key, context, [member for member in data if member[0] != "runId"], *metric])
        for key, context, data, *metric in events
    )


def assert_arrived(side: Observation) -> None:
    """What the SDK took is what is at the sink, with the same data, in the same order."""
    assert [[key, data, value] for key, _, data, value, _ in side.wire] == [
        [key, data, value] for key, _, data, value, _ in side.events
    ]


def test_every_difference_is_in_the_table_and_shown() -> None:
    """The rows are those that scenarios name: none is missing, none is out of date, none is there twice."""
    assert Counter(row.name for row in ROWS).most_common(1)[0][1] == 1
    assert {row.name for row in ROWS} == {scenario.row for scenario in DIFFERING}


def test_every_differing_scenario_expects_a_difference() -> None:
    """A scenario in which both do the same has no business with the table."""
    assert [scenario.name for scenario in DIFFERING if scenario.official == scenario.ours] == []


def test_every_scenario_has_a_name_of_its_own() -> None:
    """Two scenarios of one name would hide each other in a report."""
    assert Counter(by_name(scenario) for scenario in SCENARIOS).most_common(1)[0][1] == 1


def test_the_document_is_made_from_the_table() -> None:
    """``docs/differences.md`` says what the table says: run ``python tests/differential/differences.py``."""
    assert DOCUMENT.read_text(encoding="utf-8") == as_document()
