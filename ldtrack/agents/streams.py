"""A managed run that streams.

Rule for this file: the run is entered at the first read and settled on every exit, whoever stops reading;
what comes of it is known afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import attrs

from ldtrack.agents.results import ManagedResult
from ldtrack.core.models import LDMessage
from ldtrack.core.values import Ending
from ldtrack.exceptions import MisuseError
from ldtrack.running import StreamingRunner
from ldtrack.tracking.graph_tracker import GraphTracker
from ldtrack.tracking.tracker import Tracker

__all__ = ["Known", "ManagedStream", "RunStream", "Turn", "stream_of"]

T = TypeVar("T")
R = TypeVar("R")


class MakeResult(Protocol):
    """Says what came of a run that is over."""

    def __call__(
        self, tracker: Tracker, messages: Sequence[LDMessage], content: str, *, is_whole: bool
    ) -> ManagedResult: ...


def _nothing(*_: object) -> None:
    """Nobody wants to know."""


@attrs.frozen
class Turn:
    """What a stream is asked, and who is told what came of it."""

    begin: Callable[[], Sequence[LDMessage]]
    """Called at the first read."""
    end: Callable[[ManagedResult], None] = _nothing
    """Called once it is over, however it ended."""
    drop: Callable[[], None] = _nothing
    """Called when nobody can read on any more, perhaps before it is over, and perhaps before it began."""


@attrs.define(eq=False)
class Known(Generic[R]):
    """What a stream and the generator behind it share: if they knew each other, neither would be dropped."""

    result: R | None = None
    unread: Callable[[], R] | None = None
    """Settles a run that nobody has read from, and says what came of it."""
    dropped: Callable[[], None] = _nothing
    """Called when the stream is dropped before its end."""


@attrs.define(eq=False)
class _Reading:
    """A task's wait for what is said next, which another task may end by closing the stream."""

    task: asyncio.Task[Any]
    cancelling: int
    is_over: asyncio.Event | None = None
    """There once somebody wants it to be over."""

    async def stop(self) -> None:
        """End the wait, and see it end; cancelling this does not change that."""
        if self.is_over is None:
            self.is_over = asyncio.Event()
            self.task.cancel()
        await self.is_over.wait()

    def take_back(self) -> bool:
        """Undo the cancellation that ended the wait, if one did; whether there was no other."""
        return self.is_over is not None and self.task.uncancel() <= self.cancelling


class RunStream(Generic[T, R]):
    """What one run says, as it comes, and what came of it.

    The run settles once, from whichever comes first: exhaustion, an exception, ``aclose``, the end of its
    ``async with``, cancellation, garbage collection, the end of the event loop.
    """

    __slots__ = ("__weakref__", "_items", "_known", "_reading", "_tracker")

    def __init__(
        self, items: AsyncGenerator[T, None], known: Known[R], tracker: Tracker | GraphTracker
    ) -> None:
        self._items = items
        self._known = known
        self._tracker = tracker
        self._reading: _Reading | None = None

    def __repr__(self) -> str:
        kind = "graph run" if isinstance(self._tracker, GraphTracker) else "run"
        return f"<{type(self).__name__} of {kind} {self._tracker.run_id}>"

    @property
    def result(self) -> R:
        """What came of the run, once the stream is over, however it ended."""
        if self._known.result is None:
            raise MisuseError(f"{self!r} has no result before its end: read it to its end, or close it")
        return self._known.result

    @property
    def resumption_token(self) -> str:
        """The run's identity as text, known from the beginning."""
        return self._tracker.resumption_token

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """What is said next; cancelling the wait ends the run as cancelled."""
        task = asyncio.current_task()
        if task is None or self._reading is not None:
            return await self._items.__anext__()  # which tells off a second reader
        reading = self._reading = _Reading(task, task.cancelling())
        try:
            item = await self._items.__anext__()
            if reading.is_over is not None:
                await self._items.aclose()
                raise StopAsyncIteration  # noqa: TRY301 - its runner has survived being stopped
        except BaseException as error:
            if reading.take_back() and isinstance(error, asyncio.CancelledError):
                raise StopAsyncIteration from None
            raise
        finally:
            self._reading = None
            if reading.is_over is not None:
                reading.is_over.set()
        return item

    async def aclose(self) -> None:
        """Stop reading, close what is open and settle; a cancelled close settles all the same.

        A task that waits for what is said next is told that there is nothing more.
        """
        reading, known = self._reading, self._known
        if reading is not None and reading.task is not asyncio.current_task():
            await reading.stop()
        await self._items.aclose()
        if known.result is None and known.unread is not None:
            known.result = known.unread()

    async def __aenter__(self) -> Self:
        """Nothing is begun before the first read; there is no wait to cancel."""
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop reading; a cancelled close has settled all the same."""
        await self.aclose()

    def __del__(self) -> None:
        if self._known.result is None:
            self._known.dropped()


class ManagedStream(RunStream[str, ManagedResult]):
    """The texts of one answer as they come. Single use; made by ``ManagedModel.stream``."""

    __slots__ = ()


def stream_of(
    runner: StreamingRunner, tracker: Tracker, turn: Turn, make_result: MakeResult
) -> ManagedStream:
    """A stream of what the runner says; nothing is begun yet."""

    def settle() -> None:
        tracker.run()._settle(Ending.CANCELLED)  # noqa: SLF001 - entered, it would say how long nothing took

    def unread() -> ManagedResult:
        settle()
        return make_result(tracker, (), "", is_whole=False)

    def dropped() -> None:
        turn.drop()
        if not tracker._slots.is_run:  # noqa: SLF001 - nobody else can tell, and a result is of no use any more
            settle()

    known: Known[ManagedResult] = Known(unread=unread, dropped=dropped)
    return ManagedStream(_texts_of(runner, tracker, turn, make_result, known), known, tracker)


async def _texts_of(
    runner: StreamingRunner,
    tracker: Tracker,
    turn: Turn,
    make_result: MakeResult,
    known: Known[ManagedResult],
) -> AsyncGenerator[str, None]:
    messages = turn.begin()
    parts: list[str] = []
    is_whole, was_closed = False, False
    try:
        async with tracker.run() as run:
            try:
                async with contextlib.aclosing(runner.stream(messages, calls=run)) as texts:
                    async for text in texts:
                        parts.append(_text(text, runner))
                        yield text
            except GeneratorExit:
                # Nobody reads on. What LaunchDarkly is told, the last of the run's calls knows: frameworks
                # run ahead. But what was read is not known to be the whole answer.
                was_closed = True
        is_whole = not was_closed
    finally:
        result = known.result = make_result(tracker, messages, "".join(parts), is_whole=is_whole)
        turn.end(result)


def _text(text: object, runner: object) -> str:
    if isinstance(text, str):
        return text
    raise TypeError(
        f"{type(runner).__name__}.stream(...) must yield texts, not {text!r:.80} ({type(text).__name__})"
    )
