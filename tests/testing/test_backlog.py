"""The two ends that tests give to a relay. That the store beneath keeps a store's contract is shown there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ldtrack.exceptions import LedgerError
from ldtrack.testing import ManualClock, RecordingBacklog, RecordingDestination
from ldtrack.typing import Batch, Receipt, Verdict


async def lease(backlog: RecordingBacklog, owner: str = "ada") -> Batch | None:
    return await backlog.lease(owner=owner, limit=10, max_chars=1000, seconds=60.0)


def a_batch(*bodies: str, payload_id: str = "payload-1") -> Batch:
    return Batch(id="batch-1", payload_id=payload_id, bodies=bodies, events=len(bodies))


async def test_a_backlog_fails_when_told_to() -> None:
    """Nothing is done then."""
    backlog = RecordingBacklog()
    backlog.add("1", "2", events=3)
    backlog.fail_next(2)
    for _ in range(2):
        with pytest.raises(LedgerError, match="as it was told to"):
            await lease(backlog)
    batch = await lease(backlog)
    assert batch is not None
    assert (batch.bodies, batch.events, batch.attempts) == (("1", "2"), 6, 0)


async def test_a_backlog_answers_with_what_it_stores() -> None:
    """A loan, its halves, what is set aside, and how it all stands; on the clock that it was given."""
    clock = ManualClock()
    backlog = RecordingBacklog(clock)
    backlog.add("1", "2", "3")
    batch = await lease(backlog)
    assert batch is not None
    halves = await backlog.split(batch)
    assert halves is not None
    assert [half.bodies for half in halves] == [("1",), ("2", "3")]
    await backlog.set_aside(halves[0], "bad")
    await backlog.postpone(halves[1], 30.0)
    assert await lease(backlog, "bob") is None
    clock.advance(30)
    again = await lease(backlog, "bob")
    assert again is not None
    assert again.payload_id == halves[1].payload_id
    await backlog.delivered(again)
    standing = await backlog.standing()
    assert (standing.pending, standing.delivered, standing.set_aside) == (0, 2, 1)
    assert [(row.body, row.reason) for row in backlog.aside()] == [("1", "bad")]


async def test_who_has_no_loan_can_give_none_back() -> None:
    """A batch that this backlog never lent stays as it is."""
    backlog = RecordingBacklog()
    backlog.add("1", "2")
    batch = backlog.store.lease("ada", 10, 1000, 60.0)
    assert batch is not None
    await backlog.postpone(batch, 0.0)
    assert await backlog.split(batch) is None
    assert await lease(backlog) is None


async def test_cancelling_a_wait_does_not_undo_the_work() -> None:
    """The unpleasant part of the protocol is kept as well."""
    backlog = RecordingBacklog()
    backlog.add("1")
    task = asyncio.ensure_future(lease(backlog))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await lease(backlog) is None


async def test_a_destination_accepts_each_payload_once() -> None:
    """A repeat is accepted, and counts no second time."""
    destination = RecordingDestination()
    for _ in range(2):
        assert await destination.deliver(a_batch("1", "2")) == Receipt(Verdict.DELIVERED)
    await destination.deliver(a_batch("3", payload_id="payload-2"))
    assert destination.bodies == ["1", "2", "3"]
    assert len(destination.attempts) == 3
    await destination.aclose()
    assert destination.is_closed


@pytest.mark.parametrize(
    ("options", "verdict", "reason"),
    [
        ({"refuses": "b".__contains__}, Verdict.REFUSED, "refused: b"),
        ({"max_chars": 3}, Verdict.TOO_LARGE, "more than 3 characters"),
    ],
)
async def test_a_destination_judges_by_what_it_gets(
    options: dict[str, Any], verdict: Verdict, reason: str
) -> None:
    """A batch with a bad body, and one that is too large, are not accepted; others are."""
    destination = RecordingDestination(**options)
    assert await destination.deliver(a_batch("aa", "b", "cc")) == Receipt(verdict, reason)
    assert (await destination.deliver(a_batch("aa"))).verdict is Verdict.DELIVERED


async def test_a_destination_answers_as_told() -> None:
    """Verdicts, receipts and exceptions, in order; then as ever."""
    destination = RecordingDestination()
    mistake = KeyError("x")
    destination.answer_next(Verdict.LATER, Receipt(Verdict.LOCKED, "401"), mistake)
    assert await destination.deliver(a_batch("1")) == Receipt(Verdict.LATER)
    assert await destination.deliver(a_batch("1")) == Receipt(Verdict.LOCKED, "401")
    with pytest.raises(KeyError):
        await destination.deliver(a_batch("1"))
    assert destination.bodies == []
    assert (await destination.deliver(a_batch("1"))).verdict is Verdict.DELIVERED
    assert [attempt.answer for attempt in destination.attempts][2] is mistake


async def test_a_destination_accepts_and_does_not_say_so() -> None:
    """As when the connection is cut at the wrong moment."""
    destination = RecordingDestination()
    destination.lose_answers(2)
    for _ in range(2):
        assert (await destination.deliver(a_batch("1"))).verdict is Verdict.LATER
    assert destination.bodies == ["1"]
    assert (await destination.deliver(a_batch("1"))).verdict is Verdict.DELIVERED


async def test_a_destination_that_is_held() -> None:
    """It answers when it is released, and what was cancelled meanwhile never arrived."""
    destination = RecordingDestination()
    destination.hold()
    gone = asyncio.ensure_future(destination.deliver(a_batch("1")))
    held = asyncio.ensure_future(destination.deliver(a_batch("2", payload_id="payload-2")))
    for _ in range(5):
        await asyncio.sleep(0)
    assert destination.attempts == []
    gone.cancel()
    destination.release()
    assert (await held).verdict is Verdict.DELIVERED
    assert destination.bodies == ["2"]
