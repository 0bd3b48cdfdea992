"""The registry: who is asked, in which order, and what is remembered."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from recorded import chat_answer, chat_chunk, message, message_stream, response, response_stream

from ldtrack.core.reading import CONTENT, Reading, Wants
from ldtrack.providers import (
    AnthropicReader,
    HuggingFaceReader,
    LiteLLMReader,
    MappingReader,
    OpenAIChatReader,
    OpenAIResponsesReader,
    ReaderRegistry,
    TextReader,
)
from ldtrack.providers.registry import PROVIDERS
from ldtrack.typing import Reader


class Mine:
    """A reader as a user may write it."""

    wants = Wants.EVERY
    marks_end = False
    usage_hint = ""

    def __init__(self, *kinds: type) -> None:
        self.kinds = kinds
        self.asked: list[object] = []

    def recognises(self, item: object) -> bool:
        self.asked.append(item)
        return isinstance(item, self.kinds)

    def read(self, item: Any) -> Reading | None:
        return CONTENT


def type_named(module: str, name: str, *bases: type, **body: Any) -> type:
    """A type that says it is defined in this module, as an SDK's would."""
    return type(name, bases or (object,), {"__module__": module, **body})


BY_TYPE = [
    ("openai.types.chat.chat_completion_chunk", "ChatCompletionChunk", OpenAIChatReader),
    ("openai.types.chat.chat_completion", "ChatCompletion", OpenAIChatReader),
    ("openai.types.completion", "Completion", OpenAIChatReader),
    ("openai.lib.streaming.chat._events", "ChunkEvent", OpenAIChatReader),
    ("openai.types.responses.response", "Response", OpenAIResponsesReader),
    ("openai.types.responses.response_text_delta_event", "ResponseTextDeltaEvent", OpenAIResponsesReader),
    ("openai.lib.streaming.responses._events", "ResponseTextDeltaEvent", OpenAIResponsesReader),
    ("anthropic.types.message", "Message", AnthropicReader),
    ("anthropic.types.raw_message_start_event", "RawMessageStartEvent", AnthropicReader),
    ("anthropic.types.beta.beta_raw_message_start_event", "BetaRawMessageStartEvent", AnthropicReader),
    ("anthropic.lib.streaming._types", "TextEvent", AnthropicReader),
    ("litellm.types.utils", "ModelResponseStream", LiteLLMReader),
    ("huggingface_hub.inference._generated.types.base", "ChatCompletionStreamOutput", HuggingFaceReader),
]


@pytest.mark.parametrize(
    ("module", "name", "reader"),
    BY_TYPE,
    ids=[name for _, name, _ in BY_TYPE[:5]]
    + ["delta", "rich delta", "message", "start", "beta", "helper", "litellm", "huggingface"],
)
def test_recognition_by_type(module: str, name: str, reader: type[Reader]) -> None:
    """An object is known by where its type is defined, even if it is empty; so are subclasses of it."""
    kind = type_named(module, name)
    assert reader().recognises(kind())
    assert isinstance(ReaderRegistry().find(kind()), reader)
    assert isinstance(ReaderRegistry().find(type_named("my.app", "Special", kind)()), reader)


@pytest.mark.parametrize(
    "module", ["openai.types.chatter", "openai", "openai.types.images", "my.openai.types.chat", "anthropic"]
)
def test_a_neighbouring_module_is_no_match(module: str) -> None:
    """Names that only begin alike, and the rest of the packages, are not recognised."""
    assert ReaderRegistry().find(type_named(module, "ChatCompletionChunk")()) is None


BY_SHAPE = [
    pytest.param(chat_chunk({"content": "Hi"}), OpenAIChatReader, id="chat chunk"),
    pytest.param(chat_answer("Hi"), OpenAIChatReader, id="chat answer"),
    *(
        pytest.param({"object": kind, "choices": []}, OpenAIChatReader, id=kind)
        for kind in ("chat.completion.chunk", "chat.completion", "text_completion")
    ),
    pytest.param({"choices": [{"delta": {"content": "Hi"}}]}, OpenAIChatReader, id="nameless chat chunk"),
    pytest.param({"choices": [{"message": {"content": "Hi"}}]}, OpenAIChatReader, id="nameless chat answer"),
    pytest.param(response_stream("Hi")[0], OpenAIResponsesReader, id="response event"),
    pytest.param(response(), OpenAIResponsesReader, id="response"),
    pytest.param(message_stream("Hi")[0], AnthropicReader, id="message event"),
    pytest.param(
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 1}},
        AnthropicReader,
        id="message delta",
    ),
    pytest.param(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
        AnthropicReader,
        id="block start",
    ),
    pytest.param(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}},
        AnthropicReader,
        id="block delta",
    ),
    pytest.param(message(), AnthropicReader, id="message"),
]


@pytest.mark.parametrize(("item", "reader"), BY_SHAPE)
def test_recognition_by_shape(item: dict[str, Any], reader: type) -> None:
    """JSON is known by what it says, and so are objects of types nobody knows."""
    assert isinstance(ReaderRegistry().find(item), reader)
    assert isinstance(ReaderRegistry().find(SimpleNamespace(**item)), reader)


@pytest.mark.parametrize(
    ("item", "reader"),
    [
        ({"text": "Hi"}, MappingReader),
        ({}, MappingReader),
        ({"choices": [{"label": "yes"}]}, MappingReader),
        ({"type": "message", "role": "assistant", "content": "Hi"}, MappingReader),
        ({"type": "message_start"}, MappingReader),
        ({"type": "error", "message": "no"}, MappingReader),
        ({"type": "text", "sequence_number": 1}, MappingReader),
        ({"object": ["unhashable"], "type": {"odd": 1}}, MappingReader),
        ("Hi", TextReader),
        (b"Hi", TextReader),
    ],
    ids=[
        "text in a mapping",
        "empty",
        "other choices",
        "plain message",
        "no message",
        "error",
        "sequence",
        "odd",
        "str",
        "bytes",
    ],
)
def test_no_provider_is_guessed(item: Any, reader: type) -> None:
    """What only resembles a provider's chunk is left to the readers of text and mappings."""
    assert isinstance(ReaderRegistry().find(item), reader)


@pytest.mark.parametrize("item", [None, 5, object(), ["Hi"], SimpleNamespace(text="Hi"), object])
def test_unknown_types_have_no_reader(item: Any) -> None:
    """They can only be timed."""
    assert ReaderRegistry().find(item) is None


def test_the_user_s_readers_come_first() -> None:
    """In their order, and for chunks that ours would know too."""
    numbers, everything = Mine(int), Mine(object)
    registry = ReaderRegistry(iter([numbers, everything]))
    assert registry.find(5) is numbers
    assert registry.find("Hi") is everything
    assert registry.find(chat_chunk({"content": "Hi"})) is everything


def test_the_user_s_readers_are_asked_each_time() -> None:
    """Their answer may depend on more than the type."""
    mine = Mine()
    registry = ReaderRegistry([mine])
    registry.find("a")
    registry.find("b")
    assert mine.asked == ["a", "b"]


@pytest.mark.parametrize("odd", [Mine, object(), None])
def test_what_is_no_reader_is_refused(odd: Any) -> None:
    """A mistake in the set-up shows at once, with the remedy."""
    with pytest.raises(TypeError, match=r"is not a reader: it needs recognises\(item\)"):
        ReaderRegistry([odd])


def test_types_are_asked_about_once() -> None:
    """The second chunk of a type is looked up, not looked at."""

    class Counting(type):
        looks = 0

        @property
        def __mro__(cls) -> Any:
            Counting.looks += 1
            return type.__dict__["__mro__"].__get__(cls)

    kind = Counting("ChatCompletionChunk", (), {"__module__": "openai.types.chat"})
    registry = ReaderRegistry()
    assert isinstance(registry.find(kind()), OpenAIChatReader)
    once = Counting.looks
    assert once > 0
    assert isinstance(registry.find(kind()), OpenAIChatReader)
    assert Counting.looks == once


def test_objects_of_one_unknown_type_may_differ() -> None:
    """A type that nobody knows is not put down to the provider whose shape its first object had."""
    registry = ReaderRegistry()
    assert isinstance(registry.find(SimpleNamespace(**chat_chunk({"content": "Hi"}))), OpenAIChatReader)
    assert isinstance(registry.find(SimpleNamespace(**message())), AnthropicReader)
    assert registry.find(SimpleNamespace()) is None


def test_types_are_not_kept_alive() -> None:
    """Types made at run time come and go; the registry remembers them weakly."""
    registry = ReaderRegistry()
    kinds = [type_named("openai.types.chat", f"Parsed{number}") for number in range(3)]
    dead = [weakref.ref(kind) for kind in kinds]
    for kind in kinds:
        registry.find(kind())
    del kind, kinds
    gc.collect()
    assert [ref() for ref in dead] == [None, None, None]


@pytest.mark.parametrize("reader", PROVIDERS, ids=lambda reader: type(reader).__name__)
def test_our_readers_keep_the_contract(reader: Reader) -> None:
    """Each has what the protocol asks for, and keeps nothing, so that all streams may share it."""
    assert isinstance(reader, Reader)
    assert isinstance(reader.wants, Wants)
    assert isinstance(reader.marks_end, bool)
    assert isinstance(reader.usage_hint, str)
    assert vars(reader) == {}
