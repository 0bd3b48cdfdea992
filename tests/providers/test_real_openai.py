"""What is special to the openai package; what it has in common with others is in ``test_real_sdks``."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pydantic
import pytest
from fake_http import openai_client
from folding import Folded, fold, fold_stream
from recorded import (
    CHAT_USAGE,
    chat_answer,
    chat_chunk,
    chat_stream,
    chat_tool_delta,
    response,
    response_delta,
    response_event,
    response_function_item,
    response_stream,
)

from ldtrack.core.reading import CONTENT
from ldtrack.core.values import Ending, TokenUsage
from ldtrack.providers import OpenAIChatReader
from ldtrack.tracking.pass_through import passed_on

USAGE = TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
CALL = chat_tool_delta(0, id="call_1", name="weather")
ASKED: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


async def chat(*events: Any, **options: Any) -> Folded:
    """Stream these events as a chat completion and fold what the SDK makes of them."""
    client = openai_client([*events])
    return await fold_stream(await client.chat.completions.create(**ASKED, stream=True, **options))


def helpers(client: openai.AsyncOpenAI) -> Any:
    """Where this version of the SDK keeps ``parse`` and ``stream``."""
    completions = client.chat.completions
    return completions if hasattr(completions, "stream") else client.beta.chat.completions


async def respond(*events: Any) -> Folded:
    """Stream these events as a response and fold what the SDK makes of them."""
    client = openai_client([*events])
    return await fold_stream(await client.responses.create(model="gpt-4o", input="Hi", stream=True))


class TestChat:
    """Chat Completions."""

    async def test_the_common_chunk_takes_the_short_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing else of the SDK's objects is looked at."""
        folded = await chat(*chat_stream("Hel", "lo"))
        monkeypatch.setattr("ldtrack.providers.openai_chat.read_chat", None)
        assert OpenAIChatReader().read(folded.chunks[1]) is CONTENT
        with pytest.raises(TypeError):
            OpenAIChatReader().read(folded.chunks[-1])

    @pytest.mark.parametrize("usage", [None, CHAT_USAGE], ids=["no usage", "usage"])
    @pytest.mark.parametrize("finish", [None, "stop"])
    @pytest.mark.parametrize(
        ("delta", "is_plain"),
        [
            ({"content": "Hi"}, True),
            ({"content": ""}, False),
            ({"content": None}, False),
            ({"content": "Hi", "reasoning_content": "Hm"}, True),
            ({"content": "Hi", "role": "assistant"}, True),
            ({"content": "Hi", "tool_calls": None, "function_call": None, "refusal": None}, True),
            ({}, False),
            ({"role": "assistant"}, False),
            ({"refusal": "No"}, False),
            ({"content": None, "refusal": "No"}, False),
            (CALL, False),
            ({"content": "Hi", **CALL}, False),
            ({"content": "Hi", "function_call": {"name": "weather", "arguments": ""}}, False),
        ],
        ids=repr,
    )
    async def test_which_chunks_are_plain(
        self, delta: dict[str, Any], is_plain: bool, finish: str | None, usage: Any
    ) -> None:
        """Those that are read as a text and no more, however many members they came with."""
        [chunk] = (await chat(chat_chunk(delta, finish_reason=finish, usage=usage))).chunks
        is_plain = is_plain and finish is None and usage is None
        assert OpenAIChatReader.is_plain(chunk) is is_plain
        assert (OpenAIChatReader().read(chunk) is CONTENT) is is_plain

    @pytest.mark.parametrize("text", ["", None])
    async def test_a_filter_that_says_so_beside_an_empty_text(self, text: str | None) -> None:
        """Azure's verdict may come with a text of nothing, and before the finish reason."""
        filtered = chat_chunk({"content": text})
        filtered["choices"][0]["content_filter_results"] = {"hate": {"filtered": True}}
        folded = await chat(*chat_stream("Hi")[:2], filtered)
        assert not OpenAIChatReader.is_plain(folded.chunks[-1])
        assert folded.meter.refused

    async def test_the_streams_are_read_at_their_source(self) -> None:
        """The SDK's streams only pass chunks on; if that changes, every chunk costs what it did before."""
        client = openai_client(chat_stream("Hi"))
        stream = await client.chat.completions.create(**ASKED, stream=True)
        assert passed_on(stream) is stream._iterator
        await stream.close()
        async with helpers(client).stream(**ASKED) as helper:
            assert passed_on(helper) is helper._iterator

    @pytest.mark.parametrize(
        ("beside", "tools"),
        [
            ({}, []),
            ({"function_call": {"name": "weather", "arguments": "{}"}}, ["weather"]),
        ],
        ids=["text", "legacy"],
    )
    async def test_other_answers(self, beside: Any, tools: list[str]) -> None:
        """A text alone, and a function called as it was before there were tools."""
        answer = await openai_client(chat_answer("Hello", **beside)).chat.completions.create(**ASKED)
        folded = fold([answer])
        assert isinstance(folded.reader, OpenAIChatReader)
        assert folded.tools == tools
        assert folded.usage == USAGE
        assert folded.meter.finished

    async def test_a_parsed_answer(self) -> None:
        """Types that the SDK makes at run time are known by what they derive from."""

        class City(pydantic.BaseModel):
            name: str

        client = openai_client(chat_answer('{"name": "Bern"}'))
        answer = await helpers(client).parse(**ASKED, response_format=City)
        parsed = answer.choices[0].message.parsed
        assert parsed is not None
        assert parsed.name == "Bern"
        assert fold([answer]).usage == USAGE

    async def test_the_stream_helper(self) -> None:
        """It wraps every chunk and adds events of its own: read once, counted once."""
        client = openai_client(
            [
                chat_chunk({"role": "assistant", "content": ""}),
                chat_chunk({"content": "Hel"}),
                chat_chunk(chat_tool_delta(0, id="call_a", name="weather")),
                chat_chunk(chat_tool_delta(0, arguments="{}")),
                chat_chunk(finish_reason="tool_calls"),
                chat_chunk(usage=CHAT_USAGE),
                "[DONE]",
            ]
        )
        async with helpers(client).stream(**ASKED) as stream:
            folded = await fold_stream(stream)
        assert len(folded.chunks) > 6
        assert folded.first_token is not None
        assert folded.chunks[folded.first_token].type == "chunk"
        assert folded.tools == ["weather"]
        assert folded.usage == USAGE
        assert folded.ending is Ending.COMPLETED

    async def test_legacy_completions(self) -> None:
        """The completions before chat, streamed."""
        chunk = {"id": "c", "object": "text_completion", "created": 0, "model": "m"}
        events = [
            chunk | {"choices": [{"index": 0, "text": "Hi", "logprobs": None, "finish_reason": None}]},
            chunk | {"choices": [{"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}]},
            chunk | {"choices": [], "usage": CHAT_USAGE},
            "[DONE]",
        ]
        stream = await openai_client(events).completions.create(model="m", prompt="Hi", stream=True)
        folded = await fold_stream(stream)
        assert isinstance(folded.reader, OpenAIChatReader)
        assert (folded.first_token, folded.usage, folded.ending) == (0, USAGE, Ending.COMPLETED)


class TestResponses:
    """Responses."""

    async def test_tool_calls(self) -> None:
        """A reasoning item, a function twice and a built-in tool: each call once, as the SDK's objects."""
        first, second = response_function_item(1), response_function_item(2)
        search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
        folded = await respond(
            response_event("created", response=response("in_progress")),
            response_event(
                "output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1", "summary": []}
            ),
            response_event("output_item.added", output_index=1, item=first),
            response_delta("function_call_arguments", "{}"),
            response_event("output_item.done", output_index=1, item=first),
            response_event("output_item.added", output_index=2, item=second),
            response_event("output_item.added", output_index=3, item=search),
            response_event("completed", response=response("completed", first, second, search)),
        )
        assert folded.tools == ["get_weather", "get_weather", "web_search"]
        assert folded.first_token == 2

    @pytest.mark.parametrize("kind", ["reasoning_summary_text", "reasoning_text", "refusal"])
    async def test_deltas_before_or_instead_of_text(self, kind: str) -> None:
        """Reasoning and refusal are first tokens too."""
        begin = response_event("created", response=response("in_progress"))
        folded = await respond(begin, response_delta(kind, "Hm", summary_index=0))
        assert folded.first_token == 1

    @pytest.mark.parametrize(
        ("end", "ending"),
        [("completed", Ending.COMPLETED), ("incomplete", Ending.COMPLETED), ("failed", Ending.FAILED)],
    )
    async def test_how_it_ends(self, end: str, ending: Ending) -> None:
        """Cut short by a limit is an end; failed is a failure."""
        assert (await respond(*response_stream("Hi", end=end))).ending is ending

    async def test_a_failed_answer_that_does_not_stream(self) -> None:
        """A response may come back as failed."""
        served = response("failed", error={"code": "server_error", "message": "no"})
        folded = fold([await openai_client(served).responses.create(model="gpt-4o", input="Hi")])
        assert folded.meter.failed

    async def test_the_stream_helper(self) -> None:
        """Its richer events are the same events."""
        client = openai_client(response_stream("Hel", "lo"))
        async with client.responses.stream(model="gpt-4o", input="Hi") as stream:
            folded = await fold_stream(stream)
        assert "openai.lib" in type(folded.chunks[4]).__module__
        assert folded.first_token == 4
        assert folded.usage == USAGE
        assert folded.ending is Ending.COMPLETED


async def test_the_server_can_keep_a_client_waiting() -> None:
    """A stream that hangs on an event goes on once it is set: what cancellation tests are made of."""
    gate = asyncio.Event()
    begin, *rest = chat_stream("Hello")
    stream = await openai_client([begin, gate, *rest]).chat.completions.create(**ASKED, stream=True)
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.set()
    assert (await waiting).choices[0].delta.content == "Hello"
    await stream.close()
