"""Streams that yield nothing of their own: they only pass on what a generator within them yields.

Rule for this file: a short cut is taken only past code that is known, instruction by instruction, to do
nothing else.

The streams of ``openai`` are such, and those of SDKs made by the same code generator. Their ``__aiter__`` is
an async generator round another one, so every chunk is yielded twice. Reading the inner one saves as much as
our own wrapping costs. It stays the stream's: others may read it by its methods, and it closes it.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any, Final

__all__ = ["passed_on"]


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


def passed_on(stream: Any) -> AsyncIterator[Any] | None:
    """The generator whose chunks a stream passes on, if that is all that it does.

    ``None`` for a class that does more in its ``__aiter__``, a subclass that has one of its own, or one into
    which an instrumentation has put another: they are iterated over as they wish to be.
    """
    if _makeup(type(stream).__aiter__) != _PASSES_ON:
        return None
    within: AsyncIterator[Any] = stream._iterator  # noqa: SLF001 - by that name it is passed on
    return within if inspect.isasyncgen(within) else None
