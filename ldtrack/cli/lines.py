"""What a relay tells whoever reads its standard error: one line for each thing that happened.

Rule for this file: how a line looks, and what never gets into one. A line is written whole or not at all, and
nothing that goes wrong with writing it stops the relay.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from ldtrack.cli.address import HIDDEN

__all__ = ["FORMATS", "Lines"]

FORMATS: Final = ("json", "text")


class Lines:
    """Writes what happens, as JSON objects or as text: the time, a level, an event and its fields."""

    def __init__(
        self,
        form: str = "json",
        *,
        stream: TextIO | None = None,
        secrets: Callable[[], Iterable[str]] = tuple,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._render = _as_json if form == "json" else _as_text
        self._stream = stream or sys.stderr
        self._secrets = secrets
        self._now = now

    def info(self, event: str, **fields: object) -> None:
        """Something that is as it should be."""
        self.write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something that the relay deals with by itself."""
        self.write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Something that somebody has to look at."""
        self.write("error", event, fields)

    def write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """Write a line."""
        time = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = {name: self.hide(value) for name, value in fields.items() if value is not None}
        try:
            # In one call: lines of several threads must not mix.
            self._stream.write(self._render({"time": time, "level": level, "event": event}, said) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            # Nobody reads any more. Python flushes once more on its way out: let that succeed.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        except (OSError, ValueError):
            pass  # a full disk, or a stream that is closed

    def hide(self, value: object) -> object:
        """The same without anything secret."""
        if isinstance(value, str):
            for secret in self._secrets():
                value = value.replace(secret, HIDDEN)
        return value

    @contextlib.contextmanager
    def taking_logs(self) -> Iterator[None]:
        """Turn what libraries log into lines as well, while the block lasts."""
        handler = _ToLines(self)
        root, ours = logging.getLogger(), logging.getLogger("ldtrack")
        level = ours.level
        root.addHandler(handler)
        ours.setLevel(logging.INFO)
        try:
            yield
        finally:
            root.removeHandler(handler)
            ours.setLevel(level)


class _ToLines(logging.Handler):
    """Takes warnings of everybody, and of ``ldtrack`` what is less than that."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING and not record.name.startswith("ldtrack"):
            return
        level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
        kind = record.exc_info[0] if record.exc_info else None
        fields = {"logger": record.name, "message": record.getMessage(), "error": kind and kind.__name__}
        self._lines.write(level, "log", fields)


def _as_json(head: dict[str, str], fields: dict[str, object]) -> str:
    return json.dumps(head | fields, default=str)


def _as_text(head: dict[str, str], fields: dict[str, object]) -> str:
    said = " ".join(f"{name}={_plain(value)}" for name, value in fields.items())
    return f"{head['time']} {head['level'].upper():<7} {head['event']} {said}".rstrip()


def _plain(value: object) -> str:
    """Quoted if there is anything in it that would make it look like two, or like two lines."""
    text = str(value)
    return text if text.isprintable() and text and not set(text) & set(' "=') else json.dumps(text)
