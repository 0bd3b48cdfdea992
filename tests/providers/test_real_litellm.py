"""The litellm package itself, over OpenAI's and Anthropic's formats in memory: what was served is read."""

from __future__ import annotations

import os
from typing import Any

import anthropic
import pytest
from fake_http import FakeServer, openai_client
from folding import Folded, fold, fold_stream
from recorded import (
    CHAT_USAGE,
    chat_answer,
    chat_chunk,
    chat_stream,
    chat_tool_delta,
    message,
    message_end,
    message_stream,
)

from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport
from ldtrack.core.values import Ending, TokenUsage
from ldtrack.providers import LiteLLMReader

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network when it is imported
litellm = pytest.importorskip(
    "litellm", reason="litellm holds openai below 3, so it is not in every environment"
)

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic disagree on a type of litellm's

USAGE = TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
REPORT = UsageReport(12, 7, 19, cached_input=4, reasoning=3)
ASKED: Any = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
STREAMED: Any = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}


async def stream_of(*events: Any, **options: Any) -> Any:
    """LiteLLM's stream over these events of OpenAI's."""
    return await litellm.acompletion(**STREAMED | options, client=openai_client([*events]))


async def chat(*events: Any) -> Folded:
    """Stream these events of OpenAI's through LiteLLM and fold what it makes of them."""
    return await fold_stream(await stream_of(*events))


def over_anthropic(*answers: Any) -> dict[str, Any]:
    """How LiteLLM is asked for a model of Anthropic's, whose server gives these answers."""
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    handler = AsyncHTTPHandler()
    handler.client = FakeServer(*answers).client_for(anthropic)
    return {**ASKED, "model": "anthropic/claude-sonnet-4-20250514", "api_key": "none", "client": handler}


async def test_a_whole_stream() -> None:
    """Role, texts, finish reason and usage with all its details, as LiteLLM's own objects."""
    folded = await chat(*chat_stream("Hel", "lo"))
    assert isinstance(folded.reader, LiteLLMReader)
    assert type(folded.chunks[0]).__name__ == "ModelResponseStream"
    assert folded.first_token == 1
    assert folded.usage == USAGE
    assert folded.meter.finish_reason == "stop"
    assert folded.ending is Ending.COMPLETED


async def test_the_common_chunk_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else of LiteLLM's objects is looked at, though they lack what OpenAI's have."""
    folded = await chat(*chat_stream("Hel", "lo"))
    monkeypatch.setattr("ldtrack.providers.litellm.read_chat", None)
    chunk = folded.chunks[1]
    assert LiteLLMReader().read(chunk) is CONTENT
    assert not hasattr(chunk, "usage")
    with pytest.raises(TypeError):
        LiteLLMReader().read(folded.chunks[-1])


@pytest.mark.parametrize(
    ("chunk", "reading"),
    [
        (chat_chunk({"content": "Hi"}, usage=CHAT_USAGE), Reading(usage=REPORT, step="chatcmpl-1")),
        (chat_chunk({"content": "Hi"}, finish_reason="stop"), Reading(finished=True, finish_reason="stop")),
        (
            chat_chunk({"content": "Hi", **chat_tool_delta(0, id="a", name="weather")}),
            Reading(tool_calls=(ToolCall("a", "weather", spot="0.0 weather"),)),
        ),
    ],
    ids=["usage", "finish reason", "call"],
)
def test_what_stands_beside_text_is_not_overlooked(chunk: Any, reading: Reading) -> None:
    """The short way for text alone does not swallow it."""
    made = litellm.ModelResponseStream(**chunk)
    assert LiteLLMReader().read(made) == reading._replace(content=True, model="gpt-4o-2024-08-06")


async def test_the_model_is_the_one_that_was_asked_for() -> None:
    """In streams LiteLLM overwrites what the provider says; whole answers keep it."""
    assert (await chat(*chat_stream("Hello"))).meter.model == "gpt-4o"
    answer = await litellm.acompletion(**ASKED, client=openai_client(chat_answer("Hello")))
    assert fold([answer]).meter.model == "gpt-4o-2024-08-06"


async def test_tool_calls_split_over_deltas() -> None:
    """Two calls of one tool, their arguments in pieces."""
    deltas = [
        {"role": "assistant", "content": None},
        chat_tool_delta(0, id="call_a", name="weather"),
        chat_tool_delta(0, arguments='{"city":'),
        chat_tool_delta(0, arguments='"Bern"}'),
        chat_tool_delta(1, id="call_b", name="weather", arguments="{}"),
    ]
    end = chat_chunk(finish_reason="tool_calls")
    folded = await chat(*map(chat_chunk, deltas), end, chat_chunk(usage=CHAT_USAGE), "[DONE]")
    assert folded.meter.tool_calls == {"call_a": "weather", "call_b": "weather"}
    assert folded.meter.finish_reason == "tool_calls"
    assert folded.usage == USAGE


async def test_a_content_filter() -> None:
    """A filter's stop is a refusal, and no failure."""
    folded = await chat(*chat_stream("Hel", finish_reason="content_filter"))
    assert folded.meter.refused
    assert folded.ending is Ending.COMPLETED


async def test_a_refusal_in_a_stream_is_lost() -> None:
    """LiteLLM drops its text; whole answers keep it, as the next test shows."""
    begin = chat_chunk({"role": "assistant", "content": None, "refusal": ""})
    folded = await chat(begin, chat_chunk({"refusal": "I'm sorry"}), *chat_stream()[-3:])
    assert not folded.meter.refused
    assert folded.first_token is None


async def test_a_whole_answer() -> None:
    """Usage, calls, reason, refusal: by the same reader."""
    call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    served = chat_answer(None, tool_calls=[call], refusal="I'm sorry")
    folded = fold([await litellm.acompletion(**ASKED, client=openai_client(served))])
    assert isinstance(folded.reader, LiteLLMReader)
    assert folded.tools == ["weather"]
    assert folded.usage == USAGE
    assert folded.meter.finished
    assert folded.meter.refused


def test_a_refusal_alone() -> None:
    """An answer that says nothing else, as JSON of LiteLLM's."""
    choice = {"message": {"provider_specific_fields": {"refusal": "I'm sorry"}}}
    assert LiteLLMReader().read({"choices": [choice]}) == Reading(content=True, refused=True)


async def test_an_error_in_mid_stream() -> None:
    """LiteLLM raises an error of its own; what had come by then has been read."""
    served = [*chat_stream("Hel")[:2], {"error": {"message": "overloaded", "code": 503}}]
    folded = Folded()
    with pytest.raises(Exception, match="overloaded"):
        await fold_stream(await stream_of(*served), folded)
    assert folded.first_token == 1
    assert not folded.meter.finished


async def test_a_stream_that_ends_too_soon_is_said_to_be_complete() -> None:
    """LiteLLM makes up a finish reason and counts tokens itself; nothing tells them from served ones."""
    folded = await chat(*chat_stream("Hel", "lo")[:3])
    assert folded.meter.finish_reason == "stop"
    assert folded.ending is Ending.COMPLETED
    assert folded.usage is not None


class TestAnthropic:
    """Claude behind LiteLLM: another provider's stream, read as a chat completion."""

    async def test_a_whole_stream(self) -> None:
        """The counts of Anthropic's three kinds of input arrive as one."""
        stream = await litellm.acompletion(
            **over_anthropic(message_stream("Hel", "lo")), stream=True, stream_options={"include_usage": True}
        )
        folded = await fold_stream(stream)
        assert isinstance(folded.reader, LiteLLMReader)
        assert folded.first_token == 0
        assert folded.usage is not None
        assert (folded.usage.input, folded.usage.output, folded.usage.cached_input) == (12, 7, 4)
        assert folded.ending is Ending.COMPLETED

    async def test_a_refusal(self) -> None:
        """LiteLLM translates the stop reason."""
        served = [{"type": "message_start", "message": message(stop_reason=None)}, *message_end("refusal")]
        folded = await fold_stream(await litellm.acompletion(**over_anthropic(served), stream=True))
        assert folded.meter.refused
        assert folded.meter.finish_reason == "content_filter"

    async def test_a_whole_answer(self) -> None:
        """The same without streaming."""
        served = message({"type": "text", "text": "Hi"}, output_tokens=7)
        folded = fold([await litellm.acompletion(**over_anthropic(served))])
        assert folded.usage is not None
        assert (folded.usage.input, folded.usage.output) == (12, 7)
        assert folded.meter.model == "claude-sonnet-4-20250514"
