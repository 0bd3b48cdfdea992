"""Who we are, and where run ids and time come from unless somebody injects something else.

Rule for this file: the only place of the package that reads a clock or draws a random number.
"""

from __future__ import annotations

import binascii
import os
import struct
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


_PAGE: Final = 256
"""How many ids are made at once."""
_KEPT: Final = int.from_bytes(bytes.fromhex("ffffffffffff0fff3fffffffffffffff" * _PAGE))
_SET: Final = int.from_bytes(bytes.fromhex("00000000000040008000000000000000" * _PAGE))
"""Which bits of random bytes a UUID keeps, and which it sets: its version and its variant."""
_GROUPS: Final = struct.Struct("8s4s4s4s12s")

_ids: list[str] = []
if hasattr(os, "register_at_fork"):
    # A forked child must not hand out the ids that its parent will.
    os.register_at_fork(after_in_child=_ids.clear)


def new_run_id() -> str:
    """A random (version 4) UUID as text: what ``str(uuid.uuid4())`` gives, at a tenth of its cost.

    They are made by the page: one system call serves many.
    """
    while True:
        try:
            return _ids.pop()
        except IndexError:
            page = int.from_bytes(os.urandom(16 * _PAGE)) & _KEPT | _SET
            text = binascii.hexlify(page.to_bytes(16 * _PAGE))
            _ids.extend([b"-".join(groups).decode() for groups in _GROUPS.iter_unpack(text)])
