"""Servers that stop, crash and pause under callers that wait: real ones, and whole ledgers.

Nothing here depends on how long something takes: a test waits for what callers were told, and its limit is
only there to fail instead of hanging. What a store does about each fault is in the stores' own tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any, Self

import pytest
from crashtest.journal import Entry
from crashtest.judge import Post, judge
from crashtest.places import Place, place_on
from ldclient import Context

from ldtrack import AIClient
from ldtrack.core.batch import Batch
from ldtrack.core.receipts import Receipt, Verdict
from ldtrack.delivery import Relay
from ldtrack.exceptions import LedgerError
from ldtrack.testing import RecordingClient

DEADLINE = 0.6
PATIENT = 6.0
"""The deadline where nobody is to be told anything: what ends a wait is that the store answers or fails."""
HANG = 60
ADA = Context.create("ada")

TROUBLES = [
    pytest.param("stop", "start", id="stopped"),
    pytest.param("kill", "start", id="crashed"),
    pytest.param("pause", "resume", id="paused"),
]


@pytest.fixture(params=["postgres", "redis"])
def server(request):
    """A server that runs when the test begins, and again when it ends."""
    server = request.getfixturevalue({"postgres": "postgres", "redis": "redis_server"}[request.param])
    yield server
    server.ensure()


@pytest.fixture
def place(server) -> Place:
    """A place of the test's own on the server."""
    return place_on(server)


class Callers:
    """Tasks that record run after run, and ask again when they were told that it failed."""

    def __init__(self, ledger: Any, count: int = 20) -> None:
        self.entries: list[Entry] = []
        self.told = {"kept": [0] * count, "failed": [0] * count}
        self._ai = AIClient(RecordingClient(), ledger=ledger, usage_events=False)
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        numbers = range(len(self.told["kept"]))
        self._tasks = [asyncio.create_task(self._record_forever(number)) for number in numbers]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        async with asyncio.timeout(HANG):
            await asyncio.gather(*self._tasks)

    async def until_each_was_told(self, what: str) -> None:
        """Wait until every caller was told so once more than before."""
        told = self.told[what]
        before = list(told)
        async with asyncio.timeout(HANG):
            while any(now <= then for now, then in zip(told, before, strict=True)):
                await self._changed.wait()
                self._changed.clear()

    async def _record_forever(self, number: int) -> None:
        config = await self._ai.completion_config("chat", ADA)
        count = 0
        while not self._is_over:
            count += 1
            value = number * 1_000_000 + count
            tracker = config.create_tracker()
            await asyncio.gather(
                self._ask(number, tracker, {"duration:total": value}, tracker.track_duration, value),
                self._ask(number, tracker, {"feedback:user:positive": 1}, tracker.track_feedback, "positive"),
            )

    async def _ask(self, number: int, tracker: Any, events: dict[str, Any], track: Any, value: Any) -> None:
        """Ask until the answer is yes or no. After a failure it may be no: then it was recorded after all."""
        self.entries.append(Entry("tried", tracker.run_id, events))
        while True:
            try:
                said = "kept" if await track(value) else "taken"
            except LedgerError:
                said = "failed"
            self.entries.append(Entry(said, tracker.run_id, events))
            if said in self.told:
                self.told[said][number] += 1
                self._changed.set()
            if said != "failed":
                return


class Collecting:
    """A destination that keeps what it is given."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self._changed = asyncio.Event()

    async def deliver(self, batch: Batch) -> Receipt:
        self.posts.append(Post(batch.payload_id, f"[{','.join(batch.bodies)}]".encode()))
        self._changed.set()
        return Receipt(Verdict.DELIVERED)

    async def aclose(self) -> None:
        """There is nothing to let go of."""

    async def until(self, entries: list[Entry], is_enough: Callable[[int], bool]) -> None:
        """Wait until so many events have arrived that it is enough."""
        async with asyncio.timeout(HANG):
            while not is_enough(judge(entries, self.posts).arrived):
                await self._changed.wait()
                self._changed.clear()


@contextlib.asynccontextmanager
async def relaying(ledger: Any):
    """Deliver from a ledger, meanwhile."""
    destination = Collecting()
    task = asyncio.create_task(Relay(ledger, destination, interval=0.02).run())
    yield destination
    task.cancel()
    await asyncio.wait([task])


async def everything_in(place: Place) -> list[Post]:
    """What a relay would post."""
    ledger = place.open(spool=False)
    destination = Collecting()
    assert await Relay(ledger, destination).drain(HANG)
    await ledger.aclose()
    return destination.posts


@pytest.mark.parametrize(("begin", "end"), TROUBLES)
async def test_callers_are_told_while_the_server_is_away_and_go_on_when_it_is_back(
    server, place, begin, end
) -> None:
    """No caller hangs, all of them are told; afterwards the same calls succeed, and all arrives once."""
    ledger = place.open(deadline=DEADLINE, spool=False)
    async with Callers(ledger) as callers:
        await callers.until_each_was_told("kept")
        await asyncio.to_thread(getattr(server, begin))
        await callers.until_each_was_told("failed")
        await asyncio.to_thread(getattr(server, end))
        await callers.until_each_was_told("kept")

    await ledger.aclose()
    verdict = judge(callers.entries, await everything_in(place))
    assert verdict.complaints == []


async def test_a_restart_is_waited_out(server, place) -> None:
    """Callers with time to wait notice nothing: each call is made once, and answered."""
    ledger = place.open(deadline=HANG, spool=False)
    async with Callers(ledger) as callers:
        await callers.until_each_was_told("kept")
        await asyncio.to_thread(server.restart)
        await callers.until_each_was_told("kept")

    await ledger.aclose()
    verdict = judge(callers.entries, await everything_in(place))
    assert verdict.complaints == []
    assert verdict.failed == 0


async def run_to_its_end(ai: AIClient) -> Entry:
    """A run that records itself when it is left."""
    tracker = (await ai.completion_config("chat", ADA)).create_tracker()
    async with tracker.run():
        pass
    return Entry("held", tracker.run_id, {"duration:total": None, "generation:success": 1})


def as_tried(entries: list[Entry]) -> list[Entry]:
    """The same, with what has to be said before."""
    return [entry._replace(said="tried") for entry in entries] + entries


@pytest.mark.parametrize(("begin", "end"), TROUBLES)
async def test_runs_that_end_while_the_server_is_away_wait_in_the_spool(
    server, place, begin, end, tmp_path
) -> None:
    """Their exits return, nothing fails, and when the server is back all of it arrives, once."""
    ledger = place.open(deadline=PATIENT, spool=tmp_path / "spool.db")
    ai = AIClient(RecordingClient(), ledger=ledger, settle_timeout=HANG)
    entries = [await run_to_its_end(ai)]

    await asyncio.to_thread(getattr(server, begin))
    async with asyncio.timeout(HANG):
        entries += await asyncio.gather(*[run_to_its_end(ai) for _ in range(50)])
    assert ai.stats.failures == {}
    await asyncio.to_thread(getattr(server, end))

    entries = as_tried(entries)
    async with relaying(ledger) as destination:
        await destination.until(entries, lambda arrived: arrived >= 102)
    await ai.aclose()
    assert judge(entries, destination.posts + await everything_in(place)).complaints == []


async def test_a_spool_is_emptied_by_a_later_process(server, place, tmp_path) -> None:
    """What was spooled outlives its process; where somebody was quicker meanwhile, that one stays first."""
    spooled = place.open(deadline=PATIENT, spool=tmp_path / "spool.db")
    ai = AIClient(RecordingClient(), ledger=spooled, settle_timeout=HANG)
    await asyncio.to_thread(server.stop)
    async with asyncio.timeout(HANG):
        entries = list(await asyncio.gather(*[run_to_its_end(ai) for _ in range(20)]))
        await ai.aclose()
    assert ai.stats.failures == {}
    await asyncio.to_thread(server.start)

    quicker = place.open(spool=False)
    kept = [
        Entry("kept", entry.run_id, {"duration:total": number}) for number, entry in enumerate(entries[:10])
    ]
    resumed = AIClient(RecordingClient(), ledger=quicker)
    for entry in kept:
        assert await tracker_of(resumed, entry).track_duration(entry.events["duration:total"])
    entries = as_tried([*entries, *kept])
    later = place.open(spool=tmp_path / "spool.db")
    async with relaying(later) as destination:
        assert await later.flush(HANG)
    await later.aclose()
    await quicker.aclose()
    posts = destination.posts + await everything_in(place)
    assert judge(entries, posts).complaints == []


def tracker_of(ai: AIClient, entry: Entry) -> Any:
    """A tracker of the run, in a process that got its token."""
    from ldtrack.core.token import TokenClaims, encode_token

    return ai.resume(encode_token(TokenClaims(entry.run_id, "chat", 1, "")), ADA)


async def test_a_paused_server_holds_up_neither_a_flush_nor_the_end(server, place) -> None:
    """Both come back within their limits, and neither says that all was delivered."""
    ledger = place.open(deadline=DEADLINE, spool=False)
    ai = AIClient(RecordingClient(), ledger=ledger)
    tracker = (await ai.completion_config("chat", ADA)).create_tracker()
    assert await tracker.track_success()
    await asyncio.to_thread(server.pause)
    async with asyncio.timeout(HANG):
        assert not await ai.flush(timeout=0.1)
        with pytest.raises(LedgerError, match="could not be recorded"):
            await tracker.track_duration(5)
        await ai.aclose(timeout=0.1)
    await asyncio.to_thread(server.resume)
    # What the caller was told could not be recorded may have been: the server did not say.
    posted = [event for post in await everything_in(place) for event in json.loads(post.content)]
    said = [event["key"] for event in posted if event["kind"] == "custom"]
    assert set(said) - {"$ld:ai:duration:total"} == {"$ld:ai:generation:success"}
