"""A synchronous stream, read in a thread of its own, so that ``boto3`` does not block the event loop.

Rule for this file: whatever touches the body does so in the body's thread, one thing after the other. The
one exception is what wakes that thread up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, Self, TypeVar

__all__ = ["ThreadedStream", "in_thread"]

T = TypeVar("T")

_END: Final[Any] = object()
_ENDS: Final = (StopIteration, StopAsyncIteration)
"""What no future can hold, so that whoever waits for it would wait forever, or take for the stream's end."""


def in_thread(body: Iterable[T] | Callable[[], Iterable[T]]) -> ThreadedStream[T]:
    """Make an async iterator of a synchronous stream, or of a function that opens one, in a thread."""
    _refuse_mapping(body, "in_thread was given", "Pass")
    if isinstance(body, AsyncIterable):
        raise TypeError(f"{body!r:.80} is asynchronous already: stream it as it is, without in_thread.")
    if not callable(body) and not isinstance(body, Iterable):
        raise TypeError(f"in_thread needs an iterable, or a function that returns one, not {body!r:.80}.")
    return ThreadedStream(body)


class ThreadedStream(Generic[T]):
    """The items of a synchronous stream, each read when it is asked for. Made by ``in_thread``."""

    __slots__ = (
        "__weakref__",
        "_body",
        "_is_awaited",
        "_iterator",
        "_pending",
        "_thread",
        "is_request_issued",
    )

    def __init__(self, body: Iterable[T] | Callable[[], Iterable[T]]) -> None:
        self._body: Any = body
        self._iterator: Iterator[T] | None = None
        # Of one thread, which ends when the stream is closed or dropped. A shared pool would make streams
        # wait for each other, and keep threads.
        self._thread: ThreadPoolExecutor | None = ThreadPoolExecutor(1, "ldtrack-stream")
        self._pending: asyncio.Future[T] | None = None
        self._is_awaited = False
        self.is_request_issued = not callable(body)
        """Whether the request went out: a function issues it in the first read."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next item; cancelling the wait loses none, since the next call takes what was being read."""
        if self._is_awaited:
            raise RuntimeError("another task waits for the next item already: read the stream from one task")
        if self._thread is None:
            raise StopAsyncIteration
        if self._pending is None:
            self.is_request_issued = True
            self._pending = asyncio.get_running_loop().run_in_executor(self._thread, self._read)
            self._pending.add_done_callback(_look_at)
        pending, self._is_awaited = self._pending, True
        try:
            await asyncio.wait([pending])  # which does not cancel what it waits for
        finally:
            self._is_awaited = False
        self._pending = None
        try:
            item = pending.result()
        except Exception:
            if self._thread is None:
                raise StopAsyncIteration from None  # it is closed; that the body broke off is no news
            raise
        if item is _END:
            with contextlib.suppress(Exception):  # all was read: that the body does not close is no news
                await self.aclose()
        if self._thread is None:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Close the body and end its thread; if this is cancelled, the thread does it all the same.

        A read that is under way is broken off where the body allows it. Otherwise this waits until the
        body's own timeout ends it.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._pending is not None and not self._pending.done():
            _wake(self._body)
        closing = asyncio.get_running_loop().run_in_executor(thread, self._close)
        thread.shutdown(wait=False)  # the thread ends after what it has been given to do
        await asyncio.wait([closing])
        thread.shutdown()
        closing.result()

    def _read(self) -> T:
        if self._iterator is None:
            try:
                self._open()
            except _ENDS as error:
                raise RuntimeError(f"opening the synchronous stream raised {error!r}") from error
        return next(self._iterator, _END)  # type: ignore[arg-type]  # it has been opened

    def _open(self) -> None:
        if callable(self._body):
            body = self._body()
            _refuse_mapping(body, "the function given to in_thread returned", "Return")
            self._body = body
        self._iterator = iter(self._body)

    def _close(self) -> None:
        parts = (self._body,) if self._iterator is self._body else (self._iterator, self._body)
        try:
            with contextlib.ExitStack() as closing:
                for part in reversed(parts):
                    close = getattr(part, "close", None)
                    if close is not None:
                        closing.callback(close)
        except _ENDS as error:
            raise RuntimeError(f"closing the synchronous stream raised {error!r}") from error


def _refuse_mapping(body: object, whence: str, remedy: str) -> None:
    """Refuse an answer that has the stream in it: its keys would be streamed."""
    if isinstance(body, Mapping):
        raise TypeError(
            f"{whence} a mapping ({', '.join(map(str, body))}), which is an answer and not its "
            f'stream. {remedy} the stream that is in it: response["stream"], or response["body"].'
        )


def _look_at(done: asyncio.Future[Any]) -> None:
    """See the error of a read that nobody waits for any more, or asyncio would complain of it."""
    _ = done.cancelled() or done.exception()


def _wake(body: Any) -> None:
    """Shut the connection of a body down: closing it would wait for the read that is under way."""
    # botocore keeps urllib3's response, which can shut down since urllib3 2.3, to itself.
    for holder in (body, getattr(body, "_raw_stream", None)):
        shutdown = getattr(holder, "shutdown", None)
        if shutdown is not None:
            with contextlib.suppress(Exception):  # it may have come to its end meanwhile
                shutdown()
