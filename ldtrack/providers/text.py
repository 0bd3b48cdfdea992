"""Plain text and bytes: what an application streams that keeps the provider to itself.

Rule for this file: text says that it came, and nothing else.
"""

from __future__ import annotations

from typing import Any, Final

from ldtrack.core.reading import CONTENT, Reading, Wants

__all__ = ["TextReader"]


_TEXT: Final = (str, bytes, bytearray, memoryview)


class TextReader:
    """Reads ``str`` and ``bytes``: the first that is not empty is the first token.

    Text carries no usage and no finish mark, and there is nothing to switch on so that it would.
    """

    wants: Wants = Wants.FIRST
    marks_end: bool = False
    usage_hint: str = ""
    modules: tuple[str, ...] = ()

    def recognises(self, item: object) -> bool:
        """Whether this is text or bytes."""
        return isinstance(item, _TEXT)

    def read(self, item: Any) -> Reading | None:
        """Content, unless it is empty."""
        return CONTENT if self.recognises(item) and len(item) > 0 else None
