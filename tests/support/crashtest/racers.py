"""Forks processes that race for the slots of the same runs. A process of its own, run with a plan.

Rule for this file: it forks before there is a thread, as the supervisor does. Nobody starts before all are
ready.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from crashtest.plan import Plan
from crashtest.writer import race

__all__ = ["main"]


def main() -> int:
    """Race as many writers as the plan says that comes as the first argument; 0 if all came to the end."""
    plan = Plan.from_json(sys.argv[1])
    plan.import_ledger()
    gate, opener = os.pipe()
    ready, getting_ready = os.pipe()
    pids = []
    for number in range(plan.writers):
        pid = os.fork()
        if pid == 0:
            os.close(opener)
            _run(plan, number + 1, gate, getting_ready)
        pids.append(pid)
    os.close(getting_ready)
    for _ in pids:
        os.read(ready, 1)
    os.close(opener)  # the end of the file is what all of them read at once
    return sum([os.waitpid(pid, 0)[1] != 0 for pid in pids])


def _run(plan: Plan, number: int, gate: int, getting_ready: int) -> None:
    def start() -> None:
        os.write(getting_ready, b".")
        os.close(getting_ready)  # who ends early is not waited for
        os.read(gate, 1)

    status = 70
    try:
        race(plan, number, start)
        status = 0
    except BaseException:  # noqa: BLE001 - the child ends here, whatever it is
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
