"""What is special to the anthropic package; what it has in common with others is in ``test_real_sdks``."""

from __future__ import annotations

from typing import Any

import pytest
from fake_http import anthropic_client
from folding import Folded, fold, fold_stream
from recorded import (
    message,
    message_block,
    message_end,
    message_stream,
    message_text_block,
    message_tool_block,
)

from ldtrack.core.values import TokenUsage
from ldtrack.providers import AnthropicReader, TextReader

ASKED: Any = {"model": "claude-sonnet-4", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}]}
START = {"type": "message_start", "message": message(stop_reason=None)}
USAGE = TokenUsage(19, 12, 7, cached_input=4)
WITH_TOOLS = [
    START,
    *message_block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Hm"},
        {"type": "signature_delta", "signature": "EqQB"},
    ),
    *message_tool_block(1, "web_search", '{"query": "x"}', kind="server_tool_use"),
    *message_text_block(2, "Let me ", "see."),
    *message_tool_block(3, "weather", "", '{"city":', ' "Bern"}'),
    *message_tool_block(4, "weather", '{"city": "Basel"}'),
    *message_end("tool_use", output_tokens_details={"thinking_tokens": 2}),
]


async def raw(*events: Any) -> Folded:
    """Stream these events as they are and fold what the SDK makes of them."""
    return await fold_stream(await anthropic_client([*events]).messages.create(**ASKED, stream=True))


async def helped(*events: Any) -> Folded:
    """Stream these events through the SDK's helper and fold its events."""
    async with anthropic_client([*events]).messages.stream(**ASKED) as stream:
        return await fold_stream(stream)


@pytest.mark.parametrize("streamed", [raw, helped])
async def test_thinking_and_tools(streamed: Any) -> None:
    """Thinking is the first token; every call is listed once, in order."""
    folded = await streamed(*WITH_TOOLS)
    assert folded.first_token == 2
    assert folded.tools == ["web_search", "weather", "weather"]
    assert folded.usage == TokenUsage(19, 12, 7, cached_input=4, reasoning=2)


async def test_the_helper_adds_events() -> None:
    """Control: there is something that could have been counted twice."""
    kinds = [chunk.type for chunk in (await helped(*WITH_TOOLS)).chunks]
    assert {"input_json", "text"} < {*kinds}
    assert len(kinds) > len((await raw(*WITH_TOOLS)).chunks)


async def test_only_the_text_of_a_stream() -> None:
    """The helper's stream of text is a stream of text."""
    async with anthropic_client(message_stream("Hel", "lo")).messages.stream(**ASKED) as stream:
        folded = await fold_stream(stream.text_stream)
    assert isinstance(folded.reader, TextReader)
    assert folded.first_token == 0


async def test_an_answer_that_used_a_tool_of_the_server_s() -> None:
    """That is a call, too."""
    blocks = [
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
    ]
    client = anthropic_client(message(*blocks, output_tokens=7))
    folded = fold([await client.messages.create(**ASKED)])
    assert isinstance(folded.reader, AnthropicReader)
    assert folded.tools == ["weather", "web_search"]
    assert folded.usage == USAGE
    assert folded.meter.finished
