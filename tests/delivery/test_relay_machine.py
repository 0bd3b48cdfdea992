"""Relays in any trouble that hypothesis can think of: in the end every row has counted once, or is set aside.

The model endpoint judges as LaunchDarkly does: by payload id. What it accepts under one id counts once,
however often it comes; the same row under two ids counts twice, and that is what must not happen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import attrs
import hypothesis
import pytest
from clock_loop import ClockLoop
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from ldtrack.core.pacing import REPEATS
from ldtrack.delivery import Relay
from ldtrack.exceptions import LedgerError
from ldtrack.ids import new_payload_id
from ldtrack.testing import ManualClock, RecordingBacklog
from ldtrack.typing import Batch, Destination, Receipt, Standing, Verdict

TOO_LARGE = 60
TROUBLES = [
    "503",
    "cut before",
    "cut after",
    "silent before",
    "silent after",
    "401",
    "400 to all",
    "400 by a proxy",
    "raises",
]
BODIES = ["good"] * 6 + ["bad", "huge"]


class Endpoint:
    """Accepts what is good, each payload once, whatever the network makes of the answer."""

    def __init__(self) -> None:
        self.trouble = ""
        self.accepted: dict[str, tuple[str, ...]] = {}
        self.refused_on_the_way: Counter[str] = Counter()

    async def deliver(self, batch: Batch) -> Receipt:
        # Judged before anything is awaited: a batch arrives or it does not, at one moment.
        judged = self._arrive(batch)
        await asyncio.sleep(0)
        if self.trouble.startswith("silent"):
            await asyncio.sleep(3600)
        if self.trouble == "raises":
            raise KeyError("a mistake in somebody's destination")
        return judged

    def _arrive(self, batch: Batch) -> Receipt:
        if self.trouble in {"503", "cut before", "silent before", "raises"}:
            return Receipt(Verdict.LATER, self.trouble, 30.0 if self.trouble == "503" else None)
        if self.trouble == "401":
            return Receipt(Verdict.LOCKED, self.trouble)
        if self.trouble == "400 by a proxy" and self.refused_on_the_way[batch.payload_id] < REPEATS:
            self.refused_on_the_way[batch.payload_id] += 1
            return Receipt(Verdict.REFUSED, self.trouble)
        if batch.payload_id not in self.accepted:
            # A payload that it knows is never refused for good: else nobody could tell what became of it.
            if batch.size > TOO_LARGE:
                return Receipt(Verdict.TOO_LARGE, "too large")
            if self.trouble == "400 to all" or any("bad" in body for body in batch.bodies):
                return Receipt(Verdict.REFUSED, "refused")
            self.accepted[batch.payload_id] = batch.bodies
        lost = self.trouble in {"cut after", "silent after"}
        return Receipt(Verdict.LATER, "cut") if lost else Receipt(Verdict.DELIVERED)

    @property
    def counted(self) -> Counter[str]:
        return Counter(body for bodies in self.accepted.values() for body in bodies)

    async def aclose(self) -> None: ...


class Line:
    """What connects one relay with the ledger: it may fail, before or after the work, or be cut for good."""

    def __init__(self, backlog: RecordingBacklog) -> None:
        self._backlog = backlog
        self.failures: list[str] = []
        self.is_dead = False

    async def _pass(self, method: str, *arguments: Any, **options: Any) -> Any:
        failure = self.failures.pop() if self.failures else ""
        await asyncio.sleep(0)
        if self.is_dead or failure == "before":
            raise LedgerError("the ledger cannot be reached")
        answer = await getattr(self._backlog, method)(*arguments, **options)
        if self.is_dead or failure == "after":
            raise LedgerError("the connection was lost")
        return answer

    async def lease(self, **options: Any) -> Batch | None:
        return await self._pass("lease", **options)

    async def delivered(self, batch: Batch) -> None:
        await self._pass("delivered", batch)

    async def postpone(self, batch: Batch, seconds: float) -> None:
        await self._pass("postpone", batch, seconds)

    async def hasten(self, seconds: float) -> None:
        await self._pass("hasten", seconds)

    async def split(self, batch: Batch) -> tuple[Batch, Batch] | None:
        return await self._pass("split", batch)

    async def set_aside(self, batch: Batch, reason: str) -> None:
        await self._pass("set_aside", batch, reason)

    async def standing(self) -> Standing:
        return await self._pass("standing")


@attrs.define
class Working:
    """A relay in a process of its own, as it were."""

    line: Line
    destination: Any
    task: asyncio.Task[Any]
    is_dead: bool = False


class Mortal:
    """A destination as seen from a process that may die: the dead post nothing."""

    def __init__(self, line: Line, destination: Destination) -> None:
        self._line, self._destination = line, destination

    async def deliver(self, batch: Batch) -> Receipt:
        if self._line.is_dead:
            await asyncio.sleep(1e9)
        return await self._destination.deliver(batch)

    async def aclose(self) -> None: ...


class Relays(RuleBasedStateMachine):
    """Several relays, one ledger, one endpoint, and all that may go wrong between them."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.loop = ClockLoop(self.clock)
        self.backlog = RecordingBacklog(self.clock)
        self.endpoint = Endpoint()
        self.working: list[Working] = []
        self.added = 0
        self.troubles: list[str] = []
        self.loop.set_exception_handler(lambda _, trouble: self.troubles.append(str(trouble)))

    def destination(self) -> Destination:
        return self.endpoint

    def do(self, scene: Any) -> Any:
        return self.loop.run_until_complete(scene)

    @rule(bodies=st.lists(st.sampled_from(BODIES), min_size=1, max_size=12))
    def record(self, bodies: list[str]) -> None:
        """Rows come in."""
        for body in bodies:
            self.added += 1
            self.backlog.add(f'"{body} {self.added}{"." * TOO_LARGE if body == "huge" else ""}"')

    @precondition(lambda self: len(self.working) < 3)
    @rule(way=st.sampled_from(["run", "step", "drain"]), rows=st.integers(1, 8), draw=st.floats(0, 1))
    def begin(self, way: str, rows: int, draw: float) -> None:
        """Another relay begins its work."""
        line = Line(self.backlog)
        destination = Mortal(line, self.destination())
        relay = Relay(line, destination, clock=self.clock, batch_rows=rows, random=lambda: draw)
        work = {"run": relay.run, "step": relay.step, "drain": lambda: relay.drain(100.0)}[way]
        self.working.append(Working(line, destination, self.loop.create_task(work())))

    @rule(ticks=st.integers(1, 40))
    def go_on(self, ticks: int) -> None:
        """All take so many steps, and no time passes."""

        async def steps() -> None:
            for _ in range(ticks):
                await asyncio.sleep(0)

        self.do(steps())

    @rule(seconds=st.sampled_from([0.1, 2.0, 29.0, 61.0, 700.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, and everybody is on time."""
        self.do(asyncio.sleep(seconds))

    @rule(seconds=st.sampled_from([1.0, 31.0, 61.0, 4000.0]))
    def freeze(self, seconds: float) -> None:
        """Time passes, and nobody notices before it is over."""
        self.clock.advance(seconds)

    @rule(trouble=st.sampled_from(["", "", *TROUBLES]))
    def trouble(self, trouble: str) -> None:
        """The network, the endpoint or somebody's destination changes its mind."""
        self.endpoint.trouble = trouble

    @precondition(lambda self: self.working)
    @rule(data=st.data(), failures=st.lists(st.sampled_from(["", "before", "after"]), max_size=4))
    def fail(self, data: st.DataObject, failures: list[str]) -> None:
        """One relay's ledger fails now and then."""
        data.draw(st.sampled_from(self.working)).line.failures = failures

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """One relay is told to end, wherever it is, and ends."""
        working = data.draw(st.sampled_from(self.working))
        self._end(working)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """One relay dies: nothing it does from here on has any effect."""
        working = data.draw(st.sampled_from(self.working))
        working.line.is_dead = True
        self._end(working)

    def _end(self, working: Working) -> None:
        self.working.remove(working)
        working.task.cancel()
        self.do(asyncio.wait([working.task]))
        if not working.task.cancelled() and working.task.exception() is not None:
            raise AssertionError("an error got out of a relay") from working.task.exception()

    def check(self) -> None:
        """Nothing counts twice, and what was set aside does not count."""
        counted = self.endpoint.counted
        twice = [body for body, times in counted.items() if times > 1]
        assert not twice, f"counted twice: {twice}"
        aside = [row.body for row in self.backlog.aside()]
        assert len(aside) == len(set(aside)), "set aside twice"
        assert not counted.keys() & set(aside), "counted and set aside"

    def teardown(self) -> None:
        try:
            self.check()
            for working in list(self.working):
                self._end(working)
            self.endpoint.trouble = ""
            self.check()
            self.do(self._deliver_the_rest())
            self.check()
            self._check_all_are_there()
            assert self.troubles == []
        finally:
            self._abandon()

    def _abandon(self) -> None:
        """Whatever still works when a check has failed is over, and so is what has not begun."""
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False
            task.cancel()
        self.loop.set_exception_handler(lambda *_: None)
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def _deliver_the_rest(self) -> None:
        """Whatever has happened, one relay and some time are enough."""
        relay = Relay(self.backlog, self.destination(), clock=self.clock)
        for _ in range(40):
            await relay.drain(300.0)
            if not (await self.backlog.standing()).pending:
                return
            self.clock.advance(1000.0)
        raise AssertionError(f"not all was delivered: {await self.backlog.standing()}")

    def _check_all_are_there(self) -> None:
        counted, aside = self.endpoint.counted, {row.body for row in self.backlog.aside()}
        assert len(counted) + len(aside) == self.added, "a row is lost"
        bad = {body for body in aside if "good" not in body}
        assert not [body for body in counted if "good" not in body]
        refused_with_all = aside - bad
        standing = self.backlog.store.standing()
        assert (standing.delivered, standing.set_aside) == (len(counted), len(aside))
        assert len(refused_with_all) <= self.added


class ForgettingRelays(Relays):
    """Negative control: every attempt has a payload id of its own."""

    def destination(self) -> Destination:
        return Renaming(self.endpoint)


class Renaming:
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def deliver(self, batch: Batch) -> Receipt:
        return await self._endpoint.deliver(attrs.evolve(batch, payload_id=new_payload_id()))

    async def aclose(self) -> None: ...


class CarelessRelays(Relays):
    """Negative control: what should come later counts as delivered."""

    def destination(self) -> Destination:
        return Careless(self.endpoint)


class Careless:
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def deliver(self, batch: Batch) -> Receipt:
        receipt = await self._endpoint.deliver(batch)
        return Receipt(Verdict.DELIVERED) if receipt.verdict is Verdict.LATER else receipt

    async def aclose(self) -> None: ...


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Troubles are logged, and here is nothing but trouble."""
    logger = logging.getLogger("ldtrack")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def test_every_row_counts_once() -> None:
    """Whatever the order of deaths, cancellations, freezes, failures and answers."""
    examples = min(hypothesis.settings.default.max_examples, 150)  # one may take a second
    run_state_machine_as_test(Relays, settings=hypothesis.settings(max_examples=examples))


CONTROL = hypothesis.settings(
    max_examples=2000,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.generate],
    print_blob=False,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.mark.parametrize(
    ("machine", "complaint"),
    [(ForgettingRelays, "counted twice"), (CarelessRelays, "a row is lost")],
    ids=["a new payload id for every attempt", "later taken for delivered"],
)
def test_a_careless_relay_is_found_out(machine: type[Relays], complaint: str) -> None:
    """Negative control: the machine sees what it is there to see."""
    with contextlib.redirect_stdout(None), pytest.raises(AssertionError, match=complaint):
        run_state_machine_as_test(machine, settings=CONTROL)
