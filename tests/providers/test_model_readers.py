"""Random streams of Gemini, Bedrock, Mistral, Cohere and Ollama against a fold that shares no code with ours.

Also what no real server sends, but somebody may hand us: JSON in pieces, odd shapes, and envelopes.
"""

from __future__ import annotations

import json
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from folding import fold, read_by
from hypothesis import given
from hypothesis import strategies as st
from recorded_models import (
    COHERE_START,
    bedrock_answer,
    bedrock_delta,
    bedrock_start,
    bedrock_stream,
    cohere_answer,
    cohere_event,
    cohere_stream,
    gemini_chunk,
    gemini_stream,
    mistral_answer,
    mistral_call,
    mistral_chunk,
    mistral_stream,
    ollama_chunk,
    ollama_stream,
)

from ldtrack.core.meter import Meter
from ldtrack.core.reading import Reading, UsageReport
from ldtrack.core.values import Ending, TokenUsage
from ldtrack.providers import (
    BedrockInvokeReader,
    BedrockReader,
    CohereReader,
    GeminiReader,
    MistralReader,
    OllamaReader,
    ReaderRegistry,
)
from ldtrack.typing import Reader

Counts = Mapping[str, int]


@attrs.frozen
class Step:
    """What one chunk is to say."""

    kind: str
    text: str = ""
    counts: Counts = attrs.field(factory=dict)


@attrs.frozen
class Dialect:
    """One provider: how a step looks on the wire, and what counts mean there."""

    reader: Reader
    speak: Callable[[Step, int], Any]
    names: tuple[str, ...]
    """What it calls its counts."""
    reasons: Mapping[str, bool]
    """Its finish reasons, and whether each is a refusal."""
    parts: Mapping[str, tuple[str, ...]]
    """Which of its counts make up each of ours. A chunk that has one of them says all there is of it."""
    adds_parts_of_all_chunks: bool = False
    """Whether the parts of a count may come in different chunks."""


def speak_gemini(step: Step, at: int) -> Any:
    part: Any = {"text": {"text": step.text}, "thought": {"text": step.text, "thought": True}}.get(step.kind)
    if step.kind == "call":
        part = {"functionCall": {"id": str(at), "name": step.text, "args": {}}}
    reason = step.text if step.kind == "end" else None
    return gemini_chunk(*([part] if part else []), reason=reason, usage=step.counts or None)


def speak_bedrock(step: Step, at: int) -> Any:
    if step.kind == "text":
        return bedrock_delta(at, text=step.text)
    if step.kind == "thought":
        return bedrock_delta(at, reasoningContent={"text": step.text})
    if step.kind == "call":
        return bedrock_start(at, step.text)
    if step.kind == "end":
        return {"messageStop": {"stopReason": step.text}}
    return {"metadata": {"usage": step.counts}} if step.counts else {"messageStart": {"role": "assistant"}}


def speak_mistral(step: Step, at: int) -> Any:
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": step.text}] if step.text else []}]
    delta: Any = {
        "text": {"content": step.text},
        "thought": {"content": thinking},
        "call": {"tool_calls": [mistral_call(step.text, id=str(at))]},
    }.get(step.kind, {"role": "assistant", "content": ""})
    reason = step.text if step.kind == "end" else None
    return {"data": mistral_chunk(delta, reason=reason, usage=step.counts or None)}


def speak_cohere(step: Step, at: int) -> Any:
    if step.kind in {"text", "thought"}:
        said = {"text": step.text} if step.kind == "text" else {"thinking": step.text}
        return cohere_event("content-delta", at, content=said)
    if step.kind == "call":
        call = {"id": str(at), "type": "function", "function": {"name": step.text, "arguments": ""}}
        return cohere_event("tool-call-start", at, tool_calls=call)
    if step.kind == "end" or step.counts:
        reason = {"finish_reason": step.text} if step.kind == "end" else {}
        counts = {name: float(number) for name, number in step.counts.items()}
        cached = counts.pop("cached_tokens", None)
        return {
            "type": "message-end",
            "delta": {**reason, "usage": {"tokens": counts, "cached_tokens": cached}},
        }
    return COHERE_START


def speak_ollama(step: Step, at: int) -> Any:
    message: Any = {
        "text": {"content": step.text},
        "thought": {"thinking": step.text},
        "call": {"tool_calls": [{"function": {"name": step.text, "arguments": {}}}]},
    }.get(step.kind, {})
    is_end = step.kind == "end" or bool(step.counts)
    reason = {"done_reason": step.text} if step.kind == "end" else {}
    return ollama_chunk(at, {"done": True, **reason, **step.counts} if is_end else None, **message)


DIALECTS = {
    "gemini": Dialect(
        GeminiReader(),
        speak_gemini,
        (
            *("promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"),
            *("cachedContentTokenCount", "totalTokenCount"),
        ),
        {"STOP": False, "MAX_TOKENS": False, "SAFETY": True, "RECITATION": True, "SPII": True},
        {
            "input": ("promptTokenCount", "toolUsePromptTokenCount"),
            "output": ("candidatesTokenCount", "thoughtsTokenCount"),
            "total": ("totalTokenCount",),
            "cached_input": ("cachedContentTokenCount",),
            "reasoning": ("thoughtsTokenCount",),
        },
    ),
    "bedrock": Dialect(
        BedrockReader(),
        speak_bedrock,
        ("inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens", "cacheWriteInputTokens"),
        {"end_turn": False, "tool_use": False, "guardrail_intervened": True, "content_filtered": True},
        {
            "input": ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"),
            "output": ("outputTokens",),
            "total": ("totalTokens",),
            "cached_input": ("cacheReadInputTokens",),
        },
        adds_parts_of_all_chunks=True,
    ),
    "mistral": Dialect(
        MistralReader(),
        speak_mistral,
        ("prompt_tokens", "completion_tokens", "total_tokens"),
        {"stop": False, "length": False, "tool_calls": False, "content_filter": True},
        {"input": ("prompt_tokens",), "output": ("completion_tokens",), "total": ("total_tokens",)},
    ),
    "cohere": Dialect(
        CohereReader(),
        speak_cohere,
        ("input_tokens", "output_tokens", "cached_tokens"),
        {"COMPLETE": False, "TOOL_CALL": False, "ERROR_TOXIC": True},
        {"input": ("input_tokens",), "output": ("output_tokens",), "cached_input": ("cached_tokens",)},
    ),
    "ollama": Dialect(
        OllamaReader(),
        speak_ollama,
        ("prompt_eval_count", "eval_count"),
        {"stop": False, "length": False},
        {"input": ("prompt_eval_count",), "output": ("eval_count",)},
    ),
}


def expected_usage(dialect: Dialect, steps: list[Step]) -> TokenUsage | None:
    """What the counts of these steps amount to, by the dialect's table."""
    reports = [step.counts for step in steps if step.counts]
    latest: dict[str, int] = {}
    ours: dict[str, int] = {}
    for told in reports:
        latest.update(told)
        for name, parts in dialect.parts.items():
            known = latest if dialect.adds_parts_of_all_chunks else told
            if any(part in told for part in parts):
                ours[name] = sum(known.get(part, 0) for part in parts)
    if not reports:
        return None
    if dialect.adds_parts_of_all_chunks and "inputTokens" not in latest:
        ours.pop("input", None)  # without its main part it is not known how much it was
    counted = {name: ours.get(name, 0) for name in ("input", "output")}
    return TokenUsage(
        ours.get("total") or None,  # zero is nobody's total
        counted["input"],
        counted["output"],
        cached_input=ours.get("cached_input"),
        reasoning=ours.get("reasoning"),
    )


def counts_of(dialect: Dialect) -> st.SearchStrategy[Counts]:
    """Some of a dialect's counts."""
    return st.dictionaries(st.sampled_from(dialect.names), st.integers(0, 10**9), min_size=1)


@st.composite
def streams(draw: st.DrawFn, dialect: Dialect) -> list[Step]:
    """Chunks in any order, also in such as no provider sends."""
    texts = st.text(max_size=3)
    return draw(
        st.lists(
            st.one_of(
                st.builds(Step, st.just("text"), texts),
                st.builds(Step, st.just("thought"), texts),
                st.builds(Step, st.just("call"), st.sampled_from(["weather", "search"])),
                st.builds(Step, st.just("usage"), counts=counts_of(dialect)),
                st.builds(Step, st.just("end"), st.sampled_from(sorted(dialect.reasons))),
                st.builds(Step, st.just("role")),
            ),
            max_size=12,
        )
    )


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
def test_any_stream_agrees_with_the_reference(name: str, data: st.DataObject) -> None:
    """First token, usage, tool calls, finish reason and refusal, chunk by chunk."""
    dialect = DIALECTS[name]
    steps = data.draw(streams(dialect))
    meter, first = Meter(), None
    for at, step in enumerate(steps):
        reading = read_by(dialect.reader, dialect.speak(step, at))
        if reading is not None:
            meter.note(reading)
            if reading.content and first is None:
                first = at
    waited_for = [
        at for at, step in enumerate(steps) if step.kind in {"text", "thought", "call"} and step.text
    ]
    reasons = [step.text for step in steps if step.kind == "end"]
    assert first == next(iter(waited_for), None)
    assert [*meter.tool_calls.values()] == [step.text for step in steps if step.kind == "call"]
    assert meter.finish_reason == next(reversed(reasons), None)
    assert meter.refused == any(dialect.reasons[reason] for reason in reasons)
    assert meter.token_usage() == expected_usage(dialect, steps)
    assert not meter.failed


@pytest.mark.parametrize("name", DIALECTS)
def test_what_the_law_can_see(name: str) -> None:
    """Negative control: a reader that is deaf to usage, or to thoughts, is caught by the reference."""
    dialect = DIALECTS[name]
    counts = dict.fromkeys(dialect.names, 5)
    usage = expected_usage(dialect, [Step("usage", counts=counts)])
    assert usage is not None
    assert usage.input > 0
    reading = dialect.reader.read(dialect.speak(Step("thought", "Hm"), 0))
    assert reading is not None
    assert reading.content


RECORDED: dict[str, list[Any]] = {
    "gemini": [*gemini_stream("Hi"), gemini_chunk({"functionCall": {"name": "x", "args": {}}})],
    "bedrock": [*bedrock_stream("Hi"), bedrock_start(0, "x"), bedrock_answer({"text": "Hi"})],
    "mistral": [{"data": chunk} for chunk in mistral_stream("Hi")[:-1]] + [mistral_answer(content="Hi")],
    "cohere": [*cohere_stream("Hi")[:-1], cohere_answer({"type": "text", "text": "Hi"})],
    "ollama": ollama_stream("Hi"),
}
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(object),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


def places_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value in some JSON."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places_in(one, (*path, key))


def with_odd(value: Any, place: tuple[Any, ...], odd: Any) -> Any:
    """The JSON with one value replaced."""
    if not place:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = with_odd(value[place[0]], place[1:], odd)
    return copy


def as_object(value: Any) -> Any:
    """JSON as objects with attributes."""
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return SimpleNamespace(**{key: as_object(one) for key, one in value.items()})
    return [as_object(one) for one in value] if type(value) is list else value


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
def test_a_recorded_chunk_with_one_odd_value(name: str, data: st.DataObject) -> None:
    """Nothing raises, in either shape, and what is read can be recorded."""
    chunk = data.draw(st.sampled_from(RECORDED[name]))
    spoilt = with_odd(chunk, data.draw(st.sampled_from([*places_in(chunk)])), data.draw(ODD))
    for item in (spoilt, as_object(spoilt)):
        ReaderRegistry().find(item)
        reading = DIALECTS[name].reader.read(item)
        if reading is not None:
            assert reading != Reading()
            meter = Meter()
            meter.note(reading)
            meter.token_usage()


@pytest.mark.parametrize("name", DIALECTS)
def test_the_first_chunk_finds_the_reader(name: str) -> None:
    """Whichever chunk is seen first; Mistral's JSON is a chat completion and says so."""
    known = DIALECTS[name].reader
    for chunk in RECORDED[name]:
        says_nothing = chunk.get("type") == "content-end"
        if not says_nothing and (name != "mistral" or "data" in chunk):
            assert isinstance(ReaderRegistry().find(chunk), type(known)), chunk


# One by one

FIND_GEMINI = [
    pytest.param({"usageMetadata": {"promptTokenCount": 1}}, id="counts"),
    pytest.param({"promptFeedback": {"blockReason": "SAFETY"}}, id="a verdict"),
    pytest.param({"candidates": [{"finishReason": "STOP"}]}, id="a reason"),
    pytest.param({"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}, id="parts"),
]


@pytest.mark.parametrize("item", FIND_GEMINI)
def test_gemini_s_json(item: dict[str, Any]) -> None:
    """Known by any of its signs."""
    assert isinstance(ReaderRegistry().find(item), GeminiReader)


def test_gemini_s_answers_as_objects_of_others() -> None:
    """They have the SDK's names."""
    told = SimpleNamespace(usage_metadata=SimpleNamespace(prompt_token_count=1, total_token_count=3))
    assert isinstance(ReaderRegistry().find(told), GeminiReader)
    assert fold([told]).usage == TokenUsage(3, 1)


@pytest.mark.parametrize(
    "item", [{"candidates": []}, {"candidates": [{"name": "Ada"}]}, {"usage_metadata": {}}]
)
def test_what_only_resembles_gemini(item: dict[str, Any]) -> None:
    """Candidates of another kind."""
    assert not GeminiReader().recognises(item)


def test_an_error_of_gemini_s_rest_api() -> None:
    """The SDK raises it; whoever reads the JSON himself gets it as a chunk."""
    assert GeminiReader().read({"error": {"code": 503, "message": "overloaded"}}) == Reading(failed=True)


def test_unspecified_reasons_are_none() -> None:
    """An enum's zero is no end."""
    assert fold([gemini_chunk({"text": "Hi"}, reason="FINISH_REASON_UNSPECIFIED")]).meter.finished is False


def test_arguments_that_cannot_be_shown() -> None:
    """A call is known all the same."""

    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert fold([gemini_chunk({"functionCall": {"name": "x", "args": Shy()}})]).tools == ["x"]


@pytest.mark.parametrize(
    ("reader", "item"),
    [
        (BedrockReader(), SimpleNamespace(messageStop={"stopReason": "x"})),
        (BedrockReader(), {"metadata": {"owner": "Ada"}}),
        (BedrockReader(), {"output": "text"}),
        (BedrockInvokeReader(), {"chunk": {"bytes": "text"}}),
        (BedrockReader(), {"text": "Hi", "metadata": {"usage": {"inputTokens": 1}}}),
        (CohereReader(), {"type": "content-delta"}),
        (CohereReader(), {"type": "content-delta", "delta": "Hi"}),
        (CohereReader(), {"type": "message-delta", "delta": {"message": "Hi"}}),
        (CohereReader(), {"type": "text-delta", "delta": "x"}),
        (CohereReader(), {"usage": {"tokens": {}}}),
        (OllamaReader(), {"done": True, "response": "Hi"}),
        (OllamaReader(), {"done": "yes", "model": "m", "response": "Hi"}),
        (OllamaReader(), {"done": True, "model": "m"}),
        (OllamaReader(), {"done": False, "model": "m", "message": "Hi"}),
        (MistralReader(), {"data": {"choices": []}}),
    ],
)
def test_what_only_resembles_a_chunk(reader: Reader, item: Any) -> None:
    """It takes more than one sign."""
    assert not reader.recognises(item)


@pytest.mark.parametrize(
    "first",
    [
        {"type": "ping"},
        {"type": "content-delta", "delta": "Hi"},
        {"text": "Hi", "metadata": {"usage": {"prompt_tokens": 1}}},
        {"type": "response.chunk", "text": "Hi"},
        {"model": "m", "message": "Hi", "done": False},
    ],
    ids=["ping", "content-delta", "metadata", "response.chunk", "done"],
)
def test_home_made_streams_that_resemble_a_provider_s(first: dict[str, Any]) -> None:
    """They have no finish mark of a provider's, and need none."""
    folded = fold([first, {"text": "Ho"}])
    assert folded.first_token is not None
    assert folded.ending is Ending.COMPLETED


def test_a_mapping_that_cannot_be_counted() -> None:
    """It is no event of Bedrock's, which are plain."""

    class Uncountable(UserDict[str, Any]):
        def __len__(self) -> int:
            raise RuntimeError("no")

    assert not BedrockReader().recognises(Uncountable(messageStart={"role": "assistant"}))


def test_calls_without_a_name_are_none() -> None:
    """They may be content; they are no call."""
    nameless: list[tuple[Reader, Any]] = [
        (OllamaReader(), ollama_chunk(tool_calls=[{"function": {}}])),
        (BedrockReader(), {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "a"}}}}),
        (CohereReader(), cohere_answer({"type": "text", "text": "Hi"}, tool_calls=[{"id": "a"}])),
        (GeminiReader(), gemini_chunk({"functionCall": {}})),
        (MistralReader(), {"data": mistral_chunk({"tool_calls": [{"id": "a"}]})}),
    ]
    for reader, item in nameless:
        reading = reader.read(item)
        assert reading is None or reading.tool_calls == ()


def test_calls_without_an_id_are_told_apart_by_their_place() -> None:
    """Two calls of one tool in one answer."""
    bedrock = bedrock_answer({"toolUse": {"name": "x"}}, {"toolUse": {"name": "x"}})
    cohere = cohere_answer(tool_calls=[{"function": {"name": "x"}}, {"function": {"name": "x"}}])
    assert fold([bedrock]).tools == ["x", "x"]
    assert fold([cohere]).tools == ["x", "x"]


def envelope(inside: Any) -> dict[str, Any]:
    """Amazon's envelope."""
    return {"chunk": {"bytes": inside if isinstance(inside, bytes) else json.dumps(inside).encode()}}


@pytest.mark.parametrize(
    "inside",
    [b"", b"\xff", b"{", b"[1]", b"{}", b"5", b"[" * 100_000],
    ids=["none", "odd", "cut", "list", "empty", "number", "deep"],
)
def test_an_envelope_with_something_else(inside: bytes) -> None:
    """It says nothing, and raises nothing; what is no JSON object does not make a stream InvokeModel's."""
    assert BedrockInvokeReader().recognises(envelope(inside)) is (inside == b"{}")
    assert BedrockInvokeReader().read(envelope(inside)) is None


def test_the_text_of_an_agent_in_an_envelope() -> None:
    """Bedrock's agents put it there as it is, and send no finish mark."""
    folded = fold([envelope(b"Hello "), envelope(b"world.")])
    assert folded.first_token == 0
    assert folded.ending is Ending.COMPLETED


def test_usage_of_a_chat_completion_in_an_envelope() -> None:
    """Its own counts and Amazon's are of one call, whatever its id."""
    metrics = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 2, "outputTokenCount": 3}}
    chunk = mistral_chunk({"content": "Hi"}) | {"usage": {"prompt_tokens": 2, "completion_tokens": 1}}
    assert fold([envelope(chunk), envelope(metrics)]).usage == TokenUsage(5, 2, 3)


def test_an_error_instead_of_an_envelope() -> None:
    """As others than boto3 hand it on."""
    assert BedrockInvokeReader().read({"throttlingException": {"message": "slow"}}) == Reading(failed=True)


def test_dialects_in_an_envelope() -> None:
    """Nova's, and what speaks OpenAI's; Amazon's counts go with them."""
    read = BedrockInvokeReader().read
    metrics = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 2, "outputTokenCount": 3}}
    nova = read(envelope({"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0}}))
    assert nova is not None
    assert nova.content
    chat = read(envelope(mistral_chunk({"content": "Hi"})))
    assert chat is not None
    assert chat.content
    assert read(envelope(metrics)) == Reading(usage=UsageReport(output=3, fresh_input=2), finished=True)
