"""The way of a chunk, from the provider's stream to the consumer's loop.

Rule for this file: the hottest path there is. Whatever can be done once, before or after, is done elsewhere;
and the class stays free of ``__getattr__``, which would make every attribute of it slower to read.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, cast

from ldtrack.tracking.call import ending_of
from ldtrack.tracking.looking import Skim, skim_nothing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import AsyncGeneratorType

    from ldtrack.tracking.call import Call

__all__ = ["Chunks"]

T = TypeVar("T")

_BEGUN: Final[Any] = object()
"""What a generator of chunks yields before all chunks, to nobody."""


class _ClosedMeanwhileError(Exception):
    """The stream was closed by another task while this one waited for a chunk."""


def _refuse(_chunk: object) -> NoReturn:
    raise _ClosedMeanwhileError


class Chunks(Generic[T]):
    """The chunks of one call, and what ends it.

    It does not know the generator that yields them: what is known to what it refers to is never dropped.
    """

    __slots__ = ("_iterator", "_look", "_skim", "call", "source")

    def __init__(self, call: Call) -> None:
        assert call.source is not None, "chunks are those of a call that has a source"
        self.call = call
        self.source = call.source
        self._iterator: Any = call.attendance or call.source
        """What they are read from; ``None`` once nothing more is yielded."""
        self._look: Callable[[Any], Skim | None] = call.look
        self._skim: Skim | None = skim_nothing

    def read(self) -> AsyncGeneratorType[T, None]:
        """A generator of them. When it is dropped, the call ends, whether or not anything was read."""
        generator = cast("AsyncGeneratorType[T, None]", self._read())
        # Begun without the hooks of the loop, it is finalized like any other object: at once, wherever that
        # is, and not by a task of a loop that may be over by then.
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            with contextlib.suppress(StopIteration):
                anext(generator).send(None)
        finally:
            sys.set_asyncgen_hooks(*hooks)
        # With a callback, since collectors of newer Pythons clear those without only after the finalizers.
        self.source.reader = weakref.ref(generator, lambda _: None)
        return generator

    async def _read(self) -> AsyncGenerator[T]:  # noqa: C901 - calls of other functions would be paid for
        """The chunks; a cancelled wait ends the stream as cancelled and closes it."""
        try:
            try:
                yield _BEGUN
            except GeneratorExit:
                await self._close_by_name()
                raise
            while (iterator := self._iterator) is not None:
                async for chunk in iterator:
                    skim = self._skim
                    if skim is not None:
                        try:
                            is_enough = skim(chunk)
                        except Exception:  # noqa: BLE001 - a chunk of another shape than usual
                            is_enough = False
                        if not is_enough:
                            self._look_at(chunk)
                    try:
                        yield chunk
                    except GeneratorExit:
                        await self._close_by_name()
                        raise
                    del chunk  # nobody holds it while the next one is waited for
                    if self._iterator is not iterator:
                        break
                else:
                    break
        except GeneratorExit:
            self._forget()
            self.call.end_abandoned()
            raise
        except _ClosedMeanwhileError:
            pass  # it is over for who waited, too
        except BaseException as error:
            await self.broken_by(error)
            raise
        await self.run_out()
        self.call.check_that_it_is_whole()

    async def _close_by_name(self) -> None:
        """Close the source if the generator is being closed, and not dropped, which cannot be waited for."""
        reader = self.source.reader
        if reader is not None and reader() is not None:
            await self.aclose()

    def __del__(self) -> None:
        if self._iterator is not None:  # the generator has ended, but not the stream: it was told off
            self.call.end_abandoned()

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

    @property
    def is_readable(self) -> bool:
        """Whether there may be more of them."""
        return self._iterator is not None

    def stop(self) -> None:
        """Yield nothing more, and end the call."""
        self._forget()
        self.call.end_closed()

    def abandon(self) -> None:
        """End the call now, and leave the source to be closed soon."""
        self.source.reader = None
        self._forget()
        self.call.close_abandoned()

    def _forget(self) -> None:
        self._iterator = None
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
