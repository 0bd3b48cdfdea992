"""The end of a process, as far as Python lets anybody know of it.

Rule for this file: what is asked of the interpreter, whose versions differ: when it tells of its end, and
whether it starts threads then. ``os._exit`` and signals tell nobody.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import logging
import os
import sys
from collections.abc import Callable, Collection
from typing import Any, Final

__all__ = ["await_all", "expect", "is_near"]

log: Final = logging.getLogger("ldtrack")

PATIENCE: Final = 5.0
"""For how many seconds a process that ends waits for what is not written yet, in all."""

_known_in: int | None = None
_near_in: int | None = None
# Both name the process: a forked child starts with its parent's answers.


def expect(last_step: Callable[[], object]) -> None:
    """Have the step done when this process ends; asked as often as one likes."""
    global _known_in  # noqa: PLW0603 - one process, one end
    if _known_in == os.getpid():
        return
    _known_in = os.getpid()

    def end() -> None:
        global _near_in  # noqa: PLW0603 - as above
        _near_in = os.getpid()
        last_step()

    atexit.register(end)
    # A child that multiprocessing has forked ends by os._exit, and before 3.13 asks only these.
    processes: Any = sys.modules.get("multiprocessing.util")
    if processes is not None:
        processes.Finalize(None, end, exitpriority=0)


def is_near() -> bool:
    """Whether the interpreter has begun to end: a thread that is started now may never run."""
    return _near_in == os.getpid()


def await_all(flights: Collection[concurrent.futures.Future[bool]]) -> None:
    """Wait for what is being written; patience is limited."""
    _, late = concurrent.futures.wait(flights, PATIENCE)
    if late:
        log.warning("ldtrack's ledger hangs or is away: what it was to record last is lost with this process")
