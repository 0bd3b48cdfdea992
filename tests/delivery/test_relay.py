"""The relay, one edge at a time, between a backlog in memory and a destination that answers as told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import attrs
import pytest
from clock_loop import play

from ldtrack.core.pacing import MARGIN, PROBE, REFUSALS, REPEATS, RESTED
from ldtrack.delivery import Relay, RelayState
from ldtrack.delivery.doubts import Doubts
from ldtrack.exceptions import LedgerError
from ldtrack.testing import RecordingBacklog, RecordingDestination
from ldtrack.typing import Backlog, Batch, Destination, Receipt, Verdict

LATER, LOCKED, REFUSED = Verdict.LATER, Verdict.LOCKED, Verdict.REFUSED


class Scene:
    """A relay and its two ends."""

    def __init__(
        self,
        *,
        backlog: RecordingBacklog | None = None,
        destination: Any = None,
        rows: int = 0,
        **options: Any,
    ) -> None:
        self.backlog = backlog or RecordingBacklog()
        self.clock: Any = self.backlog.clock
        self.destination = RecordingDestination() if destination is None else destination
        options = {"batch_rows": 10, "random": lambda: 1.0, **options}
        self.relay = Relay(self.backlog, self.destination, clock=self.clock, **options)
        self.add(rows)

    def add(self, rows: int) -> None:
        self.backlog.add(*(f'"{number}"' for number in range(rows)))

    def play(self, scene: Coroutine[Any, Any, Any]) -> Any:
        return play(self.clock, scene)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.relay.run())
        yield task
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None

    @property
    def standing(self) -> tuple[int, int, int]:
        """Pending, delivered, set aside."""
        standing = self.backlog.store.standing()
        return standing.pending, standing.delivered, standing.set_aside

    @property
    def payloads(self) -> list[str]:
        """The payload ids of all attempts."""
        return [attempt.batch.payload_id for attempt in self.destination.attempts]

    @property
    def now(self) -> float:
        return self.clock.monotonic_ns() / 1e9


def test_the_ends_are_what_a_relay_asks_for() -> None:
    """What tests put in their place has every method of the protocols."""
    assert isinstance(RecordingBacklog(), Backlog)
    assert isinstance(RecordingDestination(), Destination)


def test_all_is_delivered_in_order() -> None:
    """Batches hold the oldest rows, at most so many, and are forgotten once accepted."""
    scene = Scene(rows=25)
    assert scene.play(scene.relay.drain(1)) is True
    assert [len(attempt.batch.bodies) for attempt in scene.destination.attempts] == [10, 10, 5]
    assert scene.destination.bodies == [f'"{number}"' for number in range(25)]
    assert scene.standing == (0, 25, 0)
    stats = scene.relay.stats
    assert (stats.state, stats.delivered, stats.events, stats.attempts) == (RelayState.IDLE, 25, 25, 3)
    assert (stats.retries, stats.errors, stats.last_error, stats.waiting_until) == (0, 0, None, None)


def test_a_batch_holds_so_many_characters() -> None:
    """The second bound of a batch; one row always fits."""
    scene = Scene(batch_chars=8)
    scene.backlog.add("1" * 5, "2" * 3, "3" * 50, "4")
    scene.play(scene.relay.drain(1))
    assert [len(attempt.batch.bodies) for attempt in scene.destination.attempts] == [2, 1, 1]


def test_events_are_counted_besides_claims() -> None:
    """One claim may hold several events."""
    scene = Scene()
    scene.backlog.add("1,2,3", events=3)
    scene.play(scene.relay.drain(1))
    assert (scene.relay.stats.delivered, scene.relay.stats.events) == (1, 3)


def test_the_same_payload_is_repeated() -> None:
    """What should come later comes later: the same rows, under the same payload id."""
    scene = Scene(rows=3)
    scene.destination.answer_next(LATER, LATER)
    assert scene.play(scene.relay.drain(10)) is True
    first, second, third = scene.destination.attempts
    assert first.batch.bodies == second.batch.bodies == third.batch.bodies
    assert first.batch.payload_id == second.batch.payload_id == third.batch.payload_id
    assert [attempt.batch.attempts for attempt in scene.destination.attempts] == [0, 1, 2]
    assert scene.relay.stats.retries == 2
    assert scene.now == pytest.approx(1 + 2 + 2 * MARGIN)


def test_a_lost_answer_is_not_a_second_delivery() -> None:
    """Accepted and cut off: the repeat has the payload id by which it is recognised."""
    scene = Scene(rows=3)
    scene.destination.lose_answers()
    scene.play(scene.relay.drain(10))
    assert len(scene.destination.attempts) == 2
    assert len(scene.destination.accepted) == 1
    assert scene.standing == (0, 3, 0)


@pytest.mark.parametrize("refusal", [REFUSED, Verdict.TOO_LARGE])
@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_lost_answer_and_a_refusal_are_not_two_deliveries(
    refusal: Verdict, rows: int, is_restarted: bool
) -> None:
    """A proxy answers the repeat: halves of what has arrived would count again, so it comes as it is."""
    scene = Scene(rows=rows)
    scene.destination.lose_answers()
    scene.destination.answer_next(Verdict.DELIVERED, *[refusal] * REPEATS)
    if is_restarted:
        scene.play(scene.relay.step())
        scene = Scene(backlog=scene.backlog, destination=scene.destination)
        scene.clock.advance(RESTED)
    assert scene.play(scene.relay.drain(200)) is True
    assert scene.standing == (0, rows, 0)
    assert len(set(scene.payloads)) == 1
    assert len(scene.payloads) == 2 + REPEATS


def test_what_is_in_doubt_lets_others_go_on() -> None:
    """They are not what is refused."""
    scene = Scene(rows=8, batch_rows=4)
    scene.destination.answer_next(LATER, REFUSED)
    scene.play(scene.relay.step())
    scene.clock.advance(2)
    scene.play(scene.relay.step())
    assert scene.relay.stats.state is RelayState.IDLE
    scene.play(scene.relay.step())
    assert scene.standing == (4, 4, 0)
    assert scene.play(scene.relay.drain(60)) is True
    assert scene.standing == (0, 8, 0)


def test_what_is_refused_again_and_again_has_not_arrived() -> None:
    """After an outage a batch turns out to be too large: it is halved in the end, and the halves at once."""
    scene = Scene(rows=8, destination=RecordingDestination(max_chars=9))
    scene.destination.answer_next(LATER)
    assert scene.play(scene.relay.drain(200)) is True
    assert scene.standing == (0, 8, 0)
    assert scene.payloads.count(scene.payloads[0]) == 2 + REPEATS
    assert len(scene.payloads) == 2 + REPEATS + 6
    assert len(scene.destination.bodies) == 8


@pytest.mark.parametrize("answer", [LOCKED, Verdict.TOO_LARGE])
def test_what_was_answered_is_not_in_doubt(answer: Verdict) -> None:
    """A wrong key, then a bad row: it did not arrive, so it is halved as ever."""
    scene = Scene(rows=8, destination=RecordingDestination(refuses=lambda body: body == '"3"'))
    scene.destination.answer_next(answer)
    assert scene.play(scene.relay.drain(2 * PROBE)) is True
    assert scene.standing == (0, 7, 1)
    assert scene.payloads.count(scene.payloads[0]) <= 2
    assert len(scene.payloads) <= 9


def test_memory_for_doubts_is_bounded() -> None:
    """What is forgotten is in doubt, which costs time and nothing else."""
    doubts = Doubts()
    batches = [Batch(id=str(n), payload_id=str(n), bodies=("", ""), events=2) for n in range(1001)]
    doubts.made(batches)
    again = [attrs.evolve(batch, attempts=1) for batch in batches]
    assert [doubts.about(batch) for batch in (again[0], again[1], again[-1])] == [0, None, None]


def test_while_the_destination_fails_nothing_new_is_taken() -> None:
    """One batch is enough to find out; the rest stays in the ledger, however long it takes."""
    scene = Scene(rows=100)
    scene.destination.answer_next(*[LATER] * 6)

    async def outage() -> None:
        async with scene.running():
            await asyncio.sleep(60)
            scene.add(100)
            assert len(set(scene.payloads)) == 1
            assert scene.relay.stats.state is RelayState.WAITING
            assert scene.relay.stats.waiting_until == pytest.approx(
                scene.clock.time() - scene.now + sum([1, 2, 4, 8, 16, 32]) + 6 * MARGIN
            )
            await asyncio.sleep(60)
            assert scene.standing == (0, 200, 0)

    scene.play(outage())


def test_after_an_outage_one_batch_goes_first() -> None:
    """Several at once only after the destination has accepted one: many relays may have waited for it."""
    scene = Scene(rows=50)
    scene.destination.answer_next(LATER)

    async def recovery() -> None:
        async with scene.running():
            await asyncio.sleep(1)
            scene.destination.hold()
            await asyncio.sleep(2)
            assert in_the_air(scene) == 1
            scene.destination.release()
            await asyncio.sleep(0.01)
            assert scene.standing == (0, 50, 0)
            scene.destination.hold()
            scene.add(50)
            await asyncio.sleep(2)
            assert in_the_air(scene) == 2
            assert scene.relay.stats.state is RelayState.WORKING
            scene.destination.release()

    scene.play(recovery())


def in_the_air(scene: Scene) -> int:
    return scene.relay.stats.attempts - len(scene.destination.attempts)


def watch(scene: Scene) -> list[int]:
    """How many batches were in the air, again and again from now on."""
    seen: list[int] = []
    deliver = scene.destination.deliver

    async def watched(batch: Batch) -> Receipt:
        for _ in range(30):
            await asyncio.sleep(0)
            seen.append(in_the_air(scene))
        return await deliver(batch)

    scene.destination.deliver = watched
    return seen


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_so_many_batches_are_on_their_way(concurrency: int) -> None:
    """While some are being posted, the next are taken from the ledger; never more than asked for."""
    scene = Scene(rows=200, concurrency=concurrency)
    most = watch(scene)
    scene.play(scene.relay.drain(1))
    assert max(most) == concurrency
    assert scene.standing == (0, 200, 0)


def test_a_lane_that_found_nothing_comes_back() -> None:
    """As long as one batch is under way, new rows are taken up beside it."""
    scene = Scene(rows=10)

    async def busy() -> None:
        async with scene.running():
            await asyncio.sleep(0.5)
            scene.destination.hold()
            scene.add(10)
            await asyncio.sleep(1)
            assert in_the_air(scene) == 1
            scene.destination.release()
            await asyncio.sleep(0)
            scene.destination.hold()
            scene.add(30)
            await asyncio.sleep(0.5)
            assert in_the_air(scene) == 2
            scene.destination.release()

    scene.play(busy())


def test_two_failures_side_by_side_are_one() -> None:
    """The wait is that of one setback, and both batches come again."""
    scene = Scene(rows=10)

    async def gust() -> None:
        await scene.relay.step()
        scene.add(20)
        scene.destination.answer_next(LATER, LATER)
        assert await scene.relay.drain(0.5) is False
        assert len(scene.destination.attempts) == 3
        assert scene.relay.stats.waiting_until == pytest.approx(scene.clock.time() + 1 + MARGIN)
        assert await scene.relay.drain(2) is True

    scene.play(gust())
    assert scene.standing == (0, 30, 0)
    assert sorted(map(scene.payloads.count, set(scene.payloads))) == [1, 2, 2]


def test_the_wait_that_is_asked_for_is_kept() -> None:
    """`Retry-After: 7` means seven seconds at the least."""
    scene = Scene(rows=1, random=lambda: 0.0)
    scene.destination.answer_next(Receipt(LATER, "busy", 7.0))
    scene.play(scene.relay.drain(60))
    assert scene.now == pytest.approx(7 + MARGIN)


def test_too_large_is_halved() -> None:
    """What does not fit goes in smaller batches, each with a payload id of its own."""
    scene = Scene(rows=8, destination=RecordingDestination(max_chars=9))
    scene.play(scene.relay.drain(1))
    assert sorted(scene.destination.bodies) == [f'"{number}"' for number in range(8)]
    assert all(batch.size <= 9 for batch in scene.destination.accepted.values())
    assert len(set(scene.payloads)) == len(scene.payloads)
    assert scene.relay.stats.splits == 3
    assert scene.standing == (0, 8, 0)


def test_a_row_that_is_too_large_is_set_aside() -> None:
    """It is kept with the reason, and its neighbours are delivered."""
    scene = Scene(rows=3, destination=RecordingDestination(max_chars=40))
    scene.backlog.add("x" * 100)
    scene.add(3)
    scene.play(scene.relay.drain(1))
    assert scene.standing == (0, 6, 1)
    [aside] = scene.backlog.aside()
    assert (aside.body, aside.reason) == ("x" * 100, "more than 40 characters")


@pytest.mark.parametrize("bad", [0, 1, 511, 512, 998, 999])
def test_the_bad_row_is_found(bad: int, caplog: pytest.LogCaptureFixture) -> None:
    """Bisection: twenty posts, and of a thousand rows one is set aside with the reason."""
    scene = Scene(
        rows=1000, batch_rows=1000, destination=RecordingDestination(refuses=lambda body: body == f'"{bad}"')
    )
    with caplog.at_level(logging.WARNING, "ldtrack"):
        scene.play(scene.relay.drain(1))
    assert scene.standing == (0, 999, 1)
    assert sorted(scene.destination.bodies) == sorted(f'"{n}"' for n in range(1000) if n != bad)
    [aside] = scene.backlog.aside()
    assert (aside.body, aside.reason) == (f'"{bad}"', f'refused: "{bad}"')
    assert len(scene.destination.attempts) <= 21
    assert scene.relay.stats.set_aside == 1
    assert scene.relay.stats.last_error == f'refused: "{bad}"'
    [record] = caplog.records
    assert f'refused: "{bad}"' in record.getMessage()


def test_many_bad_rows_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Every third row is bad: all others arrive, and the log is not flooded."""
    scene = Scene(rows=300, destination=RecordingDestination(refuses=lambda body: int(body[1:-1]) % 3 == 0))
    with caplog.at_level(logging.WARNING, "ldtrack"):
        scene.play(scene.relay.drain(1))
    assert scene.standing == (0, 200, 100)
    assert len(caplog.records) == 1


def test_who_refuses_everything_is_locked_out(caplog: pytest.LogCaptureFixture) -> None:
    """Row after row is refused: it is not the rows. The rest is kept, and goes once anything is accepted."""
    is_broken = True
    scene = Scene(rows=200, destination=RecordingDestination(refuses=lambda body: is_broken))

    async def wrong_address() -> None:
        nonlocal is_broken
        async with scene.running():
            await asyncio.sleep(24 * 3600)
            assert scene.standing == (200 - REFUSALS, 0, REFUSALS)
            assert scene.relay.stats.state is RelayState.LOCKED
            is_broken = False
            await asyncio.sleep(2 * PROBE)
            assert scene.relay.stats.state is RelayState.IDLE
            # Those that were in the way come in their time.
            await asyncio.sleep(1000)
            assert scene.standing == (0, 200 - REFUSALS, REFUSALS)
            assert scene.backlog.store.retry_aside() == REFUSALS
            await asyncio.sleep(2)
            assert scene.standing == (0, 200, 0)

    with caplog.at_level(logging.WARNING, "ldtrack"):
        scene.play(wrong_address())
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR", "WARNING"]


def test_a_wrong_key_is_told_loudly_once(caplog: pytest.LogCaptureFixture) -> None:
    """It says what to do, keeps everything, asks once a minute with the one batch, and resumes by itself."""
    scene = Scene(rows=100, random=lambda: 0.0)
    scene.destination.answer_next(*[Receipt(LOCKED, "401 Unauthorized")] * 4)

    async def wrong_key() -> None:
        async with scene.running():
            await asyncio.sleep(3.5 * PROBE)
            assert scene.relay.stats.state is RelayState.LOCKED
            assert scene.standing == (100, 0, 0)
            assert len(scene.payloads) == 4
            assert len(set(scene.payloads)) == 1
            await asyncio.sleep(PROBE)
            assert scene.relay.stats.state is RelayState.IDLE
            assert scene.standing == (0, 100, 0)

    with caplog.at_level(logging.INFO, "ldtrack"):
        scene.play(wrong_key())
    told, resumed = caplog.records
    assert told.levelname == "ERROR"
    assert "401 Unauthorized" in told.getMessage()
    assert "SDK key" in told.getMessage()
    assert "accepts events again" in resumed.getMessage()


def test_a_relay_that_is_restarted_tries_at_once_what_its_predecessor_postponed() -> None:
    """The key was put right, and the process restarted: nobody waits for the pause of one that is gone."""
    before = Scene(rows=3)
    before.destination.answer_next(*[LOCKED] * 30)

    async def wrong_key() -> None:
        async with before.running():
            await asyncio.sleep(8.5 * PROBE)

    before.play(wrong_key())
    after = Scene(backlog=before.backlog)
    after.clock.advance(RESTED)
    restarted = after.now
    assert after.play(after.relay.drain(1)) is True
    assert after.standing == (0, 3, 0)
    assert after.now == restarted


def test_relays_that_are_restarted_all_the_time_do_not_hammer() -> None:
    """However many begin, and however often, a batch goes out once in ten seconds at most."""
    first = Scene(rows=3)
    first.destination.answer_next(*[LOCKED] * 100)
    first.play(first.relay.step())
    for _ in range(50):
        first.clock.advance(1)
        again = Scene(backlog=first.backlog, destination=first.destination)
        again.play(again.relay.step())
    assert len(first.payloads) == 6
    assert len(set(first.payloads)) == 1


def test_a_bad_row_behind_a_lock_does_not_keep_it_shut() -> None:
    """The key is right again, and the batch that probes has a bad row: it is found as ever."""
    scene = Scene(rows=8, destination=RecordingDestination(refuses=lambda body: body == '"3"'))
    scene.destination.answer_next(LOCKED)
    assert scene.play(scene.relay.drain(2 * PROBE)) is True
    assert scene.standing == (0, 7, 1)


def test_one_batch_that_always_fails_does_not_hold_up_the_rest() -> None:
    """A batch at which the destination stumbles again and again makes room for others."""

    class Stumbling(RecordingDestination):
        async def deliver(self, batch: Batch) -> Receipt:
            return Receipt(LATER, "500") if '"0"' in batch.bodies else await super().deliver(batch)

    scene = Scene(destination=Stumbling(), rows=100)

    async def poison() -> None:
        async with scene.running():
            await asyncio.sleep(600)
            assert scene.standing == (10, 90, 0)

    scene.play(poison())


class Raising:
    """A destination with a mistake in it."""

    def __init__(self, *mistakes: Any) -> None:
        self.mistakes = [*mistakes]

    async def deliver(self, batch: Batch) -> Any:
        mistake = self.mistakes.pop(0) if self.mistakes else Receipt(Verdict.DELIVERED)
        if isinstance(mistake, BaseException):
            raise mistake
        return mistake

    async def aclose(self) -> None: ...


def test_a_destination_that_raises_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """A mistake in somebody's destination neither kills the relay nor loses a row; each kind is told once."""
    scene = Scene(destination=Raising(KeyError("a"), KeyError("b"), OSError("c"), None), rows=3)
    with caplog.at_level(logging.WARNING, "ldtrack"):
        assert scene.play(scene.relay.drain(60)) is True
    assert scene.standing == (0, 3, 0)
    assert scene.relay.stats.errors == 4
    kinds = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert kinds == ["the destination raised " + kind for kind in ("KeyError", "OSError", "TypeError")]
    assert all(record.exc_info for record in caplog.records)
    assert scene.relay.stats.last_error == (
        'the destination raised TypeError("a destination\'s deliver() must return a Receipt, got None")'
    )


def test_a_destination_that_cancels_itself_is_tried_again() -> None:
    """Nobody told the relay to end, so it does not."""
    scene = Scene(destination=Raising(asyncio.CancelledError()), rows=3)
    assert scene.play(scene.relay.drain(60)) is True
    assert scene.standing == (0, 3, 0)
    assert scene.relay.stats.errors == 1


class Stop(BaseException):
    """Not an `Exception`: it is meant to end the program."""


@pytest.mark.parametrize("nth", [0, 1, 2])
def test_what_ends_the_program_is_not_wrapped(nth: int) -> None:
    """No exception group leaves the relay, though several batches are under way in one."""
    scene = Scene(destination=Raising(*[Receipt(Verdict.DELIVERED)] * nth, Stop("now")), rows=50)
    with pytest.raises(Stop, match="now"):
        scene.play(scene.relay.drain(60))


def test_an_attempt_ends_before_its_loan() -> None:
    """A destination that keeps silent is given half of the loan; then the batch is put back."""
    scene = Scene(rows=1, loan=20.0)
    scene.destination.hold()

    async def silence() -> None:
        async with scene.running():
            await asyncio.sleep(9.9)
            assert scene.relay.stats.state is RelayState.WORKING
            await asyncio.sleep(0.2)
            assert scene.relay.stats.state is RelayState.WAITING
            assert scene.relay.stats.last_error == "the destination did not answer within 10 s"
            scene.destination.release()
            await asyncio.sleep(2)
            assert scene.standing == (0, 1, 0)

    scene.play(silence())


class Failing(RecordingBacklog):
    """A backlog of which one method fails so many times, before or after it did its work."""

    def __init__(self, method: str, times: int, *, after: bool) -> None:
        super().__init__()
        self.left = times
        works = getattr(self, method)

        async def fails(*arguments: Any, **options: Any) -> Any:
            fails_now, self.left = self.left > 0, self.left - 1
            if not fails_now or after:
                answer = await works(*arguments, **options)
            if fails_now:
                raise LedgerError("the ledger cannot be reached")
            return answer

        setattr(self, method, fails)


@pytest.mark.parametrize("after", [False, True], ids=["undone", "done"])
@pytest.mark.parametrize("method", ["lease", "delivered", "postpone", "split", "set_aside"])
@pytest.mark.parametrize("times", [1, 4])
def test_a_ledger_that_fails_is_waited_for(
    method: str, times: int, after: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the ledger fails at, the relay goes on, and every row ends where it belongs, once."""
    backlog = Failing(method, times, after=after)
    destination = RecordingDestination(refuses=lambda body: body == '"3"')
    scene = Scene(backlog=backlog, destination=destination, rows=30)
    destination.answer_next(LATER)

    async def until_all_is_well() -> None:
        async with scene.running():
            await asyncio.sleep(1000)

    with caplog.at_level(logging.WARNING, "ldtrack"):
        scene.play(until_all_is_well())
    assert scene.standing == (0, 29, 1)
    assert sorted(destination.bodies) == sorted(f'"{n}"' for n in range(30) if n != 3)
    errors = scene.relay.stats.errors
    assert 1 <= errors <= times
    told = [record for record in caplog.records if "the ledger raised LedgerError" in record.getMessage()]
    assert len(told) == 1


def test_what_was_accepted_is_not_posted_again_when_the_ledger_is_back() -> None:
    """The relay remembers for the ledger what it could not tell it."""
    scene = Scene(backlog=Failing("delivered", 3, after=False), rows=30)
    scene.play(scene.relay.drain(60))
    assert len(scene.destination.attempts) == 3
    assert scene.standing == (0, 30, 0)


def test_a_ledger_that_is_away_is_not_pressed() -> None:
    """Between two questions lie waits that grow, and many batches under way do not ask for each other."""
    scene = Scene(rows=10)
    asked: list[float] = []

    async def away(batch: Batch) -> None:
        asked.append(scene.now)
        raise LedgerError("the ledger cannot be reached")

    async def outage() -> None:
        async with scene.running():
            await asyncio.sleep(0.5)
            scene.add(100)
            scene.backlog.delivered = away
            await asyncio.sleep(40)

    scene.play(outage())
    assert len(scene.destination.attempts) <= 3
    first = asked[0]
    assert len([at for at in asked if at < first + 1]) <= 2
    assert len(asked) <= 7


def test_a_ledger_that_is_back_is_worked_with_as_before() -> None:
    """Several batches at once again, and the next failure is a first one."""
    scene = Scene(rows=10)

    async def ups_and_downs() -> None:
        async with scene.running():
            for _ in range(6):
                await asyncio.sleep(2)
                scene.backlog.fail_next()
                await asyncio.sleep(1)
                assert scene.relay.stats.state is RelayState.WAITING
                assert scene.relay.stats.waiting_until <= scene.clock.time() + 1 + MARGIN
            await asyncio.sleep(2)
            scene.backlog.fail_next()
            await asyncio.sleep(1)
            scene.add(10)
            await asyncio.sleep(2)
            scene.destination.hold()
            scene.add(50)
            await asyncio.sleep(2)
            assert in_the_air(scene) == 2
            scene.destination.release()

    scene.play(ups_and_downs())


def test_one_batch_is_enough_to_see_that_the_ledger_is_back() -> None:
    """There is more in it than can be seen the end of, and several batches are on their way again."""
    scene = Scene(rows=200)
    most = watch(scene)
    scene.backlog.fail_next()
    assert scene.play(scene.relay.drain(10)) is True
    assert (most[0], max(most)) == (1, 2)


def test_a_failure_of_the_ledger_is_waited_out_by_drain() -> None:
    """However short the wait that was drawn."""
    scene = Scene(rows=3, random=lambda: 0.0)
    scene.backlog.fail_next(2)
    assert scene.play(scene.relay.drain(10)) is True
    assert scene.standing == (0, 3, 0)


def test_the_wait_that_is_asked_for_is_kept_though_the_ledger_fails() -> None:
    """The batch could not be put back; the destination has asked for peace nevertheless."""
    scene = Scene(backlog=Failing("postpone", 1, after=False), rows=20)
    scene.destination.answer_next(Receipt(LATER, "busy", 50.0))

    async def asked() -> None:
        async with scene.running():
            await asyncio.sleep(50)
            assert len(scene.destination.attempts) == 1
            await asyncio.sleep(50)

    scene.play(asked())
    assert scene.standing == (0, 20, 0)


def test_a_question_that_is_dropped_is_an_error_of_the_ledger() -> None:
    """A ledger whose own task is cancelled does not end the relay."""
    scene = Scene(rows=3)
    lease, dropped = scene.backlog.lease, [True]

    async def drops(**options: Any) -> Batch | None:
        if dropped and dropped.pop():
            raise asyncio.CancelledError
        return await lease(**options)

    scene.backlog.lease = drops
    assert scene.play(scene.relay.drain(10)) is True
    assert scene.standing == (0, 3, 0)
    assert scene.relay.stats.errors == 1


def test_an_idle_relay_looks_now_and_then() -> None:
    """What is recorded while it is idle goes out within the interval."""
    scene = Scene(interval=5.0)

    async def idle() -> None:
        async with scene.running():
            await asyncio.sleep(0.1)
            scene.add(1)
            assert scene.relay.stats.state is RelayState.IDLE
            await asyncio.sleep(4)
            assert scene.standing == (1, 0, 0)
            await asyncio.sleep(1)
            assert scene.standing == (0, 1, 0)

    scene.play(idle())


def test_hurry_ends_the_interval() -> None:
    """From whatever thread, and once each time."""
    scene = Scene(interval=3600.0)

    async def hurried() -> None:
        async with scene.running():
            await asyncio.sleep(1)
            scene.add(1)
            thread = threading.Thread(target=scene.relay.hurry)
            thread.start()
            thread.join()
            await asyncio.sleep(0.1)
            assert scene.standing == (0, 1, 0)
            scene.add(1)
            await asyncio.sleep(10)
            assert scene.standing == (1, 1, 0), "once rung is not for ever"

    scene.play(hurried())


def test_hurry_does_not_press_a_destination_that_fails() -> None:
    """The wait that a failure asked for stays."""
    scene = Scene(rows=1)
    scene.destination.answer_next(Receipt(LATER, "busy", 100.0))

    async def hurried() -> None:
        async with scene.running():
            await asyncio.sleep(1)
            scene.relay.hurry()
            await asyncio.sleep(90)
            assert len(scene.destination.attempts) == 1

    scene.play(hurried())


def test_hurry_after_the_loop_is_gone() -> None:
    """A loop that was closed under a waiting relay is no reason to raise."""
    scene = Scene()
    loop = asyncio.new_event_loop()
    waiting = scene.relay.run()
    task = loop.create_task(waiting)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    loop.close()
    scene.relay.hurry()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is what this test is about
    with contextlib.suppress(RuntimeError):
        waiting.close()


def test_drain_gives_up_when_time_is_up() -> None:
    """It says so, and leaves the batch to whoever comes next, at once and under the same payload id."""
    scene = Scene(rows=1)
    scene.destination.hold()

    async def drained() -> None:
        assert await scene.relay.drain(3) is False
        assert scene.now == pytest.approx(3)
        scene.destination.release()
        assert await scene.relay.drain(3) is True

    scene.play(drained())
    [attempt] = scene.destination.attempts
    assert attempt.batch.attempts == 1
    assert scene.standing == (0, 1, 0)


def test_drain_does_not_wait_in_vain() -> None:
    """When the next attempt is later than the timeout, it says so at once."""
    scene = Scene(rows=1)
    scene.destination.answer_next(LOCKED)
    assert scene.play(scene.relay.drain(30)) is False
    assert scene.now < 1


def test_drain_beside_run() -> None:
    """Both do the same work, one at a time, and nothing is posted twice."""
    scene = Scene(rows=100, interval=3600.0)

    async def both() -> None:
        async with scene.running():
            await asyncio.sleep(10)
            scene.add(100)
            assert await scene.relay.drain(10) is True
            assert scene.standing == (0, 200, 0)

    scene.play(both())
    assert len(scene.destination.attempts) == 20


def test_step_carries_one_batch() -> None:
    """For tests: no waiting, and it says whether there was anything to carry."""
    scene = Scene(rows=11)

    async def steps() -> list[bool]:
        return [await scene.relay.step() for _ in range(3)]

    assert scene.play(steps()) == [True, True, False]
    assert scene.standing == (0, 11, 0)


def test_a_lost_loan_is_no_error() -> None:
    """Who comes late finds the batch split, refused or delivered by another, and lets it be."""
    scene = Scene(rows=4, loan=10.0)
    other = Relay(scene.backlog, RecordingDestination(), clock=scene.clock, owner="the other")

    async def late() -> None:
        for verdict in (LATER, REFUSED, Verdict.TOO_LARGE, Verdict.DELIVERED):
            scene.destination.answer_next(verdict)
            scene.destination.hold()
            slow = asyncio.create_task(scene.relay.step())
            await asyncio.sleep(1)
            # Frozen for as long as the loan lasts: the timer of the attempt has not gone off yet.
            scene.clock.advance(3)
            scene.backlog.store._batches[next(iter(scene.backlog.store._batches))].until = 0
            assert await other.step()
            scene.destination.release()
            assert await slow
            assert not await other.step()
            scene.add(4)

    scene.play(late())
    assert scene.standing == (4, 16, 0)
    assert scene.relay.stats.errors == 0


@pytest.mark.parametrize("name", ["batch_rows", "batch_chars", "concurrency", "loan", "interval"])
def test_options_that_cannot_be(name: str) -> None:
    """They are refused at once, by name."""
    with pytest.raises(ValueError, match=f"{name} must be .*, got 0"):
        Scene(**{name: 0})


def test_owners_differ() -> None:
    """No two relays take batches on loan under one name, unless they are told to."""
    assert Scene().relay.owner != Scene().relay.owner
    assert Scene(owner="me").relay.owner == "me"
