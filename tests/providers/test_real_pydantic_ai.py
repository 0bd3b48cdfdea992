"""What is special to Pydantic AI; what it has in common with others is in ``test_real_sdks``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from frameworks import (
    USAGE,
    chat_calls,
    chat_calls_answer,
    loop_of_chats,
    loop_of_responses,
    of_call,
    pydantic_ai_model,
    response_calls,
)
from recorded import chat_answer, chat_chunk, chat_stream, chat_tool_delta, response_stream
from tracked import new_run, tracked_call, tracked_stream

from ldtrack.core.values import Outcome
from ldtrack.providers import PydanticAIReader, ReaderRegistry

why = "the frameworks are a test group of their own: they need newer SDKs than our lowest"
pydantic_ai = pytest.importorskip("pydantic_ai", reason=why)
# It is there without its model of OpenAI where openai is older than that asks for.
pytest.importorskip("pydantic_ai.models.openai", reason=why, exc_type=ImportError)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def agent(*answers: Any, responses: bool = False, **options: Any) -> Any:
    """An agent with one tool, whose model is given these answers."""
    model = pydantic_ai_model(*answers, responses=responses)
    return pydantic_ai.Agent(model, **{"tools": [weather], **options})


async def events_of(asked: Any) -> AsyncIterator[Any]:
    """The events of a run: since version 2 they are entered first."""
    events = asked.run_stream_events("Hi")
    async with contextlib.AsyncExitStack() as stack:
        if hasattr(events, "__aenter__"):
            events = await stack.enter_async_context(events)
        else:
            stack.push_async_callback(events.aclose)
        async for event in events:
            yield event


LOOPS = pytest.mark.parametrize(
    ("served", "responses"), [(loop_of_chats, False), (loop_of_responses, True)], ids=["chat", "responses"]
)


class TestRuns:
    """An agent's runs: their events, steps and results."""

    @LOOPS
    async def test_the_steps_of_an_agent_that_is_iterated_over(self, served: Any, responses: bool) -> None:
        """Each step that acts upon a response has its usage."""
        if responses:
            answers: tuple[Any, ...] = tuple(stream[-1]["response"] for stream in served("Bern", "Rom"))
        else:
            answers = (chat_calls_answer("Bern", "Rom"), of_call(2, [chat_answer("Sunny")])[0])

        async def steps() -> AsyncIterator[Any]:
            async with agent(*answers, responses=responses).iter("Hi") as run:
                async for step in run:
                    yield step

        tracked = await tracked_stream(steps())
        assert tracked.usage == USAGE + USAGE
        assert tracked.tools == ["weather", "weather"]

    async def test_history_is_not_counted_again(self) -> None:
        """Messages of earlier turns were counted when they happened."""
        earlier = await agent(chat_calls_answer("Bern"), chat_answer("Sunny")).run("Hi")
        asked = agent(chat_answer("Still")).run("And now?", message_history=earlier.all_messages())
        tracked = await tracked_call(asked)
        assert tracked.usage == USAGE
        assert tracked.tools == []

    async def test_a_streamed_result(self) -> None:
        """Observed once it was read; what it streams is text, which has no usage."""
        tracked = await new_run()
        async with tracked.run:
            async with agent(*loop_of_chats("Bern")).run_stream("Hi") as result:
                texts = [text async for text in result.stream_text(delta=True, debounce_by=None)]
            tracked.run.observe(result)
        assert "".join(texts) == "Sunny"
        assert tracked.usage == USAGE + USAGE
        assert tracked.tools == ["weather"]
        assert tracked.summary.finish_reason == "stop"

    async def test_an_answer_with_a_structure_is_no_tool_call(self) -> None:
        """The package asks for it as a tool; nobody has such a tool."""
        delta = chat_tool_delta(0, id="call_1", name="final_result", arguments='{"response": 7}')
        events = [
            *map(chat_chunk, [{"role": "assistant", "content": None}, delta]),
            *chat_calls()[1:],
        ]
        tracked = await tracked_stream(events_of(agent(events, output_type=int)))
        assert tracked.chunks[-1].result.output == 7
        assert tracked.first_token == 0
        assert tracked.tools == []
        assert tracked.usage == USAGE

    async def test_an_error_in_the_second_call(self) -> None:
        """It passes; the calls that were named are kept, usage comes only with a result."""
        broken = [*chat_stream("Sun")[:2], {"error": {"message": "overloaded", "code": 503}}]
        tracked = await new_run()
        with pytest.raises(Exception, match="overloaded"):
            await tracked_stream(events_of(agent(chat_calls("Bern"), of_call(2, broken))), into=tracked)
        assert tracked.tools == ["weather"]
        assert tracked.usage is None
        assert tracked.summary.outcome is Outcome.ERROR

    async def test_closing_early(self) -> None:
        """The end of the first model call is not the end of the run."""
        tracked = await new_run()
        async with tracked.run:
            stream = tracked.run.stream(events_of(agent(*loop_of_chats("Bern"))))
            async for event in stream:
                if event.event_kind == "function_tool_result":
                    break
            await stream.aclose()
        assert tracked.summary.outcome is Outcome.CANCELLED
        assert tracked.tools == ["weather"]

    async def test_closing_after_the_result(self) -> None:
        """Nothing was missed."""
        tracked = await new_run()
        async with tracked.run:
            stream = tracked.run.stream(events_of(agent(chat_stream("Hi"))))
            async for event in stream:
                if event.event_kind == "agent_run_result":
                    break
            await stream.aclose()
        assert tracked.summary.outcome is Outcome.SUCCESS
        assert tracked.usage == USAGE


class TestResponses:
    """A model by itself."""

    @pytest.mark.parametrize(
        ("answer", "tools", "reason"),
        [(chat_answer("Hi"), [], "stop"), (chat_calls_answer("Bern", "Rom"), ["weather"] * 2, "tool_calls")],
        ids=["text", "tools"],
    )
    async def test_a_whole_response(self, answer: Any, tools: list[str], reason: str) -> None:
        """Usage, calls, finish reason and model."""
        from pydantic_ai.direct import model_request
        from pydantic_ai.messages import ModelRequest

        asked = [ModelRequest.user_text_prompt("Hi")]
        tracked = await tracked_call(model_request(pydantic_ai_model(answer), asked))
        assert tracked.usage == USAGE
        assert tracked.tools == tools
        assert (tracked.summary.finish_reason, tracked.summary.answered_by) == (reason, "gpt-4o-2024-08-06")

    @pytest.mark.parametrize(
        ("events", "responses", "tools"),
        [
            (response_stream("Hel", "lo"), True, []),
            (response_calls("Bern", "Rom"), True, ["weather", "weather"]),
            (chat_calls("Bern", "Rom"), False, ["weather", "weather"]),
        ],
        ids=["responses", "responses, tools", "chat, tools"],
    )
    async def test_a_streamed_response(self, events: Any, responses: bool, tools: list[str]) -> None:
        """Parts name the calls; the response itself has the usage and may be observed."""
        from pydantic_ai.direct import model_request_stream
        from pydantic_ai.messages import ModelRequest

        asked = [ModelRequest.user_text_prompt("Hi")]
        tracked = await new_run()
        opened = model_request_stream(pydantic_ai_model(events, responses=responses), asked)
        async with tracked.run, opened as stream:
            await tracked.read(stream)
            whole = stream.get()
        tracked.settled()
        assert tracked.first_token == 0
        assert tracked.tools == tools
        assert PydanticAIReader().read(whole).usage.usage() == USAGE  # type: ignore[union-attr]  # it has some

    @pytest.mark.parametrize("named", ["refusal", "error"])
    def test_how_a_response_may_end(self, named: str) -> None:
        """In words of the provider's, or of the package's."""
        from pydantic_ai.messages import ModelResponse

        details = {"refusal": "No."} if named == "refusal" else None
        reason: Any = None if named == "refusal" else "error"
        whole: Any = ModelResponse(parts=[], provider_details=details, finish_reason=reason)
        reading = PydanticAIReader().read(whole)
        assert reading is not None
        assert (reading.refused, reading.failed) == (named == "refusal", named == "error")


def test_the_package_s_own_types_are_known() -> None:
    """By where they are defined."""
    from pydantic_ai import messages

    event = messages.PartStartEvent(index=0, part=messages.TextPart("Hi"))
    assert isinstance(ReaderRegistry().find(event), PydanticAIReader)
