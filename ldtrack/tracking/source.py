"""Somebody else's stream: opened once, closed once.

Rule for this file: it knows the shapes a stream can be given in, and how each of them is opened and
closed. It records nothing.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, NoReturn, Self, TypeAlias, TypeVar

from ldtrack.tracking.pass_through import passed_on
from ldtrack.tracking.threaded import ThreadedStream

__all__ = ["Source", "StreamSource"]

T = TypeVar("T")

StreamSource: TypeAlias = (
    AsyncIterable[T]
    | AbstractAsyncContextManager[AsyncIterable[T]]
    | Awaitable[AsyncIterable[T]]
    | Awaitable[AbstractAsyncContextManager[AsyncIterable[T]]]
)
"""What can be streamed: an async iterable, an async context manager of one, or an awaitable of either."""


class Source(Generic[T]):
    """A stream as its user handed it over, and as it is once opened.

    Iterating over it opens it and yields the first chunk; from then on ``iterator`` is the real thing.
    """

    __slots__ = (
        "_given",
        "_is_closed",
        "_is_opening",
        "_is_shut",
        "_manager",
        "_own_iterator",
        "is_refused",
        "iterator",
        "on_open",
        "opened",
        "reader",
    )

    def __init__(self, given: StreamSource[T]) -> None:
        if not _is_iterable(given) and not _is_manager(given) and not inspect.isawaitable(given):
            raise TypeError(_not_a_stream(given))
        self._given: Any = given
        self._is_closed = False
        self._is_opening = False
        self._is_shut = False
        self.reader: Callable[[], Any] | None = None
        """What yields our chunks, if it is there still: it runs while one of them is waited for."""
        self.is_refused = False
        """Whether nobody wants what another task is waiting for."""
        self.on_open: Callable[[], None] | None = None
        """Called when the request is about to be issued, once."""
        self._manager: Any = None
        self.opened: Any = given if _is_iterable(given) else None
        """The provider's own stream object, once there is one."""
        self.iterator: AsyncIterator[T] | None = None
        """What to iterate over once it is open; may be asked for its iterator again and again."""
        self._own_iterator: Any = None

    @property
    def is_request_issued(self) -> bool:
        """Whether the request went out before the stream was handed over: it was given open."""
        if isinstance(self.opened, ThreadedStream):
            return self.opened.is_request_issued
        return self.opened is not None

    @property
    def is_being_read(self) -> bool:
        """Whether a task is waiting for it to open, or for its generator to yield."""
        generator = self._own_iterator
        if generator is None and self.reader is not None and _is_running(self.reader()):
            generator = self.iterator  # the stream's own: without a chunk of ours, it runs for somebody else
        if _is_running(generator):
            return not _is_loop_closing()  # when a loop closes its generators, nobody reads any more
        return self._is_opening

    @property
    def is_spent(self) -> bool:
        """Whether there is nothing left to close: it is closed, or a generator that has finished."""
        if self._is_closed:
            return True
        return self._manager is None and inspect.isasyncgen(self.opened) and self.opened.ag_frame is None

    def __repr__(self) -> str:
        return _shown(self._given if self.opened is None else self.opened)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if not self._is_closed:
            iterator = await self.open()
            if not self.is_refused:
                return await iterator.__anext__()
        raise StopAsyncIteration

    async def open(self) -> AsyncIterator[T]:
        """Open the stream if it is not open; a cancelled opening is for ``aclose`` to tidy up."""
        if self._is_opening:
            raise RuntimeError("the stream is being opened by another task already: read it from one task")
        if self.iterator is not None:
            return self.iterator
        on_open, self.on_open = self.on_open, None
        if on_open is not None:
            on_open()
        if self.opened is None:
            self._is_opening = True
            try:
                self.opened = await self._open_given()
            finally:
                self._is_opening = False
        iterator: AsyncIterator[T] | None = passed_on(self.opened)
        if iterator is None:
            iterator = self._own_iterator = aiter(self.opened)
            if not inspect.isasyncgen(iterator):
                iterator = _Steady(iterator)
        self.iterator = iterator
        return iterator

    async def _open_given(self) -> Any:
        given = self._given
        if not _is_manager(given):
            given = await given
        if not _is_iterable(given) and _is_manager(given):
            manager = given
            given = await type(manager).__aenter__(manager)
            self._manager = manager
        if not _is_iterable(given):
            raise TypeError(
                f"the source turned into {_shown(given)}, which is no stream. Was stream=True left out? "
                "For an answer that does not stream, use `await run.call(awaitable)`."
            )
        return given

    async def aclose(self, left_by: BaseException | None = None) -> None:
        """Close the stream by whichever name it closes under, once; what it raises passes.

        A context manager is told which exception left it, as if its user had entered it himself. A second
        call does nothing, and a cancelled close is not tried again.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if isinstance(self.iterator, _Steady):
            self.iterator.stop()
        try:
            await self._close_generator()
        finally:
            await self._close_stream(left_by)

    def drop(self) -> bool:
        """Let go of a stream that was never opened; ``False`` if there is more to it than that."""
        if self.is_being_read or self.opened is not None or self._manager is not None:
            return False
        self._is_closed = True
        if inspect.iscoroutine(self._given):
            self._given.close()  # or it would complain that it was never awaited
        return True

    def shut(self) -> None:
        """Note that its user closes the stream by a name of its own, past us."""
        self._is_shut = True
        self._is_closed |= self._manager is None and not inspect.isasyncgen(self._own_iterator)
        if isinstance(self.iterator, _Steady):
            self.iterator.stop()

    async def _close_generator(self) -> None:
        """Close the generator that yields the chunks, before that which it reads from."""
        chunks = self.opened if self._own_iterator is None else self._own_iterator
        if inspect.isasyncgen(chunks) and not _is_loop_closing():
            await chunks.aclose()

    async def _close_stream(self, left_by: BaseException | None) -> None:
        if self._manager is not None:
            generator = getattr(self._manager, "gen", None)  # what contextlib makes managers of
            if not (inspect.isasyncgen(generator) and _is_loop_closing()):
                how = (
                    (None, None, None) if left_by is None else (type(left_by), left_by, left_by.__traceback__)
                )
                await type(self._manager).__aexit__(self._manager, *how)
        elif self.opened is None:
            self.drop()
        elif not (self._is_shut or inspect.isasyncgen(self.opened)):
            # A stream that cannot be closed may have an iterator that can.
            close = _close_of(self.opened) or _close_of(self._own_iterator)
            pending = None if close is None else close()
            if inspect.isawaitable(pending):
                await pending


class _Steady:
    """An iterator that is its own iterator without further ado.

    The stream asks for one at every chunk, because that is the cheapest way to await one item; somebody
    else's ``__aiter__`` may start over, or be missing.
    """

    __slots__ = ("_next",)

    def __init__(self, iterator: Any) -> None:
        self._next = iterator.__anext__

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Any]:
        return self._next()  # type: ignore[no-any-return]  # whatever awaitable the iterator makes

    def stop(self) -> None:
        """Yield nothing more, whatever the iterator would do."""
        self._next = _over


async def _over() -> NoReturn:
    raise StopAsyncIteration


def _is_loop_closing() -> bool:
    """Whether the loop is closing all its generators, at the same time: one more who does is told off."""
    loop = asyncio._get_running_loop()  # noqa: SLF001 - documented, and there may be none
    return bool(getattr(loop, "_asyncgens_shutdown_called", False))


def _is_running(generator: Any) -> bool:
    return bool(getattr(generator, "ag_running", False))


def _close_of(stream: Any) -> Callable[[], Any] | None:
    return getattr(stream, "aclose", None) or getattr(stream, "close", None)


def _is_iterable(thing: object) -> bool:
    return hasattr(type(thing), "__aiter__")


def _is_manager(thing: object) -> bool:
    return hasattr(type(thing), "__aenter__")


def _not_a_stream(given: object) -> str:
    if hasattr(type(given), "__iter__") or hasattr(type(given), "__next__"):
        return (
            f"cannot stream {_shown(given)}: it is synchronous and would block the event loop at every "
            "chunk. Use the provider's asynchronous client (AsyncOpenAI, AsyncAnthropic, ...), or, if it has "
            "none, ldtrack.in_thread(stream)."
        )
    return (
        f"cannot stream {_shown(given)}: expected an async iterable, an awaitable of one, or an async "
        "context manager of one"
    )


def _shown(thing: object) -> str:
    return f"{thing!r:.80} ({type(thing).__name__})"
