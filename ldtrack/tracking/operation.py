"""Whole operations: call a function, await it, and record what it did.

Rule for this file: what the function returns or raises always passes unchanged.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["require_operation", "result_of"]


def require_operation(func: object, what: str) -> None:
    """Refuse, before anything is called, what cannot be an operation."""
    if not callable(func):
        raise TypeError(f"{what} needs a function to call, not {func!r}: pass the function, uncalled")
    if inspect.isasyncgenfunction(func):
        raise TypeError(
            f"{what} needs an operation with one result; {func!r} is an async generator function: "
            "use tracker.stream(func())"
        )


async def result_of(func: Callable[[], Any]) -> Any:
    """Call a function, and await what it returns if it can be awaited; cancellation passes to it."""
    result = func()
    return await result if inspect.isawaitable(result) else result
