"""The huggingface_hub package itself, over a transport in memory: what was served is what is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import huggingface_hub
import pytest
from fake_http import huggingface_clients
from folding import Folded, fold, fold_stream
from recorded import (
    CHAT_USAGE,
    chat_answer,
    chat_chunk,
    chat_stream,
    chat_tool_delta,
    generated_stream,
    generated_text,
    generated_token,
)

from ldtrack.core.reading import CONTENT
from ldtrack.core.values import Ending, TokenUsage
from ldtrack.providers import HuggingFaceReader, TextReader

USAGE = TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
ASKED: Any = {"messages": [{"role": "user", "content": "Hi"}]}
ClientOf = Callable[..., huggingface_hub.AsyncInferenceClient]


@pytest.fixture
def client_of() -> Iterator[ClientOf]:
    """Makes an ``AsyncInferenceClient`` of an endpoint that gives these answers."""
    with huggingface_clients() as make:
        yield make


async def chat(client_of: ClientOf, *events: Any) -> Folded:
    """Stream these events as a chat completion and fold what the SDK makes of them."""
    return await fold_stream(await client_of([*events]).chat_completion(**ASKED, stream=True))


async def generate(client_of: ClientOf, *events: Any, details: bool = True) -> Folded:
    """Stream these events as generated text and fold what the SDK makes of them."""
    client = client_of([*events])
    return await fold_stream(await client.text_generation("Hi", stream=True, details=details))


class TestChat:
    """Chat completions, on any of the providers that Hugging Face brokers."""

    async def test_a_whole_stream(self, client_of: ClientOf) -> None:
        """Usage has its details, which the SDK's objects have and their keys have not."""
        folded = await chat(client_of, *chat_stream("Hel", "lo"))
        assert isinstance(folded.reader, HuggingFaceReader)
        assert type(folded.chunks[0]).__name__ == "ChatCompletionStreamOutput"
        assert folded.first_token == 1
        assert HuggingFaceReader().read(folded.chunks[1]) is CONTENT
        assert folded.usage == USAGE
        assert (folded.meter.finish_reason, folded.meter.model) == ("stop", "gpt-4o-2024-08-06")
        assert folded.ending is Ending.COMPLETED

    async def test_the_common_chunk_takes_the_short_way(
        self, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing else of the SDK's objects is looked at."""
        folded = await chat(client_of, *chat_stream("Hel", "lo"))
        monkeypatch.setattr("ldtrack.providers.huggingface.read_chat", None)
        assert HuggingFaceReader().read(folded.chunks[1]) is CONTENT
        with pytest.raises(TypeError):
            HuggingFaceReader().read(folded.chunks[-1])

    async def test_without_usage(self, client_of: ClientOf) -> None:
        """Not asked for, not sent, not invented; the hint is Hugging Face's own."""
        folded = await chat(client_of, *chat_stream("Hello", usage=None))
        assert folded.usage is None
        assert folded.reader is not None
        assert "chat_completion(...)" in folded.reader.usage_hint

    async def test_usage_at_the_start(self, client_of: ClientOf) -> None:
        """Some report running totals from the first chunk on."""
        begin = chat_chunk({"role": "assistant", "content": ""}, usage={**CHAT_USAGE, "completion_tokens": 0})
        folded = await chat(client_of, begin, *chat_stream("Hello")[1:])
        assert folded.usage == USAGE

    async def test_tool_calls_split_over_deltas(self, client_of: ClientOf) -> None:
        """Two calls of one tool, their arguments in pieces."""
        deltas = [
            {"role": "assistant", "content": None},
            chat_tool_delta(0, id="call_a", name="weather"),
            chat_tool_delta(0, arguments='{"city": "Bern"}'),
            chat_tool_delta(1, id="call_b", name="weather", arguments="{}"),
        ]
        end = chat_chunk(finish_reason="tool_calls")
        folded = await chat(client_of, *map(chat_chunk, deltas), end, chat_chunk(usage=CHAT_USAGE))
        assert folded.meter.tool_calls == {"call_a": "weather", "call_b": "weather"}
        assert (folded.first_token, folded.usage) == (1, USAGE)

    async def test_reasoning(self, client_of: ClientOf) -> None:
        """Under the name that the SDK knows, and under one that it does not."""
        for key in ("reasoning", "reasoning_content"):
            begin = chat_chunk({"role": "assistant", "content": ""})
            folded = await chat(client_of, begin, chat_chunk({key: "Hm"}), *chat_stream("Hi")[1:])
            assert folded.first_token == 1

    @pytest.mark.parametrize(
        "end",
        [chat_chunk(finish_reason="content_filter"), chat_chunk({"refusal": "Sorry"}, finish_reason="stop")],
        ids=["filter", "refusal"],
    )
    async def test_refusals(self, client_of: ClientOf, end: Any) -> None:
        """A filter's stop, and a refusal that reaches us as an extra."""
        folded = await chat(client_of, *chat_stream("Hel")[:2], end)
        assert folded.meter.refused
        assert folded.ending is Ending.COMPLETED

    async def test_an_error_in_mid_stream(self, client_of: ClientOf) -> None:
        """The SDK raises; what had come by then has been read."""
        error = {"error": "overloaded", "error_type": "overloaded"}
        stream = await client_of([*chat_stream("Hel")[:2], error]).chat_completion(**ASKED, stream=True)
        folded = Folded()
        with pytest.raises(huggingface_hub.errors.OverloadedError):
            await fold_stream(stream, folded)
        assert folded.first_token == 1
        assert not folded.meter.finished

    async def test_a_stream_that_ends_too_soon(self, client_of: ClientOf) -> None:
        """Closed politely before the finish reason: the SDK does not notice, we do."""
        assert (await chat(client_of, *chat_stream("Hel", "lo")[:3])).ending is Ending.TRUNCATED

    async def test_an_answer_that_does_not_stream(self, client_of: ClientOf) -> None:
        """The whole ChatCompletionOutput, by the same reader."""
        call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        answer = await client_of(chat_answer("Hello", tool_calls=[call])).chat_completion(**ASKED)
        folded = fold([answer])
        assert isinstance(folded.reader, HuggingFaceReader)
        assert (folded.tools, folded.usage) == (["weather"], USAGE)
        assert (folded.meter.finish_reason, folded.meter.model) == ("stop", "gpt-4o-2024-08-06")


class TestTextGeneration:
    """Text generation, token by token."""

    async def test_a_whole_stream(self, client_of: ClientOf) -> None:
        """The last token has the details, and is no text."""
        folded = await generate(client_of, *generated_stream("Hel", "lo"))
        assert isinstance(folded.reader, HuggingFaceReader)
        assert type(folded.chunks[0]).__name__ == "TextGenerationStreamOutput"
        assert HuggingFaceReader().read(folded.chunks[0]) is CONTENT
        assert (folded.first_token, folded.usage) == (0, TokenUsage(19, 12, 7))
        assert folded.meter.finish_reason == "eos_token"
        assert folded.ending is Ending.COMPLETED

    async def test_a_special_token_is_not_the_first_token(self, client_of: ClientOf) -> None:
        """Nobody sees it."""
        begin = generated_token("<s>", special=True)
        assert (await generate(client_of, begin, *generated_stream("Hi"))).first_token == 1

    async def test_a_stream_that_ends_too_soon(self, client_of: ClientOf) -> None:
        """Before the details."""
        assert (await generate(client_of, *generated_stream("Hel", "lo")[:2])).ending is Ending.TRUNCATED

    async def test_an_error_in_mid_stream(self, client_of: ClientOf) -> None:
        """The SDK raises; what had come by then has been read."""
        client = client_of([generated_token("Hel"), {"error": "no", "error_type": "generation"}])
        folded = Folded()
        with pytest.raises(huggingface_hub.errors.GenerationError):
            await fold_stream(await client.text_generation("Hi", stream=True, details=True), folded)
        assert (folded.first_token, folded.meter.finished) == (0, False)

    async def test_without_details(self, client_of: ClientOf) -> None:
        """The SDK hands out plain text then."""
        folded = await generate(client_of, *generated_stream("Hel", "lo"), details=False)
        assert isinstance(folded.reader, TextReader)
        assert (folded.first_token, folded.usage) == (0, None)

    @pytest.mark.parametrize(("given", "counted"), [(12, 12), (0, 0)], ids=["prompt listed", "not listed"])
    async def test_a_whole_answer(self, client_of: ClientOf, given: int, counted: int) -> None:
        """The prompt's tokens are known only if they were asked for."""
        client = client_of(generated_text("Hello", given=given))
        folded = fold([await client.text_generation("Hi", details=True)])
        assert isinstance(folded.reader, HuggingFaceReader)
        assert folded.usage == TokenUsage(counted + 7, counted, 7)
        assert (folded.meter.finish_reason, folded.meter.finished) == ("length", True)


def test_generated_text_as_json() -> None:
    """Known by its shape; without details its end is known by the text, and an empty one is no content."""
    begin, end = generated_token("Hi"), generated_token("!", generated_text="Hi!")
    folded = fold([begin, end])
    assert isinstance(folded.reader, HuggingFaceReader)
    assert (folded.first_token, folded.usage, folded.ending) == (0, None, Ending.COMPLETED)
    assert HuggingFaceReader().read(generated_token("")) is None
