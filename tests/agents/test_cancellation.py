"""Cancellation at every point where a managed run waits: all is closed, nothing said twice, nothing mixed.

Each scene is played once per point: its task is cancelled after no turn of the loop, after one, after two,
and so on until it is too late to cancel it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from fake_http import FakeServer
from ldclient import Context
from runner_kits import AnthropicKit, Asks, Kit, OpenAIKit

from ldtrack.testing import FakeRunners, Recording, recording

ADA = Context.create("ada")
TOO_LATE = 400
BASE = {"provider": {"name": "acme"}, "model": {"name": "gpt"}}
FLAGS = {
    "agent": {
        **BASE,
        "_ldMeta": {"enabled": True, "mode": "agent"},
        "instructions": "Look it up.",
        "tools": {"time": {"name": "time"}},
        "judgeConfiguration": {"judges": [{"key": "judge", "samplingRate": 1}]},
    },
    "judge": {
        **BASE,
        "provider": {"name": "court"},
        "_ldMeta": {"enabled": True, "mode": "judge"},
        "evaluationMetricKey": "kindness",
    },
}


async def time() -> str:
    await asyncio.sleep(0)
    return "noon"


def server_of(kit: Kit) -> FakeServer:
    server: FakeServer = kit.server  # type: ignore[attr-defined]  # those that have one
    return server


def slowed(kit: Kit) -> Kit:
    """The same answers, each after some turns of the loop, as from a network."""

    def late(answer: Any) -> Any:
        async def serve(body: Any) -> Any:
            for _ in range(3):
                await asyncio.sleep(0)
            return answer

        return serve

    server = server_of(kit)
    server._answers = [late(answer) for answer in server._answers]
    return kit


Scene = Callable[[Any], Coroutine[Any, Any, Any]]


async def runs(conversation: Any) -> Any:
    return await conversation.run("What time is it?")


async def streams(conversation: Any) -> Any:
    stream = conversation.stream("What time is it?")
    async with stream:
        async for _ in stream:
            pass
    return stream.result


async def judges(conversation: Any) -> Any:
    result = await conversation.run("What time is it?")
    await result.evaluations
    return result


async def play(kit: Kit, scene: Scene, after: int) -> bool:
    """Cancel the scene after so many turns, and look at what is left; ``False`` if it was too late."""
    court = FakeRunners({"score": 0.5, "reasoning": "Fair."})
    ld = recording(FLAGS, runners={"acme": kit.factory, "court": court})
    agent = await ld.ai.create_agent("agent", ADA, {"time": time})
    assert agent is not None
    conversation = agent.conversation()
    task = asyncio.create_task(scene(conversation))
    for _ in range(after):
        await asyncio.sleep(0)
    was_cancelled = task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() == was_cancelled, "it swallowed its cancellation"
    for _ in range(30):
        await asyncio.sleep(0)
    _check(kit, ld, conversation)
    # The conversation is free for its next turn.
    await scene(conversation)
    await ld.ai.aclose()
    return was_cancelled


def _check(kit: Kit, ld: Recording, conversation: Any) -> None:
    by_run: dict[str, Counter[str]] = {}
    for event in ld.events:
        if event.data["configKey"] == "agent":
            by_run.setdefault(event.data["runId"], Counter())[event.key] += 1
    assert len(by_run) <= 1
    for keys in by_run.values():
        assert "$ld:ai:generation:error" not in keys, "a cancelled run is no error"
        assert keys["$ld:ai:duration:total"] == 1
        assert all(count == 1 for count in keys.values()), keys
    if not any("generation:success" in key for keys in by_run.values() for key in keys):
        assert conversation.messages == ()
        assert "kindness" not in ld.names(), "nothing good was there to judge"
    assert ld.ai.stats.open_calls == 0
    assert ld.ai.stats.failures == {}
    if kit.streams:
        assert server_of(kit).closed == server_of(kit).begun


@pytest.mark.parametrize("kind", [OpenAIKit, AnthropicKit], ids=lambda kind: kind.name)
@pytest.mark.parametrize("scene", [runs, streams, judges], ids=lambda scene: scene.__name__)
async def test_cancelled_at_every_point(kind: type[Kit], scene: Scene) -> None:
    """From before the first step until it is done."""
    points = 0
    for after in range(TOO_LATE):
        kit = slowed(kind([Asks.for_tools(time={}), "Noon."], streams=scene is streams))
        if not await play(kit, scene, after):
            break
        points += 1
    else:
        raise AssertionError(f"the scene was not over after {TOO_LATE} turns")
    assert points >= 5, "too few to have met every wait: the scene no longer waits for its provider"
