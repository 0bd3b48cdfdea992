"""A managed run that streams.

Rule for this file: the run is entered at the first read and settled on every exit, whoever stops reading;
what comes of it is known afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

import attrs

from ldtrack.agents.results import ManagedResult
from ldtrack.core.models import LDMessage
from ldtrack.exceptions import MisuseError
from ldtrack.running import StreamingRunner
from ldtrack.tracking.tracker import Tracker

__all__ = ["ManagedStream", "Turn", "stream_of"]


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
class _State:
    """What a stream and the generator behind it share: if they knew each other, neither would be dropped."""

    result: ManagedResult | None = None


class ManagedStream:
    """The texts of one answer as they come. Single use; made by ``ManagedModel.stream``.

    The run settles once, from whichever comes first: exhaustion, an exception, ``aclose``, the end of its
    ``async with``, cancellation, garbage collection, the end of the event loop.
    """

    __slots__ = ("__weakref__", "_state", "_texts", "_tracker")

    def __init__(self, texts: AsyncGenerator[str, None], state: _State, tracker: Tracker) -> None:
        self._texts = texts
        self._state = state
        self._tracker = tracker

    def __repr__(self) -> str:
        return f"<ManagedStream of run {self._tracker.run_id}>"

    @property
    def result(self) -> ManagedResult:
        """What came of the run, once the stream is over, however it ended."""
        if self._state.result is None:
            raise MisuseError(f"{self!r} has no result before its end: read it to its end, or close it")
        return self._state.result

    @property
    def resumption_token(self) -> str:
        """The run's identity as text, known from the beginning."""
        return self._tracker.resumption_token

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        """The next text; cancelling the wait ends the run as cancelled."""
        return await self._texts.__anext__()

    async def aclose(self) -> None:
        """Stop reading, close the provider's stream and settle; a cancelled close settles all the same."""
        await self._texts.aclose()

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
        await self._texts.aclose()


def stream_of(
    runner: StreamingRunner, tracker: Tracker, turn: Turn, make_result: MakeResult
) -> ManagedStream:
    """A stream of what the runner says; nothing is begun yet."""
    state = _State()
    return ManagedStream(_texts_of(runner, tracker, turn, make_result, state), state, tracker)


async def _texts_of(
    runner: StreamingRunner, tracker: Tracker, turn: Turn, make_result: MakeResult, state: _State
) -> AsyncGenerator[str, None]:
    messages = turn.begin()
    parts: list[str] = []
    raised = True
    try:
        async with tracker.run() as run:
            try:
                async with contextlib.aclosing(runner.stream(messages, calls=run)) as texts:
                    async for text in texts:
                        parts.append(text)
                        yield text
            except GeneratorExit:
                # Nobody reads on. Whether anything was missed, the last of the run's calls knows.
                pass
        raised = False
    finally:
        result = state.result = make_result(tracker, messages, "".join(parts), raised=raised)
        turn.end(result)
