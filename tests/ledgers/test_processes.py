"""Several processes on one ledger: whoever is first, it is one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from crashtest.journal import Entry, entries_in
from crashtest.judge import Post, judge
from crashtest.places import Place, place_on
from crashtest.plan import Plan
from crashtest.trial import run_script
from ldclient import Context

from ldtrack import AIClient
from ldtrack.testing import RecordingClient

PROCESSES, RUNS, SLOTS = 8, 200, 5


def plan_of(place: Place, folder: Path) -> Plan:
    """Processes that record on a ledger, and nothing that is killed."""
    plan = Plan(
        ledger=place.ledger,
        where=place.where,
        options=dict(place.options),
        folder=folder,
        events_uri="",
        seed=1,
        kills=0,
        writers=PROCESSES,
    )
    plan.journals.mkdir()
    return plan


async def tokens_of_new_runs(count: int) -> list[str]:
    """Runs that some process began, and handed on."""
    config = await AIClient(RecordingClient()).completion_config("chat", Context.create("ada"))
    return [config.create_tracker().resumption_token for _ in range(count)]


async def everything_in(plan: Plan) -> list[Post]:
    """What a relay would post."""
    posts = []
    ledger = plan.open_ledger()
    while batch := await ledger.lease(owner="test", limit=1000, max_chars=10**6, seconds=60):
        body = f"[{','.join(batch.bodies)}]".encode()
        posts.append(Post(batch.payload_id, body))
        await ledger.delivered(batch)
    await ledger.aclose()
    return posts


@pytest.fixture
def place(request, tmp_path):
    """A ledger's place by the ledger's name, which is the parameter."""
    if request.param == "sqlite":
        return Place("sqlite", str(tmp_path / "ledger.db"))
    return place_on(request.getfixturevalue({"postgres": "postgres", "redis": "redis_server"}[request.param]))


@pytest.mark.parametrize("place", ["sqlite", "postgres", "redis"], indirect=True)
async def test_of_all_processes_that_claim_a_slot_one_is_first(place, tmp_path) -> None:
    """Eight processes, each with its own connections, race for every slot of 200 runs: one winner each."""
    plan = plan_of(place, tmp_path)
    plan.tokens.write_text("\n".join(await tokens_of_new_runs(RUNS)))

    run_script("racers", plan)

    entries: list[Entry] = list(entries_in(plan.journals))
    said = Counter(entry.said for entry in entries)
    assert said["kept"] == RUNS * SLOTS
    assert said["taken"] == RUNS * SLOTS * (PROCESSES - 1)
    verdict = judge(entries, await everything_in(plan))
    assert verdict.complaints == []
    assert verdict.arrived == RUNS * (SLOTS + 2)  # the tokens are three events
    winners = Counter(path.name for path in plan.journals.iterdir() if b'["kept"' in path.read_bytes())
    assert len(winners) > 1, "there was no race"
