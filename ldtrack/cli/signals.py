"""What a process is told by signals.

Rule for this file: from signals to calls. The first one that asks for an end asks politely; after the second
the process is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Self

__all__ = ["Signals"]

_ENDS: Final = ("SIGTERM", "SIGINT")
_LOOKS: Final = ("SIGHUP",)
"""Not there on Windows."""
_FROM_SHELLS: Final = 128
"""What shells add to a signal's number to make an exit code."""


class Signals:
    """While its block lasts, calls ``stop`` at the first signal to end, and ``look`` at each ``SIGHUP``.

    Both run in the running event loop. Whatever was there before comes back at the end of the block.
    """

    def __init__(self, stop: Callable[[str], None], look: Callable[[], None]) -> None:
        self._stop = stop
        self._look = look
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for name in (*_ENDS, *_LOOKS):
            number = getattr(signal, name, None)
            if number is None:
                continue
            handle = self._end if name in _ENDS else self._look_again
            # Only the main thread may ask for signals; in another, nothing is changed.
            with contextlib.suppress(ValueError):
                self._before[number] = signal.signal(number, handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    # In the middle of anything: so the loop is told, and nothing is done here.

    def _end(self, number: int, _: FrameType | None) -> None:
        if self._is_stopping:
            os._exit(_FROM_SHELLS + number)
        self._is_stopping = True
        self._tell(self._stop, signal.Signals(number).name)

    def _look_again(self, _: int, __: FrameType | None) -> None:
        self._tell(self._look)

    def _tell(self, act: Callable[..., None], *arguments: str) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed: the process is ending anyway
                self._loop.call_soon_threadsafe(act, *arguments)
