"""What holds for agents whose loop is a framework's: measured like any other, and nothing shared."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fake_http import FakeServer, openai_client
from ldclient import Context
from recorded import response, response_text_item

from ldtrack import ManagedAgent, NoRunnerError, Outcome
from ldtrack.testing import Recording, recording

why = "the frameworks are a test group of their own: their lowest versions need newer SDKs than ours"
pytest.importorskip("agents", reason=why)

from agent_kits import AGENT_KITS, AgentsOnChat  # noqa: E402 - once they are known to be there
from runner_kits import Asks, Broken, Kit  # noqa: E402 - as above

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Received unexpected tool")

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

every_kit = pytest.mark.parametrize("kind", AGENT_KITS, ids=lambda kind: kind.name)


def flag(**parameters: Any) -> dict[str, Any]:
    return {
        "_ldMeta": {"enabled": True, "mode": "agent"},
        "provider": {"name": "acme"},
        "model": {"name": "gpt-4o", "parameters": parameters},
        "instructions": "Be kind to {{name}}.",
        "tools": TOOLS,
    }


async def an_agent(kit: Kit, *, parameters: Any = None, **tools: Any) -> tuple[ManagedAgent, Recording]:
    ld = recording({"agent": flag(**(parameters or {}))}, runners={"acme": kit.factory})
    agent = await ld.ai.create_agent("agent", ADA, tools, variables={"name": "Ada"})
    assert agent is not None
    return agent, ld


def usage_in(ld: Recording) -> list[float | None]:
    """Total, input and output as LaunchDarkly got them."""
    return [ld.values().get(f"tokens:{kind}") for kind in ("total", "input", "output")]


def served(calls: int) -> list[int]:
    """What so many answers report."""
    return [19 * calls, 12 * calls, 7 * calls]


async def weather(city: str) -> dict[str, str]:
    """A tool."""
    return {"sky": f"sunny in {city}"}


async def no_weather(city: str) -> str:
    """A tool that fails."""
    raise LookupError(f"no such city: {city}")


@every_kit
class TestRuns:
    """``run``."""

    async def test_instructions_and_messages_are_passed_on(self, kind: type[Kit]) -> None:
        """Rendered; text and usage come back."""
        kit = kind(["Hello, Ada."])
        agent, ld = await an_agent(kit)
        result = await agent.run("Hi")
        assert result.content == "Hello, Ada."
        assert kit.asked == [[("system", "Be kind to Ada."), ("user", "Hi")]]
        assert usage_in(ld) == served(1)

    async def test_usage_of_every_model_call_is_summed_and_tool_calls_are_listed(
        self, kind: type[Kit]
    ) -> None:
        """Two tools in one round, plain and asynchronous; their results go back to the model."""
        kit = kind([Asks.for_tools(weather={"city": "Bern"}, time={}), "Sunny at noon."])
        agent, ld = await an_agent(kit, weather=weather, time=lambda: "noon")
        result = await agent.run("What is it like?")
        assert result.content == "Sunny at noon."
        assert result.metrics.tool_calls == ("weather", "time")
        assert usage_in(ld) == served(2)
        assert "sunny in Bern" in str(kit.asked[1])
        assert "noon" in str(kit.asked[1])

    async def test_structured_answers_are_parsed(self, kind: type[Kit]) -> None:
        """``output_type`` was ignored by LaunchDarkly's agent runners."""
        agent, _ = await an_agent(kind([{"city": "Bern"}]))
        result = await agent.run("Where?", SCHEMA)
        assert result.parsed == {"city": "Bern"}
        assert result.content == '{"city": "Bern"}'

    async def test_tokens_are_kept_when_a_later_call_fails(self, kind: type[Kit]) -> None:
        """On an exception, LaunchDarkly's LangChain runner lost all tokens."""
        agent, ld = await an_agent(kind([Asks.for_tools(time={}), Broken()]), time=lambda: "noon")
        with pytest.raises(kind.error):
            await agent.run("What time is it?")
        assert usage_in(ld) == served(1)
        assert {"generation:error", "tool_call"} <= {*ld.names()}

    async def test_an_error_of_a_tool_is_recorded_and_raised_as_it_was(self, kind: type[Kit]) -> None:
        """Neither told to the model nor wrapped by the framework."""
        agent, ld = await an_agent(kind([Asks.for_tools(weather={"city": "Bern"})]), weather=no_weather)
        with pytest.raises(LookupError, match="no such city"):
            await agent.run("What is it like?")
        assert "generation:error" in ld.names()
        assert usage_in(ld) == served(1)

    async def test_an_agent_that_goes_in_circles_is_stopped(self, kind: type[Kit]) -> None:
        """After 25 model calls, by the framework's own error; what they used is recorded."""
        agent, ld = await an_agent(kind([Asks.for_tools(time={})] * 40), time=lambda: "noon")
        with pytest.raises(Exception, match=r"25|urns|ecursion"):
            await agent.run("What time is it?")
        assert usage_in(ld) == served(25)
        assert "generation:error" in ld.names()

    async def test_concurrent_runs_share_nothing(self, kind: type[Kit]) -> None:
        """Each asks only its own question, and gets a run id of its own."""
        kit = kind([f"Answer {at}." for at in range(9)])
        agent, ld = await an_agent(kit)
        results = await asyncio.gather(*(agent.run(f"Question {at}") for at in range(8)))
        assert sorted(asked[1][1] for asked in kit.asked) == [f"Question {at}" for at in range(8)]
        assert {len(asked) for asked in kit.asked} == {2}
        assert len({result.resumption_token for result in results}) == 8
        assert ld.ai.stats.open_calls == 0

    async def test_cancelling_is_neither_success_nor_error(self, kind: type[Kit]) -> None:
        """The request is given up; the duration is recorded."""
        entered, forever = asyncio.Event(), asyncio.Event()

        async def hang(_body: Any) -> Any:
            entered.set()
            await forever.wait()

        kit = kind(["never"])
        kit.server = FakeServer(hang)  # type: ignore[attr-defined]  # kits of HTTP have one
        agent, ld = await an_agent(kit)
        task = asyncio.create_task(agent.run("Hi"))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ld.names() == ["duration:total"]
        assert ld.ai.stats.open_calls == 0


@every_kit
class TestStreams:
    """``stream``."""

    async def test_texts_come_in_pieces_with_first_token_and_usage(self, kind: type[Kit]) -> None:
        """Of both rounds of the loop."""
        kit = kind([Asks.for_tools(weather={"city": "Bern"}), "Sunny."], streams=True)
        agent, ld = await an_agent(kit, weather=weather)
        stream = agent.stream("What is it like?")
        texts = [text async for text in stream]
        assert "".join(texts) == "Sunny."
        assert len(texts) > 1
        assert stream.result.metrics.tool_calls == ("weather",)
        assert stream.result.metrics.outcome is Outcome.SUCCESS
        assert usage_in(ld) == served(2)
        assert "tokens:ttf" in ld.names()

    async def test_closing_early_is_cancelled_and_leaves_nothing_open(self, kind: type[Kit]) -> None:
        """The framework's tasks end with the stream."""
        kit = kind(["Hello, Ada."], streams=True)
        agent, ld = await an_agent(kit)
        before = asyncio.all_tasks()
        async with agent.stream("Hi") as stream:
            first = await anext(stream)
        assert stream.result.content == first
        assert stream.result.metrics.outcome is Outcome.CANCELLED
        assert not {"generation:success", "generation:error"} & {*ld.names()}
        assert ld.ai.stats.open_calls == 0
        gc.collect()  # frameworks leave inner generators to it
        for _ in range(20):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before
        assert kit.server.closed == 1  # type: ignore[attr-defined]  # kits of HTTP have one

    async def test_an_error_in_mid_stream_is_recorded_and_raised(self, kind: type[Kit]) -> None:
        """What the loop used before is kept."""
        kit = kind([Asks.for_tools(time={}), Broken("Hel")], streams=True)
        agent, ld = await an_agent(kit, time=lambda: "noon")
        texts = []
        with pytest.raises(Exception) as raised:  # noqa: PT011 - of the HTTP library that the SDK stands on
            async for text in agent.stream("Hi"):
                texts.append(text)
        assert "".join(texts) == "Hel"
        assert "reset" in str(raised.value) or "onnection" in str(raised.value)
        assert usage_in(ld) == served(1)
        assert "generation:error" in ld.names()

    async def test_an_error_of_a_tool_passes_as_it_was(self, kind: type[Kit]) -> None:
        """While streaming, too."""
        kit = kind([Asks.for_tools(weather={"city": "Bern"})], streams=True)
        agent, ld = await an_agent(kit, weather=no_weather)
        with pytest.raises(LookupError, match="no such city"):
            [text async for text in agent.stream("Hi")]
        assert "generation:error" in ld.names()


class TestAgentsSDK:
    """What is only OpenAI's."""

    async def test_all_parameters_of_the_model_are_passed_on(self) -> None:
        """LaunchDarkly's runner forwards five of them; what the SDK has no setting for goes along as well."""
        parameters = {
            "temperature": 0.5,
            "max_completion_tokens": 9,
            "reasoning_effort": "low",
            "service_tier": "flex",
            "a_new_one": {"x": 1},
            "extra_body": {"y": 2},
            "stream_options": {"include_usage": True},
        }
        kit = AgentsOnChat(["Hello."])
        agent, _ = await an_agent(kit, parameters=parameters)
        await agent.run("Hi")
        (request,) = kit.server.requests
        expected = {
            "temperature": 0.5,
            "max_tokens": 9,
            "reasoning_effort": "low",
            "service_tier": "flex",
            "a_new_one": {"x": 1},
            "y": 2,
            "model": "gpt-4o",
        }
        assert {name: request.get(name) for name in expected} == expected
        assert "stream_options" not in request

    async def test_usage_that_the_config_declines_is_not_asked_for(self) -> None:
        """``stream_options`` of the config are respected."""
        kit = AgentsOnChat(["Hello."], streams=True)
        agent, _ = await an_agent(kit, parameters={"stream_options": {"include_usage": False}})
        assert "".join([text async for text in agent.stream("Hi")]) == "Hello."
        assert not (kit.server.requests[0].get("stream_options") or {}).get("include_usage")

    async def test_an_unreadable_structured_answer_has_failed(self) -> None:
        """Cut short: the text is there, and the run counts as failed."""
        agent, ld = await an_agent(AgentsOnChat(['{"city": "Be']))
        result = await agent.run("Where?", SCHEMA)
        assert (result.parsed, result.content) == (None, '{"city": "Be')
        assert "generation:error" in ld.names()

    async def test_usage_that_nobody_reported_is_not_recorded(self) -> None:
        """The SDK makes zeros of it."""
        server = FakeServer({**response("completed", response_text_item("Hi.")), "usage": None})
        kit = AgentsOnChat([])
        ld = recording({"agent": flag()}, runners={"acme": _on(server)})
        agent = await ld.ai.create_agent("agent", ADA)
        assert agent is not None
        assert kit.asked == []
        assert (await agent.run("Hi")).content == "Hi."
        assert usage_in(ld) == [None] * 3

    async def test_it_is_found_under_its_name_and_offers_agents_only(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By entry point; a client of ours is made for the loop, and closed."""
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        chat = {"_ldMeta": {"enabled": True}, "model": {"name": "gpt-4o"}}
        ld = recording({"agent": flag() | {"provider": {"name": "openai_agents"}}, "chat": chat})
        agent = await ld.ai.create_agent("agent", ADA)
        assert "OpenAIAgentRunner of 'agent'" in repr(agent and agent.runner)
        with pytest.raises(NoRunnerError, match="openai_agents: its factory declined"):
            await ld.ai.create_model("chat", ADA, default_ai_provider="openai_agents")
        await ld.aclose()

    async def test_an_agent_without_a_model_is_declined(self) -> None:
        """There is nothing to ask."""
        without = {name: value for name, value in flag().items() if name != "model"}
        ld = recording({"agent": without}, runners={"acme": _on(FakeServer({}))})
        with pytest.raises(NoRunnerError, match="acme: its factory declined"):
            await ld.ai.create_agent("agent", ADA)

    async def test_whatever_else_the_sdk_asks_a_model_the_model_answers(self) -> None:
        """Such as what to do about a failed request."""
        from ldtrack.providers.runners.openai_agents_model import KnownModel, MeasuredModel, Why

        class Model:
            retries = 3

            async def get_response(self, *args: Any, **kwargs: Any) -> Any: ...

            def stream_response(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]: ...  # type: ignore[empty-body]  # never called

        known = KnownModel(Model(), Why())
        assert MeasuredModel(known, None).retries == 3  # type: ignore[arg-type]  # nothing is called


def _on(server: FakeServer) -> Any:
    from ldtrack.providers.runners.openai_agents import OpenAIAgentsRunners

    return OpenAIAgentsRunners(openai_client(server=server))
