"""Ledgers as the contract sees them: what they are made of, how to make them fail, what came out of them.

Rule for this file: one kit per ledger. A new ledger passes the contract when its kit is in ``KITS``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from ldclient import Context

from ldtrack.core.events import Attribution
from ldtrack.core.slots import Claim, Metric
from ldtrack.delivery import LDClientDestination
from ldtrack.ledgers import MemoryLedger
from ldtrack.testing import RecordingClient, RecordingLedger

__all__ = ["KITS", "Kit", "MemoryKit", "RecordingKit", "a_claim"]

ADA = Context.create("ada")
CHAT = Attribution("chat", 3, "warm", "gpt", "openai")


def a_claim(metric: Metric, value: Any, run_id: str = "run-1") -> Claim:
    """A claim as a tracker makes it."""
    return Claim(run_id, metric, metric.events(CHAT.data_of(run_id), value), ADA)


class Kit:
    """A ledger, and a way to what is behind it."""

    breaks_off = False
    """Whether what is behind it takes a claim's events one by one, and so may break off between them."""

    ledger: Any

    async def submit(self, claim: Claim) -> bool:
        """Hand a claim over, and wait for the answer where it has to be waited for."""
        answer = self.ledger.submit(claim)
        return answer if isinstance(answer, bool) else await answer

    def refuse_next(self) -> None:
        """Let the next claim fail as a whole."""
        raise NotImplementedError

    def break_off_after(self, events: int) -> None:
        """Let whatever is behind the ledger refuse one event, after so many."""
        raise NotImplementedError

    async def delivered(self) -> list[tuple[str, Any, float, Context]]:
        """Key, data, value and context of everything that has come out, in order."""
        raise NotImplementedError


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


KITS: dict[str, Callable[[], Kit]] = {"memory": MemoryKit, "recording": RecordingKit}


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
