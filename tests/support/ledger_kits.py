"""Ledgers as the contract sees them: what they are made of, how to make them fail, what came out of them.

Rule for this file: one kit per ledger. A new ledger passes the contract when its kit is in ``KITS``.
"""

from __future__ import annotations

import abc
import asyncio
import copy
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import store_kits
from ldclient import Context

from ldtrack.core.events import Attribution
from ldtrack.core.row import Row
from ldtrack.core.slots import Claim, Metric
from ldtrack.delivery import LDClientDestination
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers import MemoryLedger
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.store import Store
from ldtrack.testing import RecordingClient, RecordingLedger

__all__ = ["KITS", "DurableKit", "Kit", "MemoryKit", "RecordingKit", "a_claim", "kit_maker"]

ADA = Context.create("ada")
CHAT = Attribution("chat", 3, "warm", "gpt", "openai")


def a_claim(metric: Metric, value: Any, run_id: str = "run-1") -> Claim:
    """A claim as a tracker makes it."""
    return Claim(run_id, metric, metric.events(CHAT.data_of(run_id), value), ADA)


class Kit(abc.ABC):
    """A ledger, and a way to what is behind it."""

    breaks_off = False
    """Whether what is behind it takes a claim's events one by one, and so may break off between them."""

    ledger: Any

    async def submit(self, claim: Claim) -> bool:
        """Hand a claim over, and wait for the answer where it has to be waited for."""
        answer = self.ledger.submit(claim)
        return answer if isinstance(answer, bool) else await answer

    @abc.abstractmethod
    def refuse_next(self) -> None:
        """Let the next claim fail as a whole."""

    def break_off_after(self, events: int) -> None:
        """Let whatever is behind the ledger refuse one event, after so many; asked only if it can."""
        raise AssertionError(f"{type(self).__name__} takes a claim's events whole or not at all")

    @abc.abstractmethod
    async def delivered(self) -> list[tuple[str, Any, float, Context]]:
        """Key, data, value and context of everything that has come out, in order."""


class RecordingKit(Kit):
    """The fake that users test with."""

    def __init__(self) -> None:
        self.ledger = RecordingLedger()

    def refuse_next(self) -> None:
        self.ledger.fail_next()

    async def delivered(self) -> list[tuple[str, Any, float, Context]]:
        return [(one.key, one.data, one.metric_value or 0, one.context) for one in self.ledger.events]


class PlannedClient(RecordingClient):
    """A client that refuses events by plan; as thread-safe as the real one."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: list[bool] = []
        self._lock = threading.Lock()

    def track(self, *arguments: Any) -> None:
        with self._lock:
            if self.plan and self.plan.pop(0):
                raise OSError("no room in the queue")
            super().track(*arguments)


class MemoryKit(Kit):
    """The default, straight into a client."""

    breaks_off = True

    def __init__(self, **options: Any) -> None:
        self.client = PlannedClient()
        self.ledger = MemoryLedger(LDClientDestination(self.client), **options)

    def refuse_next(self) -> None:
        self.break_off_after(0)

    def break_off_after(self, events: int) -> None:
        self.client.plan = [False] * events + [True]

    async def delivered(self) -> list[tuple[str, Any, float, Context]]:
        await self.ledger.flush(1)
        return [(one.key, one.data, one.metric_value or 0, one.context) for one in self.client.events]


class RefusingStore:
    """A store that refuses some rows for good, however they come; the rest is the real one's."""

    def __init__(self, store: Store, kit: DurableKit) -> None:
        self._store = store
        self._kit = kit

    def record(self, rows: Sequence[Row]) -> list[bool]:
        if self._kit.to_refuse:
            self._kit.to_refuse -= 1
            self._kit.refused.add(rows[0].claimant)
        if any(row.claimant in self._kit.refused for row in rows):
            raise LedgerError("the disk is full")
        return self._store.record(rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class DurableKit(Kit):
    """A durable ledger over a real store, and a relay that asks for one batch after another."""

    def __init__(self, store: store_kits.Kit) -> None:
        self.to_refuse = 0
        self.refused: set[int] = set()
        self._store = store
        self.ledger = DurableLedger(lambda: RefusingStore(store.open(), self), deadline=30)
        self._out: list[tuple[str, Any, float, Context]] = []

    def refuse_next(self) -> None:
        self.to_refuse += 1

    async def delivered(self) -> list[tuple[str, Any, float, Context]]:
        lent = {"owner": "kit", "limit": 3, "max_chars": 10_000, "seconds": 60}
        while batch := await self.ledger.lease(**lent):
            self._out += [self._read(event) for event in json.loads(f"[{','.join(batch.bodies)}]")]
            await self.ledger.delivered(batch)
        return copy.deepcopy(self._out)

    @staticmethod
    def _read(event: dict[str, Any]) -> tuple[str, Any, float, Context]:
        return event["key"], event["data"], event["metricValue"], Context.from_dict(event["context"])

    def destroy(self) -> None:
        asyncio.run(self.ledger.aclose())
        self._store.destroy()


IN_MEMORY: dict[str, Callable[[], Kit]] = {"memory": MemoryKit, "recording": RecordingKit}
DURABLE = {f"over {name}": kit for name, kit in store_kits.STORES.items()}
KITS = sorted([*IN_MEMORY, *DURABLE])


def kit_maker(name: str, request: pytest.FixtureRequest) -> Callable[[], Kit]:
    """Makes kits of that name; the test's end destroys them."""
    if name in IN_MEMORY:
        return IN_MEMORY[name]

    def make() -> Kit:
        kit = DurableKit(DURABLE[name](request))
        request.addfinalizer(kit.destroy)
        return kit

    return make


def in_threads(works: list[Callable[[], Any]]) -> list[Any]:
    """What each of the works returns, done by threads that start at the same moment."""
    start = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def work(at: int) -> None:
        start.wait(30)
        try:
            results[at] = works[at]()
        except Exception as error:  # noqa: BLE001 - handed over to the test
            results[at] = error

    threads = [threading.Thread(target=work, args=(at,), daemon=True) for at in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a thread hangs"
    return results


def waiting(kit: Kit, claim: Claim) -> bool:
    """Submit from a thread that has no event loop of its own yet."""
    return asyncio.run(kit.submit(claim))
