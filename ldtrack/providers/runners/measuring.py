"""How the calls of a graph's nodes are measured, which hand over as well as call tools.

Rule for this file: a handoff is recorded as one, and is no tool call.
"""

from __future__ import annotations

from typing import Any

from ldtrack.core.reading import Reading, Wants
from ldtrack.providers.runners.handoffs import is_handoff
from ldtrack.typing import Reader

__all__ = ["WithoutHandoffs"]


class WithoutHandoffs:
    """A reader that says what another one does, but for calls that are handoffs."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.wants: Wants = reader.wants
        self.marks_end: bool = reader.marks_end
        self.usage_hint: str = reader.usage_hint

    def recognises(self, item: object) -> bool:
        """Whether the other one does."""
        return self._reader.recognises(item)

    def read(self, item: Any) -> Reading | None:
        """What the other one says, without handoffs."""
        reading = self._reader.read(item)
        if reading is None or not reading.tool_calls:
            return reading
        calls = tuple(call for call in reading.tool_calls if not is_handoff(call.name))
        return reading._replace(tool_calls=calls)
