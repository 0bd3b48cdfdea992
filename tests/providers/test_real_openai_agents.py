"""What is special to OpenAI's Agents SDK; what it has in common with others is in ``test_real_sdks``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from fake_http import FakeServer
from frameworks import (
    USAGE,
    agents_sdk_model,
    chat_calls,
    chat_calls_answer,
    chat_refusal,
    loop_of_chats,
    loop_of_responses,
    of_call,
    response_calls,
)
from recorded import chat_answer, chat_stream, response, response_delta, response_event, response_stream
from tracked import Tracked, new_run, tracked_call, tracked_stream

from ldtrack.core.reading import CONTENT
from ldtrack.core.values import Ending, Outcome
from ldtrack.providers import OpenAIAgentsReader, ReaderRegistry

sdk = pytest.importorskip(
    "agents", reason="the frameworks are a test group of their own: they need newer SDKs than our lowest"
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

LOOPS = pytest.mark.parametrize(
    ("served", "responses"), [(loop_of_responses, True), (loop_of_chats, False)], ids=["responses", "chat"]
)


@pytest.fixture(autouse=True)
def untraced() -> None:
    """Nothing goes to OpenAI's dashboard."""
    sdk.set_tracing_disabled(True)


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def agent(*answers: Any, responses: bool = True, server: FakeServer | None = None, **options: Any) -> Any:
    """An agent with one tool, whose model is given these answers."""
    return sdk.Agent(
        name="forecaster",
        model=agents_sdk_model(*answers, server=server, responses=responses),
        model_settings=sdk.ModelSettings(include_usage=True),
        **{"tools": [sdk.function_tool(weather)], **options},
    )


def events_of(asked: Any) -> AsyncIterator[Any]:
    """The events of a streamed run."""
    events: AsyncIterator[Any] = sdk.Runner.run_streamed(asked, "Hi").stream_events()
    return events


class TestStreams:
    """Runs that stream."""

    def check(self, tracked: Tracked) -> None:
        """Two model calls, two tools in between, each counted once."""
        assert tracked.usage == USAGE + USAGE
        assert tracked.tools == ["weather", "weather"]
        assert (tracked.summary.ending, tracked.summary.outcome) == (Ending.COMPLETED, Outcome.SUCCESS)
        assert not tracked.summary.refused

    async def test_the_preamble_is_no_token(self) -> None:
        """The first delta is, and it is the shared reading."""
        tracked = await tracked_stream(events_of(agent(response_stream("Hel", "lo"))))
        assert tracked.first_token is not None
        first = tracked.chunks[tracked.first_token]
        assert first.data.type == "response.output_text.delta"
        assert OpenAIAgentsReader().read(first) is CONTENT
        assert tracked.summary.finish_reason == "completed"

    async def test_the_names_of_calls_where_raw_events_are_filtered_out(self) -> None:
        """The SDK's own events name them, too."""

        async def without_raw() -> AsyncIterator[Any]:
            async for event in events_of(agent(*loop_of_responses("Bern", "Rom"))):
                if event.type != "raw_response_event":
                    yield event

        tracked = await tracked_stream(without_raw())
        assert tracked.tools == ["weather", "weather"]

    async def test_a_handoff(self) -> None:
        """The model hands over by calling a tool; the other agent's model calls count, too."""
        second = agent(of_call(2, response_stream("Sunny")), handoff_description="Knows the weather")
        calls = response_calls("Bern")
        for event in calls:
            for item in (event.get("item"), *event.get("response", {}).get("output", ())):
                if item is not None:
                    item.update(name="transfer_to_forecaster", arguments="{}")
        tracked = await tracked_stream(events_of(agent(calls, tools=[], handoffs=[second])))
        assert tracked.tools == ["transfer_to_forecaster"]
        assert tracked.usage == USAGE + USAGE
        assert "agent_updated_stream_event" in {event.type for event in tracked.chunks}

    @pytest.mark.parametrize("responses", [True, False], ids=["responses", "chat"])
    async def test_a_refusal(self, responses: bool) -> None:
        """It is what the user waits for; newer versions of the SDK raise it at the end."""
        part = {"type": "refusal", "refusal": "No."}
        item = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
        said = [
            response_event("created", response=response("in_progress")),
            response_delta("refusal", "No."),
            response_event("completed", response=response("completed", item)),
        ]
        tracked = await new_run()
        asked = agent(said if responses else chat_refusal("No."), responses=responses)
        with contextlib.suppress(getattr(sdk, "ModelRefusalError", sdk.exceptions.AgentsException)):
            await tracked_stream(events_of(asked), into=tracked)
        assert tracked.first_token is not None
        assert tracked.summary.refused
        assert tracked.usage == USAGE

    async def test_an_error_in_the_second_call(self) -> None:
        """The first call's usage is kept."""
        error = {"type": "error", "code": "x", "message": "overloaded", "param": None, "sequence_number": 9}
        broken = [*response_stream("Sun")[:5], error]
        tracked = await new_run()
        with pytest.raises((openai.APIError, sdk.exceptions.AgentsException)):
            await tracked_stream(events_of(agent(response_calls("Bern"), of_call(2, broken))), into=tracked)
        assert tracked.usage == USAGE
        assert tracked.tools == ["weather"]
        assert tracked.summary.outcome is Outcome.ERROR

    @pytest.mark.parametrize("end", ["cut", "failed"])
    async def test_a_response_without_an_end(self, end: str) -> None:
        """Cut off, the SDK raises; failed, only its newer versions do, and it is a failure all the same."""
        events = response_stream("Hel")[:-1] if end == "cut" else response_stream("Hel", end="failed")
        tracked = await new_run()
        with contextlib.suppress(sdk.exceptions.AgentsException):
            await tracked_stream(events_of(agent(events)), into=tracked)
        assert tracked.summary.ending is Ending.FAILED

    async def test_closing_between_two_calls(self) -> None:
        """The end of the first call is not the end of the run."""
        tracked = await new_run()
        async with tracked.run:
            stream = tracked.run.stream(events_of(agent(*loop_of_responses("Bern"))))
            async for event in stream:
                if getattr(event, "name", None) == "tool_output":
                    break
            await stream.aclose()
        assert tracked.summary.outcome is Outcome.CANCELLED
        assert tracked.usage == USAGE

    async def test_closing_after_the_last_call(self) -> None:
        """Nothing was missed."""
        tracked = await new_run()
        async with tracked.run:
            stream = tracked.run.stream(events_of(agent(response_stream("Hi"))))
            async for event in stream:
                if event.type == "raw_response_event" and event.data.type == "response.completed":
                    break
            await stream.aclose()
        assert tracked.summary.outcome is Outcome.SUCCESS


class TestResults:
    """Runs that do not stream, and results that are observed."""

    async def test_a_streamed_result_that_is_observed(self) -> None:
        """For those who read its events elsewhere."""
        tracked = await new_run()
        async with tracked.run:
            result = sdk.Runner.run_streamed(agent(*loop_of_responses("Bern", "Rom")), "Hi")
            async for _ in result.stream_events():
                pass
            tracked.run.observe(result)
        assert tracked.usage == USAGE + USAGE
        assert tracked.tools == ["weather", "weather"]

    async def test_agents_that_are_called_as_tools(self) -> None:
        """The context counts their usage with the caller's."""
        inner = agent(chat_answer("Sunny"), responses=False)
        named = chat_calls_answer("Bern")
        function = named["choices"][0]["message"]["tool_calls"][0]["function"]
        function.update(name="ask_forecaster", arguments='{"input": "Bern?"}')
        outer_tool = inner.as_tool(tool_name="ask_forecaster", tool_description="Knows the weather")
        outer = agent(named, chat_answer("Sunny"), responses=False, tools=[outer_tool])
        tracked = await tracked_call(sdk.Runner.run(outer, "Hi"))
        assert tracked.usage == USAGE + USAGE + USAGE
        assert tracked.tools == ["ask_forecaster"]

    async def test_a_result_without_usage(self) -> None:
        """The SDK's count of nothing is no report."""
        served = chat_answer("Hi") | {"usage": None}
        tracked = await tracked_call(sdk.Runner.run(agent(served, responses=False), "Hi"))
        assert tracked.usage is None


def test_the_sdk_s_events_and_results_are_known_by_their_shape() -> None:
    """Its package has a name that many an application's has, too."""
    event = sdk.AgentUpdatedStreamEvent(new_agent=sdk.Agent(name="a"))
    assert isinstance(ReaderRegistry().find(event), OpenAIAgentsReader)
    mine = type("Result", (), {"__module__": "agents.result"})()
    assert ReaderRegistry().find(mine) is None


async def test_parallel_calls_of_a_chat_completion_keep_their_names() -> None:
    """By the ids that the provider gave them."""
    stream = chat_calls("Bern", "Rom", "Oslo"), of_call(2, chat_stream("Sunny"))
    tracked = await tracked_stream(events_of(agent(*stream, responses=False)))
    assert tracked.tools == ["weather"] * 3
