"""The anthropic package itself, over a transport in memory: what was served is what is read."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from fake_http import FakeServer, anthropic_client, broken_connection
from folding import Folded, fold, fold_stream
from recorded import (
    message,
    message_block,
    message_end,
    message_stream,
    message_text_block,
    message_tool_block,
)

from ldtrack.core.reading import CONTENT
from ldtrack.core.values import Ending, TokenUsage
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
async def test_a_whole_stream(streamed: Any) -> None:
    """Raw events, or the helper's with derived ones in between: the same is read of both."""
    folded = await streamed(*message_stream("Hel", "lo"))
    assert isinstance(folded.reader, AnthropicReader)
    assert folded.first_token is not None
    assert folded.chunks[folded.first_token].type == "content_block_delta"
    assert AnthropicReader().read(folded.chunks[folded.first_token]) is CONTENT
    assert folded.usage == USAGE
    assert folded.ending is Ending.COMPLETED


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


@pytest.mark.parametrize("streamed", [raw, helped])
async def test_a_stream_that_ends_too_soon(streamed: Any) -> None:
    """Closed politely before the stop reason: input and the output so far are known, and that it was cut."""
    folded = await streamed(*message_stream("Hel", "lo")[:5])
    assert folded.usage == TokenUsage(13, 12, 1, cached_input=4)
    assert folded.ending is Ending.TRUNCATED


@pytest.mark.parametrize(
    ("last", "error"),
    [
        pytest.param(
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            anthropic.APIStatusError,
            id="error event",
        ),
        pytest.param(broken_connection(anthropic), Exception, id="broken connection"),
    ],
)
async def test_a_failure_in_mid_stream(last: Any, error: type[Exception]) -> None:
    """The SDK raises; what had come by then has been read."""
    client = anthropic_client([*message_stream("Hel")[:4], last])
    stream = await client.messages.create(**ASKED, stream=True)
    folded = Folded()
    with pytest.raises(error):
        await fold_stream(stream, folded)
    assert folded.first_token == 2
    assert not folded.meter.finished


async def test_closing_early() -> None:
    """What was read before counts, and the server sees the connection closed."""
    server = FakeServer(message_stream("Hel", "lo"))
    folded = Folded()
    async with anthropic_client(server=server).messages.stream(**ASKED) as stream:
        async for event in stream:
            folded.add(event)
            if folded.first_token is not None:
                break
    assert folded.meter.ending_when_closed() is Ending.CLOSED_EARLY
    assert server.closed == 1


async def test_only_the_text_of_a_stream() -> None:
    """The helper's stream of text is a stream of text."""
    async with anthropic_client(message_stream("Hel", "lo")).messages.stream(**ASKED) as stream:
        folded = await fold_stream(stream.text_stream)
    assert isinstance(folded.reader, TextReader)
    assert folded.first_token == 0


async def test_an_answer_that_does_not_stream() -> None:
    """The whole Message, by the same reader."""
    blocks = [
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
    ]
    client = anthropic_client(message(*blocks, output_tokens=7))
    folded = fold([await client.messages.create(**ASKED)])
    assert isinstance(folded.reader, AnthropicReader)
    assert folded.tools == ["weather", "web_search"]
    assert folded.usage == USAGE
    assert folded.meter.finished


async def test_the_beta_namespace() -> None:
    """Its types have other names and the same events."""
    stream = await anthropic_client(WITH_TOOLS).beta.messages.create(**ASKED, stream=True)
    folded = await fold_stream(stream)
    assert type(folded.chunks[0]).__name__ == "BetaRawMessageStartEvent"
    assert folded.tools == ["web_search", "weather", "weather"]
    assert folded.usage == TokenUsage(19, 12, 7, cached_input=4, reasoning=2)
