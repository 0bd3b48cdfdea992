"""An ``AIClient`` over a durable ledger: what it runs in the background, and what it leaves to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint import Answer, Endpoint
from launchdarkly import client
from ldclient import Context

import ldtrack.delivery.background
from ldtrack import AIClient, Feedback, LedgerError
from ldtrack.configs.types import AICompletionConfigDefault
from ldtrack.core.privacy import Privacy
from ldtrack.delivery import JSONLines, LaunchDarklyEvents
from ldtrack.ledgers import MemoryLedger, SQLiteLedger
from ldtrack.typing import Batch, FlushResult, Receipt

ADA = Context.builder("ada").set("email", "ada@example.com").set("tier", "gold").build()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """LaunchDarkly's end of the wire."""
    with Endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The ledger's file."""
    return tmp_path / "ledger.db"


@pytest.fixture
def new_client(path: Path, endpoint: Endpoint) -> Iterator[Callable[..., AIClient]]:
    """Makes clients on the one file; they deliver to the endpoint unless they are told not to."""
    made = []

    def make(*, delivers: bool = True, ledger: Any = None, **options: Any) -> AIClient:
        ld = client(private_attributes=options.pop("private_attributes", []))
        made.append(ld)
        to = LaunchDarklyEvents("sdk-key", events_uri=endpoint.uri) if delivers else None
        return AIClient(ld, ledger=ledger or SQLiteLedger(path), destination=to, **options)

    yield make
    for ld in made:
        ld.close()


async def a_run(ai: AIClient, context: Context = ADA) -> Any:
    """One run of a stream, settled; returns its tracker."""

    async def words() -> AsyncIterator[str]:
        yield "Hello"

    config = await ai.completion_config("chat", context, AICompletionConfigDefault(enabled=True))
    tracker = config.create_tracker()
    async with tracker.run() as run:
        async for _ in run.stream(words()):
            pass
    return tracker


def keys(endpoint: Endpoint) -> list[str]:
    """The keys of what arrived, without their common beginning."""
    return [event["key"].removeprefix("$ld:ai:") for event in endpoint.customs]


SETTLED = ["duration:total", "tokens:ttf", "generation:success"]


# Delivering


@pytest.mark.parametrize("introduces", [True, False])
async def test_a_context_that_only_a_token_brings_is_introduced(
    new_client: Callable[..., AIClient], endpoint: Endpoint, introduces: bool
) -> None:
    """Once, in front of its first claim; unless that was declined."""
    async with new_client(delivers=False) as ai:
        token = (await a_run(ai)).resumption_token
    bob = Context.builder("bob").set("tier", "gold").build()
    async with new_client(private_attributes=["tier"], context_events=introduces) as ai:
        tracker = ai.resume(token, bob)
        assert await tracker.track_feedback(Feedback.POSITIVE)
        await tracker.track_tool_call("search")
        assert await ai.flush(5)
    of_bob = [event for event in endpoint.events if event["context"]["key"] == "bob"]
    expected = ["index", "custom", "custom"] if introduces else ["custom", "custom"]
    assert [event["kind"] for event in of_bob] == expected
    for event in of_bob:
        assert event["context"]["_meta"] == {"redactedAttributes": ["tier"]}


async def test_an_entered_client_delivers(new_client: Callable[..., AIClient], endpoint: Endpoint) -> None:
    """A flush waits for it and tells the truth; the counters say the same."""
    async with new_client() as ai:
        await a_run(ai)
        assert await ai.flush()
        assert sorted(keys(endpoint)) == sorted(SETTLED)
        stats = ai.stats
        assert (stats.recorded, stats.pending, stats.delivered, stats.set_aside) == (3, 0, 3, 0)
        assert stats.spooled is None, "a file of one's own needs no spool"
        assert (stats.oldest_s, stats.last_error) == (None, "")


async def test_leaving_the_client_delivers(new_client: Callable[..., AIClient], endpoint: Endpoint) -> None:
    """Nobody has to flush first."""
    async with new_client() as ai:
        await a_run(ai)
    assert sorted(keys(endpoint)) == sorted(SETTLED)


async def test_a_client_that_was_never_entered_delivers_when_flushed(
    new_client: Callable[..., AIClient], endpoint: Endpoint
) -> None:
    """Nothing runs in the background, so it is done on the spot."""
    ai = new_client()
    await a_run(ai)
    assert keys(endpoint) == []
    assert await ai.flush() == FlushResult(delivered=3)
    assert sorted(keys(endpoint)) == sorted(SETTLED)
    await ai.aclose()


async def test_without_a_destination_it_only_records(
    new_client: Callable[..., AIClient], endpoint: Endpoint
) -> None:
    """A flush says what is pending; closing does not wait for anybody; another client delivers."""
    async with new_client(delivers=False) as ai:
        await a_run(ai)
        result = await ai.flush(0.05)
        assert (bool(result), result.pending) == (False, 3)
    assert keys(endpoint) == []
    async with new_client() as other:
        assert await other.flush()
    assert sorted(keys(endpoint)) == sorted(SETTLED)


async def test_what_an_outage_left_is_delivered_by_the_next_client(
    new_client: Callable[..., AIClient], endpoint: Endpoint
) -> None:
    """Closing is bounded while the endpoint is down, and nothing is lost."""
    endpoint.judge = lambda _: Answer(503)
    ai = new_client()
    async with ai:
        await a_run(ai)
        assert not await ai.flush(0.2)
        await ai.aclose(0.1)
    endpoint.judge = lambda _: Answer()
    async with new_client() as other:
        assert await other.flush(60)
    assert sorted(keys(endpoint)) == sorted(SETTLED)
    assert len(endpoint.arrivals) > 1


async def test_closing_twice_delivers_once(new_client: Callable[..., AIClient], endpoint: Endpoint) -> None:
    """Who closes by hand has said for how long; leaving the block does not begin again."""
    endpoint.judge = lambda _: Answer(503)
    async with new_client() as ai:
        await a_run(ai)
        await ai.aclose(0.1)
        asked = len(endpoint.arrivals)
        assert asked
        await ai.aclose()
        assert len(endpoint.arrivals) == asked


async def test_a_flush_that_is_cancelled_loses_nothing(
    new_client: Callable[..., AIClient], endpoint: Endpoint
) -> None:
    """Its own relay ends with it, when nothing else runs."""
    endpoint.judge = lambda _: Answer(503)
    ai = new_client()
    await a_run(ai)
    flushing = asyncio.ensure_future(ai.flush(60))
    await endpoint_was_asked(endpoint)
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    endpoint.judge = lambda _: Answer()
    assert await ai.flush()
    await ai.aclose()
    assert sorted(keys(endpoint)) == sorted(SETTLED)


async def endpoint_was_asked(endpoint: Endpoint) -> None:
    """Wait until a post has arrived."""
    while not endpoint.arrivals:
        await asyncio.to_thread(lambda: None)


async def test_cancelling_the_close_stops_what_runs(new_client: Callable[..., AIClient]) -> None:
    """No task is left behind."""
    ai = await new_client().__aenter__()
    closing = asyncio.ensure_future(ai.aclose())
    await asyncio.to_thread(lambda: None)
    closing.cancel()
    await asyncio.wait([closing])
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await asyncio.wait(others) if others else None
    assert all(task.done() for task in others)
    await ai.aclose()


# Sharing


async def test_two_clients_on_one_file_count_a_vote_once(
    new_client: Callable[..., AIClient], endpoint: Endpoint
) -> None:
    """As two processes would: the second is told that it was counted already."""
    async with new_client() as first, new_client() as second:
        token = (await a_run(first)).resumption_token
        votes = await asyncio.gather(
            first.resume(token, ADA).track_feedback(Feedback.POSITIVE),
            second.resume(token, ADA).track_feedback(Feedback.POSITIVE),
        )
        assert sorted(votes) == [False, True]
    assert keys(endpoint).count("feedback:user:positive") == 1


async def test_a_shared_ledger_outlives_the_client_that_closes_it(
    new_client: Callable[..., AIClient], path: Path
) -> None:
    """Closing lets go of what is open; the next use takes it up again."""
    ledger = SQLiteLedger(path)
    first, second = new_client(delivers=False, ledger=ledger), new_client(delivers=False, ledger=ledger)
    await a_run(first)
    await first.aclose()
    await a_run(second)
    assert (await ledger.standing()).pending == 6
    await second.aclose()


# Privacy


@pytest.mark.parametrize("how", ["configuration", "client", "context"])
async def test_what_is_private_never_reaches_the_file(
    new_client: Callable[..., AIClient], tmp_path: Path, how: str
) -> None:
    """Whoever says that it is private."""
    options: dict[str, Any] = {
        "configuration": {"private_attributes": ["email"]},
        "client": {"privacy": Privacy(private_attributes=["email"])},
        "context": {},
    }[how]
    by_itself = Context.builder_from_context(ADA).private("email").build() if how == "context" else ADA
    ai = new_client(delivers=False, **options)
    await a_run(ai, by_itself)
    await ai.aclose()
    written = all_files_in(tmp_path)
    assert b"gold" in written
    assert b"ada@example.com" not in written


def all_files_in(folder: Path) -> bytes:
    """The ledger, and what SQLite keeps beside it."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


# Trouble


async def test_a_destination_needs_a_ledger_to_deliver_from() -> None:
    """It says which to add."""
    ld = client()
    with pytest.raises(TypeError, match=r"ledger=SQLiteLedger\(path\)"):
        AIClient(ld, destination=JSONLines("events.jsonl"))
    with pytest.raises(TypeError, match="MemoryLedger keeps none"):
        AIClient(ld, ledger=MemoryLedger(Nowhere()), destination=JSONLines("events.jsonl"))
    ld.close()


@pytest.mark.parametrize(
    "destination",
    ["https://events.launchdarkly.com", JSONLines, object()],
    ids=["address", "class", "object"],
)
async def test_a_destination_of_another_kind(path: Path, destination: Any) -> None:
    """It is refused at once: a relay would only ever say that it is tried again."""
    ld = client()
    with pytest.raises(TypeError, match="destination must be a Destination"):
        AIClient(ld, ledger=SQLiteLedger(path), destination=destination)
    ld.close()


class Nowhere:
    """An outlet."""

    def send(self, claim: Any) -> None: ...

    async def flush(self, timeout: float) -> FlushResult:
        return FlushResult()


async def test_a_ledger_that_does_not_work_breaks_nothing(
    new_client: Callable[..., AIClient], tmp_path: Path
) -> None:
    """An explicit call raises; a run counts its failures; closing is quiet."""
    async with new_client(ledger=SQLiteLedger(tmp_path / "missing" / "ledger.db")) as ai:
        tracker = await a_run(ai)
        with pytest.raises(LedgerError, match="folder"):
            await tracker.track_feedback(Feedback.POSITIVE)
        assert ai.stats.recorded == 0
        assert ai.stats.failures["outcome"] == 1
        assert "folder" in ai.stats.last_error
        assert not await ai.flush(0.1)


class Unclosable:
    """A destination that cannot be closed."""

    async def deliver(self, batch: Batch) -> Receipt:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise OSError("it is stuck")


async def test_a_destination_that_does_not_close_is_counted(path: Path) -> None:
    """What the app raised must not be hidden by it; the ledger is closed all the same."""
    ld = client()
    async with AIClient(ld, ledger=SQLiteLedger(path), destination=Unclosable()) as ai:
        pass
    assert ai.stats.failures["close"] == 1
    ld.close()


async def test_the_counters_are_looked_at_now_and_then(
    new_client: Callable[..., AIClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a flush, too."""
    monkeypatch.setattr(ldtrack.delivery.background, "LOOK_EVERY", 0.0)
    async with new_client(delivers=False) as ai:
        await a_run(ai)
        while ai.stats.pending != 3:
            await asyncio.to_thread(lambda: None)
        assert ai.stats.oldest_s is not None


async def test_entering_twice_starts_one_relay(new_client: Callable[..., AIClient]) -> None:
    """What runs already is not started again."""
    async with new_client() as ai:
        before = len(asyncio.all_tasks())
        await ai.__aenter__()
        assert len(asyncio.all_tasks()) == before
