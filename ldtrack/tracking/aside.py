"""What is read aside: past our chunks, by the provider's own stream object.

Rule for this file: the ways around ``Chunks``. What comes back by them passes unchanged; what was read by
them is asked of the stream object afterwards, since none of its chunks was seen. It costs chunks nothing.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from ldtrack.tracking.looking import skim_nothing

if TYPE_CHECKING:
    from ldtrack.core.reading import Reading
    from ldtrack.tracking.call import Call
    from ldtrack.tracking.chunks import Chunks
    from ldtrack.tracking.looking import Skim

__all__ = ["Aside", "measured_method"]

T = TypeVar("T")

_READ_TO_THE_END: Final = ("get_final_", "until_done")
"""How the names of methods begin that return once the stream has run out, whoever the provider is."""

_HINT: Final = (
    "%s of a stream was awaited, which may have read it past the tracker, and nothing is known of what was "
    "read: no first token and no tokens are recorded for it. Iterate over the tracked stream itself, or give "
    "AIClient a reader that recognises the provider's stream object."
)


class Aside(Generic[T]):
    """An iterator of the provider's over the same stream, such as ``text_stream``, measured as it is read.

    Its first content is the first token, and the call ends as it does. The user's ``first_token`` is not
    asked: it knows chunks. Everything else is the provider's own iterator's.
    """

    __slots__ = ("__weakref__", "_chunks", "_is_begun", "_reader", "iterator")

    def __init__(self, chunks: Chunks[Any], iterator: AsyncIterator[T], reader: object) -> None:
        self._chunks = chunks
        self._reader = reader  # while it is kept, the stream is not dropped
        self._is_begun = False
        self.iterator = iterator
        """The provider's own."""

    def __repr__(self) -> str:
        return repr(self.iterator)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        """The next item; a cancelled wait ends the call as cancelled and closes the stream."""
        try:
            item = await _asked(self._chunks, self.iterator.__anext__)
        except StopAsyncIteration:
            _ran_out(self._chunks)
            raise
        if not self._is_begun:
            self._is_begun = _begins(self._chunks.call, item)
        return item

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.iterator, name)


def measured_method(chunks: Chunks[Any], method: Callable[..., Awaitable[Any]], stream: object) -> Any:
    """A coroutine method of the provider's stream, after which its call knows what was read by it.

    Where the provider's stream returns itself, the tracked ``stream`` is returned.
    """

    @functools.wraps(method)
    async def ask_and_fold_in(*arguments: Any, **named: Any) -> Any:
        result = await _asked(chunks, functools.partial(method, *arguments, **named))
        _returned(chunks, getattr(method, "__name__", ""), result)
        return stream if result is chunks.source.opened else result

    return ask_and_fold_in


async def _asked(chunks: Chunks[Any], question: Callable[[], Awaitable[T]]) -> T:
    """Wait for what the provider's stream was asked for; what it raises ends the call, as from a chunk."""
    if chunks.call.ending is not None:
        return await question()
    try:
        await chunks.call.open()
        return await chunks.call.wait_for(question())
    except StopAsyncIteration:
        raise
    except GeneratorExit:
        chunks.abandon()  # whoever destroys a waiting coroutine cannot wait for it to tidy up
        raise
    except BaseException as error:
        await chunks.broken_by(error)
        raise


def _begins(call: Call, item: object) -> bool:
    """Whether the call has its first token, be it this item."""
    if call.meter.first_token_ns is None:
        try:
            reader = call._recorder.find_reader(item)
            reading = None if reader is None else reader.read(item)
        except Exception as error:  # noqa: BLE001 - C5: a user's reader never breaks the stream
            call._recorder.failed("reader", error)
            reader = reading = None
        if reader is not None and not (reading is not None and reading.content):
            return False
        call.meter.first_token_ns = call._recorder.clock.monotonic_ns()
    return True


def _ran_out(chunks: Chunks[Any]) -> None:
    call = chunks.call
    if call.ending is None:
        if _fold_in(call, chunks.source.opened, is_stream=True) is None:
            call.meter.finished = True
            call._recorder.hint("read aside", _HINT % "An iterator")
        _end(call)


def _returned(chunks: Chunks[Any], name: str, result: object) -> None:
    """Take in what is known after a method returned, and end the call if its stream has run out."""
    call, stream = chunks.call, chunks.source.opened
    if call.ending is not None:
        return
    reading = _fold_in(call, stream, is_stream=True)
    is_at_end = name.startswith(_READ_TO_THE_END)
    if reading is not None:
        if is_at_end or reading.finished or reading.failed:
            _end(call)
        return
    if result is not None and result is not stream:
        reading = _fold_in(call, result, is_stream=False)
    if reading is None or (reading.usage is None and not reading.parts):
        call._recorder.hint("read aside", _HINT % f"{name}()")
    if is_at_end:
        call.meter.finished = True
        _end(call)
    else:
        _suppose_read(chunks)


def _fold_in(call: Call, known: object, *, is_stream: bool) -> Reading | None:
    """Show the reader something that knows of chunks that it was not shown."""
    held, call._held = call._held, None
    if held is not None:
        call._see(held)  # it came before
    try:
        reader = call._recorder.find_reader(known)
        reading = None if reader is None else reader.read(known)
        if reading is not None:
            call.meter.note(reading)
    except Exception as error:  # noqa: BLE001 - C5
        call._recorder.failed("reader", error)
        return None
    if is_stream and reading is not None and call.reader is None:
        call.reader = reader
    return reading


def _end(call: Call) -> None:
    call._estimator = None  # it has not seen everything: no guess is better than a wrong one
    call.end_exhausted()


def _suppose_read(chunks: Chunks[Any]) -> None:
    """Suppose that a method nobody knows has read the stream to its end, until another chunk comes."""
    call, look, skim = chunks.call, chunks._look, chunks._skim
    was_finished, estimator = call.meter.finished, call._estimator
    call.meter.finished, call._estimator = True, None

    def look_again(chunk: Any) -> Skim | None:
        call.meter.finished, call._estimator = was_finished, estimator
        chunks._look = look
        return None if skim is None else look(chunk)

    chunks._look, chunks._skim = look_again, skim_nothing
