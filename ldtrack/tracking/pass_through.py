"""Streams that yield nothing of their own: they only pass on what a generator within them yields.

Rule for this file: a short cut is taken only past code that is known, instruction by instruction, to do
nothing else.

The streams of ``openai`` are such, and those of SDKs made by the same code generator. Their ``__aiter__`` is
an async generator round another one, so every chunk is yielded twice. Reading the inner one saves as much as
our own wrapping costs; and closing it closes what it reads from, which closing the outer one does not.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any, Final

__all__ = ["chunks_of"]


class _PassThrough:
    _iterator: AsyncIterator[Any]

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for item in self._iterator:
            yield item


def _makeup(function: Any) -> tuple[object, ...]:
    """What a function does, whatever it is called and wherever it is written; empty if it is not Python."""
    code = getattr(function, "__code__", None)
    if code is None:
        return ()
    is_generator = bool(code.co_flags & inspect.CO_ASYNC_GENERATOR)
    return is_generator, code.co_code, code.co_exceptiontable, code.co_names, code.co_consts


_PASSES_ON: Final = _makeup(_PassThrough.__aiter__)


def chunks_of(stream: Any) -> AsyncIterator[Any]:
    """What to iterate over to get the chunks of a stream: its own iterator, or that which it passes on.

    A class that does more in its ``__aiter__``, a subclass that has one of its own, or an instrumentation
    that has put another one there is iterated over as it wishes to be.
    """
    if _makeup(type(stream).__aiter__) == _PASSES_ON:
        within: AsyncIterator[Any] = stream._iterator  # noqa: SLF001 - by that name it is passed on
        if inspect.isasyncgen(within):
            return within
    return aiter(stream)
