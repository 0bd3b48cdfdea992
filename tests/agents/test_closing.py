"""Closing a managed stream while another task waits for what is said next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from ldclient import Context

from ldtrack import ManagedModel, Outcome, RunnerResult
from ldtrack.testing import Recording, recording

ADA = Context.create("ada")
FLAG = {"_ldMeta": {"enabled": True}, "provider": {"name": "acme"}, "model": {"name": "a-model"}}


class Waiting:
    """Says one word, and then waits for its provider."""

    def __init__(self) -> None:
        self.is_closed = False

    def create_model(self, config: Any, tools: Any = None) -> Any:
        return self

    async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> RunnerResult:
        return RunnerResult(content="Fine.")

    async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[str, None]:
        async with calls.stream(self._chunks()) as chunks:
            async for chunk in chunks:
                yield chunk["content"]

    async def _chunks(self) -> AsyncGenerator[dict[str, str], None]:
        try:
            yield {"content": "Hello"}
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


class Stubborn(Waiting):
    """Goes on when it is cancelled."""

    async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[str, None]:
        yield "Hello"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield "and on"


class Translating(Waiting):
    """Makes an error of its own of being cancelled."""

    async def stream(self, input: Any, *, calls: Any) -> AsyncGenerator[str, None]:
        yield "Hello"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("gone") from None


async def a_model(runner: Waiting) -> tuple[ManagedModel, Recording]:
    ld = recording({"chat": FLAG}, runners={"acme": runner})
    model = await ld.ai.create_model("chat", ADA)
    assert model is not None
    return model, ld


async def a_waiting_reader(stream: Any) -> asyncio.Task[Any]:
    """A task that waits for the second word, and says afterwards how it was left."""
    await anext(stream)

    async def read() -> Any:
        rest = [text async for text in stream]
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)  # where a cancellation that is still due would show
        return rest, task.cancelling()

    task = asyncio.create_task(read())
    for _ in range(5):
        await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("kind", [Waiting, Stubborn])
@pytest.mark.parametrize("ends", ["aclose", "async with"])
async def test_the_reader_is_told_that_there_is_nothing_more(kind: type[Waiting], ends: str) -> None:
    """Its loop ends, its task goes on, the provider is closed, and the result is there."""
    runner = kind()
    model, ld = await a_model(runner)
    conversation = model.conversation()
    stream = conversation.stream("Hi")
    reader = await a_waiting_reader(stream)
    if ends == "aclose":
        await stream.aclose()
    else:
        async with stream:
            pass
    assert (stream.result.content[:5], stream.result.success) == ("Hello", False)
    assert runner.is_closed == (kind is Waiting)
    assert await reader == ([], 0)
    assert "generation:error" not in ld.names()
    assert ld.ai.stats.open_calls == 0
    assert (await conversation.run("Again")).content == "Fine."


async def test_what_it_was_waiting_for_is_cancelled() -> None:
    """Somebody still wanted the rest: the run counts as cancelled."""
    model, ld = await a_model(Waiting())
    stream = model.stream("Hi")
    reader = await a_waiting_reader(stream)
    await asyncio.gather(stream.aclose(), stream.aclose())
    assert stream.result.metrics.outcome is Outcome.CANCELLED
    assert ld.names() == ["duration:total", "tokens:ttf"]
    await reader


async def test_an_error_that_closing_caused_passes_to_the_reader() -> None:
    """It is the runner's own; nothing of the cancellation is left."""
    model, _ = await a_model(Translating())
    stream = model.stream("Hi")
    reader = await a_waiting_reader(stream)
    await stream.aclose()
    with pytest.raises(ConnectionError):
        await reader
    assert reader.cancelling() == 0
    assert stream.result.metrics.outcome is Outcome.ERROR


async def test_a_reader_that_is_cancelled_as_well_is_cancelled() -> None:
    """Closing takes back its own cancellation, and no other."""
    model, _ = await a_model(Waiting())
    stream = model.stream("Hi")
    reader = await a_waiting_reader(stream)
    reader.cancel()
    await stream.aclose()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert reader.cancelled()


async def test_a_cancelled_close_ends_the_reader_all_the_same() -> None:
    """Whoever closes may give up waiting."""
    runner = Waiting()
    model, _ = await a_model(runner)
    stream = model.stream("Hi")
    reader = await a_waiting_reader(stream)
    closer = asyncio.create_task(stream.aclose())
    await asyncio.sleep(0)
    closer.cancel()
    await asyncio.wait([closer, reader])
    assert (closer.cancelled(), runner.is_closed) == (True, True)
    assert reader.result() == ([], 0)
    assert stream.result.success is False


async def test_a_second_reader_is_told_off_and_disturbs_nobody() -> None:
    """The first one is still the one that is ended."""
    model, _ = await a_model(Waiting())
    stream = model.stream("Hi")
    reader = await a_waiting_reader(stream)
    with pytest.raises(RuntimeError, match="already running"):
        await anext(stream)
    await stream.aclose()
    assert await reader == ([], 0)
