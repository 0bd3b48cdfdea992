"""One model call of a run, while it lasts.

Rule for this file: it shows chunks to the reader and the clock to the meter, and it ends once. It never
waits, and whatever a reader, a predicate or an estimator raises stays in here.

A *look* is a function that is shown a chunk and returns who looks at the next one: ``None`` once there is
nothing left to see, which makes the rest of the stream free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from ldtrack.core.meter import Meter
from ldtrack.core.reading import Reading, Wants
from ldtrack.core.values import Ending, LDAIMetrics

if TYPE_CHECKING:
    from ldtrack.tracking.recorder import Recorder
    from ldtrack.tracking.run import Run
    from ldtrack.tracking.source import Source
    from ldtrack.typing import Estimator, Reader

__all__ = ["Attendance", "Call", "Look", "ending_of"]

Look = Callable[[Any], Any]
"""Shown a chunk, returns the next ``Look`` or ``None``. (A recursive type, so its result is ``Any``.)"""


def ending_of(error: BaseException) -> Ending:
    """How a call or a run ended that was left by an exception."""
    if isinstance(error, GeneratorExit):
        return Ending.CLOSED_EARLY
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
        return Ending.CANCELLED
    return Ending.FAILED


class Call:
    """What is known of one model call: its reader, its meter, and how it ended."""

    __slots__ = (
        "_estimator",
        "_held",
        "_is_first_token",
        "_recorder",
        "_run",
        "attendance",
        "ending",
        "loop",
        "meter",
        "reader",
        "source",
        "stated_ms",
    )

    def __init__(
        self,
        run: Run,
        recorder: Recorder,
        source: Source[Any] | None = None,
        *,
        is_first_token: Callable[[Any], bool] | None = None,
        reader: Reader | None = None,
        estimator: Estimator | None = None,
    ) -> None:
        self._run = run
        self._recorder = recorder
        self._is_first_token = is_first_token
        self._estimator = estimator
        self._held: Any = None
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where the call runs: a finalizer and a loop's shutdown have to find each other."""
        self.source = source
        self.reader = reader
        self.meter = Meter()
        self.ending: Ending | None = None
        self.attendance: Attendance | None = None
        self.stated_ms: int | None = None
        if source is not None:
            source.on_open = self._begin
        recorder.open_calls.add(self)

    def attend(self) -> None:
        """Measure the time the provider takes, and notice when nobody asks for chunks any more."""
        if self.source is not None:
            self.attendance = Attendance(self.source, self.meter, self._recorder.clock.monotonic_ns)

    # Looking at chunks

    def look_first(self, chunk: Any) -> Look | None:
        """Look at the very first chunk: find the reader, then the first token."""
        try:
            if self.reader is None:
                self.reader = self._recorder.find_reader(chunk)
        except Exception as error:  # noqa: BLE001 - C5: a user's reader never breaks the stream
            self._recorder.failed("reader", error)
        return self._look_for_first_token(chunk)

    def _look_for_first_token(self, chunk: Any) -> Look | None:
        try:
            reading = self._see(chunk)
            if self._is_first_token is not None:
                is_first = bool(self._is_first_token(chunk))
            else:
                # A chunk of a kind nobody knows is timed all the same.
                is_first = self.reader is None or (reading is not None and reading.content)
        except Exception as error:  # noqa: BLE001 - C5
            return self._blinded(error)
        if not is_first:
            return self._look_for_first_token
        self.meter.first_token_ns = self._recorder.clock.monotonic_ns()
        return self._look_after_first_token()

    def _look_after_first_token(self) -> Look | None:
        wants = Wants.FIRST if self.reader is None else self.reader.wants
        if wants is Wants.EVERY or self._estimator is not None:
            return self._look_at_every
        return self._hold_last if wants is Wants.LAST else None

    def _look_at_every(self, chunk: Any) -> Look | None:
        try:
            self._see(chunk)
        except Exception as error:  # noqa: BLE001 - C5
            return self._blinded(error)
        return self._look_at_every

    def _hold_last(self, chunk: Any) -> Look | None:
        self._held = chunk
        return self._hold_last

    def _see(self, chunk: Any) -> Reading | None:
        if self._estimator is not None:
            self._estimator.see(chunk)
        reading: Reading | None = None
        if self.reader is not None:
            reading = self.reader.read(chunk)
            if reading is not None:
                self.meter.note(reading)
        return reading

    def _blinded(self, error: Exception) -> Look | None:
        """Stop looking after a failure: the stream goes on, timed from here if it was not yet."""
        self._recorder.failed("reader", error)
        if self.meter.first_token_ns is None:
            self.meter.first_token_ns = self._recorder.clock.monotonic_ns()
        self.reader = None
        return None

    # Taking in whole answers

    def take_answer(self, answer: Any, extractor: Callable[[Any], LDAIMetrics | None] | None) -> None:
        """Take in an answer that did not stream: what the extractor reads of it, or else a reader."""
        try:
            if extractor is not None:
                self._take_metrics(extractor(answer))
                return
            self.reader = self._recorder.find_reader(answer)
            if self.reader is not None:
                self._see(answer)
        except Exception as error:  # noqa: BLE001 - C5
            self._recorder.failed("extractor" if extractor is not None else "reader", error)

    def _take_metrics(self, metrics: LDAIMetrics | None) -> None:
        if metrics is None:
            return
        if not isinstance(metrics, LDAIMetrics):
            raise TypeError(f"the extractor must return ldtrack.LDAIMetrics or None, not {metrics!r}")
        self.meter.failed = not metrics.success
        self.meter.stated = metrics.tokens
        self.meter.tool_calls = {str(at): name for at, name in enumerate(metrics.tool_calls)}
        self.stated_ms = metrics.duration_ms

    # Ending

    def _begin(self) -> None:
        """Note that the request is being issued, and in which loop."""
        self.loop = asyncio.get_running_loop()
        self._recorder.keep_watch(self.loop)
        self._run.begin()

    def end(self, ending: Ending) -> None:
        """End the call, once, and tell the run."""
        if self.ending is not None:
            return
        self.ending = ending
        self._recorder.open_calls.discard(self)
        self._fold_rest()
        self._run.call_ended(self)

    def end_exhausted(self) -> None:
        """End a call whose stream ran out by itself."""
        self._fold_rest()
        marks_end = self.reader is not None and self.reader.marks_end
        self.end(self.meter.ending_when_exhausted(marks_end))
        if self.reader is not None and self.reader.usage_hint and self.meter.token_usage() is None:
            self._recorder.hint(self.reader.usage_hint, self.reader.usage_hint)

    def end_closed(self) -> None:
        """End a call whose consumer stopped reading."""
        self._fold_rest()
        self.end(self.meter.ending_when_closed())

    def end_abandoned(self) -> None:
        """End a call whose stream was dropped without a word, from a finalizer.

        A finalizer may run anywhere, even inside the queue that events go to: with a loop still alive,
        the work is left to it.
        """
        loop = self.loop or _running_loop()
        if loop is not None and loop.is_running():
            loop.call_soon_threadsafe(self.close_abandoned)
        else:
            self.end_closed()
            if self.source is not None:
                self.source.drop()

    def close_abandoned(self) -> None:
        """End a call that nobody reads any more, and close its stream in a task of the recorder's."""
        self.end_closed()
        if self.source is not None:
            self._recorder.spawn(self.close_source_quietly())

    async def close_source_quietly(self) -> None:
        """Close the stream within the time limit; shielded from cancellation for that long, never raises."""
        if self.source is None or self.source.is_spent or _running_loop() is None:
            return
        import anyio  # noqa: PLC0415 - everybody would pay for it, and only a stream left open needs it

        try:
            with anyio.move_on_after(self._recorder.close_timeout, shield=True):
                await self.source.aclose()
        except Exception as error:  # noqa: BLE001 - C5: nobody asked for this close
            self._recorder.failed("close", error)

    def _fold_rest(self) -> None:
        try:
            held, self._held = self._held, None
            if held is not None:
                self._see(held)
            if self._estimator is not None and self.meter.token_usage() is None:
                guess = self._estimator.usage()
                self.meter.stated = None if guess is None else attrs.evolve(guess, estimated=True)
        except Exception as error:  # noqa: BLE001 - C5
            self._recorder.failed("reader", error)


class Attendance:
    """Iterates over a source, measuring how long the provider took and since when nobody has asked.

    Two clock readings per chunk: used only where model time or an idle limit is wanted.
    """

    __slots__ = ("_meter", "_now", "_source", "idle_since_ns")

    def __init__(self, source: Source[Any], meter: Meter, now: Callable[[], int]) -> None:
        self._source = source
        self._meter = meter
        self._now = now
        self._meter.model_ns = 0
        self.idle_since_ns: int | None = now()
        """When the consumer got its last chunk; ``None`` while it waits for one."""

    def __aiter__(self) -> Attendance:
        return self

    async def __anext__(self) -> Any:
        asked = self._now()
        self.idle_since_ns = None
        try:
            async for chunk in self._source.iterator or self._source:
                return chunk
            raise StopAsyncIteration
        finally:
            self.idle_since_ns = self._now()
            self._meter.model_ns = (self._meter.model_ns or 0) + self.idle_since_ns - asked


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
