"""Who we are, and where run ids and time come from unless somebody injects something else.

Rule for this file: the only place of the package that reads a clock or draws a random number.
"""

from __future__ import annotations

import os
import time
from typing import Final

import attrs

__all__ = ["SDK_NAME", "VERSION", "SystemClock", "new_run_id"]

SDK_NAME: Final = "ldtrack"
"""The name under which this library makes itself known to LaunchDarkly: its own."""
VERSION: Final = "0.1.0"


@attrs.frozen
class SystemClock:
    """The machine's clocks."""

    monotonic_ns = staticmethod(time.perf_counter_ns)
    time = staticmethod(time.time)


class _Pool:
    """Random bytes drawn a page at a time: one system call serves 256 ids."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        if hasattr(os, "register_at_fork"):
            # A forked child must not hand out the ids that its parent will.
            os.register_at_fork(after_in_child=self.ids.clear)

    def refill(self) -> None:
        text = os.urandom(4096).hex()
        self.ids.extend(text[start : start + 32] for start in range(0, len(text), 32))


_pool = _Pool()
_VARIANTS = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def new_run_id() -> str:
    """A random (version 4) UUID as text: what ``str(uuid.uuid4())`` gives, at a quarter of its cost."""
    try:
        text = _pool.ids.pop()
    except IndexError:
        _pool.refill()
        return new_run_id()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANTS[text[16]]}{text[17:20]}-{text[20:]}"
