"""What the chunks of a call show, and how little of them has to be looked at.

Rule for this file: it shows chunks to the reader, and the clock to the meter. It never waits, and whatever
a reader, a predicate, an extractor or an estimator raises stays in here (C5): it is counted, and who raised
is not asked again.

Chunks are *skimmed*: most of them are plain text, which a cheap question tells, and only the others are
looked at. Each look says how to skim what follows: ``None`` once there is nothing left to see, which makes
the rest of the stream free.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from ldtrack.core.meter import Meter
from ldtrack.core.reading import CONTENT, Reading, Wants
from ldtrack.core.values import LDAIMetrics, TokenUsage

if TYPE_CHECKING:
    from ldtrack.tracking.recorder import Recorder
    from ldtrack.typing import Estimator, Reader

__all__ = ["Lookout", "Skim", "skim_nothing"]

_ASKS: Final = 16
"""How many chunks are shown to all readers, as long as none knows them but the one that takes anything."""

Skim: TypeAlias = Callable[[Any], object]
"""Shown a chunk, says whether that was enough. Otherwise the chunk is looked at."""


def skim_nothing(_chunk: object) -> bool:
    """How to skim what has to be looked at, chunk by chunk."""
    return False


class Lookout:
    """Sees first token, usage and tool calls in the chunks of one call, or in its whole answer."""

    __slots__ = (
        *("_asks", "_estimator", "_guessed_by", "_has_first", "_held", "_is_first_token", "_recorder"),
        *("meter", "reader", "stated_ms"),
    )

    def __init__(
        self,
        recorder: Recorder,
        is_first_token: Callable[[Any], bool] | None,
        reader: Reader | None,
        estimator: Estimator | None,
    ) -> None:
        self._recorder = recorder
        self._is_first_token = is_first_token
        self._estimator = estimator
        self._held: Any = None
        self._asks = _ASKS if reader is None else 0
        self._guessed_by: Reader | None = None
        self._has_first = False
        self.reader = reader
        self.meter = Meter()
        self.stated_ms: int | None = None
        """A duration that an extractor read from the answer."""

    def look(self, chunk: Any) -> Skim | None:
        """Look at a chunk, and say how to skim what follows; ``None`` if nothing of it has to be seen."""
        if self._has_first:
            self._see(chunk)
        else:
            self._look_for_first(chunk)
        return self._skim()

    def _look_for_first(self, chunk: Any) -> None:
        """Find the reader, and then the first token."""
        if self._asks:
            self._find_reader(chunk)
        reading = self._see(chunk)
        if not self._is_first(chunk, reading):
            return
        was_guess = self._guessed_by is not None and self._guessed_by is not self.reader
        if self.meter.first_token_ns is None or was_guess:  # else it was guessed before, or read aside
            self.meter.first_token_ns = self._recorder.clock.monotonic_ns()
        if self._asks and self._is_first_token is None and reading is not None and reading.guessed:
            self._guessed_by = self.reader
        else:
            self._has_first = True

    def _find_reader(self, chunk: Any) -> None:
        """Ask who knows this chunk, and ask on as long as nobody does but a reader that gives way."""
        self._asks -= 1
        try:
            self.reader = self._recorder.find_reader(chunk) or self.reader
        except Exception as error:  # noqa: BLE001 - C5: a user's reader never breaks the stream
            self._recorder.failed("reader", error)
            self._asks = 0
        if self.reader is not None and not getattr(self.reader, "gives_way", False):
            self._asks = 0

    def _skim(self) -> Skim | None:
        if self._estimator is not None or not self._has_first:
            return skim_nothing
        reader = self.reader
        if reader is None or reader.wants is Wants.FIRST:
            return None
        if reader.wants is Wants.LAST:
            return self._hold_last
        return _plainness_of(reader) or self._read

    def _is_first(self, chunk: Any, reading: Reading | None) -> bool:
        if self._is_first_token is not None:
            try:
                return bool(self._is_first_token(chunk))
            except Exception as error:  # noqa: BLE001 - C5
                self._recorder.failed("first_token", error)
                self._is_first_token = None
        if self.reader is None:
            return chunk is not None  # a chunk of a kind nobody knows is timed all the same
        return reading is not None and reading.content

    def _read(self, chunk: Any) -> bool:
        # What _see does where nobody estimates, without the call: this is done for every chunk.
        reader = self.reader
        if reader is None:
            return False
        try:
            reading = reader.read(chunk)
            if reading is not CONTENT and reading is not None:
                self.meter.note(reading)
        except Exception as error:  # noqa: BLE001 - C5
            self._recorder.failed("reader", error)
            self.reader = None
            return False
        return True

    def _hold_last(self, chunk: Any) -> bool:
        self._held = chunk
        return True

    def _see(self, chunk: Any) -> Reading | None:
        """Show a chunk to estimator and reader. Which of them raises is not asked again."""
        if self._estimator is not None:
            try:
                self._estimator.see(chunk)
            except Exception as error:  # noqa: BLE001 - C5
                self._recorder.failed("estimator", error)
                self._estimator = None
        if self.reader is None:
            return None
        try:
            reading = self.reader.read(chunk)
            if reading is not None and reading is not CONTENT:
                self.meter.note(reading)
        except Exception as error:  # noqa: BLE001 - C5
            self._recorder.failed("reader", error)
            self.reader, self._asks = None, 0
            return None
        return reading

    def take_answer(self, answer: Any, extractor: Callable[[Any], LDAIMetrics | None] | None) -> None:
        """Take in an answer that did not stream: what the extractor reads of it, or else a reader."""
        try:
            if extractor is not None:
                self._take_metrics(extractor(answer))
                return
            self.reader = self._recorder.find_reader(answer)
            self._see(answer)
        except Exception as error:  # noqa: BLE001 - C5
            self._recorder.failed("extractor" if extractor is not None else "reader", error)

    def _take_metrics(self, metrics: LDAIMetrics | None) -> None:
        if metrics is None:
            return
        if inspect.iscoroutine(metrics):
            metrics.close()
            raise TypeError("the extractor must be a plain function, not an async one")
        if not isinstance(metrics, LDAIMetrics):
            raise TypeError(f"the extractor must return ldtrack.LDAIMetrics or None, not {metrics!r}")
        self.meter.failed = not metrics.success
        self.meter.stated = metrics.tokens
        self.meter.tool_calls = {str(at): name for at, name in enumerate(metrics.tool_calls)}
        self.stated_ms = metrics.duration_ms

    def _fold_rest(self) -> None:
        """Take in what is left to be known, and let go of what could not be recorded."""
        held, self._held = self._held, None
        if held is not None:
            self._see(held)
        estimator, self._estimator = self._estimator, None
        meter = self.meter
        try:
            meter.stated = meter.token_usage()
        except Exception as error:  # noqa: BLE001 - C5
            self._recorder.failed("reader", error)
            meter.usage = {}
        try:
            if meter.stated is None and estimator is not None:
                meter.stated = _estimate_of(estimator)
        except Exception as error:  # noqa: BLE001 - C5
            self._recorder.failed("estimator", error)


def _plainness_of(reader: Reader) -> Skim | None:
    """The reader's ``is_plain``, unless a subclass has a ``read`` of its own that it knows nothing of."""
    said = [kind.__dict__ for kind in type(reader).__mro__ if {"read", "is_plain"} & kind.__dict__.keys()]
    plainness: Skim | None = getattr(reader, "is_plain", None)
    return plainness if said and "is_plain" in said[0] else None


def _estimate_of(estimator: Estimator) -> TokenUsage | None:
    guess = estimator.usage()
    if guess is None:
        return None
    if not isinstance(guess, TokenUsage):
        raise TypeError(f"the estimator must return ldtrack.TokenUsage or None, not {guess!r}")
    return attrs.evolve(guess, estimated=True)
