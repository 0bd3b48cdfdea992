"""Forks children and kills them at random instants. A process of its own: run as a script, with a plan.

Rule for this file: it forks before there is a thread, a loop or anything of ldtrack's but its modules, and it
alone kills: a child is killed only while it is ours and not yet waited for. Nothing outlives it for long.
"""

from __future__ import annotations

import gc
import heapq
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from crashtest.carrier import carry_forever
from crashtest.journal import entries_in
from crashtest.plan import Plan
from crashtest.writer import write_forever

Role: TypeAlias = Literal["writer", "carrier"]

_WORK: dict[Role, Callable[[Plan, int], None]] = {"writer": write_forever, "carrier": carry_forever}
PATIENCE = 60.0
"""For how many seconds the killing goes on when nothing was recorded yet."""
_MASSACRES = 0.04
"""How often all are killed at once: then nobody is left who holds the ledger open."""


class Supervisor:
    """Children, and when they are to die."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._random = random.Random(f"{plan.seed} supervisor")
        self._due: list[tuple[float, int, Role, int]] = []
        self._born = 0
        self.killed: dict[str, int] = {"writer": 0, "carrier": 0, "together": 0}
        self.ended: list[str] = []
        """Children that ended by themselves, which none should."""

    def work(self) -> None:
        """Keep as many alive as the plan says, until as many were killed."""
        try:
            roles: list[Role] = ["writer"] * self._plan.writers + ["carrier"] * self._plan.carriers
            for role in roles:
                self._bear(role)
            until = time.monotonic() + PATIENCE
            while self._has_kills_left() or (self._has_shown_nothing() and time.monotonic() < until):
                self._kill_next()
        finally:
            while self._due:
                self._kill(*heapq.heappop(self._due)[1:])

    def _has_kills_left(self) -> bool:
        return self.killed["writer"] + self.killed["carrier"] < self._plan.kills

    def _has_shown_nothing(self) -> bool:
        """Whether all died before anything was recorded, as they may where the machine is busy."""
        return not any(entry.said in ("kept", "held") for entry in entries_in(self._plan.journals))

    def _kill_next(self) -> None:
        is_massacre = self._random.random() < _MASSACRES
        due = self._due[0][0]
        # The one sleep of the tests: a kill comes at a random instant of real time, and nothing waits for it.
        time.sleep(max(0.0, due - time.monotonic()))
        doomed = [heapq.heappop(self._due) for _ in range(len(self._due) if is_massacre else 1)]
        self.killed["together"] += is_massacre
        for _, pid, _, _ in doomed:
            os.kill(pid, signal.SIGSTOP if is_massacre else signal.SIGKILL)
        for _, pid, role, number in doomed:
            self._kill(pid, role, number)
        for _, _, role, _ in doomed:
            self._bear(role)

    def _kill(self, pid: int, role: Role, number: int) -> None:
        os.kill(pid, signal.SIGKILL)  # it is ours until it is waited for, alive or not
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            self.killed[role] += 1
        else:
            self.ended.append(f"{role} {number} ended by itself, with status {status}")

    def _bear(self, role: Role) -> None:
        self._born += 1
        number = self._born
        # A third dies while it opens the ledger or has just begun.
        is_early = self._random.random() < 0.35
        lifetime = self._random.expovariate(1 / 0.015) if is_early else self._random.uniform(0, 0.7)
        pid = os.fork()
        if pid == 0:
            _live(lambda: _WORK[role](self._plan, number))
        heapq.heappush(self._due, (time.monotonic() + lifetime, pid, role, number))


def _live(work: Callable[[], Any]) -> None:
    """What a child does instead of going on as a second supervisor."""
    try:
        work()
    except BaseException:  # noqa: BLE001 - the child ends here, whatever it is
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(70)


def main() -> None:
    """Do what the plan says that comes as the first argument, and say how it went."""
    plan = Plan.from_json(sys.argv[1])
    plan.import_ledger()
    supervisor = Supervisor(plan)
    gc.freeze()  # children need not look at what is the supervisor's
    supervisor.work()
    sys.stdout.write(json.dumps({"killed": supervisor.killed, "ended": supervisor.ended}))


if __name__ == "__main__":
    main()
