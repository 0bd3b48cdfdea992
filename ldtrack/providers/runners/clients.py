"""Which of a provider's clients makes a call.

Rule for this file: it makes clients late, and closes those that it made. A client's connections belong to the
event loop that opened them, so each loop has its own.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Clients", "require_asynchronous"]

C = TypeVar("C")


def require_asynchronous(client: object, example: str) -> None:
    """Refuse a client that would block the event loop: SDKs give theirs the context manager that fits."""
    if hasattr(type(client), "__enter__") and not hasattr(type(client), "__aenter__"):
        raise TypeError(f"client must be asynchronous, such as {example}, not {type(client).__name__}")


class Clients(Generic[C]):
    """The user's client for all calls, or else one of ours for each loop."""

    def __init__(self, given: C | None, make: Callable[[], C]) -> None:
        self._given = given
        self._make = make
        self._made: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, C] = weakref.WeakKeyDictionary()

    def get(self) -> C:
        """The client for the running loop."""
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            self._made[loop] = self._make()
        return self._made[loop]

    async def aclose(self) -> None:
        """Close the running loop's client if it is ours; cancelling leaves it to the garbage collector."""
        made: Any = self._made.pop(asyncio.get_running_loop(), None)
        closing = None if made is None else made.close()
        if inspect.isawaitable(closing):
            await closing
