"""A model of OpenAI's Agents SDK, whose calls are made through a run, and whose answers are whole.

The SDK forgets why an answer ended, and calls tools with whatever arguments it got. So its models are given a
client that notes it.

Rule for this file: nothing is asked or answered here; what passes is looked at.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import attrs

from ldtrack.core.finish_reasons import NO_FINISH_MARK, is_cut_short, is_filtered
from ldtrack.providers.runners.chat import cut_short
from ldtrack.tracking.source import StreamSource
from ldtrack.tracking.stream import TrackedStream

__all__ = ["KnownModel", "MeasuredModel", "ModelCalls", "NotingClient", "Why"]

T = TypeVar("T")


@attrs.define
class Why:
    """Why the latest answer of one model in one run ended, in the provider's word."""

    reason: str | None = None
    response: Any = None
    """The whole response that came, which newer versions of the SDK refuse if it was cut short."""

    @property
    def is_cut_short(self) -> bool:
        """Whether the end of the answer is missing."""
        return is_cut_short(self.reason)

    def require_whole(self, output: Sequence[Any]) -> None:
        """Refuse an answer that asks for tools, or hands over, and may not have said all of it."""
        is_whole = not is_cut_short(self.reason) and not is_filtered(self.reason)
        if not is_whole and any(item.type == "function_call" for item in output):
            raise cut_short(self.reason)


class _Through:
    """Something of a client's, which is as it is but for what is said otherwise."""

    def __init__(self, inner: Any, why: Why) -> None:
        self._inner = inner
        self._why = why

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class NotingClient(_Through):
    """A client of OpenAI's that notes why answers end."""

    @property
    def chat(self) -> Any:
        """Its chat completions."""
        return _Chat(self._inner.chat, self._why)

    @property
    def responses(self) -> Any:
        """Its responses. Of those that stream, the SDK itself refuses what was cut short."""
        return _Responses(self._inner.responses, self._why)

    def with_options(self, **options: Any) -> NotingClient:
        """The same client with other options, if it can have others."""
        make = getattr(self._inner, "with_options", None)
        return self if make is None else NotingClient(make(**options), self._why)


class _Chat(_Through):
    @property
    def completions(self) -> Any:
        return _Completions(self._inner.completions, self._why)


class _Completions(_Through):
    async def create(self, **request: Any) -> Any:
        self._why.reason = None
        answer = await self._inner.create(**request)
        if hasattr(answer, "__aiter__"):
            return _Chunks(answer, self._why)
        if answer.choices:
            self._why.reason = answer.choices[0].finish_reason
        return answer


class _Responses(_Through):
    async def create(self, **request: Any) -> Any:
        self._why.reason = self._why.response = None
        answer = await self._inner.create(**request)
        details = getattr(answer, "incomplete_details", None)
        self._why.reason = getattr(details, "reason", None) or getattr(answer, "status", None)
        self._why.response = None if hasattr(answer, "__aiter__") else answer
        return answer


class _Chunks(_Through):
    """A stream of chat completions; without a finish mark it is not known to be whole."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            chunk = await self._inner.__anext__()
        except StopAsyncIteration:
            self._why.reason = self._why.reason or NO_FINISH_MARK
            raise
        if chunk.choices:
            self._why.reason = chunk.choices[0].finish_reason or self._why.reason
        return chunk


class _Model(Protocol):
    async def get_response(self, *args: Any, **kwargs: Any) -> Any: ...

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]: ...


class KnownModel(NamedTuple):
    """One of the SDK's models, and why its latest answer ended."""

    model: _Model
    why: Why


class ModelCalls(Protocol):
    """Makes a model's calls: what is needed of ``Calls``."""

    async def call(self, awaitable: Awaitable[T]) -> T:
        """Await an answer; cancelling passes to it."""
        ...

    def stream(self, source: StreamSource[T]) -> TrackedStream[T]:
        """Read a stream."""
        ...


class MeasuredModel:
    """One of the SDK's models, whose calls are made through a run.

    Whatever else the SDK asks a model for, the model itself answers.
    """

    def __init__(self, known: KnownModel, calls: ModelCalls) -> None:
        self._model, self.why = known
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        """The model's answer, if it is whole; cancelling passes to the request."""
        asked = _Asked(self._model, self.why, args, kwargs)
        await self._calls.call(asked.answer())
        self.why.require_whole(asked.response.output)
        if asked.refusal is not None:
            raise asked.refusal
        return asked.response

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        """The model's events; cancelling, or closing this generator, closes the stream."""
        async with self._calls.stream(self._told(self._model.stream_response(*args, **kwargs))) as events:
            async for event in events:
                if event.type == "response.completed":
                    self.why.require_whole(event.response.output)
                yield event

    async def _told(self, events: AsyncGenerator[Any, None]) -> AsyncIterator[Any]:
        """The events; the last one says that the answer was cut short, if it was: the SDK's does not."""
        async with contextlib.aclosing(events):
            async for event in events:
                if event.type == "response.completed" and self.why.is_cut_short:
                    details = importlib.import_module("openai.types.responses.response").IncompleteDetails
                    told = details.model_construct(reason=self.why.reason)
                    response = event.response.model_copy(update={"incomplete_details": told})
                    yield event.model_copy(update={"response": response})
                else:
                    yield event


class _Asked:
    """One question to a model, and the SDK's answer to it."""

    def __init__(self, model: _Model, why: Why, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._model = model
        self._why = why
        self._args = args
        self._kwargs = kwargs
        self.response: Any = None
        self.refusal: Exception | None = None
        """Why the SDK does not take the response that came."""

    async def answer(self) -> dict[str, Any]:
        """What the SDK's answer says, in the shape of a whole response, which readers know."""
        self._why.response = None
        try:
            self.response = await self._model.get_response(*self._args, **self._kwargs)
        except Exception as error:
            if self._why.response is None:
                raise
            self.response, self.refusal = self._why.response, error
        response, usage = self.response, self.response.usage
        # What was not reported is counted as nothing.
        is_reported = usage and (usage.input_tokens or usage.output_tokens or usage.total_tokens)
        said = {"object": "response", "output": response.output, "usage": usage if is_reported else None}
        return {**said, "incomplete_details": {"reason": self._why.reason}}
