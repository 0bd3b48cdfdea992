"""Blocking work in a thread that nobody has to wait for.

Rule for this file: it knows nothing of what the work is.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["in_daemon"]

T = TypeVar("T")


async def in_daemon(work: Callable[[], T]) -> T:
    """Run blocking work in a thread of its own; cancelling leaves it to itself, and drops what it returns.

    Not one of the loop's threads, nor one of anyio's: the interpreter waits for those at its end, however
    long a name server takes to answer, and an application that blocks all of its own must not stop this.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(put: Callable[[Any], None], value: object) -> None:
        if not result.done():
            put(value)

    def run() -> None:
        put: Callable[[Any], None] = result.set_result
        value: object
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the work is waited for
            put, value = result.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, put, value)

    threading.Thread(target=run, name="ldtrack-delivery", daemon=True).start()
    return await result
