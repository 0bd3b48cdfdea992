"""200 executions of one model or agent at once, interleaved as drawn: nobody touches anybody else's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
from fake_http import FakeServer, openai_client
from ldclient import Context
from recorded import CHAT_USAGE, chat_answer, chat_chunk, chat_stream, chat_tool_delta

from ldtrack import LDMessage, MetricSummary, TokenUsage
from ldtrack.providers.runners.openai import OpenAIRunners
from ldtrack.testing import Recording, recording

ADA = Context.create("ada")
MANY = 200
BASE = {"provider": {"name": "openai"}, "model": {"name": "gpt"}}
FLAGS = {
    "chat": {**BASE, "_ldMeta": {"enabled": True}},
    "agent": {
        **BASE,
        "_ldMeta": {"enabled": True, "mode": "agent"},
        "instructions": "Look it up.",
        "tools": {"lookup": {"name": "lookup", "parameters": {"type": "object"}}},
    },
}


def usage_of(number: int) -> dict[str, int]:
    return {"prompt_tokens": number, "completion_tokens": 1000, "total_tokens": number + 1000}


@attrs.define
class Provider:
    """Answers each question with its number, after as many turns of the loop as are drawn."""

    draw: random.Random
    mixed: list[str] = attrs.field(factory=list)
    """Requests that hold the questions of several executions."""

    async def answer(self, body: dict[str, Any]) -> Any:
        numbers = {part["content"] for part in body["messages"] if part["role"] == "user"}
        if len(numbers) > 1:
            self.mixed.append(f"{sorted(numbers)} in one request")
        number = int(max(numbers))
        for _ in range(self.draw.randrange(30)):
            await asyncio.sleep(0)
        asks = body.get("tools") and not any(part["role"] == "tool" for part in body["messages"])
        if body.get("stream"):
            return self._stream(number, asks=bool(asks))
        function = {"name": "lookup", "arguments": f'{{"n": {number}}}'}
        call = {"id": "call", "type": "function", "function": function}
        served = chat_answer(None, tool_calls=[call]) if asks else chat_answer(f"answer {number}")
        return {**served, "usage": CHAT_USAGE | usage_of(number)}

    def _stream(self, number: int, *, asks: bool) -> Any:
        usage = CHAT_USAGE | usage_of(number)
        if not asks:
            return chat_stream("answer ", str(number), usage=usage)
        delta = chat_tool_delta(0, id="call", name="lookup", arguments=f'{{"n": {number}}}')
        return [chat_chunk(delta), chat_chunk(finish_reason="tool_calls"), chat_chunk(usage=usage), "[DONE]"]


Ask = Callable[[int], Awaitable[tuple[str, MetricSummary]]]


async def check_many(ask: Ask, ld: Recording, provider: Provider, *, rounds: int, many: int = MANY) -> None:
    """Have many questions answered at once, and look at every answer, summary and event."""
    answers = await asyncio.gather(*(ask(number) for number in range(many)))
    assert provider.mixed == []
    run_ids = set()
    for number, (content, metrics) in enumerate(answers):
        assert content == f"answer {number}"
        expected = TokenUsage(rounds * (number + 1000), rounds * number, rounds * 1000)
        assert metrics.tokens is not None
        assert (metrics.tokens.total, metrics.tokens.input) == (expected.total, expected.input)
        run_id = ld.ai.resume(metrics.resumption_token, ADA).run_id
        run_ids.add(run_id)
        assert metrics.tool_calls == ("lookup",) * (rounds - 1)
        assert ld.values(run_id)["tokens:total"] == expected.total
        names = ld.names(run_id)
        assert len(names) == len(set(names)), "something was recorded twice"
    assert len(run_ids) == many


def a_client(seed: int, runners: Callable[[Any], Any] = OpenAIRunners) -> tuple[Recording, Provider]:
    provider = Provider(random.Random(seed))
    client = openai_client(server=FakeServer(provider.answer))
    return recording(FLAGS, runners={"openai": runners(client)}), provider


async def lookup(n: int) -> str:
    for _ in range(n % 7):
        await asyncio.sleep(0)
    return f"found {n}"


seeds = pytest.mark.parametrize("seed", [1, 2])


@seeds
async def test_runs_of_one_model(seed: int) -> None:
    """Whole answers."""
    ld, provider = a_client(seed)
    model = await ld.ai.create_model("chat", ADA)
    assert model is not None

    async def ask(number: int) -> tuple[str, MetricSummary]:
        result = await model.run(str(number))
        return result.content, result.metrics

    await check_many(ask, ld, provider, rounds=1)


@seeds
async def test_runs_of_one_agent_with_tools(seed: int) -> None:
    """Two model calls and a tool in between, half of them streaming."""
    ld, provider = a_client(seed)
    agent = await ld.ai.create_agent("agent", ADA, {"lookup": lookup})
    assert agent is not None

    async def ask(number: int) -> tuple[str, MetricSummary]:
        if number % 2:
            result = await agent.run(str(number))
        else:
            stream = agent.stream(str(number))
            text = "".join([text async for text in stream])
            result = stream.result
            assert text == result.content
        return result.content, result.metrics

    await check_many(ask, ld, provider, rounds=2)


async def test_a_shared_history_is_found_out() -> None:
    """Negative control: a runner that remembers, as LaunchDarkly's own does, does not pass."""

    class Remembering:
        def __init__(self, client: Any) -> None:
            self._inner = OpenAIRunners(client)
            self._history: list[LDMessage] = []

        def create_model(self, config: Any, tools: Any = None) -> Any:
            inner, history = self._inner.create_model(config), self._history

            class Runner:
                async def run(self, input: Any, output_type: Any = None, *, calls: Any) -> Any:
                    history.extend(input)
                    return await inner.run([*history], calls=calls)

            return Runner()

    ld, provider = a_client(1, Remembering)
    model = await ld.ai.create_model("chat", ADA)
    assert model is not None

    async def ask(number: int) -> tuple[str, MetricSummary]:
        result = await model.run(str(number))
        return result.content, result.metrics

    with pytest.raises(AssertionError, match="in one request"):
        await check_many(ask, ld, provider, rounds=1, many=20)  # its requests only grow
