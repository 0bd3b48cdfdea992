"""What holds for every runner: ours on the providers' real packages, and the fake that stands in for them."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from ldclient import Context
from runner_kits import KITS, TOOL_KITS, Asks, Broken, Kit, LangChainKit, OpenAIKit

import ldtrack
from ldtrack import LDMessage, ManagedAgent, ManagedModel, Outcome, RoundLimitError
from ldtrack.testing import Recording, recording

ADA = Context.create("ada")
TOOLS = {
    "weather": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
    "time": {"name": "time"},
}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def flags(**more: Any) -> dict[str, Any]:
    config = {
        "_ldMeta": {"enabled": True},
        "provider": {"name": "acme"},
        "model": {"name": "a-model", "parameters": {"temperature": 0.5}},
        **more,
    }
    system = {"role": "system", "content": "Be kind to {{name}}."}
    return {
        "chat": {**config, "messages": [system]},
        "agent": {
            **config,
            "_ldMeta": {"enabled": True, "mode": "agent"},
            "instructions": "Be kind to {{name}}.",
            "tools": TOOLS,
        },
    }


def recorded(kit: Kit) -> Recording:
    return recording(flags(), runners={"acme": kit.factory})


async def a_model(kit: Kit) -> tuple[ManagedModel, Recording]:
    ld = recorded(kit)
    model = await ld.ai.create_model("chat", ADA, variables={"name": "Ada"})
    assert model is not None
    return model, ld


async def an_agent(kit: Kit, **tools: Any) -> tuple[ManagedAgent, Recording]:
    ld = recorded(kit)
    agent = await ld.ai.create_agent("agent", ADA, tools, variables={"name": "Ada"})
    assert agent is not None
    return agent, ld


def assert_usage(kit: Kit, ld: Recording, calls: int = 1) -> None:
    """What LaunchDarkly got is what was served, call by call added up."""
    values = ld.values()
    sent = [values.get(f"tokens:{kind}") for kind in ("total", "input", "output")]
    if kit.usage is not None:
        assert sent == [calls * count for count in kit.usage]
    assert None not in sent


every_kit = pytest.mark.parametrize("kind", KITS, ids=lambda kind: kind.name)
every_tool_kit = pytest.mark.parametrize("kind", TOOL_KITS, ids=lambda kind: kind.name)


@every_kit
class TestAnswers:
    """One question, one answer."""

    async def test_a_prompt_follows_the_messages_of_the_config(self, kind: type[Kit]) -> None:
        """The model is asked what the flag says, then what the user says; text and usage come back."""
        kit = kind(["Hello, Ada."])
        model, ld = await a_model(kit)
        result = await model.run("Hi")
        assert result.content == "Hello, Ada."
        assert kit.asked == [[("system", "Be kind to Ada."), ("user", "Hi")]]
        assert result.metrics.outcome is Outcome.SUCCESS
        assert_usage(kit, ld)
        assert ld.names()[-1] == "generation:success" or "generation:success" in ld.names()

    async def test_messages_are_passed_on_in_order(self, kind: type[Kit]) -> None:
        """A history of one's own goes after the config's messages."""
        kit = kind(["Fine."])
        model, _ = await a_model(kit)
        history = [
            LDMessage("user", "Hi"),
            LDMessage("assistant", "Hello."),
            LDMessage("user", "How are you?"),
        ]
        await model.run(history)
        assert kit.asked == [[("system", "Be kind to Ada."), *((one.role, one.content) for one in history)]]

    async def test_a_provider_s_error_is_recorded_and_raised(self, kind: type[Kit]) -> None:
        """The error is the SDK's own; LaunchDarkly hears of it, with the duration."""
        model, ld = await a_model(kind([Broken()]))
        with pytest.raises(kind.error):
            await model.run("Hi")
        assert "generation:error" in ld.names()
        assert "duration:total" in ld.names()

    async def test_a_structured_answer(self, kind: type[Kit]) -> None:
        """It comes parsed and as text, and whatever the provider needs for it counts as no tool call."""
        kit = kind([{"city": "Bern"}])
        model, ld = await a_model(kit)
        result = await model.run("Where?", SCHEMA)
        assert result.parsed == {"city": "Bern"}
        assert result.content.replace(" ", "") == '{"city":"Bern"}'
        assert result.metrics.tool_calls == ()
        assert_usage(kit, ld)

    async def test_no_history_is_kept_between_runs(self, kind: type[Kit]) -> None:
        """The second run knows nothing of the first."""
        kit = kind(["One.", "Two."])
        model, _ = await a_model(kit)
        await model.run("First")
        await model.run("Second")
        assert kit.asked[1] == [("system", "Be kind to Ada."), ("user", "Second")]

    async def test_the_instructions_of_an_agent_come_first(self, kind: type[Kit]) -> None:
        """They are its system message."""
        kit = kind(["Hello."])
        agent, _ = await an_agent(kit)
        assert (await agent.run("Hi")).content == "Hello."
        assert kit.asked == [[("system", "Be kind to Ada."), ("user", "Hi")]]


@every_kit
class TestStreams:
    """One question, an answer in pieces."""

    async def test_the_texts_are_the_answer(self, kind: type[Kit]) -> None:
        """In order, with first token and usage recorded."""
        kit = kind(["Hello, Ada."], streams=True)
        model, ld = await a_model(kit)
        stream = model.stream("Hi")
        assert "".join([text async for text in stream]) == "Hello, Ada."
        assert stream.result.content == "Hello, Ada."
        assert stream.result.metrics.outcome is Outcome.SUCCESS
        assert_usage(kit, ld)
        assert "tokens:ttf" in ld.names()

    async def test_closing_early_is_cancelled_and_closes_the_provider_s_stream(self, kind: type[Kit]) -> None:
        """Neither success nor error; duration and first token are kept, and the result has what came."""
        kit = kind(["Hello, Ada."], streams=True)
        model, ld = await a_model(kit)
        async with model.stream("Hi") as stream:
            first = await anext(stream)
        assert stream.result.content == first
        assert stream.result.metrics.outcome is Outcome.CANCELLED
        assert not {"generation:success", "generation:error"} & {*ld.names()}
        assert {"duration:total", "tokens:ttf"} <= {*ld.names()}
        assert ld.ai.stats.open_calls == 0
        if isinstance(kit, LangChainKit):  # leaves its inner generators to the garbage collector
            gc.collect()
            for _ in range(20):
                await asyncio.sleep(0)
        if isinstance(kit, OpenAIKit):
            assert kit.server.closed == 1

    async def test_an_error_in_mid_stream_is_recorded_and_raised(self, kind: type[Kit]) -> None:
        """What came before has reached the consumer."""
        model, ld = await a_model(kind([Broken("Hel")], streams=True))
        stream = model.stream("Hi")
        texts = []
        with pytest.raises(Exception) as raised:  # noqa: PT011 - each SDK has its own
            async for text in stream:
                texts.append(text)
        assert not isinstance(raised.value, ldtrack.LdtrackError)
        assert "".join(texts) == ("" if kind.name == "fake" else "Hel")
        assert "generation:error" in ld.names()
        assert stream.result.metrics.outcome is Outcome.ERROR


@every_tool_kit
class TestTools:
    """An agent whose model wants tools called."""

    async def test_tools_are_called_and_their_results_sent_back(self, kind: type[Kit]) -> None:
        """A coroutine function and a plain one; usage of both rounds counts, and so do both calls."""
        kit = kind([Asks.for_tools(weather={"city": "Bern"}, time={}), "Sunny at noon."])

        async def weather(city: str) -> dict[str, str]:
            return {"sky": f"sunny in {city}"}

        agent, ld = await an_agent(kit, weather=weather, time=lambda: "noon")
        result = await agent.run("What is it like?")
        assert result.content == "Sunny at noon."
        assert result.metrics.tool_calls == ("weather", "time")
        assert_usage(kit, ld, calls=2)
        said = str(kit.asked[1])
        assert "sunny in Bern" in said
        assert "noon" in said

    async def test_tools_while_streaming(self, kind: type[Kit]) -> None:
        """The deltas of the call are put together, and the second round streams on."""
        kit = kind([Asks.for_tools(weather={"city": "Bern"}), "Sunny."], streams=True)
        asked = []

        async def weather(city: str) -> str:
            asked.append(city)
            return "sunny"

        agent, ld = await an_agent(kit, weather=weather)
        stream = agent.stream("What is it like?")
        assert "".join([text async for text in stream]) == "Sunny."
        assert asked == ["Bern"]
        assert stream.result.metrics.tool_calls == ("weather",)
        assert_usage(kit, ld, calls=2)

    async def test_usage_of_finished_rounds_survives_a_later_failure(self, kind: type[Kit]) -> None:
        """The second call breaks: the first one's tokens and tool call are recorded all the same."""
        kit = kind([Asks.for_tools(time={}), Broken()])
        agent, ld = await an_agent(kit, time=lambda: "noon")
        with pytest.raises(kind.error):
            await agent.run("What time is it?")
        assert_usage(kit, ld, calls=1)
        assert {"tool_call", "generation:error"} <= {*ld.names()}

    async def test_an_error_of_a_tool_is_the_app_s_own(self, kind: type[Kit]) -> None:
        """It passes unchanged, and the other tools of the round are stopped."""
        agent, ld = await an_agent(kind([Asks.for_tools(weather={"city": "Bern"}, time={})]), **failing())
        with pytest.raises(LookupError, match="no such city"):
            await agent.run("What is it like?")
        assert "generation:error" in ld.names()

    async def test_a_model_s_mistake_is_told_to_the_model(self, kind: type[Kit]) -> None:
        """A tool that does not exist is answered in words, and the model goes on."""
        kit = kind([Asks.for_tools(clock={}), "I do not know."])
        agent, _ = await an_agent(kit, time=lambda: "noon")
        assert (await agent.run("What time is it?")).content == "I do not know."
        assert "There is no tool named" in str(kit.asked[1])

    async def test_a_model_that_goes_in_circles_is_stopped(self, kind: type[Kit]) -> None:
        """After 25 rounds, with all that they used."""
        kit = kind([Asks.for_tools(time={})])
        agent, ld = await an_agent(kit, time=lambda: "noon")
        with pytest.raises(RoundLimitError, match="25 times"):
            await agent.run("What time is it?")
        assert_usage(kit, ld, calls=25)
        kit = kind([Asks.for_tools(time={})], streams=True)
        agent, ld = await an_agent(kit, time=lambda: "noon")
        with pytest.raises(RoundLimitError, match="25 times"):
            [text async for text in agent.stream("What time is it?")]
        assert_usage(kit, ld, calls=25)

    async def test_tools_without_functions_are_left_to_the_caller(self, kind: type[Kit]) -> None:
        """A model is offered the config's tools; what it asks for is in the answer and in the metrics."""
        kit = kind([Asks.for_tools(time={})])
        ld = recording(flags(tools=TOOLS), runners={"acme": kit.factory})
        model = await ld.ai.create_model("chat", ADA)
        assert model is not None
        result = await model.run("What time is it?")
        assert (result.content, result.metrics.tool_calls) == ("", ("time",))
        assert result.metrics.outcome is Outcome.SUCCESS


def failing() -> dict[str, Any]:
    async def weather(city: str) -> str:
        raise LookupError(f"no such city: {city}")

    return {"weather": weather, "time": lambda: "noon"}
