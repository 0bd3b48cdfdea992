"""What a Redis server says about itself, and what that means for a ledger.

Rule for this file: values and sentences. Nothing here talks to the server.
"""

from __future__ import annotations

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
_UNKNOWN: Final = "the server did not tell how it keeps its data; see its appendonly and appendfsync"


@attrs.frozen(kw_only=True)
class Facts:
    """What matters about a server; ``None`` where it did not tell."""

    is_cluster: bool = False
    eviction: str | None = None
    is_appending: bool | None = None
    fsync: str | None = None

    @classmethod
    def of(cls, info: Mapping[str, Any], config: Mapping[str, Any]) -> Facts:
        """The facts in what INFO and CONFIG GET answered; both may be empty."""
        appending = info.get("aof_enabled")
        eviction, fsync = info.get("maxmemory_policy"), config.get("appendfsync")
        return cls(
            is_cluster=info.get("redis_mode") == "cluster",
            eviction=None if eviction is None else str(eviction),
            is_appending=None if appending is None else bool(appending),
            fsync=None if fsync is None else str(fsync),
        )

    @property
    def durability(self) -> str:
        """What a recorded claim survives, in a sentence."""
        if self.is_appending is None:
            return _UNKNOWN
        if not self.is_appending:
            return _SNAPSHOTS
        return _FSYNC.get(self.fsync or "", _UNKNOWN_FSYNC)

    @property
    def warning(self) -> str:
        """What somebody has to change, or empty."""
        if self.eviction in {None, "noeviction"}:
            return ""
        return (
            f"it may evict claims and pending events when memory runs short (maxmemory-policy "
            f"{self.eviction}): events would be lost or counted twice; set maxmemory-policy to noeviction"
        )
