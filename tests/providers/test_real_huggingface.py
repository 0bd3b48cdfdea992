"""What is special to the huggingface_hub package; the rest is in ``test_real_sdks``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_http import huggingface_clients
from folding import Folded, fold, fold_stream
from provider_kits.huggingface import HuggingFaceChatKit
from recorded import (
    chat_chunk,
    chat_stream,
    generated_stream,
    generated_text,
    generated_token,
)

from ldtrack.core.reading import CONTENT
from ldtrack.core.values import Ending, TokenUsage
from ldtrack.providers import HuggingFaceReader, TextReader

USAGE = TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
ASKED: Any = {"messages": [{"role": "user", "content": "Hi"}]}
ClientOf = Callable[..., Any]

HuggingFaceChatKit().require()


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

    async def test_the_common_chunk_takes_the_short_way(
        self, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing else of the SDK's objects is looked at."""
        folded = await chat(client_of, *chat_stream("Hel", "lo"))
        monkeypatch.setattr("ldtrack.providers.huggingface.read_chat", None)
        assert HuggingFaceReader().read(folded.chunks[1]) is CONTENT
        with pytest.raises(TypeError):
            HuggingFaceReader().read(folded.chunks[-1])

    async def test_the_hint_how_to_get_usage(self, client_of: ClientOf) -> None:
        """It is Hugging Face's own, though the format is OpenAI's."""
        folded = await chat(client_of, *chat_stream("Hello", usage=None))
        assert folded.reader is not None
        assert "chat_completion(...)" in folded.reader.usage_hint

    async def test_reasoning(self, client_of: ClientOf) -> None:
        """Under the name that the SDK knows."""
        begin = chat_chunk({"role": "assistant", "content": ""})
        folded = await chat(client_of, begin, chat_chunk({"reasoning": "Hm"}), *chat_stream("Hi")[1:])
        assert folded.first_token == 1


class TestTextGeneration:
    """Text generation, token by token."""

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
