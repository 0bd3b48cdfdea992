"""The stream: a provider's stream that is measured while it is read.

Rule for this file: the way of a chunk. Whatever can be done once, before or after, is done elsewhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from ldtrack.tracking.call import ending_of

if TYPE_CHECKING:
    from ldtrack.tracking.call import Call, Look

__all__ = ["TrackedStream"]

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


class TrackedStream(Generic[T]):
    """Yields exactly what the provider's stream yields, in the consumer's own task. Single use.

    Everything else that is asked of it is answered by the provider's own stream object. It settles once,
    from whichever comes first: exhaustion, an exception, ``aclose``, the end of its ``async with``,
    cancellation, garbage collection, the end of its run or of the event loop.
    """

    __slots__ = ("__weakref__", "_call", "_iterator", "_look", "_source")

    def __init__(self, call: Call) -> None:
        assert call.source is not None, "a stream is made for a call that has a source"
        self._call = call
        self._source = call.source
        self._iterator: Any = call.attendance or call.source
        self._look: Look | None = call.look_first

    def __repr__(self) -> str:
        ending = self._call.ending
        return f"<TrackedStream of {self._source!r}, {'open' if ending is None else ending.value}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next chunk; a cancelled wait ends the stream as cancelled and closes it."""
        try:
            # Not a loop: the cheapest way in Python to await one item, without a method look-up and a
            # call. benchmarks/per_chunk.py compares it with the others.
            async for chunk in self._iterator:
                if self._look is not None:
                    self._show(chunk)
                return chunk  # type: ignore[no-any-return]  # _iterator is Any: its type changes as it opens
        except BaseException as error:
            await self._broken_by(error)
            raise
        await self._run_out()
        raise StopAsyncIteration

    def _show(self, chunk: T) -> None:
        assert self._look is not None, "the caller has looked"
        if self._iterator is self._source:
            # The source has opened itself: from here on, straight to the provider's own iterator.
            self._iterator = self._source.iterator
        self._look = self._look(chunk)

    async def _run_out(self) -> None:
        """End the call of a stream that is exhausted; shielded, bounded, never raises."""
        self._iterator = _NOTHING
        self._look = None
        self._call.end_exhausted()
        await self._call.close_source_quietly()

    async def _broken_by(self, error: BaseException) -> None:
        """End the call as the error says, then close the source; shielded, bounded, never raises."""
        self._iterator = _NOTHING
        self._look = None
        if isinstance(error, _ClosedMeanwhileError):
            await self._call.close_source_quietly()
            raise StopAsyncIteration from None
        self._call.end(ending_of(error))
        await self._call.close_source_quietly()

    async def aclose(self) -> None:
        """Stop reading and close the provider's stream; idempotent.

        The call is settled before the first wait; a cancelled close is the provider's to survive.
        """
        if self._look is _refuse:
            return
        self._iterator = _NOTHING
        self._look = None
        self._call.end_closed()
        if self._source.is_being_read:
            # Another task waits for a chunk of it: that task will close it, as soon as it has the chunk.
            self._look = _refuse
            return
        await self._source.aclose()

    async def __aenter__(self) -> Self:
        """Open the stream, so that the provider's own attributes are there; cancellation ends the call."""
        if self._call.ending is None:
            try:
                await self._source.open()
            except BaseException as error:
                await self._broken_by(error)
                raise
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop reading and close the provider's stream; the call is settled before the first wait."""
        if error is None:
            await self.aclose()
        elif self._call.ending is None:
            await self._broken_by(error)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        opened = self._source.opened
        if opened is None:
            raise AttributeError(
                f"{name!r}: the provider's stream is not open yet; read a chunk first, or enter `async with`"
            )
        found = getattr(opened, name)
        if name == "close":
            return self._closing(found)
        return self._reading(found) if name in {"asend", "athrow"} else found

    def _closing(self, close: Callable[[], Any]) -> Callable[[], Any]:
        """The provider's ``close`` under its own name, synchronous if it is, settling the call first."""
        if inspect.iscoroutinefunction(close):
            return self.aclose

        def close_and_settle() -> Any:
            self._iterator = _NOTHING
            self._look = None
            self._call.end_closed()
            self._source.is_closed = True
            return close()

        return close_and_settle

    def _reading(self, read: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        """The source's own ``asend`` or ``athrow``: what comes back is a chunk like any other."""

        async def read_and_show(*arguments: Any) -> T:
            try:
                await self._source.open()
                chunk = await read(*arguments)
                if self._look is not None:
                    self._show(chunk)
            except StopAsyncIteration:
                await self._run_out()
                raise
            except BaseException as error:
                await self._broken_by(error)
                raise
            return chunk

        return read_and_show

    def __del__(self) -> None:
        if self._call.ending is None:
            self._call.end_abandoned()
