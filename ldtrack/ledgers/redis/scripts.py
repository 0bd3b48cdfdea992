"""What the server itself does for a ledger, in Lua: one script for each call of a store.

Rule for this file: which text a script is made of, and where its keys live. A script is one atomic step,
touches only the keys it was given, all of one shard and so of one slot, and tells the time by the server's
clock. Nothing in it is newer than Redis 6.2.

A shard of a ledger named ``ldtrack`` has these keys, and one more for each run:

- ``{ldtrack:0}:queue``: a stream of the rows that are not delivered yet, numbered by ourselves.
- ``{ldtrack:0}:batches``: a hash from a batch's number to a JSON object that says which range of the queue it
  is, under which payload id, and who has it on loan.
- ``{ldtrack:0}:due``: the same numbers, sorted by the moment from which anybody may take the batch.
- ``{ldtrack:0}:aside``: a stream of the rows that were refused, with the reason.
- ``{ldtrack:0}:state``: a hash of numbers: rows stored, rows batched, batches made, rows delivered.
- ``{ldtrack:0}:run:…``: a hash from a run's places to who claimed them. It expires.

The queue is a stream but has no consumer group. A group remembers who got which row, row by row, and
``XAUTOCLAIM`` hands rows over one by one; that they were posted together, under one payload id, would be
known to nobody. Here a batch is a range of the stream: leasing, taking over and splitting write a few bytes
and move no row, each row is written once to the append-only file and deleted once, and the head of the stream
is the oldest row that waits, leased or not.
"""

from __future__ import annotations

import hashlib
import zlib
from importlib import resources
from typing import Final

import attrs

__all__ = [
    "ASIDE",
    "DELIVERED",
    "DISCARD_ASIDE",
    "HASTEN",
    "LEASE",
    "OPEN",
    "POSTPONE",
    "RECORD",
    "RETRY_ASIDE",
    "SET_ASIDE",
    "SPLIT",
    "STANDING",
    "Script",
    "Shard",
    "shard_of",
]


@attrs.frozen
class Shard:
    """A part of a ledger whose keys all live on one server, because they share a hash tag."""

    number: int
    tag: str
    keys: tuple[str, ...] = attrs.field(repr=False)
    """Those that every script gets, in the order in which ``keys.lua`` names them."""

    @classmethod
    def of(cls, name: str, number: int) -> Shard:
        """The shard with that number of the ledger with that name."""
        tag = f"{{{name}:{number}}}"
        return cls(
            number, tag, tuple(f"{tag}:{key}" for key in ("queue", "aside", "batches", "due", "state"))
        )

    def run(self, run_id: str) -> str:
        """The key of a run's claims."""
        return f"{self.tag}:run:{run_id}"


def shard_of(run_id: str, shards: int) -> int:
    """Which shard a run belongs to, for good: on every host, in every version."""
    return zlib.crc32(run_id.encode("utf-8", "surrogatepass")) % shards if shards > 1 else 0


@attrs.frozen
class Script:
    """A text, and the digest by which the server knows it."""

    text: str = attrs.field(repr=False)
    sha: str

    @classmethod
    def of(cls, *parts: str) -> Script:
        """The script that consists of these files, one after the other."""
        folder = resources.files("ldtrack.ledgers.redis") / "lua"
        text = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("keys", *parts))
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


OPEN: Final = Script.of("open")
RECORD: Final = Script.of("record")
LEASE: Final = Script.of("drains", "clock", "loan", "lease")
DELIVERED: Final = Script.of("drains", "drop", "delivered")
POSTPONE: Final = Script.of("drains", "clock", "loan", "postpone")
HASTEN: Final = Script.of("drains", "clock", "hasten")
SPLIT: Final = Script.of("drains", "clock", "loan", "split")
SET_ASIDE: Final = Script.of("drains", "clock", "drop", "set_aside")
ASIDE: Final = Script.of("aside")
RETRY_ASIDE: Final = Script.of("drains", "retry_aside")
DISCARD_ASIDE: Final = Script.of("discard_aside")
STANDING: Final = Script.of("standing")
