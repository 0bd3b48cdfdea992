"""A provider that streams, in every shape in which providers hand out their streams.

Rule for this file: a provider does what it was told at each place, lets exactly so much time pass, and
writes down when it was opened, read and closed. It knows nothing of ldtrack.
"""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from typing import Any, Literal

import attrs

OPEN_MS = 100
CHUNK_MS = 10


@types.coroutine
def tick() -> Generator[None, None, None]:
    """Let the event loop go round once."""
    yield


def name_of_task() -> str:
    """The name of the running task, which is its own."""
    task = asyncio.current_task()
    assert task is not None
    return task.get_name()


class Chunk:
    """What the provider sends. Compared by identity, and weakly referable."""

    def __init__(
        self, text: str = "", *, usage: Any = None, tools: tuple[str, ...] = (), finish: bool = False
    ) -> None:
        self.text = text
        self.usage = usage
        self.tools = tools
        self.finish = finish

    def __repr__(self) -> str:
        return f"Chunk({self.text!r})"


class Provider:
    """One request: ``waits_at`` and ``raises_at`` name a chunk by its number, ``"open"`` or ``"close"``."""

    def __init__(
        self,
        advance: Callable[..., None] = lambda **_: None,
        *,
        chunks: tuple[Any, ...] = (),
        waits_at: object = None,
        raises_at: object = None,
        error: BaseException | None = None,
    ) -> None:
        self._advance = advance
        self.chunks = chunks or (Chunk("a"), Chunk("b"), Chunk("c", finish=True))
        self.waits_at = waits_at
        self.raises_at = raises_at
        self.error = error or ConnectionError("the line is dead")
        self.reads = 0
        self.is_open = False
        """Whether a stream was handed out."""
        self.closing: list[str] = []
        self.tasks: list[str] = []
        """The names of the tasks it was asked from: a task would keep all that its coroutine held."""
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()

    async def pass_by(self, place: object, ms: int) -> None:
        """Let time pass, and do what was told to happen at this place."""
        self.tasks.append(name_of_task())
        self._advance(ms=ms)
        await tick()
        if place == self.waits_at:
            self.waiting.set()
            await self.go_on.wait()
        if place == self.raises_at:
            raise self.error

    async def opened(self, make: Callable[[Provider], Any]) -> Any:
        """A stream, once the request has got its answer."""
        await self.pass_by("open", OPEN_MS)
        self.is_open = True
        return make(self)

    async def next_chunk(self) -> Any:
        """The next chunk, or ``StopAsyncIteration``."""
        if self.reads >= len(self.chunks):
            raise StopAsyncIteration
        at = self.reads
        self.reads += 1
        await self.pass_by(at, CHUNK_MS)
        return self.chunks[at]

    async def closed(self, how: str) -> None:
        """Note that the stream was closed, which takes a round of the loop."""
        self.closing.append(how)
        await self.pass_by("close", 0)

    # The shapes

    async def generator(self) -> AsyncGenerator[Any, None]:
        """An async generator function's generator."""
        try:
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    yield await self.next_chunk()
        finally:
            await self.closed("finally")

    def plain(self) -> Plain:
        """An iterator with nothing to close."""
        return Plain(self)

    def with_aclose(self) -> WithAclose:
        """An iterator with an ``aclose``."""
        return WithAclose(self)

    def with_close(self) -> WithClose:
        """An iterator with an asynchronous ``close``."""
        return WithClose(self)

    def with_sync_close(self) -> WithSyncClose:
        """An iterator with a synchronous ``close``."""
        return WithSyncClose(self)

    def like_openai(self) -> LikeOpenAI:
        """An iterable over a generator of its own, with ``close`` and ``response``."""
        return LikeOpenAI(self)

    def restarting(self) -> Restarting:
        """An iterator that starts over whenever it is asked for its iterator."""
        return Restarting(self)

    def headless(self) -> Headless:
        """An iterable whose iterator has no ``__aiter__``."""
        return Headless(self)


class Plain:
    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await self.provider.next_chunk()


class WithAclose(Plain):
    async def aclose(self) -> None:
        await self.provider.closed("close")


class WithClose(Plain):
    async def close(self) -> None:
        await self.provider.closed("close")


class WithSyncClose(Plain):
    def close(self) -> str:
        self.provider.closing.append("close")
        return "closed"


class LikeOpenAI:
    """Shaped as the OpenAI package's own stream class."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.response = {"request_id": "req_1"}
        self._generator = provider.generator()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._generator

    async def __anext__(self) -> Any:
        return await anext(self._generator)

    async def close(self) -> None:
        await self.provider.closed("close")


class Restarting(Plain):
    def __aiter__(self) -> AsyncIterator[Any]:
        self.provider.reads = 0
        return self


class Headless:
    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    def __aiter__(self) -> Any:
        return OnlyNext(self.provider)


class OnlyNext:
    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    async def __anext__(self) -> Any:
        return await self.provider.next_chunk()


class Manager:
    """An async context manager that opens a stream, as Anthropic's ``messages.stream(...)`` is one."""

    def __init__(self, provider: Provider, make: Callable[[Provider], Any]) -> None:
        self.provider = provider
        self.make = make

    async def __aenter__(self) -> Any:
        return await self.provider.opened(self.make)

    async def __aexit__(self, *_: object) -> None:
        await self.provider.closed("exit")


@contextlib.asynccontextmanager
async def managed(provider: Provider, make: Callable[[Provider], Any]) -> AsyncIterator[Any]:
    """The same as a function: a generator that the event loop knows of."""
    stream = await provider.opened(make)
    try:
        yield stream
    finally:
        await provider.closed("exit")


async def opening(provider: Provider, make: Callable[[Provider], Any]) -> Any:
    """A request that is issued when it is awaited."""
    return await provider.opened(make)


async def manager_later(provider: Provider, make: Callable[[Provider], Any]) -> Any:
    """A coroutine whose result is a manager, which issues the request."""
    await tick()
    return Manager(provider, make)


class Request:
    """An awaitable that is no coroutine."""

    def __init__(self, provider: Provider, make: Callable[[Provider], Any]) -> None:
        self.provider = provider
        self.make = make

    def __await__(self) -> Generator[Any, None, Any]:
        return opening(self.provider, self.make).__await__()


@attrs.frozen
class Kind:
    """One shape of source: how to make one, and what closing it looks like."""

    make: Callable[[Provider], Any]
    when_begun: tuple[str, ...] = ("close",)
    """What is written down when a stream is closed that was read from."""
    when_opened: tuple[str, ...] = ("close",)
    """The same for one that is open, but never was read from."""
    is_lazy: bool = False
    """Whether the request is issued only when the stream is first asked for something."""
    close: Literal["asynchronous", "synchronous"] | None = None
    """Whether the stream has a ``close`` of its own, and of what kind."""
    is_managed: bool = False

    def closing(self, *, is_opened: bool, is_begun: bool) -> list[str]:
        """What a provider should have written down in the end."""
        if is_begun:
            return list(self.when_begun)
        return list(self.when_opened) if is_opened or not self.is_lazy else []


PLAIN: dict[str, Kind] = {
    "generator": Kind(Provider.generator, ("finally",), ()),
    "plain": Kind(Provider.plain, (), ()),
    "with aclose": Kind(Provider.with_aclose),
    "with close": Kind(Provider.with_close, close="asynchronous"),
    "with sync close": Kind(Provider.with_sync_close, close="synchronous"),
    "like openai": Kind(Provider.like_openai, ("finally", "close"), close="asynchronous"),
}
Wrapper = Callable[[Provider, Callable[[Provider], Any]], Any]


def _wrapped(wrapper: Wrapper, kind: Kind) -> Kind:
    return Kind(
        lambda provider: wrapper(provider, kind.make), kind.when_begun, kind.when_opened, is_lazy=True
    )


def _managed(wrapper: Wrapper, kind: Kind) -> Kind:
    begun = tuple(entry for entry in kind.when_begun if entry == "finally")
    return attrs.evolve(
        _wrapped(wrapper, kind), when_begun=(*begun, "exit"), when_opened=("exit",), is_managed=True
    )


KINDS: dict[str, Kind] = {
    **PLAIN,
    **{f"coroutine of {name}": _wrapped(opening, kind) for name, kind in PLAIN.items()},
    "awaitable of generator": _wrapped(Request, PLAIN["generator"]),
    "awaitable of like openai": _wrapped(Request, PLAIN["like openai"]),
    **{f"manager of {name}": _managed(Manager, kind) for name, kind in PLAIN.items()},
    "contextmanager of generator": _managed(managed, PLAIN["generator"]),
    "contextmanager of with aclose": _managed(managed, PLAIN["with aclose"]),
    "coroutine of manager of generator": _managed(manager_later, PLAIN["generator"]),
    "coroutine of manager of with close": _managed(manager_later, PLAIN["with close"]),
}
"""Every shape of source, by name."""

Opener = Callable[[Provider], Awaitable[Any]]
