"""What a child writes down: it must outlive the child, whenever that is killed.

Rule for this file: a line is one system call, appended to a file. The kernel has it before the child goes on.

An event is named by what follows LaunchDarkly's prefix in its key, and a tool call by its tool as well, so
that repeatable events can be told apart. A claim is a mapping from these names to metric values.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

__all__ = ["Entry", "Journal", "Said", "entries_in", "line_of", "name_of", "place_of", "tokens_in"]

Said = Literal["tried", "kept", "held", "taken", "failed"]
"""What a line says of a run's claims:

``tried``: they may be recorded from now on. ``kept``: the await returned True. ``held``: the await of a run's
exit returned, so that something was recorded, ours or an earlier one. ``taken``: the await returned False,
so that somebody else's was recorded. ``failed``: the await raised a ``LedgerError``.
"""

_PLACES = {
    "duration:total": "duration",
    "tokens:ttf": "first token",
    "tokens:total": "tokens",
    "tokens:input": "tokens",
    "tokens:output": "tokens",
    "generation:success": "outcome",
    "generation:error": "outcome",
    "feedback:user:positive": "feedback",
    "feedback:user:negative": "feedback",
}


class Entry(NamedTuple):
    """One line."""

    said: Said
    run_id: str
    events: dict[str, float | None]
    """Metric values by the events' names; ``None`` where any value will do."""


class Journal:
    """One child's lines."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, said: Said, run_id: str, events: Mapping[str, float | None]) -> None:
        os.write(self._file, json.dumps([said, run_id, events]).encode() + b"\n")


def entries_in(folder: Path) -> Iterator[Entry]:
    """All lines of all children. One that its writer could not finish was followed by nothing."""
    for path in sorted(folder.iterdir()):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield Entry(*json.loads(line))


def line_of(token: str) -> bytes:
    """A token as it is left for others, in a file that all append to.

    A kill may cut even one write in two, where a page of the file ends: what follows begins on a new line.
    """
    return b"\n%b.\n" % token.encode()


def tokens_in(piece: bytes) -> list[str]:
    """The tokens that are whole in a piece of that file."""
    return [line[:-1].decode() for line in piece.split(b"\n")[1:-1] if line.endswith(b".")]


def name_of(event: Mapping[str, Any]) -> str:
    """What an event is called here."""
    name = event["key"].removeprefix("$ld:ai:")
    return f"{name} {event['data']['toolKey']}" if name == "tool_call" else str(name)


def place_of(name: str) -> str:
    """Which slot an event fills; a repeatable one fills one of its own."""
    return _PLACES.get(name, name)
