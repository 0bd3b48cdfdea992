"""One model call of a run, while it lasts.

Rule for this file: it shows chunks to the reader and the clock to the meter, and it ends once. It never
waits, and whatever a reader, a predicate or an estimator raises stays in here.

A *look* is a function that is shown a chunk and returns who looks at the next one: ``None`` once there is
nothing left to see, which makes the rest of the stream free.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from ldtrack.core.meter import Meter
from ldtrack.core.reading import CONTENT, Reading, Wants
from ldtrack.core.values import Ending, LDAIMetrics, TokenUsage
from ldtrack.exceptions import MisuseError
from ldtrack.loops import running_loop
from ldtrack.tracking.attendance import Attendance

if TYPE_CHECKING:
    from ldtrack.tracking.recorder import Recorder
    from ldtrack.tracking.run import Run
    from ldtrack.tracking.source import Source
    from ldtrack.typing import Estimator, Reader

__all__ = ["Call", "Look", "ending_of"]

R = TypeVar("R")
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
        "has_begun",
        "loop",
        "meter",
        "reader",
        "source",
        "stated_ms",
        "was_idle",
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
        self._run: Run | None = run
        self._recorder = recorder
        self._is_first_token = is_first_token
        self._estimator = estimator
        self._held: Any = None
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where the stream is read: there it is closed, and with that loop it ends."""
        self.source = source
        self.reader = reader
        self.meter = Meter()
        self.ending: Ending | None = None
        self.has_begun = source is None
        """Whether its request went out as far as we know: a stream nobody read says nothing of its run."""
        self.attendance: Attendance | None = None
        self.stated_ms: int | None = None
        self.was_idle = False
        """Whether the idle limit ended it while its consumer was away."""
        recorder.open_calls.add(self)
        if source is not None:
            source.on_open = self._begin
            self._move_to(running_loop())

    def attend(self) -> None:
        """Measure the time the provider takes, and notice when nobody asks for chunks any more."""
        assert self.source is not None, "only streams are attended"
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
        if not self._is_first(chunk, self._see(chunk)):
            return self._look_for_first_token
        if self.meter.first_token_ns is None:  # or it was read aside
            self.meter.first_token_ns = self._recorder.clock.monotonic_ns()
        wants = Wants.FIRST if self.reader is None else self.reader.wants
        if wants is Wants.EVERY or self._estimator is not None:
            return self._look_at_every
        return self._hold_last if wants is Wants.LAST else None

    def _is_first(self, chunk: Any, reading: Reading | None) -> bool:
        if self._is_first_token is not None:
            try:
                return bool(self._is_first_token(chunk))
            except Exception as error:  # noqa: BLE001 - C5
                self._recorder.failed("first_token", error)
                self._is_first_token = None
        # A chunk of a kind nobody knows is timed all the same.
        return self.reader is None or (reading is not None and reading.content)

    def _look_at_every(self, chunk: Any) -> Look | None:
        self._see(chunk)
        return None if self.reader is None and self._estimator is None else self._look_at_every

    def _hold_last(self, chunk: Any) -> Look | None:
        self._held = chunk
        return self._hold_last

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
            self.reader = None
            return None
        return reading

    # Taking in whole answers

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

    # Beginning and ending

    def _move_to(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if loop is not None and loop is not self.loop:
            vigils = self._recorder.vigils
            vigils.hold(loop)
            if self.loop is not None:
                vigils.release(self.loop)
            self.loop = loop

    def _begin(self) -> None:
        """Note that the request is being issued, and in which loop."""
        assert self._run is not None, "what has ended is not opened"
        self._move_to(running_loop())
        self.has_begun = True
        self._run._begin()

    async def open(self) -> None:
        """Open the stream, in time that counts as the provider's; cancelling it is for the caller to end."""
        assert self.source is not None, "only streams are opened"
        await self.wait_for(self.source.open())

    async def wait_for(self, answer: Awaitable[R]) -> R:
        """Wait for the provider, in time that counts as its own; cancelling passes to what is awaited."""
        return await (answer if self.attendance is None else self.attendance.wait_for(answer))

    def end(self, ending: Ending) -> None:
        """End the call, once, and tell the run."""
        if self.ending is None:
            self._fold_rest()
            self._ended(ending)

    def end_exhausted(self) -> None:
        """End a call whose stream ran out by itself."""
        if self.ending is None:
            self._fold_rest()
            reader = self.reader
            self._ended(self.meter.ending_when_exhausted(reader is not None and reader.marks_end))
            # A stream that was cut off may have lost its usage with its end.
            is_whole = self.ending is Ending.COMPLETED
            if is_whole and reader is not None and reader.usage_hint and self.meter.stated is None:
                self._recorder.hint(reader.usage_hint, reader.usage_hint)

    def end_closed(self) -> None:
        """End a call whose consumer stopped reading."""
        if self.ending is None:
            self._fold_rest()
            self._ended(self.meter.ending_when_closed())

    def end_of_stream(self) -> Exception:
        """What to raise for a stream that has no more chunks."""
        if self.was_idle:
            return MisuseError(
                "this stream was ended by the client's idle_limit, while nobody asked for a chunk: what "
                "came after is lost. Read faster, or raise the limit."
            )
        return StopAsyncIteration()

    def _ended(self, ending: Ending) -> None:
        # Run and source know their call: what has ended must not be kept by a cycle.
        run, self._run = self._run, None
        if run is None:
            return  # ended meanwhile, by another thread or by what was asked for the rest
        self.ending = ending
        self._recorder.open_calls.discard(self)
        if self.source is not None:
            self.source.on_open = None
        if self.loop is not None:
            self._recorder.vigils.release(self.loop)
        run._call_ended(self)

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
            meter.usage = None
        try:
            if meter.stated is None and estimator is not None:
                meter.stated = _estimate_of(estimator)
        except Exception as error:  # noqa: BLE001 - C5
            self._recorder.failed("estimator", error)

    # Closing

    def end_abandoned(self) -> None:
        """End a call whose stream was dropped without a word, from a finalizer.

        A finalizer may run anywhere and in any thread, even inside the queue that events go to: while the
        loop runs, the work is left to it.
        """
        if not (self.loop is not None and self.loop.is_running() and self._hand_over(self.close_abandoned)):
            self.close_abandoned()

    def close_abandoned(self) -> None:
        """End a call that nobody reads any more, and close its stream soon."""
        self.end_closed()
        self.close_soon()

    def close_soon(self) -> None:
        """Close the stream in a task of the recorder's, in the loop that the stream belongs to."""
        if self.source is None or self.source.is_spent or self.source.drop():
            return
        running = running_loop()
        if self.loop is not None and self.loop is not running:
            self._hand_over(self.close_soon)
        elif running is not None:
            self._recorder.close_in_task(self)

    def _hand_over(self, work: Callable[[], None]) -> bool:
        """Leave work to the stream's own loop; ``False`` if that is closed."""
        assert self.loop is not None, "the caller has looked"
        try:
            self.loop.call_soon_threadsafe(work)
        except RuntimeError:
            return False
        return True

    async def close_source_quietly(self, left_by: BaseException | None = None) -> None:
        """Close the stream within the time limit; shielded from cancellation for that long, never raises.

        What another task is reading is left to that task, and what belongs to another loop to that loop.
        """
        source = self.source
        if source is None or source.is_spent or source.is_being_read:
            return
        if self.loop is not None and self.loop is not running_loop():
            self.close_soon()
            return
        import anyio  # noqa: PLC0415 - everybody would pay for it, and only a stream left open needs it

        try:
            with anyio.move_on_after(self._recorder.close_timeout, shield=True) as limit:
                # A manager is told what an app may raise; whoever is being thrown away cannot wait for it.
                is_told = isinstance(left_by, Exception | asyncio.CancelledError)
                await source.aclose(left_by if is_told else None)
            if limit.cancelled_caught:
                self._recorder.failed("close", TimeoutError(f"{source!r} takes too long to close"))
        except Exception as error:  # noqa: BLE001 - C5: nobody asked for this close
            if error is not left_by:  # a manager may raise again what it was told
                self._recorder.failed("close", error)
        except asyncio.CancelledError as error:
            if error is left_by:
                return
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled us: something that the provider was waiting for was.
            self._recorder.failed("close", error)


def _estimate_of(estimator: Estimator) -> TokenUsage | None:
    guess = estimator.usage()
    if guess is None:
        return None
    if not isinstance(guess, TokenUsage):
        raise TypeError(f"the estimator must return ldtrack.TokenUsage or None, not {guess!r}")
    return attrs.evolve(guess, estimated=True)
