"""One run, called from several threads over the memory ledger: with a baton, or let loose.

Rule for this file: the world of the threads and the ways to run them. What is right is for ``once`` to judge.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import attrs
import ldai.tracker
from answering_ledger import AnsweringLedger
from baton import PATIENCE, Baton, CooperativeLock, Turn
from once import Asked, Evidence, Witness, perform, verify
from once_asks import ONCE, Bad, Empty, Explicit, Implicit, explicit_call
from once_world import ADA, ATTRIBUTION, new_recorder

import ldtrack.core.slots
import ldtrack.delivery.ldclient
import ldtrack.ledgers.memory
import ldtrack.tracking.claimant
import ldtrack.tracking.recorder
import ldtrack.tracking.run_slots
import ldtrack.tracking.track_methods
import ldtrack.tracking.tracker
from ldtrack.delivery import LDClientDestination
from ldtrack.ledgers import MemoryLedger
from ldtrack.testing import RecordingClient
from ldtrack.tracking.tracker import Tracker

__all__ = ["Call", "Failure", "Flush", "Script", "ThreadWorld", "by_hand", "let_loose", "with_baton"]

WATCHED = tuple(
    str(module.__file__)
    for module in (
        ldtrack.core.slots,
        ldtrack.delivery.ldclient,
        ldtrack.ledgers.memory,
        ldtrack.tracking.claimant,
        ldtrack.tracking.recorder,
        ldtrack.tracking.run_slots,
        ldtrack.tracking.track_methods,
        ldtrack.tracking.tracker,
        ldai.tracker,
    )
)
"""Where threads may change over: all that decides, in our code and in the official tracker."""


@attrs.frozen
class Call:
    """One call in a thread's script."""

    ask: Callable[[int], Explicit | Bad | Empty | Implicit]
    tracker: int = 0


@attrs.frozen
class Failure:
    """The destination is to refuse one event, after so many that it still takes."""

    after: int = 0


@attrs.frozen
class Flush:
    """The ledger is flushed."""


Script = Sequence[Call | Failure | Flush]


class CountingClient(RecordingClient):
    """A recording client that refuses events by plan, and counts how often it did."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 0
        self.plan: list[bool] = []

    def track(self, *arguments: Any) -> None:
        try:
            is_refused = self.plan.pop(0)
        except IndexError:
            is_refused = False
        if is_refused:
            self.refusals += 1
            raise OSError("queue full")
        super().track(*arguments)


def by_hand(work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that waits for nothing, without an event loop."""
    try:
        while True:
            work.send(None)
    except StopIteration:
        return


class ThreadWorld:
    """Everything the threads share."""

    def __init__(
        self,
        new_tracker: Callable[[RecordingClient], Any] | None = None,
        *,
        twins: int = 2,
        answering: Sequence[bool] | None = None,
    ) -> None:
        """With ``answering``, over a ledger with a thread of its own, which fails where that says so."""
        self.client = CountingClient()
        self.ledger = MemoryLedger(LDClientDestination(self.client))
        self.answering = None if answering is None else AnsweringLedger(self.ledger, answering)
        self.witness = Witness(self.answering or self.ledger)
        self.recorder = new_recorder(self.witness)
        self.asked: list[Asked] = []
        self._is_ours = new_tracker is None
        self.trackers: list[Any] = []
        if new_tracker is not None:
            self.trackers = [new_tracker(self.client)]
        else:
            self.trackers = [Tracker(self.recorder, ATTRIBUTION, ADA)]
            token = self.trackers[0].resumption_token
            self.trackers += [Tracker(self.recorder, ATTRIBUTION, ADA, token) for _ in range(twins)]

    def works(self, scripts: Sequence[Script]) -> list[Callable[[], list[Coroutine[Any, Any, None]]]]:
        """For each script, what makes its steps; asks are numbered before anything runs."""
        numbered = [[self._step(item) for item in script] for script in scripts]
        return [lambda steps=steps: [step() for step in steps] for steps in numbered]  # type: ignore[misc]

    def _step(self, item: Call | Failure | Flush) -> Callable[[], Coroutine[Any, Any, None]]:
        if isinstance(item, Failure):
            return lambda: self._fail(item.after)
        if isinstance(item, Flush):
            return lambda: self.ledger.flush(0)
        asked = Asked(len(self.asked), item.ask(len(self.asked)))
        self.asked.append(asked)
        tracker = self.trackers[item.tracker % len(self.trackers)]
        return lambda: perform(asked, tracker)

    async def _fail(self, after: int) -> None:
        self.client.plan += [False] * after + [True]

    def judge(self) -> None:
        """Judge what happened; then ask for every slot once more, and judge again."""
        self._recover()
        verify(self._evidence())
        last = [Call(lambda number, method=method: explicit_call(method, number), -1) for method in ONCE]  # type: ignore[misc]
        for step in self.works([last])[0]():
            by_hand(step)
        self._recover()
        verify(self._evidence(is_last_word=True))

    def _recover(self) -> None:
        if self.answering is not None:
            by_hand(self.answering.aclose())
        self.client.plan.clear()
        by_hand(self.ledger.flush(0))

    def _evidence(self, *, is_last_word: bool = False) -> Evidence:
        return Evidence(
            asked=self.asked,
            events=[(event.key, event.data, event.metric_value or 0) for event in self.client.events],
            summaries=[tracker.summary for tracker in self.trackers],
            attempts=self.witness.attempts if self._is_ours else None,
            excuses=self.client.refusals + (self.answering.excuses if self.answering else 0),
            stats=self.recorder.stats() if self._is_ours else None,
            is_last_word=is_last_word,
        )


def with_baton(
    world: ThreadWorld, scripts: Sequence[Script], turns: Sequence[Turn], *, finely: bool = False
) -> Baton:
    """Run each script in a thread of its own, changing over as the turns say, and judge it."""
    baton = Baton(WATCHED, turns, finely=finely)
    world.ledger._lock = CooperativeLock(baton)  # type: ignore[assignment]  # as good as one
    world.recorder._lock = CooperativeLock(baton)  # type: ignore[assignment]  # as good as one

    def worker(make: Callable[[], list[Coroutine[Any, Any, None]]]) -> Callable[[], None]:
        return lambda: [by_hand(step) for step in make()] and None

    baton.run([worker(make) for make in world.works(scripts)])
    world.judge()
    return baton


def let_loose(
    world: ThreadWorld,
    scripts: Sequence[Script],
    *,
    switch_interval: float | None = None,
    task_factory: Any = None,
) -> None:
    """Run each script in a thread and an event loop of its own, all from the same moment, and judge it.

    The steps of a script are tasks of their own, begun together.
    """
    start = threading.Barrier(len(scripts))
    errors: list[BaseException] = []

    async def together(steps: list[Coroutine[Any, Any, None]]) -> None:
        await asyncio.gather(*steps)
        if world.answering is not None:
            # What was recorded on an exit is not waited for; a loop that ended now would never hear of it.
            await world.answering.answered()

    def worker(make: Callable[[], list[Coroutine[Any, Any, None]]]) -> None:
        try:
            # In debug mode a loop refuses to be called from another thread.
            with asyncio.Runner(debug=True) as runner:
                runner.get_loop().set_exception_handler(
                    lambda _, trouble: errors.append(AssertionError(trouble))
                )
                runner.get_loop().set_task_factory(task_factory)
                start.wait(PATIENCE)
                runner.run(together(make()))
        except BaseException as error:  # noqa: BLE001 - raised again where the test can see it
            errors.append(error)

    before = sys.getswitchinterval()
    threads = [threading.Thread(target=worker, args=(make,), daemon=True) for make in world.works(scripts)]
    try:
        if switch_interval is not None:
            sys.setswitchinterval(switch_interval)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a thread hangs"
    finally:
        sys.setswitchinterval(before)
    if errors:
        raise errors[0]
    world.judge()
