"""A managed run that streams.

Rule for this file: the run is entered at the first read and settled on every exit, whoever stops reading;
what comes of it is known afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import attrs

from ldtrack.agents.results import ManagedResult
from ldtrack.core.models import LDMessage
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
        self, tracker: Tracker, messages: Sequence[LDMessage], content: str, *, raised: bool
    ) -> ManagedResult: ...


def _nothing(_result: ManagedResult) -> None:
    """Nobody wants to know."""


@attrs.frozen
class Turn:
    """What a stream is asked, and who is told what came of it."""

    begin: Callable[[], Sequence[LDMessage]]
    """Called at the first read."""
    end: Callable[[ManagedResult], None] = _nothing
    """Called once it is over, however it ended."""


@attrs.define(eq=False)
class Known(Generic[R]):
    """What a stream and the generator behind it share: if they knew each other, neither would be dropped."""

    result: R | None = None


class RunStream(Generic[T, R]):
    """What one run says, as it comes, and what came of it.

    The run settles once, from whichever comes first: exhaustion, an exception, ``aclose``, the end of its
    ``async with``, cancellation, garbage collection, the end of the event loop.
    """

    __slots__ = ("__weakref__", "_items", "_known", "_tracker")

    def __init__(
        self, items: AsyncGenerator[T, None], known: Known[R], tracker: Tracker | GraphTracker
    ) -> None:
        self._items = items
        self._known = known
        self._tracker = tracker

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
        return await self._items.__anext__()

    async def aclose(self) -> None:
        """Stop reading, close what is open and settle; a cancelled close settles all the same."""
        await self._items.aclose()

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
        await self._items.aclose()


class ManagedStream(RunStream[str, ManagedResult]):
    """The texts of one answer as they come. Single use; made by ``ManagedModel.stream``."""

    __slots__ = ()


def stream_of(
    runner: StreamingRunner, tracker: Tracker, turn: Turn, make_result: MakeResult
) -> ManagedStream:
    """A stream of what the runner says; nothing is begun yet."""
    known: Known[ManagedResult] = Known()
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
    raised = True
    try:
        async with tracker.run() as run:
            try:
                async with contextlib.aclosing(runner.stream(messages, calls=run)) as texts:
                    async for text in texts:
                        parts.append(_text(text, runner))
                        yield text
            except GeneratorExit:
                # Nobody reads on. Whether anything was missed, the last of the run's calls knows.
                pass
        raised = False
    finally:
        result = known.result = make_result(tracker, messages, "".join(parts), raised=raised)
        turn.end(result)


def _text(text: object, runner: object) -> str:
    if isinstance(text, str):
        return text
    raise TypeError(
        f"{type(runner).__name__}.stream(...) must yield texts, not {text!r:.80} ({type(text).__name__})"
    )
