"""One model call of a run, while it lasts.

Rule for this file: how a call begins, ends and closes; each of them once, from whichever side it comes.
What its chunks show is for ``looking`` to see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ldtrack.core.values import Ending
from ldtrack.exceptions import MisuseError
from ldtrack.loops import running_loop
from ldtrack.tracking.attendance import Attendance
from ldtrack.tracking.looking import Lookout

if TYPE_CHECKING:
    from ldtrack.tracking.recorder import Recorder
    from ldtrack.tracking.run import Run
    from ldtrack.tracking.source import Source
    from ldtrack.typing import Estimator, Reader

__all__ = ["Call", "ending_of"]

R = TypeVar("R")


def ending_of(error: BaseException) -> Ending:
    """How a call or a run ended that was left by an exception."""
    if isinstance(error, GeneratorExit):
        return Ending.CLOSED_EARLY
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
        return Ending.CANCELLED
    return Ending.FAILED


class Call(Lookout):
    """One model call: where it runs, its stream, and how it ended."""

    __slots__ = ("_run", "attendance", "ending", "has_begun", "loop", "source", "was_idle")

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
        super().__init__(recorder, is_first_token, reader, estimator)
        self._run: Run | None = run
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where the stream is read: there it is closed, and with that loop it ends."""
        self.source = source
        self.ending: Ending | None = None
        self.has_begun = source is None
        """Whether its request went out as far as we know: a stream nobody read says nothing of its run."""
        self.attendance: Attendance | None = None
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

    def check_that_it_is_whole(self) -> None:
        """Raise if what looks like the end of the stream to who reads it is not."""
        if self.was_idle:
            raise MisuseError(
                "this stream was ended by the client's idle_limit, while nobody asked for a chunk: what "
                "came after is lost. Read faster, or raise the limit."
            )

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

    async def close_source_quietly(
        self, left_by: BaseException | None = None, until: float | None = None
    ) -> None:
        """Close the stream within the time limit; shielded from cancellation for that long, never raises.

        ``until`` is the limit that several streams share, on the clock of the loop. What another task is
        reading is left to that task, and what belongs to another loop to that loop.
        """
        source = self.source
        if source is None or source.is_spent or source.is_being_read:
            return
        if self.loop is not None and self.loop is not running_loop():
            self.close_soon()
            return
        from ldtrack.limit import Limit  # noqa: PLC0415 - imports anyio, which only a stream left open needs

        try:
            with Limit(self._recorder.close_timeout, until=until, shield=True) as limit:
                # A manager is told what an app may raise; whoever is being thrown away cannot wait for it.
                is_told = isinstance(left_by, Exception | asyncio.CancelledError)
                await source.aclose(left_by if is_told else None)
            if limit.is_over:
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
