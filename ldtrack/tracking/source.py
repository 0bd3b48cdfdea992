"""Somebody else's stream: opened once, closed once.

Rule for this file: it knows the shapes a stream can be given in, and how each of them is opened and
closed. It records nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Self, TypeAlias, TypeVar

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
        "_is_opening",
        "_manager",
        "_own_iterator",
        "is_closed",
        "iterator",
        "on_open",
        "opened",
    )

    def __init__(self, given: StreamSource[T]) -> None:
        if not _is_iterable(given) and not _is_manager(given) and not inspect.isawaitable(given):
            raise TypeError(_not_a_stream(given))
        self._given: Any = given
        self.is_closed = False
        self._is_opening = False
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
        return self.opened is not None

    @property
    def is_being_read(self) -> bool:
        """Whether a task is waiting for it to open, or for its generator to yield."""
        return self._is_opening or bool(getattr(self._own_iterator, "ag_running", False))

    @property
    def is_spent(self) -> bool:
        """Whether there is nothing left to close: it is closed, or a generator that has finished."""
        return self.is_closed or (self.is_generator and self.opened.ag_frame is None)

    @property
    def is_generator(self) -> bool:
        """Whether it is an async generator, which its event loop closes if nobody else does."""
        return self._manager is None and inspect.isasyncgen(self.opened)

    def __repr__(self) -> str:
        return _shown(self._given if self.opened is None else self.opened)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return await (await self.open()).__anext__()

    async def open(self) -> AsyncIterator[T]:
        """Open the stream if it is not open; a cancelled opening is for ``aclose`` to tidy up."""
        if self.iterator is None:
            on_open, self.on_open = self.on_open, None
            if on_open is not None:
                on_open()
            if self.opened is None:
                self._is_opening = True
                try:
                    self.opened = await self._open_given()
                finally:
                    self._is_opening = False
            self._own_iterator = aiter(self.opened)
            is_steady = inspect.isasyncgen(self._own_iterator)
            self.iterator = self._own_iterator if is_steady else _Steady(self._own_iterator)
        return self.iterator

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

    async def aclose(self) -> None:
        """Close the stream by whichever name it closes under, once; what it raises passes.

        A second call does nothing. A cancelled close is not tried again, except that an async generator
        which is running in another task can be closed later.
        """
        if self.is_closed:
            return
        if self._own_iterator is not None and self._own_iterator is not self.opened:
            # An iterator that the stream made for us. Raises if it is running: then nothing is closed yet.
            await _closed(self._own_iterator)
        if self._manager is not None:
            self.is_closed = True
            await type(self._manager).__aexit__(self._manager, None, None, None)
        elif self.opened is not None:
            await _closed(self.opened)
            self.is_closed = True
        else:
            self.drop()

    def drop(self) -> None:
        """Let go of a stream that was never opened, without a "never awaited" warning."""
        self.is_closed = True
        if self.opened is None and inspect.iscoroutine(self._given):
            self._given.close()


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


async def _closed(stream: Any) -> None:
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    if close is not None:
        pending = close()
        if inspect.isawaitable(pending):
            await pending


def _is_iterable(thing: object) -> bool:
    return hasattr(type(thing), "__aiter__")


def _is_manager(thing: object) -> bool:
    return hasattr(type(thing), "__aenter__")


def _not_a_stream(given: object) -> str:
    if hasattr(type(given), "__iter__") or hasattr(type(given), "__next__"):
        return (
            f"cannot stream {_shown(given)}: it is synchronous and would block the event loop at every "
            "chunk. Use the provider's asynchronous client (AsyncOpenAI, AsyncAnthropic, ...)."
        )
    return (
        f"cannot stream {_shown(given)}: expected an async iterable, an awaitable of one, or an async "
        "context manager of one"
    )


def _shown(thing: object) -> str:
    return f"{thing!r:.80} ({type(thing).__name__})"
