"""What a Redis server says about itself, and what that means for a ledger.

Rule for this file: values and sentences. Nothing here talks to the server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

__all__ = ["Facts"]

_FSYNC: Final = {
    "always": "a recorded claim survives a crash of the server and of its machine (appendfsync always)",
    "everysec": (
        "a recorded claim survives a crash of the server; the last second or two may be lost when its "
        "machine loses power (appendfsync everysec)"
    ),
    "no": (
        "a recorded claim survives a crash of the server; what the operating system had not written "
        "yet, half a minute as a rule, is lost when its machine loses power (appendfsync no)"
    ),
}
_UNKNOWN_FSYNC: Final = (
    "a recorded claim survives a crash of the server; what is lost when its machine loses power depends on "
    "appendfsync, which the server did not tell"
)
_SNAPSHOTS: Final = (
    "what was recorded after the last snapshot is lost when the server crashes (appendonly no); "
    "switch appendonly on"
)
_HALF: Final = (
    "but what is recorded after a crash may be lost with the next restart, if a write was cut off "
    "(aof-load-truncated yes)"
)
_CUTS_WHOLE: Final = (9, 1, 2)
"""The first Valkey that we have seen cut off a transaction whole; no Redis does."""
_UNKNOWN: Final = "the server did not tell how it keeps its data; see its appendonly and appendfsync"


@attrs.frozen(kw_only=True)
class Facts:
    """What matters about a server; ``None`` where it did not tell."""

    is_cluster: bool = False
    eviction: str | None = None
    is_appending: bool | None = None
    fsync: str | None = None
    cuts_by_itself: bool | None = None
    """Whether it starts on a file whose last write was cut off, and leaves half a transaction in it: the
    first one of those that follow is lost with the next restart."""

    @classmethod
    def of(cls, info: Mapping[str, Any], config: Mapping[str, Any]) -> Facts:
        """The facts in what INFO and CONFIG GET answered; both may be empty."""
        appending = info.get("aof_enabled")
        eviction, fsync = info.get("maxmemory_policy"), config.get("appendfsync")
        truncated = config.get("aof-load-truncated")
        valkey = tuple(map(int, re.findall(r"\d+", str(info.get("valkey_version", "")))))
        return cls(
            # Valkey calls it by another name.
            is_cluster="cluster" in {info.get("redis_mode"), info.get("server_mode")},
            eviction=None if eviction is None else str(eviction),
            is_appending=None if appending is None else bool(appending),
            fsync=None if fsync is None else str(fsync),
            cuts_by_itself=None if truncated is None else str(truncated) == "yes" and valkey < _CUTS_WHOLE,
        )

    @property
    def durability(self) -> str:
        """What a recorded claim survives, in a sentence."""
        if self.is_appending is None:
            return _UNKNOWN
        if not self.is_appending:
            return _SNAPSHOTS
        promise = _FSYNC.get(self.fsync or "", _UNKNOWN_FSYNC)
        return f"{promise}; {_HALF}" if self.cuts_by_itself else promise

    @property
    def warnings(self) -> list[str]:
        """What somebody has to change, in a sentence each."""
        found = []
        if self.eviction not in {None, "noeviction"}:
            found.append(
                f"it may evict claims and pending events when memory runs short (maxmemory-policy "
                f"{self.eviction}): events would be lost or counted twice; set maxmemory-policy to noeviction"
            )
        if self.is_appending and self.cuts_by_itself:
            found.append(
                "when it crashes twice, events may be lost or counted twice: by itself it leaves half a "
                "transaction in its append-only file (aof-load-truncated yes); set aof-load-truncated to no, "
                "and have `redis-check-aof --fix` run before it starts"
            )
        return found
