"""The terminal: lines that stay, and one that is written over.

Rule for this file: it decides once, from what the terminal is, how things look. What is said comes from
elsewhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Final, TextIO

import attrs

__all__ = ["Screen", "Style"]

_RESET: Final = "\x1b[0m"
_FANCY: Final = "─█░✓✗"


@attrs.frozen(kw_only=True)
class Style:
    """What a terminal can show."""

    is_live: bool = False
    """Whether a line can be written over."""
    has_colour: bool = False
    is_fancy: bool = False
    """Whether it shows more than ASCII."""

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str]) -> Style:
        """What this stream can show. ``NO_COLOR``, if set to anything, means what it says."""
        is_live = stream.isatty() and environment.get("TERM") != "dumb"
        return cls(
            is_live=is_live,
            has_colour=is_live and not environment.get("NO_COLOR"),
            is_fancy=_can_encode(_FANCY, stream.encoding),
        )

    @property
    def line(self) -> str:
        """What a rule is drawn with."""
        return "─" if self.is_fancy else "-"

    def mark(self, *, is_good: bool) -> str:
        """The sign for a check that holds, or does not."""
        good, bad = ("✓", "✗") if self.is_fancy else ("ok:", "FAILED:")
        return self._painted(good, "32") if is_good else self._painted(bad, "31")

    def bold(self, text: str) -> str:
        """For what the eye should find first."""
        return self._painted(text, "1")

    def dim(self, text: str) -> str:
        """For what may be overlooked."""
        return self._painted(text, "2")

    def bar(self, share: float, width: int = 20) -> str:
        """How much of something is done."""
        done, left = "█░" if self.is_fancy else "#."
        full = round(share * width)
        return done * full + self.dim(left * (width - full))

    def _painted(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}{_RESET}" if self.has_colour and text else text


def _can_encode(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class Screen:
    """Writes to one stream."""

    def __init__(self, stream: TextIO, style: Style) -> None:
        self._stream = stream
        self.style = style

    def say(self, *lines: str) -> None:
        """Write lines that stay."""
        for line in lines:
            self._stream.write(f"{self._erase()}{line}\n")
        self._stream.flush()

    def show(self, bar: str, text: str) -> None:
        """Write over the live line; on anything but a terminal, do nothing."""
        if self.style.is_live:
            room = shutil.get_terminal_size().columns - _BAR_ROOM
            self._stream.write(f"{self._erase()}{bar} {text[: max(0, room)]}")
            self._stream.flush()

    def _erase(self) -> str:
        return "\r\x1b[K" if self.style.is_live else ""


_BAR_ROOM: Final = 22
"""The bar, the space after it, and the last column, in which a cursor may jump to the next line."""
