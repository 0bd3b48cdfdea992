"""Whatever a provider sends, readers do not raise; what they report is always fit to be recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from folding import is_plain_to, read_by
from hypothesis import given
from hypothesis import strategies as st
from recorded import (
    chat_answer,
    chat_chunk,
    chat_stream,
    generated_stream,
    generated_text,
    message,
    message_stream,
    response,
    response_delta,
    response_stream,
)
from recorded_models import (
    bedrock_delta,
    bedrock_stream,
    cohere_event,
    cohere_stream,
    gemini_stream,
    mistral_stream,
    ollama_chunk,
    ollama_stream,
)

from ldtrack.core.meter import Meter
from ldtrack.core.reading import Reading
from ldtrack.providers import (
    AnthropicReader,
    BedrockReader,
    HuggingFaceReader,
    LiteLLMReader,
    OpenAIChatReader,
    OpenAIResponsesReader,
    ReaderRegistry,
)
from ldtrack.providers.registry import PROVIDERS
from ldtrack.typing import Reader

WORDS = sorted(
    {
        word
        for chunk in [
            *chat_stream("x")[:-1],
            chat_chunk({"tool_calls": [{"function": {"name": "x"}}], "function_call": {}, "audio": {}}),
            chat_answer("x"),
            *response_stream("x"),
            response(),
            *message_stream("x"),
            message(),
            *generated_stream("x"),
            generated_text("x", given=1),
        ]
        for word in json.dumps(chunk).replace('"', " ").replace(":", " ").split()
        if word.replace("_", "").replace(".", "").isalpha()
    }
)
"""Every key and every text that recorded chunks contain: what gets odd inputs past the first check."""

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS)
VALUES = st.recursive(
    SCALARS | st.binary() | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from(WORDS) | st.text() | st.integers(), inner, max_size=6)
        | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6).map(lambda some: SimpleNamespace(**some))
    ),
    max_leaves=30,
)


class Hostile:
    """An object that raises at every touch."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    __hash__ = None  # type: ignore[assignment]  # not even that


class HostileMapping(dict[str, Any]):
    """A mapping that raises when asked."""

    def get(self, *arguments: Any) -> Any:
        raise RuntimeError("get")

    def __iter__(self) -> Any:
        raise RuntimeError("iter")

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(key)


def check(reading: Reading | None) -> None:
    """Any reading can be folded and recorded."""
    if reading is None:
        return
    assert isinstance(reading, Reading)
    assert reading != Reading(), "a reading that says nothing is None"
    assert all(isinstance(flag, bool) for flag in (reading.content, reading.finished, reading.failed))
    assert all(call.id and call.name and isinstance(call.name, str) for call in reading.tool_calls)
    meter = Meter()
    meter.note(reading)
    for usage in (reading.usage, *(part for _, part in reading.parts)):
        if usage is not None:
            assert any(count is not None for count in usage)
            assert meter.token_usage() is not None


every_reader = pytest.mark.parametrize("reader", PROVIDERS, ids=lambda reader: type(reader).__name__)


@every_reader
@given(value=VALUES)
def test_anything(reader: Reader, value: Any) -> None:
    """Any value at all: recognised or not, nothing raises."""
    assert isinstance(reader.recognises(value), bool)
    check(reader.read(value))


OF_RECORDED: tuple[Reader, ...] = (
    *(HuggingFaceReader(), LiteLLMReader(), OpenAIChatReader(), OpenAIResponsesReader(), AnthropicReader()),
)
"""Those whose chunks these are."""

RECORDED = [
    *chat_stream("Hi")[:-1],
    chat_chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "x", "arguments": ""}}]}),
    chat_chunk({"function_call": {"name": "x", "arguments": ""}}),
    chat_answer("Hi", tool_calls=[{"id": "a", "function": {"name": "x", "arguments": ""}}]),
    *response_stream("Hi"),
    response("completed", {"type": "function_call", "name": "x", "call_id": "a"}),
    *message_stream("Hi"),
    message({"type": "tool_use", "id": "a", "name": "x", "input": {}}),
    *generated_stream("Hi"),
    generated_text("Hi", given=1),
]


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value in some JSON."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inside for place in places_in(one, (*path, key)))]


def with_odd(value: Any, place: tuple[Any, ...], odd: Any) -> Any:
    """The JSON with one value replaced."""
    if not place:
        return odd
    key, *rest = place
    if isinstance(value, dict):
        return {**value, key: with_odd(value[key], tuple(rest), odd)}
    return [with_odd(one, tuple(rest), odd) if at == key else one for at, one in enumerate(value)]


def as_object(value: Any) -> Any:
    """JSON as objects with attributes."""
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return SimpleNamespace(**{key: as_object(one) for key, one in value.items()})
    return [as_object(one) for one in value] if type(value) is list else value


@st.composite
def spoilt_chunks(draw: st.DrawFn, recorded: Sequence[Any] = RECORDED) -> Any:
    """A recorded chunk of which one value, at any depth, is something else."""
    chunk = draw(st.sampled_from(recorded))
    place = draw(st.sampled_from(places_in(chunk)))
    return with_odd(chunk, place, draw(VALUES | st.builds(Hostile) | st.builds(HostileMapping)))


@given(spoilt=spoilt_chunks())
def test_recorded_chunks_with_one_odd_value(spoilt: Any) -> None:
    """A chunk that is right but for one value: nothing raises, in either shape."""
    for item in (spoilt, as_object(spoilt)):
        for reader in PROVIDERS:
            assert isinstance(reader.recognises(item), bool)
            check(reader.read(item))
        ReaderRegistry().find(item)


@given(spoilt=spoilt_chunks())
def test_json_and_objects_are_read_alike(spoilt: Any) -> None:
    """Whether the SDK made objects of it or not, a chunk says the same."""
    for reader in OF_RECORDED:
        if isinstance(spoilt, dict) and not isinstance(spoilt, HostileMapping):
            assert reader.read(spoilt) == reader.read(as_object(spoilt))


@every_reader
@pytest.mark.parametrize("hostile", [Hostile(), HostileMapping(choices=[1])], ids=["object", "mapping"])
def test_hostile_objects(reader: Reader, hostile: Any) -> None:
    """An object that raises at every touch is not recognised, unless by what it is, and says nothing."""
    assert isinstance(reader.recognises(hostile), bool)
    assert reader.read(hostile) is None


DELTAS = [("text", "text"), ("thinking", "thinking"), ("input_json", "partial_json")]
GLANCING = [reader for reader in PROVIDERS if hasattr(reader, "is_plain")]
PLAIN = [
    chat_chunk({"content": "Hi", "tool_calls": None, "function_call": None}),
    response_delta("output_text", "Hi"),
    response_delta("function_call_arguments", "{"),
    *({"type": "content_block_delta", "delta": {"type": f"{kind}_delta", key: "Hi"}} for kind, key in DELTAS),
    cohere_event("content-delta", 0, content={"text": "Hi"}),
    cohere_event("content-delta", 0, content={"text": None, "thinking": "Hm"}),
    ollama_chunk(1, content="Hi", tool_calls=None),
    ollama_chunk(1, thinking="Hm", tool_calls=None),
    {"model": "llama3.2", "done": False, "response": "Hi"},
    {"model": "llama3.2", "done": False, "response": "", "thinking": "Hm"},
    *(bedrock_delta(**delta) for delta in ({"text": "Hi"}, {"toolUse": {"input": "{"}})),
    bedrock_delta(reasoningContent={"text": "Hm"}),
]
"""Chunks of which a reader can tell at a glance that they are content and no more."""
GLANCED_AT = [
    *(*RECORDED, *PLAIN, *bedrock_stream("Hi"), *cohere_stream("Hi")[:-1], *ollama_stream("Hi")),
    *(*mistral_stream("Hi")[:-1], *gemini_stream("Hi")),
]


@pytest.mark.parametrize("reader", GLANCING, ids=lambda reader: type(reader).__name__)
@given(value=VALUES | spoilt_chunks(GLANCED_AT))
def test_what_is_plain_at_a_glance_is_content_and_no_more(reader: Reader, value: Any) -> None:
    """Whatever is drawn: what is true of it without a reading is what the reading says."""
    for item in (value, as_object(value)):
        read_by(reader, item)


@pytest.mark.parametrize("chunk", PLAIN, ids=str)
def test_plain_chunks_are_told_at_a_glance(chunk: Any) -> None:
    """In JSON, and as objects where there are any: else the test before this one could not fail."""
    reader = ReaderRegistry().find(chunk)
    assert reader in GLANCING
    assert is_plain_to(reader, chunk)
    assert is_plain_to(reader, as_object(chunk)) is not isinstance(reader, BedrockReader)


@pytest.mark.parametrize("odd", ["", "x", None, True, 0, b"x", [], ["x"], {}, {"x": 1}], ids=repr)
@pytest.mark.parametrize("chunk", PLAIN, ids=str)
def test_plain_chunks_with_this_odd_value(chunk: Any, odd: Any) -> None:
    """In each of their places in turn: what was plain still is, or is not."""
    for place in places_in(chunk):
        spoilt = with_odd(chunk, place, odd)
        for item in (spoilt, as_object(spoilt)):
            for reader in GLANCING:
                read_by(reader, item)


def test_what_these_tests_can_see() -> None:
    """Negative control: the recorded chunks are read, so spoiling them means something."""
    assert sum(any(reader.read(chunk) for reader in OF_RECORDED) for chunk in RECORDED) > len(RECORDED) / 2
