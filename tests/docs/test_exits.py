"""The table of exits in docs/concepts.md: every row is played, and what it says is what happens."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from ldclient import Context
from pages import CHECKOUT, rows_of
from recorded import CHAT_USAGE, chat_chunk

from ldtrack import Ending, Outcome, Tracker
from ldtrack.testing import Recording, recording

ROWS = rows_of(CHECKOUT / "docs" / "concepts.md", "how it ends")
SENT = {
    "duration": ["duration:total"],
    "first token": ["tokens:ttf"],
    "success": ["generation:success"],
    "error": ["generation:error"],
    "tokens": ["tokens:total", "tokens:input", "tokens:output"],
    "nothing": [],
}
ROLE, TEXT = chat_chunk({"role": "assistant", "content": ""}), chat_chunk({"content": "Hi"})
FINISH, USAGE = chat_chunk(finish_reason="stop"), chat_chunk(usage=CHAT_USAGE)


class Scene:
    """One run, and what may happen to it."""

    def __init__(self, recorded: Recording, tracker: Tracker) -> None:
        self.recorded = recorded
        self.tracker = tracker
        self.waits = asyncio.Event()
        self.kept: Any = None

    async def chunks(self, *chunks: Any, then: object = None) -> AsyncIterator[Any]:
        for chunk in chunks:
            yield chunk
        if isinstance(then, Exception):
            raise then
        if then == "wait":
            self.waits.set()
            await asyncio.Event().wait()

    async def read(self, source: Any) -> None:
        async for _ in self.tracker.stream(source):
            pass


async def runs_out_finished(scene: Scene) -> None:
    await scene.read(scene.chunks(ROLE, TEXT, FINISH, USAGE))


async def runs_out_unmarked(scene: Scene) -> None:
    await scene.read(scene.chunks("Hel", "lo"))


async def runs_out_cut(scene: Scene) -> None:
    await scene.read(scene.chunks(ROLE, TEXT))


async def provider_raises(scene: Scene) -> None:
    with pytest.raises(ConnectionError):
        await scene.read(scene.chunks(TEXT, then=ConnectionError()))


async def consumer_raises(scene: Scene) -> None:
    with pytest.raises(KeyError):
        async with scene.tracker.run() as run:
            async for _ in run.stream(scene.chunks(TEXT, FINISH)):
                raise KeyError


async def stops_reading(scene: Scene) -> None:
    async with scene.tracker.run() as run:
        async for _ in run.stream(scene.chunks(TEXT, FINISH)):
            break


async def stops_reading_late(scene: Scene) -> None:
    async with scene.tracker.stream(scene.chunks(TEXT, FINISH, chat_chunk())) as stream:
        async for chunk in stream:
            if chunk is FINISH:
                break


async def is_cancelled(scene: Scene) -> None:
    task = asyncio.create_task(scene.read(scene.chunks(TEXT, then="wait")))
    await scene.waits.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def is_dropped(scene: Scene) -> None:
    stream = scene.tracker.stream(scene.chunks(TEXT, FINISH))
    await anext(stream)
    del stream
    await cleaned_up(scene)


async def is_dropped_unread(scene: Scene) -> None:
    scene.tracker.stream(scene.chunks(TEXT, FINISH))
    await cleaned_up(scene)


async def is_dropped_unasked(scene: Scene) -> None:
    async def request() -> Any:
        return scene.chunks(TEXT, FINISH)

    scene.tracker.stream(request())
    await cleaned_up(scene)


async def is_idle(scene: Scene) -> None:
    scene.kept = scene.tracker.stream(scene.chunks(TEXT, FINISH))
    await anext(scene.kept)
    scene.recorded.clock.advance(61)
    scene.recorded.ai.sweep()
    await cleaned_up(scene)


async def loop_ends(scene: Scene) -> None:
    scene.kept = scene.tracker.stream(scene.chunks(TEXT, FINISH))
    await anext(scene.kept)


async def without_a_call(scene: Scene) -> None:
    async with scene.tracker.run():
        pass


async def cleaned_up(scene: Scene) -> None:
    """Wait until what was dropped is settled."""
    while scene.recorded.ai.stats.open_calls:
        gc.collect()
        await asyncio.sleep(0)


SCENES: list[Callable[[Scene], Awaitable[None]]] = [
    runs_out_finished,
    runs_out_unmarked,
    runs_out_cut,
    provider_raises,
    consumer_raises,
    stops_reading,
    stops_reading_late,
    is_cancelled,
    is_dropped,
    is_dropped_unread,
    is_dropped_unasked,
    is_idle,
    loop_ends,
    without_a_call,
]


@pytest.mark.parametrize(
    ("row", "play"), [*zip(ROWS, SCENES, strict=True)], ids=[scene.__name__ for scene in SCENES]
)
def test_a_row(row: list[str], play: Callable[[Scene], Awaitable[None]]) -> None:
    """The summary and the events are those of the row, once the loop is gone."""
    recorded = recording(idle_limit=60)

    async def scene() -> Tracker:
        config = await recorded.ai.completion_config("support-chat", Context.create("ada"))
        played = Scene(recorded, config.create_tracker())
        await play(played)
        kept.append(played)
        return played.tracker

    kept: list[Scene] = []
    summary = asyncio.run(scene()).summary
    _, ending, outcome, sent = row
    assert summary.ending is (None if ending == "none" else Ending[ending.strip("`")])
    assert summary.outcome is Outcome[outcome.strip("`")]
    assert recorded.names() == [name for metric in sent.split(", ") for name in SENT[metric]]
    assert recorded.ai.stats.failures == {}
