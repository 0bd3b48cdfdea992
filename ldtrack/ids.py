"""Who we are, and where run ids and time come from unless somebody injects something else.

Rule for this file: the only place of the package that reads a clock or draws a random number.
"""

from __future__ import annotations

import binascii
import itertools
import os
import random
import socket
import struct
import time
import uuid
from typing import Final

import attrs

from ldtrack.core.row import FIRST_CLAIMANT

__all__ = [
    "SDK_NAME",
    "VERSION",
    "SystemClock",
    "draw",
    "new_claimant",
    "new_owner",
    "new_payload_id",
    "new_run_id",
]

SDK_NAME: Final = "ldtrack"
"""The name under which this library makes itself known to LaunchDarkly: its own."""
VERSION: Final = "0.1.0"


@attrs.frozen
class SystemClock:
    """The machine's clocks."""

    monotonic_ns = staticmethod(time.perf_counter_ns)
    time = staticmethod(time.time)


draw: Final = random.SystemRandom().random
"""A number from 0 to 1, for waits that must not coincide: nor do they after a fork."""

_PAGE: Final = 256
"""How many ids are made at once."""
_KEPT: Final = int.from_bytes(bytes.fromhex("0000000000000fff3fffffffffffffff" * _PAGE))
"""Which bits of random bytes a UUID of version 7 keeps; the others are the time, its version and variant."""
_GROUPS: Final = struct.Struct("8s4s4s4s12s")

_ids: list[str] = []
_claimants = itertools.count(random.SystemRandom().randrange(FIRST_CLAIMANT, 1 << 62))


def new_run_id() -> str:
    """A UUID of version 7 as text, at a tenth of the cost of ``str(uuid.uuid4())``.

    It begins with the time, so that ledgers write runs of one time side by side: in an index over millions
    of runs, random ids touch a different page each. They are made by the page: one system call serves many.
    """
    while True:
        try:
            return _ids.pop()
        except IndexError:
            stamp = (time.time_ns() // 1_000_000).to_bytes(6) + bytes.fromhex("70008000000000000000")
            page = int.from_bytes(os.urandom(16 * _PAGE)) & _KEPT | int.from_bytes(stamp * _PAGE)
            text = binascii.hexlify(page.to_bytes(16 * _PAGE))
            _ids.extend([b"-".join(groups).decode() for groups in _GROUPS.iter_unpack(text)])


def new_claimant() -> int:
    """A number that no other submission has, here or elsewhere: a random start, and counting on from it."""
    return next(_claimants)


def new_payload_id() -> str:
    """A random UUID, as LaunchDarkly's SDKs name their payloads."""
    return str(uuid.uuid4())


def new_owner() -> str:
    """A name for who takes batches on loan: tells an operator where it runs, and nobody else has it."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"


def _forked() -> None:
    # A forked child must not hand out what its parent will.
    global _claimants  # noqa: PLW0603 - replaced, since a count cannot be set
    _ids.clear()
    _claimants = itertools.count(random.SystemRandom().randrange(FIRST_CLAIMANT, 1 << 62))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
