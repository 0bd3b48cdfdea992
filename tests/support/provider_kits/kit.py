"""A kit: one way to stream from one provider, which can serve every scene that a stream may play.

Rule for this file: a kit knows a provider's wire format and how its own package is called, and never what
ldtrack should make of it: that is for the suite. What a kit tells of a scene is what it served.
"""

from __future__ import annotations

import abc
import contextlib
import importlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import attrs
import pytest
from fake_http import FakeServer, broken_connection
from model_server import CUT, Answer, plain, serving_model
from tracked import Tracked, tracked_call, tracked_stream

from ldtrack import TokenUsage
from ldtrack.typing import Reader

__all__ = ["ASKED", "TOOLS", "InMemoryKit", "Kit", "Line", "LoopbackKit", "Scene"]

ASKED: list[Any] = [{"role": "user", "content": "Hi"}]
"""The messages of every request."""
TOOLS = ("weather", "weather")
"""The calls of every scene that has some: two of one tool, which are told apart by more than their name."""


@attrs.frozen
class Scene:
    """What is served, and where in it things are."""

    events: Sequence[Any]
    """The wire format's events, or for an answer that does not stream its JSON alone."""
    first_token: int | None = 0
    """The number of the first chunk, as the package hands them out, that carries something to wait for."""
    begun: int = 1
    """How many events are served until then."""
    reason: str = ""
    """Why it stopped, in the provider's words, unless for the kit's usual reason."""
    later: tuple[Sequence[Any], ...] = ()
    """What the model calls after the first one are served, where the package goes on by itself."""

    @property
    def calls(self) -> int:
        """How many model calls it takes."""
        return 1 + len(self.later)


@attrs.frozen
class Line:
    """A provider that serves a scene, with its own package in front of it."""

    client: Any
    """The package's client, for what is special to it."""
    stream: Callable[[], Any]
    """Asks for a stream: gives whatever the package gives."""
    answer: Callable[[], Awaitable[Any]]
    """Asks for a whole answer."""
    hung_up: Callable[[], Awaitable[object]]
    """Waits until the provider has seen the client leave before the end."""


class Kit(abc.ABC):
    """One way to stream from one provider. What a scene of it needs, it returns as a ``Scene``."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    """The packages without which there is nothing to test."""
    held_back: ClassVar[str] = ""
    """Why they may be missing even in CI."""
    unable: ClassVar[Mapping[str, str]] = {}
    """The scenes that do not exist here, by name, with the reason."""
    warns: ClassVar[tuple[str, ...]] = ()
    """Filters for what the package itself warns of."""

    reader: ClassVar[type[Reader]]
    model: ClassVar[str | None]
    """The model that answers, as it calls itself."""
    model_of_answers: ClassVar[str] = ""
    """The same in answers that do not stream, where there is a difference."""
    tells_of_answers: ClassVar[bool] = True
    """Whether answers that do not stream say which model they are from, and why it stopped."""
    names_model_at_once: ClassVar[bool] = True
    """Whether the model is known once the first token is there."""
    usage: ClassVar[TokenUsage]
    """What every whole answer reports."""
    usage_so_far: ClassVar[TokenUsage | None] = None
    """What is known of it once the first token is there."""
    reason: ClassVar[str]
    """Why an answer usually stops."""
    first_tokens: ClassVar[Mapping[str, int]] = {}
    """By scene, the first token's number where the package hands out other chunks than the format has."""
    error_says: ClassVar[str] = ""
    """What the package raises of an error in mid-stream; nothing if it hands the error on as a chunk."""
    cut_says: ClassVar[str] = r"reset|[Cc]onnection"
    """What it raises when the connection breaks."""
    failing: ClassVar[Any]
    """An answer to a request that comes to nothing."""
    failing_says: ClassVar[str]
    """What the package raises of it."""

    # Who is asked, and how

    @abc.abstractmethod
    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        """The package's client of this server."""

    @abc.abstractmethod
    def ask_stream(self, client: Any) -> Any:
        """Ask for a stream."""

    @abc.abstractmethod
    async def ask(self, client: Any) -> Any:
        """Ask for a whole answer."""

    @abc.abstractmethod
    def open(self, *answers: Any) -> AbstractAsyncContextManager[Line]:
        """A line to a provider that gives these answers."""

    @abc.abstractmethod
    def errors(self) -> tuple[type[Exception], ...]:
        """What the package raises of an error in mid-stream."""

    def failures(self) -> tuple[type[Exception], ...]:
        """What the package raises of a request that fails."""
        return self.errors()

    # What is served

    @abc.abstractmethod
    def whole(self) -> Scene:
        """Two texts, "Hel" and "lo", the reason and the usage."""

    def opening(self) -> Scene:
        """A beginning that says nothing yet, and then a text: usually the whole stream is that."""
        return self.scene("whole")

    def thoughts(self) -> Scene:
        """Reasoning before the text."""
        raise NotImplementedError

    def tools(self) -> Scene:
        """The calls in ``TOOLS``, in as many pieces as the provider makes of them."""
        raise NotImplementedError

    def without_usage(self) -> Scene:
        """A text, and no usage anywhere."""
        raise NotImplementedError

    def usage_first(self) -> Scene:
        """All of the usage before the end."""
        raise NotImplementedError

    def refusal(self) -> Scene:
        """The model declines, in words or with a reason."""
        raise NotImplementedError

    def filtered(self) -> Scene:
        """A filter stops the answer."""
        raise NotImplementedError

    def error(self) -> Any:
        """The event that tells of an error in mid-stream."""
        raise NotImplementedError

    def answer(self) -> Scene:
        """An answer that does not stream, with the calls in ``TOOLS``."""
        raise NotImplementedError

    # What the tests ask

    async def streamed(self, *events: Any, into: Tracked | None = None) -> Tracked:
        """What was recorded of a stream of these events, read to its end."""
        async with self.open(events) as line:
            return await tracked_stream(line.stream(), into=into)

    async def answered(self, served: Any) -> Tracked:
        """What was recorded of this answer, which does not stream."""
        async with self.open(served) as line:
            return await tracked_call(line.answer())

    def require(self) -> None:
        """Skip if a package is missing; in CI that is a failure, unless something holds it back."""
        for package in self.needs:
            if os.environ.get("CI") == "true" and not self.held_back:
                importlib.import_module(package)
            pytest.importorskip(package, reason=self.held_back or None, exc_type=ImportError)

    def scene(self, name: str) -> Scene:
        """The scene of that name."""
        scene: Scene = getattr(self, name.replace(" ", "_"))()
        return attrs.evolve(scene, first_token=self.first_tokens.get(name, scene.first_token))

    def reason_of(self, scene: Scene) -> str:
        """Why this scene stops."""
        return scene.reason or self.reason

    def usage_of(self, scene: Scene) -> TokenUsage:
        """What all of this scene's model calls report together."""
        total = self.usage
        for _ in scene.later:
            total += self.usage
        return total


class InMemoryKit(Kit):
    """A kit whose package has an HTTP client that can be replaced."""

    def sdk(self) -> Any:
        """The package that says which HTTP library it is."""
        import openai

        return openai

    def errors(self) -> tuple[type[Exception], ...]:
        return (self.sdk().APIError,)

    @contextlib.asynccontextmanager
    async def open(self, *answers: Any) -> AsyncIterator[Line]:
        server = FakeServer(*map(self._served, answers))
        async with self.client(server) as client:

            async def hung_up() -> None:
                assert server.closed == server.begun, "the package has not closed the provider's answer"

            yield Line(client, lambda: self.ask_stream(client), lambda: self.ask(client), hung_up)

    def _served(self, answer: Any) -> Any:
        if answer is CUT:
            return broken_connection(self.sdk())
        if isinstance(answer, Mapping):
            return answer
        return [broken_connection(self.sdk()) if event is CUT else event for event in answer]

    failing = CUT
    failing_says = Kit.cut_says

    def failures(self) -> tuple[type[Exception], ...]:
        return (Exception,)  # of the package, or of the HTTP library under it


class LoopbackKit(Kit):
    """A kit whose package talks to a server on the loopback interface."""

    failing = plain({"message": "no such model"}, 400)
    failing_says = "no such model"

    @abc.abstractmethod
    def frame(self, *events: Any) -> Answer:
        """A stream of these events."""

    @contextlib.asynccontextmanager
    async def open(self, *answers: Any) -> AsyncIterator[Line]:
        served = map(self._served, answers)
        async with serving_model(*served) as server, self.client(server) as client:
            yield Line(client, lambda: self.ask_stream(client), lambda: self.ask(client), server.hung_up.wait)

    def _served(self, answer: Any) -> Answer:
        if isinstance(answer, Answer):
            return answer
        return plain(answer) if isinstance(answer, Mapping) else self.frame(*answer)
