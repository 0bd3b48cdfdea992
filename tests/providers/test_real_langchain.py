"""What is special to LangChain, and all of LangGraph; the rest is in ``test_real_sdks``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from frameworks import (
    USAGE,
    chat_calls,
    chat_calls_answer,
    chat_refusal,
    langchain_anthropic_model,
    langchain_openai_model,
    loop_of_chats,
    loop_of_responses,
    message_calls,
    of_call,
    response_calls,
)
from recorded import (
    chat_answer,
    chat_stream,
    message_stream,
    response_stream,
)
from tracked import Tracked, new_run, tracked_call, tracked_stream

from ldtrack.core.values import Ending, Outcome, TokenUsage
from ldtrack.providers import LangGraphReader

why = "the frameworks are a test group of their own: their lowest versions need newer SDKs than ours"
pytest.importorskip("langchain_openai", reason=why)
pytest.importorskip("langchain_anthropic", reason=why)
agents = pytest.importorskip("langchain.agents", reason=why)

from langchain_core.messages import AIMessage, HumanMessage  # noqa: E402 - once it is known to be there
from langchain_core.tools import tool  # noqa: E402 - as above

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Received unexpected tool")

MESSAGE_USAGE = TokenUsage(19, 12, 7, cached_input=4)
ASKED = {"messages": [{"role": "user", "content": "How is the weather?"}]}


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def agent(*answers: Any, **options: Any) -> Any:
    """An agent with one tool, whose model is given these answers."""
    return agents.create_agent(langchain_openai_model(*answers, **options), [weather])


async def streamed(model: Any) -> tuple[Tracked, Any]:
    """A tracked stream of a model's, and what LangChain makes of all its chunks by adding them."""
    tracked = await tracked_stream(model.astream("Hi"))
    whole = tracked.chunks[0]
    for chunk in tracked.chunks[1:]:
        whole += chunk
    return tracked, whole


def usage_of(message: Any) -> TokenUsage | None:
    """The usage that LangChain has in a message, in our words."""
    told = message.usage_metadata
    if told is None:
        return None
    return TokenUsage(
        told["total_tokens"],
        told["input_tokens"],
        told["output_tokens"],
        cached_input=told.get("input_token_details", {}).get("cache_read"),
        reasoning=told.get("output_token_details", {}).get("reasoning"),
    )


class TestModels:
    """A chat model by itself."""

    @pytest.mark.parametrize(
        "model",
        [
            lambda: langchain_openai_model(chat_stream("Hel", "lo")),
            lambda: langchain_openai_model(chat_calls("Bern", "Rom")),
            lambda: langchain_openai_model(chat_stream("Hi", usage=None)),
            lambda: langchain_openai_model(response_stream("Hel", "lo"), use_responses_api=True),
            lambda: langchain_openai_model(response_calls("Bern", "Rom"), use_responses_api=True),
            lambda: langchain_anthropic_model(message_calls("Bern", "Rom")),
        ],
        ids=["chat", "chat, tools", "chat, no usage", "responses", "responses, tools", "messages, tools"],
    )
    async def test_chunks_are_added_as_langchain_does(self, model: Any) -> None:
        """Usage and calls are those of the message that LangChain itself makes of all chunks."""
        tracked, whole = await streamed(model())
        assert tracked.usage == usage_of(whole)
        assert tracked.tools == [call["name"] for call in whole.tool_calls]

    async def test_usage_that_leaves_the_input_out_at_the_end(self) -> None:
        """LangChain reads only the end of a message; what it does not know, nobody adds."""
        tracked, whole = await streamed(langchain_anthropic_model(message_stream("Hello")))
        assert tracked.usage is not None
        assert tracked.usage.output == whole.usage_metadata["output_tokens"] == 7
        assert tracked.usage.input == whole.usage_metadata["input_tokens"]

    @pytest.mark.filterwarnings("ignore:Unexpected type for token usage")
    async def test_a_result_that_callbacks_see(self) -> None:
        """``agenerate`` answers several prompts at once: usage is summed."""
        model = langchain_openai_model(chat_answer("Hi"))
        tracked = await tracked_call(model.agenerate([[HumanMessage("a")], [HumanMessage("b")]]))
        assert tracked.usage == USAGE + USAGE

    async def test_a_result_with_its_raw_message(self) -> None:
        """Structured output with ``include_raw`` is a mapping that holds the message."""
        schema = {"title": "City", "description": "", "type": "object", "properties": {}}
        model = langchain_openai_model(chat_answer("{}")).with_structured_output(
            schema, include_raw=True, method="json_mode"
        )
        tracked = await tracked_call(model.ainvoke("Hi"))
        assert set(tracked.chunks[0]) == {"raw", "parsed", "parsing_error"}
        assert tracked.usage == USAGE

    async def test_a_refusal(self) -> None:
        """It is in the whole message; LangChain drops it from chunks of chat completions."""
        refused = await tracked_call(langchain_openai_model(chat_answer(None, refusal="No.")).ainvoke("Hi"))
        assert refused.summary.refused
        assert refused.summary.outcome is Outcome.SUCCESS
        streamed_one = await tracked_stream(langchain_openai_model(chat_refusal("N", "o.")).astream("Hi"))
        assert not any(chunk.content for chunk in streamed_one.chunks)
        assert not streamed_one.summary.refused
        assert streamed_one.usage == USAGE


LOOPS = pytest.mark.parametrize(
    ("answers", "options"),
    [(loop_of_chats, {}), (loop_of_responses, {"use_responses_api": True})],
    ids=["chat", "responses"],
)


class TestAgents:
    """An agent's loop: two model calls, and two tools at once in between."""

    def check(self, tracked: Tracked) -> None:
        """Both calls are counted, each once."""
        assert tracked.usage == USAGE + USAGE
        assert tracked.tools == ["weather", "weather"]
        assert tracked.summary.answered_by == "gpt-4o-2024-08-06"
        assert tracked.summary.finish_reason in {"stop", "completed"}
        assert tracked.summary.outcome is Outcome.SUCCESS
        assert tracked.summary.ending is Ending.COMPLETED

    @LOOPS
    @pytest.mark.parametrize(
        "mode",
        ["messages", ["messages"], ["messages", "updates"], ["updates", "messages", "values"]],
        ids=["messages", "list", "with updates", "with all"],
    )
    async def test_a_stream_of_messages(self, answers: Any, options: Any, mode: Any) -> None:
        """The messages, whatever repeats them beside."""
        tracked = await tracked_stream(
            agent(*answers("Bern", "Rom"), **options).astream(ASKED, stream_mode=mode)
        )
        self.check(tracked)
        assert tracked.first_token is not None

    @pytest.mark.parametrize("mode", ["updates", "values"])
    async def test_a_stream_of_states(self, mode: str) -> None:
        """Whole messages, by the node or as the whole state so far."""
        served = chat_calls_answer("Bern", "Rom"), chat_answer("Sunny")
        self.check(await tracked_stream(agent(*served).astream(ASKED, stream_mode=mode)))

    async def test_subgraphs(self) -> None:
        """The same with the name of the subgraph before it."""
        source = agent(*loop_of_chats("Bern", "Rom")).astream(ASKED, stream_mode="messages", subgraphs=True)
        tracked = await tracked_stream(source)
        self.check(tracked)
        assert isinstance(tracked.chunks[0][0], tuple)

    @pytest.mark.parametrize("mode", ["updates", "values"])
    async def test_states_of_subgraphs(self, mode: str) -> None:
        """One mode only: nothing else carries the usage."""
        served = chat_calls_answer("Bern", "Rom"), chat_answer("Sunny")
        tracked = await tracked_stream(agent(*served).astream(ASKED, stream_mode=mode, subgraphs=True))
        self.check(tracked)
        assert isinstance(tracked.chunks[0][0], tuple)

    @pytest.mark.parametrize("subgraphs", [False, True])
    @pytest.mark.parametrize("mode", ["updates", "values"])
    async def test_agents_as_nodes(self, mode: str, subgraphs: bool) -> None:
        """The second one's update repeats what the first one said; before them, a node says nothing."""
        graph = pytest.importorskip("langgraph.graph", reason=why)
        steps = [
            ("prepare", lambda _: None),
            ("first", agent(chat_answer("Sunny"))),
            ("second", agent(chat_answer("Rainy"))),
        ]
        built = graph.StateGraph(graph.MessagesState).add_sequence(steps)
        source = built.add_edge(graph.START, "prepare").compile()
        tracked = await tracked_stream(source.astream(ASKED, stream_mode=mode, subgraphs=subgraphs))
        assert tracked.usage == USAGE + USAGE

    async def test_answers_of_a_batch_as_they_come(self) -> None:
        """Each with its place before it."""
        model = langchain_openai_model(chat_answer("Sunny"), chat_answer("Rainy"))
        tracked = await tracked_stream(model.abatch_as_completed(["a", "b"]))
        assert sorted(at for at, _ in tracked.chunks) == [0, 1]
        assert tracked.usage == USAGE + USAGE

    @LOOPS
    async def test_a_stream_of_events(self, answers: Any, options: Any) -> None:
        """Chunks, the whole message after them, and the state after that: counted once."""
        source = agent(*answers("Bern", "Rom"), **options).astream_events(ASKED, version="v2")
        tracked = await tracked_stream(source)
        self.check(tracked)
        assert tracked.first_token is not None
        assert tracked.chunks[tracked.first_token]["event"] == "on_chat_model_stream"

    async def test_an_answer_that_does_not_stream(self) -> None:
        """The whole state, with both of its model messages."""
        self.check(
            await tracked_call(agent(chat_calls_answer("Bern", "Rom"), chat_answer("Sunny")).ainvoke(ASKED))
        )

    async def test_history_is_not_counted_again(self) -> None:
        """Messages of earlier turns were counted when they happened."""
        earlier = await agent(chat_calls_answer("Rom"), chat_answer("Sunny")).ainvoke(ASKED)
        asked = {"messages": [*earlier["messages"], HumanMessage("And now?")]}
        tracked = await tracked_call(agent(chat_answer("Still sunny")).ainvoke(asked))
        assert sum(isinstance(message, AIMessage) for message in tracked.chunks[0]["messages"]) == 3
        assert tracked.usage == USAGE
        assert tracked.tools == []
        tracked = await tracked_stream(agent(chat_answer("Sunny")).astream(asked, stream_mode="values"))
        assert tracked.usage == USAGE

    async def test_an_error_in_the_second_call(self) -> None:
        """The first call's usage is kept."""
        events = [*chat_stream("Sun")[:2], {"error": {"message": "overloaded", "code": 503}}]
        kinds: list[Callable[[Any], Any]] = [
            lambda it: it.astream(ASKED, stream_mode="messages"),
            lambda it: it.astream_events(ASKED, version="v2"),
        ]
        for make in kinds:
            tracked = await new_run()
            with pytest.raises(openai.APIError, match="overloaded"):
                await tracked_stream(make(agent(chat_calls("Bern"), of_call(2, events))), into=tracked)
            assert tracked.usage == USAGE
            assert tracked.tools == ["weather"]
            assert tracked.summary.outcome is Outcome.ERROR

    @pytest.mark.parametrize("kind", ["messages", "events"])
    async def test_closing_between_two_calls(self, kind: str) -> None:
        """The end of the first call is not the end of the run."""
        it = agent(*loop_of_chats("Bern"))
        source: Any = (
            it.astream(ASKED, stream_mode="messages")
            if kind == "messages"
            else it.astream_events(ASKED, version="v2")
        )
        tracked = await new_run()
        async with tracked.run:
            stream = tracked.run.stream(source)
            async for item in stream:
                if "sunny in Bern" in repr(item):
                    break
            await stream.aclose()
        assert tracked.summary.outcome is Outcome.CANCELLED
        assert tracked.usage == USAGE

    async def test_usage_is_missing_without_the_mode_that_has_it(self) -> None:
        """Of several modes only that of messages is counted, and a hint says so."""
        served = chat_calls_answer("Bern"), chat_answer("Sunny")
        tracked = await tracked_stream(agent(*served).astream(ASKED, stream_mode=["updates", "custom"]))
        assert tracked.usage is None
        assert tracked.tools == ["weather"]
        assert '"messages"' in LangGraphReader.usage_hint
