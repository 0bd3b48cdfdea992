"""What is special to the litellm package; what it has in common with others is in ``test_real_sdks``."""

from __future__ import annotations

import os
from typing import Any

import pytest
from fake_http import openai_client
from folding import Folded, fold, fold_stream
from recorded import (
    CHAT_USAGE,
    chat_answer,
    chat_chunk,
    chat_stream,
    chat_tool_delta,
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


async def test_a_refusal_in_a_stream_is_lost() -> None:
    """LiteLLM drops its text; whole answers keep it, as the next test shows."""
    begin = chat_chunk({"role": "assistant", "content": None, "refusal": ""})
    folded = await chat(begin, chat_chunk({"refusal": "I'm sorry"}), *chat_stream()[-3:])
    assert not folded.meter.refused
    assert folded.first_token is None


async def test_a_whole_answer_keeps_a_refusal() -> None:
    """Beside its calls and usage."""
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


async def test_a_stream_that_ends_too_soon_is_said_to_be_complete() -> None:
    """LiteLLM makes up a finish reason and counts tokens itself; nothing tells them from served ones."""
    folded = await chat(*chat_stream("Hel", "lo")[:3])
    assert folded.meter.finish_reason == "stop"
    assert folded.ending is Ending.COMPLETED
    assert folded.usage is not None
