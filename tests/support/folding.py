"""Folds chunks with a plain meter, the way a stream does, without a stream."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any

import attrs

from ldtrack.core.meter import Meter
from ldtrack.core.reading import CONTENT, Reading
from ldtrack.core.values import Ending, TokenUsage
from ldtrack.providers import ReaderRegistry
from ldtrack.typing import Reader


def read_by(reader: Reader, chunk: Any) -> Reading | None:
    """What the reader says. A chunk that it calls plain at a glance says no more than content."""
    reading = reader.read(chunk)
    assert not is_plain_to(reader, chunk) or reading is CONTENT
    return reading


def is_plain_to(reader: Reader, chunk: Any) -> bool:
    """Whether the reader, if it can be asked, calls this chunk plain; it may raise what a stream catches."""
    is_plain = getattr(reader, "is_plain", None)
    if is_plain is None:
        return False
    try:
        answer = is_plain(chunk)
    except Exception:  # noqa: BLE001 - as the stream does
        return False
    assert type(answer) is bool
    return answer


@attrs.define
class Folded:
    """What a stream of chunks says."""

    reader: Reader | None = None
    meter: Meter = attrs.field(factory=Meter)
    chunks: list[Any] = attrs.field(factory=list)
    first_token: int | None = None
    """The number of the chunk that was the first token, counted from 0."""

    def add(self, chunk: Any) -> None:
        """Fold one chunk in; the first one says which reader it takes."""
        if not self.chunks:
            self.reader = ReaderRegistry().find(chunk)
        self.chunks.append(chunk)
        reading = None if self.reader is None else read_by(self.reader, chunk)
        if reading is not None:
            self.meter.note(reading)
            if reading.content and self.first_token is None:
                self.first_token = len(self.chunks) - 1

    @property
    def usage(self) -> TokenUsage | None:
        return self.meter.token_usage()

    @property
    def tools(self) -> list[str]:
        return [*self.meter.tool_calls.values()]

    @property
    def ending(self) -> Ending:
        """How it ended, if it ran out by itself."""
        return self.meter.ending_when_exhausted(self.reader is not None and self.reader.marks_end)


def fold(chunks: Iterable[Any]) -> Folded:
    """Fold chunks that are all there."""
    folded = Folded()
    for chunk in chunks:
        folded.add(chunk)
    return folded


async def fold_stream(stream: AsyncIterable[Any], into: Folded | None = None) -> Folded:
    """Fold a real stream; what it raises passes."""
    folded = into or Folded()
    async for chunk in stream:
        folded.add(chunk)
    return folded
