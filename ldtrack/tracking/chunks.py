"""The way of a chunk, from the provider's stream to the consumer's loop.

Rule for this file: the hottest path there is. Whatever can be done once, before or after, is done elsewhere;
and the class stays free of ``__getattr__``, which would make every attribute of it slower to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from ldtrack.tracking.call import ending_of
from ldtrack.tracking.looking import Skim, skim_nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from ldtrack.tracking.call import Call

__all__ = ["Chunks"]

T = TypeVar("T")


class _ClosedMeanwhileError(Exception):
    """The stream was closed by another task while this one waited for a chunk."""


class _Nothing:
    """What a stream that is over iterates over."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> NoReturn:
        raise StopAsyncIteration


_NOTHING: Any = _Nothing()


def _refuse(_chunk: object) -> NoReturn:
    raise _ClosedMeanwhileError


class Chunks(Generic[T]):
    """The chunks of one call. What ``async for`` iterates over; when it is dropped, the call ends."""

    __slots__ = ("_iterator", "_look", "_skim", "call", "source")

    def __init__(self, call: Call) -> None:
        assert call.source is not None, "chunks are those of a call that has a source"
        self.call = call
        self.source = call.source
        self._iterator: Any = call.attendance or call.source
        self._look: Callable[[Any], Skim | None] = call.look
        self._skim: Skim | None = skim_nothing

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next chunk; a cancelled wait ends the stream as cancelled and closes it."""
        self.source.is_awaited = True
        try:
            # Not a loop: the cheapest way in Python to await one item, without a method look-up and a
            # call. benchmarks/per_chunk.py compares it with the others.
            async for chunk in self._iterator:
                self.source.is_awaited = False
                skim = self._skim
                if skim is not None:
                    try:
                        is_enough = skim(chunk)
                    except Exception:  # noqa: BLE001 - a chunk of another shape than usual
                        is_enough = False
                    if not is_enough:
                        self._look_at(chunk)
                return chunk  # type: ignore[no-any-return]  # _iterator is Any: its type changes as it opens
        except GeneratorExit:
            self.abandon()  # whoever destroys a waiting coroutine cannot wait for it to tidy up
            raise
        except BaseException as error:
            await self.broken_by(error)
            raise
        await self.run_out()
        raise self.call.end_of_stream()

    def show(self, chunk: T) -> None:
        """Show a chunk that was read past us to whoever still looks."""
        if self._skim is not None:
            self._look_at(chunk)

    def _look_at(self, chunk: T) -> None:
        if self._iterator is self.source:
            # The source has opened itself: from here on, straight to the provider's own iterator.
            self._iterator = self.source.iterator
        self._skim = self._look(chunk)

    async def run_out(self) -> None:
        """End the call of a stream that is exhausted; shielded, bounded, never raises."""
        self._forget()
        self.call.end_exhausted()
        await self.call.close_source_quietly()

    async def broken_by(self, error: BaseException) -> None:
        """End the call of a stream that raised when it was read; shielded, bounded, raises nothing new."""
        if self.source.is_being_read:
            return  # a second reader is told off by the stream itself, and no concern of the first one's
        if isinstance(error, _ClosedMeanwhileError):
            self._forget()
            await self.call.close_source_quietly()
            raise StopAsyncIteration from None
        await self.left_by(error)

    async def left_by(self, error: BaseException) -> None:
        """End the call as the error says, then close the source; shielded, bounded, raises nothing new."""
        self._forget()
        if isinstance(error, GeneratorExit):
            self.call.end_closed()
        else:
            self.call.end(ending_of(error))
        if self.source.is_being_read:
            self._refuse()
        else:
            await self.call.close_source_quietly(error)

    def stop(self) -> None:
        """Yield nothing more, and end the call."""
        self._forget()
        self.call.end_closed()

    def abandon(self) -> None:
        """End the call now, and leave the source to be closed soon."""
        self.source.is_awaited = False
        self._forget()
        self.call.close_abandoned()

    def _forget(self) -> None:
        self._iterator = _NOTHING
        self._skim = None

    async def aclose(self) -> None:
        """Stop reading and close the provider's stream; idempotent.

        The call is settled before the first wait; a cancelled close is the provider's to survive.
        """
        self.stop()
        if self.source.is_being_read:
            self._refuse()
        else:
            await self.source.aclose()

    def _refuse(self) -> None:
        """Let the task that waits for a chunk close the source, as soon as it has the chunk."""
        self._look, self._skim = _refuse, skim_nothing
        self.source.is_refused = True

    def __del__(self) -> None:
        if self.call.ending is None or not self.source.is_spent:
            self.call.end_abandoned()
