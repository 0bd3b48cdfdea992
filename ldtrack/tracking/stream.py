"""The stream: what its user holds of a provider's stream that is measured while it is read.

Rule for this file: transparency. What is asked of the stream is answered by the provider's own object, and
what ends it settles the call first; the chunks themselves go their own, shorter way.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ldtrack.tracking.aside import Aside, measured_method
from ldtrack.tracking.chunks import Chunks

if TYPE_CHECKING:
    from ldtrack.tracking.call import Call

__all__ = ["TrackedStream"]

T = TypeVar("T")


class TrackedStream(Generic[T]):
    """Yields exactly what the provider's stream yields, in the consumer's own task. Single use.

    Everything else that is asked of it is answered by the provider's own stream object. It settles once,
    from whichever comes first: exhaustion, an exception, ``aclose``, the end of its ``async with``,
    cancellation, garbage collection, the end of its run or of the event loop.
    """

    __slots__ = ("__weakref__", "_asides", "_chunks", "_reader")

    def __init__(self, call: Call) -> None:
        self._asides: dict[str, Aside[Any]] = {}
        self._chunks: Chunks[T] = Chunks(call)
        self._reader = self._chunks.read()

    def __repr__(self) -> str:
        ending = self._chunks.call.ending
        return f"<TrackedStream of {self._chunks.source!r}, {'open' if ending is None else ending.value}>"

    def __aiter__(self) -> AsyncIterator[T]:
        if self._reader.ag_frame is None and self._chunks.is_readable:
            self._reader = self._chunks.read()  # the other one was told that somebody else reads
        return self._reader

    async def __anext__(self) -> T:
        """The next chunk; a cancelled wait ends the stream as cancelled and closes it."""
        try:
            return await anext(aiter(self))
        except GeneratorExit:
            self._chunks.abandon()  # up to Python 3.12 the generator does not hear of it
            raise

    async def aclose(self) -> None:
        """Stop reading and close the provider's stream; idempotent.

        The call is settled before the first wait; a cancelled close is the provider's to survive.
        """
        await self._chunks.aclose()

    async def __aenter__(self) -> Self:
        """Open the stream, so that the provider's own attributes are there; cancellation ends the call."""
        if self._chunks.call.ending is None:
            try:
                await self._chunks.call.open()
            except GeneratorExit:
                self._chunks.abandon()
                raise
            except BaseException as error:
                await self._chunks.broken_by(error)
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
            await self._chunks.aclose()
        else:
            await self._chunks.left_by(error)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        opened = self._chunks.source.opened
        if opened is None:
            raise AttributeError(
                f"{name!r}: the provider's stream is not open yet; read a chunk first, or enter `async with`"
            )
        found = getattr(opened, name)
        if name == "close":
            return self._closing(found)
        if name in {"asend", "athrow"}:
            return self._reading(found)
        if name.startswith("_"):
            return found
        if hasattr(type(found), "__anext__"):
            return self._aside(name, found)
        is_method = inspect.iscoroutinefunction(found)
        return measured_method(self._chunks, found, self) if is_method else found

    def _aside(self, name: str, iterator: AsyncIterator[Any]) -> Aside[Any]:
        aside = self._asides.get(name)
        if aside is None or aside.iterator is not iterator:
            aside = self._asides[name] = Aside(self._chunks, iterator, self._reader)
        return aside

    # What these hand out refers to the stream: it is not dropped as long as somebody has that.

    def _closing(self, close: Callable[[], Any]) -> Callable[[], Any]:
        """The provider's ``close`` under its own name, synchronous if it is, settling the call first."""
        if inspect.iscoroutinefunction(close):
            return self.aclose

        def settle_and_close() -> Any:
            self._chunks.stop()
            self._chunks.source.shut()
            return close()

        return settle_and_close

    def _reading(self, read: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        """The source's own ``asend`` or ``athrow``: what comes back is a chunk like any other."""

        async def read_and_show(*arguments: Any) -> T:
            chunks = self._chunks
            try:
                await chunks.call.open()
                chunk = await chunks.call.wait_for(read(*arguments))
                chunks.show(chunk)
            except StopAsyncIteration:
                await chunks.run_out()
                raise
            except GeneratorExit:
                chunks.abandon()
                raise
            except BaseException as error:
                await chunks.broken_by(error)
                raise
            return chunk

        return read_and_show
