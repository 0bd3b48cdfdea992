"""A run, its trackers and its ledger, in loops that take one step at a time as a schedule says.

Rule for this file: actions and the world they act on. Nothing in here sleeps, waits or draws: a schedule is a
list of actions, and the same list gives the same story every time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import attrs
from ldclient import Context
from once import Asked, Evidence, Witness, perform, verify
from once_asks import ONCE, Bad, Empty, Explicit, Implicit, explicit_call
from step_loop import StepLoop, run_dry

from ldtrack.core.events import Attribution
from ldtrack.core.slots import Claim
from ldtrack.exceptions import LedgerError
from ldtrack.ids import new_run_id
from ldtrack.testing import ManualClock, RecordingLedger
from ldtrack.tracking.recorder import Recorder
from ldtrack.tracking.tracker import Tracker

__all__ = ["Action", "CredulousLedger", "StallingLedger", "World", "new_recorder", "play"]

ADA = Context.create("ada")
ATTRIBUTION = Attribution("chat", 3, "warm", "gpt", "openai")


class StallingLedger(RecordingLedger):
    """A recording ledger whose held claims may be answered one by one, in any order, or given up."""

    def __init__(self) -> None:
        super().__init__()
        self.given_up: list[Claim] = []
        self.excuses = 0
        """How often it was made to fail, and did."""

    def _record(self, claim: Claim) -> bool:
        self.excuses += self._failures > 0
        return super()._record(claim)

    def answer(self, at: int) -> None:
        """Answer one of the claims that are held."""
        if self._held:
            claim, future = self._held.pop(at % len(self._held))
            if not future.done():
                try:
                    future.set_result(self._record(claim))
                except LedgerError as error:
                    future.set_exception(error)

    def give_up(self, at: int) -> None:
        """Cancel one of the claims that are held."""
        if self._held:
            claim, future = self._held.pop(at % len(self._held))
            if future.cancel():
                self.given_up.append(claim)
                self.excuses += 1

    def recover(self) -> None:
        """Work again, and answer whatever is held."""
        self._failures = 0
        self.release()


class CredulousLedger(StallingLedger):
    """A ledger that takes every claim for the first: all that is once is then the tracker's doing."""

    def _record(self, claim: Claim) -> bool:
        self._filled.clear()
        return super()._record(claim)


def new_recorder(ledger: Any, **options: Any) -> Recorder:
    """A recorder over fakes; readers know nothing, so that the first chunk is the first token."""
    return Recorder(
        ledger=ledger,
        clock=ManualClock(),
        new_run_id=new_run_id,
        find_reader=lambda _: None,
        encode_token=lambda run_id, *_: run_id,
        **options,
    )


class World:
    """Everything a schedule acts on."""

    def __init__(
        self,
        ledger: StallingLedger | None = None,
        loops: int = 1,
        new_tracker: Callable[[Recorder, str | None], Any] | None = None,
    ) -> None:
        self.ledger = ledger or StallingLedger()
        self.witness = Witness(self.ledger)
        self.recorder = new_recorder(self.witness)
        self.loops = [StepLoop() for _ in range(loops)]
        self.asked: list[Asked] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._is_ours = new_tracker is None
        self._new_tracker = new_tracker or _our_tracker
        self.trackers: list[Any] = [self._new_tracker(self.recorder, None)]
        self.token = self.trackers[0].resumption_token

    def resume(self) -> None:
        """Resume one more tracker from the run's token."""
        self.trackers.append(self._new_tracker(self.recorder, self.token))

    def begin(self, ask: Explicit | Bad | Empty | Implicit, tracker: int = 0, loop: int = 0) -> Asked:
        """Ask something in a task of its own."""
        asked = Asked(len(self.asked), ask)
        self.asked.append(asked)
        work = perform(asked, self.trackers[tracker % len(self.trackers)], self.ledger.claims)
        self.tasks.append(self.loops[loop % len(self.loops)].create_task(work))
        return asked

    def cancel(self, at: int) -> None:
        """Cancel one of the calls that are not over."""
        live = [pair for pair in zip(self.asked, self.tasks, strict=True) if not pair[1].done()]
        if live:
            asked, task = live[at % len(live)]
            asked.is_called_off = True
            task.cancel()

    def settle(self) -> None:
        """Let the dust settle: nobody spins while the ledger stalls, and all get done once it works."""
        run_dry(self.loops)
        self.ledger.recover()
        run_dry(self.loops)
        stuck = [asked for asked, task in zip(self.asked, self.tasks, strict=True) if not task.done()]
        assert not stuck, f"waiting for ever: {stuck}"

    def evidence(self, *, is_last_word: bool = False) -> Evidence:
        """All there is to judge by."""
        return Evidence(
            asked=self.asked,
            events=[(event.key, event.data, event.metric_value) for event in self.ledger.events],
            summaries=[tracker.summary for tracker in self.trackers],
            attempts=self.witness.attempts,
            excuses=self.ledger.excuses,
            stats=self.recorder.stats() if self._is_ours else None,
            is_last_word=is_last_word,
        )

    def judge(self) -> None:
        """Judge what happened; then ask for every slot once more, and judge again."""
        self.settle()
        verify(self.evidence())
        for method in ONCE:
            self.begin(explicit_call(method, len(self.asked)), tracker=-1)
        self.settle()
        verify(self.evidence(is_last_word=True))
        for loop in self.loops:
            assert loop.errors == []
            assert loop.trespasses == []


def _our_tracker(recorder: Recorder, token: str | None) -> Tracker:
    return Tracker(recorder, ATTRIBUTION, ADA, token)


class Action(Protocol):
    """One thing that happens in a schedule."""

    def act(self, world: World) -> None: ...


@attrs.frozen
class Begin:
    """Somebody calls something."""

    ask: Callable[[int], Explicit | Bad | Empty | Implicit]
    tracker: int = 0
    loop: int = 0

    def act(self, world: World) -> None:
        world.begin(self.ask(len(world.asked)), self.tracker, self.loop)


@attrs.frozen
class Steps:
    """A loop gets on with its work."""

    times: int
    loop: int = 0

    def act(self, world: World) -> None:
        for _ in range(self.times):
            world.loops[self.loop % len(world.loops)].step()


@attrs.frozen
class Cancel:
    """Somebody gives up."""

    at: int

    def act(self, world: World) -> None:
        world.cancel(self.at)


@attrs.frozen
class Hold:
    """The ledger stalls."""

    def act(self, world: World) -> None:
        world.ledger.hold()


@attrs.frozen
class Release:
    """The ledger answers everything, and at once from here on."""

    def act(self, world: World) -> None:
        world.ledger.release()


@attrs.frozen
class Answer:
    """The ledger answers one claim, not necessarily the oldest."""

    at: int

    def act(self, world: World) -> None:
        world.ledger.answer(self.at)


@attrs.frozen
class GiveUp:
    """The ledger cancels one claim."""

    at: int

    def act(self, world: World) -> None:
        world.ledger.give_up(self.at)


@attrs.frozen
class Fail:
    """The ledger fails a few times."""

    times: int

    def act(self, world: World) -> None:
        world.ledger.fail_next(self.times)


@attrs.frozen
class Resume:
    """Another tracker of the same run appears."""

    def act(self, world: World) -> None:
        world.resume()


@attrs.frozen
class Drop:
    """The oldest tracker is let go of, if there is another one: what it recorded lives on in that."""

    def act(self, world: World) -> None:
        if len(world.trackers) > 1:
            del world.trackers[0]


@attrs.frozen
class PassTime:
    """A timer goes off."""

    loop: int = 0

    def act(self, world: World) -> None:
        world.loops[self.loop % len(world.loops)].pass_time()


def play(world: World, schedule: Iterable[Action]) -> None:
    """Act a schedule out and judge it."""
    for action in schedule:
        action.act(world)
    world.judge()
