"""From claims to rows: which contexts are introduced to LaunchDarkly in front of them, and when again."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from launchdarkly import client
from ldclient import Context

from ldtrack import LedgerError
from ldtrack.configs.ldclient_config import introducing_of
from ldtrack.core import introductions
from ldtrack.core.introductions import Introducing
from ldtrack.core.privacy import Privacy
from ldtrack.core.slots import DURATION, Claim
from ldtrack.ledgers import scribe as scribe_module
from ldtrack.ledgers.scribe import Scribe
from ldtrack.testing import ManualClock

ADA = Context.builder("ada").set("town", "Bath").build()
VISITOR = Context.builder("visitor").anonymous(True).set("town", "Bath").build()


def introducing(clock: ManualClock, **how: Any) -> Scribe:
    scribe = Scribe(clock, Privacy())
    scribe.introduce(Introducing(**how))
    return scribe


def written(scribe: Scribe, context: Context = ADA, data: object = None) -> list[dict[str, Any]]:
    """The events of one claim's row."""
    row = scribe.row_of(Claim("run-1", DURATION, (("duration", data, 1),), context))
    events: list[dict[str, Any]] = json.loads(f"[{row.body}]")
    assert row.events == sum(event["kind"] == "custom" for event in events) == 1
    return events


def kinds(scribe: Scribe, context: Context = ADA) -> list[str]:
    return [event["kind"] for event in written(scribe, context)]


def test_a_context_is_introduced_with_its_first_claim_alone() -> None:
    """In front of it, at its time; another object that is the same context is known."""
    scribe = introducing(ManualClock(7.0))
    index, _ = written(scribe)
    context = {"kind": "user", "key": "ada", "town": "Bath"}
    assert index == {"kind": "index", "creationDate": 7000, "context": context}
    assert kinds(scribe) == ["custom"]
    assert kinds(scribe, Context.create("ada")) == ["custom"]
    assert kinds(scribe, Context.create("bob")) == ["index", "custom"]


def test_nobody_is_introduced_unless_it_is_asked_for() -> None:
    """A ledger of its own knows of no client."""
    assert kinds(Scribe(ManualClock(), Privacy())) == ["custom"]


def test_contexts_are_introduced_again_after_the_interval() -> None:
    """All of them, as an SDK's client does it, whose interval it is."""
    clock = ManualClock()
    scribe = introducing(clock, interval=60)
    assert kinds(scribe) == ["index", "custom"]
    clock.advance(59.9)
    assert kinds(scribe) == ["custom"]
    clock.advance(0.1)
    assert kinds(scribe) == ["index", "custom"]
    assert kinds(scribe) == ["custom"]


class FickleClock(ManualClock):
    """One that is set."""

    now = 1_000_000.0

    def time(self) -> float:
        return self.now


def test_a_clock_that_was_set_back_begins_a_new_interval() -> None:
    """Or nobody would be introduced until it has caught up."""
    clock = FickleClock()
    scribe = introducing(clock)
    written(scribe)
    clock.now -= 3600
    assert kinds(scribe) == ["index", "custom"]
    assert kinds(scribe) == ["custom"]


def test_asking_twice_for_introductions_introduces_nobody_twice() -> None:
    """Two clients may share one ledger."""
    scribe = introducing(ManualClock())
    written(scribe)
    scribe.introduce(Introducing())
    assert kinds(scribe) == ["custom"]


def test_what_becomes_private_is_not_introduced_again_before_its_time() -> None:
    """Contexts are written anew then, and known nevertheless."""
    scribe = introducing(ManualClock())
    written(scribe)
    scribe.guard(Privacy(private_attributes=("town",)))
    [custom] = written(scribe)
    assert "Bath" not in str(custom)
    index, _ = written(scribe, Context.builder("bob").set("town", "Bath").build())
    assert index["context"]["_meta"] == {"redactedAttributes": ["town"]}


def test_an_anonymous_context_is_introduced_with_its_attributes_or_not_at_all() -> None:
    """Its custom events hide them. What omits anonymous contexts omits them here."""
    index, custom = written(introducing(ManualClock()), VISITOR)
    assert (index["context"]["town"], "Bath" in str(custom)) == ("Bath", False)
    scribe = introducing(ManualClock(), omits_anonymous=True)
    assert kinds(scribe, VISITOR) == ["custom"]
    acme = Context.create("acme", "org")
    index, _ = written(scribe, Context.create_multi(VISITOR, acme))
    assert index["context"] == {"kind": "org", "key": "acme"}


def test_an_attribute_that_cannot_be_spelled_costs_no_claim() -> None:
    """An anonymous context's are not in the claim; only its introduction is left out."""
    odd = Context.builder("odd").anonymous(True).set("ratio", float("nan")).build()
    assert kinds(introducing(ManualClock()), odd) == ["custom"]


def test_a_claim_that_cannot_be_written_down_introduces_nobody() -> None:
    """The next one does."""
    scribe = introducing(ManualClock())
    with pytest.raises(LedgerError, match="it cannot be written down"):
        written(scribe, data=object())
    assert kinds(scribe) == ["index", "custom"]


def test_memory_for_contexts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is full all are forgotten; what is remembered as written is known all the same."""
    monkeypatch.setattr(introductions, "ROOM", 2)
    scribe = introducing(ManualClock())
    people = [Context.create(name) for name in "abc"]
    assert [len(kinds(scribe, one)) for one in people] == [2, 2, 2]
    assert [len(kinds(scribe, one)) for one in people] == [1, 1, 1]
    assert [len(kinds(scribe, Context.create(name))) for name in "cab"] == [1, 2, 2]


def test_memory_for_what_is_written_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then contexts are written anew, and none is introduced anew."""
    monkeypatch.setattr(scribe_module, "_MEMORY", 700)
    scribe = introducing(ManualClock())
    people = [Context.create(name) for name in "abcd"]
    assert [len(kinds(scribe, one)) for one in people] == [2, 2, 2, 2]
    assert len(scribe._contexts) < len(people)
    assert [len(kinds(scribe, one)) for one in people] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Introducing()),
        ({"context_keys_flush_interval": 60}, Introducing(interval=60)),
        ({"omit_anonymous_contexts": True}, Introducing(omits_anonymous=True)),
    ],
)
def test_a_clients_configuration_says_how_contexts_are_introduced(
    config: dict[str, Any], expected: Introducing
) -> None:
    """As it does for the client's own events."""
    with client(**config) as real:
        assert introducing_of(real) == expected


@pytest.mark.parametrize("interval", [None, 0, -5, "soon"])
def test_a_client_that_hides_its_configuration_has_the_usual_one(interval: object) -> None:
    """Nor does nonsense in it keep anybody from recording."""
    hidden = SimpleNamespace(_config=SimpleNamespace(context_keys_flush_interval=interval))
    assert introducing_of(hidden) == introducing_of(object()) == Introducing()
