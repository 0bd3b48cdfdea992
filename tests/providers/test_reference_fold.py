"""Random streams: what our readers make of the chunks is what whoever wrote the chunks put into them.

A stream is drawn as steps that say what happens. A dialect writes them down as chunks, and a plain loop over
the steps, which sees no chunk, says what should come out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import attrs
import huggingface_hub
import pytest
from folding import read_by
from hypothesis import given
from hypothesis import strategies as st
from recorded import chat_chunk, generated_token, message, response, response_delta, response_event
from recorded_models import bedrock_delta

from ldtrack.core.meter import Meter
from ldtrack.core.values import TokenUsage
from ldtrack.providers import (
    AnthropicReader,
    BedrockInvokeReader,
    HuggingFaceReader,
    LiteLLMReader,
    MappingReader,
    OpenAIChatReader,
    OpenAIResponsesReader,
)
from ldtrack.typing import Reader

Counts = dict[str, int]
Speak = Callable[["Step", int], dict[str, Any]]
TEXTS = st.sampled_from(["", "Hi", " "])
NAMES = st.sampled_from(["weather", "search"])
IDS = st.none() | st.sampled_from(["a", "b"])
REASONS = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "refusal"])
COUNTS = st.fixed_dictionaries(
    {"input": st.integers(0, 99), "output": st.integers(0, 99)},
    optional={"cached": st.integers(0, 9), "reasoning": st.integers(0, 9)},
)


@attrs.frozen
class Step:
    """What one chunk is about. Whatever is ``None`` or empty is not in it."""

    text: str = ""
    thought: str = ""
    refusal: str = ""
    call: tuple[str, str] | None = None
    counts: Counts | None = None
    reason: str | None = None
    model: str | None = None
    begins: str | None = None
    """The id of the call that begins with it."""

    @property
    def is_seen(self) -> bool:
        """Whether a user gets to see something, or it is on its way to a tool."""
        return bool(self.text or self.thought or self.refusal or self.call)

    @property
    def is_nothing_else(self) -> bool:
        """Whether it is something to see and nothing more."""
        return self.is_seen and not (self.refusal or self.call or self.counts or self.reason)


@attrs.define
class Expected:
    """What a stream amounts to."""

    first_token: int | None = None
    counts: Counts = attrs.field(factory=dict)
    tools: dict[str, str] = attrs.field(factory=dict)
    reason: str | None = None
    model: str | None = None
    refused: bool = False
    finished: bool = False


def reference(steps: list[Step], refusing: set[str], *, every_model: bool = False) -> Expected:
    """The plain loop. A model that is named beside content alone is not looked at, unless told so."""
    said, call, counts_of = Expected(), "", dict[str, Counts]()
    for at, step in enumerate(steps):
        if step.is_seen and said.first_token is None:
            said.first_token = at
        if step.begins not in {None, call}:
            call, said.finished = str(step.begins), False
        if step.counts is not None:
            counts_of[call] = counts_of.get(call, {}) | step.counts
        if step.call is not None:
            said.tools.setdefault(*step.call)
        if step.reason is not None:
            said.reason = step.reason
            said.finished = said.finished or step.reason != "failed"
        if step.model is not None and (every_model or not step.is_nothing_else):
            said.model = step.model
        said.refused = said.refused or step.reason in refusing or step.refusal != ""
    for counts in counts_of.values():
        said.counts |= {key: said.counts.get(key, 0) + number for key, number in counts.items()}
    return said


def folded(reader: Reader, chunks: list[Any]) -> tuple[Expected, TokenUsage | None]:
    """What the reader and a meter make of the chunks."""
    meter, first_token = Meter(), None
    for at, chunk in enumerate(chunks):
        reading = read_by(reader, chunk)
        if reading is not None:
            meter.note(reading)
            if reading.content and first_token is None:
                first_token = at
    found = Expected(
        first_token,
        tools=meter.tool_calls,
        reason=meter.finish_reason,
        model=meter.model,
        refused=meter.refused,
        finished=meter.finished,
    )
    return found, meter.token_usage()


def check(reader: Reader, chunks: list[Any], expected: Expected) -> None:
    """The two folds agree, count by count."""
    found, usage = folded(reader, chunks)
    assert found == attrs.evolve(expected, counts={})
    counts = expected.counts
    if not counts:
        assert usage is None
    else:
        assert usage is not None
        assert (usage.input, usage.output) == (counts["input"], counts["output"])
        assert usage.total == counts["input"] + counts["output"]
        assert (usage.cached_input, usage.reasoning) == (counts.get("cached"), counts.get("reasoning"))


def as_object(value: Any) -> Any:
    """JSON as objects with attributes."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_object(one) for key, one in value.items()})
    return [as_object(one) for one in value] if isinstance(value, list) else value


def calls_of(step: Step, at: int) -> list[dict[str, Any]]:
    """A call as OpenAI writes it."""
    if step.call is None:
        return []
    id_, called = step.call
    return [{"index": at, "id": id_, "type": "function", "function": {"name": called, "arguments": ""}}]


def usage_of(counts: Counts | None, given_as: str, made_as: str) -> dict[str, Any] | None:
    """Counts as OpenAI writes them, under either pair of names."""
    if counts is None:
        return None
    details = {f"{given_as}_details": {"cached_tokens": counts.get("cached")}}
    more = {f"{made_as}_details": {"reasoning_tokens": counts.get("reasoning")}}
    total = counts["input"] + counts["output"]
    return {
        given_as: counts["input"],
        made_as: counts["output"],
        "total_tokens": total,
        **details,
        **more,
    }


# Chat completions

CALLS = st.none() | st.tuples(st.sampled_from(["a", "b", "c"]), NAMES)
SPEAKING = st.builds(
    Step,
    text=TEXTS,
    thought=TEXTS,
    call=CALLS,
    counts=st.none() | COUNTS,
    reason=st.none() | REASONS,
    model=st.none() | st.sampled_from(["m1", "m2"]),
)
REFUSING = st.builds(Step, refusal=TEXTS, model=st.none() | st.just("m1"))
PLAIN = st.builds(Step, text=TEXTS, model=st.just("m1"))


def as_chat(step: Step, at: int) -> dict[str, Any]:
    """A chunk of a chat completion."""
    delta = {
        "content": step.text or None,
        "reasoning_content": step.thought,
        "refusal": step.refusal or None,
        "tool_calls": calls_of(step, at),
    }
    chunk = chat_chunk(delta, finish_reason=step.reason)
    return chunk | {"usage": usage_of(step.counts, "prompt_tokens", "completion_tokens"), "model": step.model}


SHAPES: dict[str, tuple[Reader, Callable[[Any], Any]]] = {
    "openai json": (OpenAIChatReader(), lambda chunk: chunk),
    "openai objects": (OpenAIChatReader(), as_object),
    "litellm": (LiteLLMReader(), as_object),
    "huggingface json": (HuggingFaceReader(), lambda chunk: chunk),
    "huggingface": (HuggingFaceReader(), huggingface_hub.ChatCompletionStreamOutput.parse_obj),
}


@pytest.mark.parametrize("shape", SHAPES)
@given(steps=st.lists(PLAIN | SPEAKING | REFUSING, max_size=8))
def test_chat_completions(shape: str, steps: list[Step]) -> None:
    """In whatever order and combination, in every shape that the SDKs give a chunk."""
    reader, shaped = SHAPES[shape]
    chunks = [shaped(as_chat(step, at)) for at, step in enumerate(steps)]
    check(reader, chunks, reference(steps, {"content_filter"}))


# Text generation

TOKENS = st.lists(st.tuples(TEXTS, st.booleans()), max_size=6)


@given(tokens=TOKENS, counts=st.none() | COUNTS, reason=st.sampled_from(["length", "eos_token"]))
def test_text_generation(tokens: list[tuple[str, bool]], counts: Counts | None, reason: str) -> None:
    """Tokens, special or not, and then the details or none."""
    chunks = [generated_token(text, special=special) for text, special in tokens]
    steps = [Step(text="" if special else text) for text, special in tokens]
    if counts is not None:
        counts = {key: counts[key] for key in ("input", "output")}
        details = {
            "finish_reason": reason,
            "generated_tokens": counts["output"],
            "input_length": counts["input"],
        }
        chunks.append(generated_token("</s>", special=True, generated_text="x", details=details))
        steps.append(Step(counts=counts, reason=reason))
    expected = reference(steps, set())
    real = huggingface_hub.TextGenerationStreamOutput
    for shaped in (chunks, [real.parse_obj(chunk) for chunk in chunks]):
        check(HuggingFaceReader(), shaped, expected)


# Responses


def as_response_event(step: Step, at: int) -> dict[str, Any]:
    """The one event that fits best."""
    if step.call is not None:
        id_, called = step.call
        item = {"type": "function_call", "call_id": id_, "name": called}
        return response_event("output_item.added", output_index=at, item=item)
    if step.reason is not None:
        cut = step.reason not in {"completed", "failed"}
        answer = response(
            "incomplete" if cut else step.reason,
            incomplete_details={"reason": step.reason} if cut else None,
            usage=usage_of(step.counts, "input_tokens", "output_tokens"),
            model=step.model,
        )
        return response_event("incomplete" if cut else step.reason, response=answer | {"id": step.begins})
    if step.model is not None:
        begun = response("in_progress", model=step.model) | {"id": step.begins}
        return response_event("created", response=begun)
    if step.refusal:
        return response_delta("refusal", step.refusal)
    if step.thought:
        return response_delta("reasoning_summary_text", step.thought)
    return response_delta("output_text", step.text)


RESPONSE_STEPS = (
    st.builds(Step, text=TEXTS)
    | st.builds(Step, thought=TEXTS)
    | st.builds(Step, refusal=st.just("Sorry"))
    | st.builds(Step, call=CALLS)
    | st.builds(Step, model=st.sampled_from(["m1", "m2"]), begins=IDS)
    | st.builds(
        Step,
        reason=st.sampled_from(["completed", "failed", "content_filter", "max_output_tokens"]),
        counts=COUNTS,
        model=st.none() | st.just("m3"),
        begins=IDS,
    )
    | st.builds(Step, reason=st.sampled_from(["completed", "failed", "content_filter"]))
)


@given(steps=st.lists(RESPONSE_STEPS, max_size=8))
def test_responses(steps: list[Step]) -> None:
    """Events of any responses in any order, as JSON and as objects."""
    chunks = [as_response_event(step, at) for at, step in enumerate(steps)]
    expected = reference(steps, {"content_filter"})
    check(OpenAIResponsesReader(), chunks, expected)
    check(OpenAIResponsesReader(), [as_object(chunk) for chunk in chunks], expected)


# Messages


def as_message_event(step: Step, at: int) -> dict[str, Any]:
    """The one event that fits best."""
    if step.call is not None:
        id_, called = step.call
        block = {"type": "tool_use", "id": id_, "name": called, "input": {}}
        return {"type": "content_block_start", "index": at, "content_block": block}
    usage = None if step.counts is None else _anthropic_usage(step.counts)
    if step.reason is not None:
        return {"type": "message_delta", "delta": {"stop_reason": step.reason}, "usage": usage}
    if step.model is not None:
        begun = message(stop_reason=None) | {"id": step.begins, "model": step.model, "usage": usage}
        return {"type": "message_start", "message": begun}
    kind, key, said = ("text_delta", "text", step.text)
    if step.thought:
        kind, key, said = ("thinking_delta", "thinking", step.thought)
    return {"type": "content_block_delta", "index": at, "delta": {"type": kind, key: said}}


def _anthropic_usage(counts: Counts) -> dict[str, Any]:
    """All input counts at once, of which one was written to a cache."""
    cached = counts.get("cached")
    return {
        "input_tokens": counts["input"] - (cached or 0) - 1,
        "cache_creation_input_tokens": 1,
        "cache_read_input_tokens": cached,
        "output_tokens": counts["output"],
        "output_tokens_details": {"thinking_tokens": counts.get("reasoning")},
    }


# The input is counted in parts, each a running total of its own; so a count that is there is always there.
BILLED = st.fixed_dictionaries(
    {"input": st.integers(10, 99), "output": st.integers(0, 99), "cached": st.integers(0, 9)},
    optional={"reasoning": st.integers(0, 9)},
)
MESSAGE_STEPS = (
    st.builds(Step, text=TEXTS)
    | st.builds(Step, thought=TEXTS)
    | st.builds(Step, call=CALLS)
    | st.builds(Step, model=st.sampled_from(["m1", "m2"]), counts=st.none() | BILLED, begins=IDS)
    | st.builds(Step, reason=REASONS, counts=st.none() | BILLED)
)


@given(steps=st.lists(MESSAGE_STEPS, max_size=8))
def test_messages(steps: list[Step]) -> None:
    """Events of any messages in any order, as JSON and as objects."""
    chunks = [as_message_event(step, at) for at, step in enumerate(steps)]
    expected = reference(steps, {"refusal"})
    check(AnthropicReader(), chunks, expected)
    check(AnthropicReader(), [as_object(chunk) for chunk in chunks], expected)


# Mappings


def as_mapping(step: Step, at: int) -> dict[str, Any]:
    """What a gateway of somebody's own may send."""
    usage = usage_of(step.counts, "prompt_tokens", "output_tokens")
    return {
        "type": "part",
        "text": step.text,
        "thinking": step.thought,
        "refusal": step.refusal,
        "tool_calls": calls_of(step, at),
        "usage": usage,
        "stop_reason": step.reason,
        "model": step.model,
    }


@given(steps=st.lists(PLAIN | SPEAKING | REFUSING, max_size=8))
def test_mappings(steps: list[Step]) -> None:
    """Everything by its usual name; here the model is read wherever it is named."""
    expected = reference(steps, {"content_filter", "refusal"}, every_model=True)
    # Details of completions go by the name of the count they belong to.
    chunks = [as_mapping(step, at) for at, step in enumerate(steps)]
    check(MappingReader(), chunks, expected)


# Amazon's envelopes


def as_converse_event(step: Step, at: int) -> dict[str, Any]:
    """The one event of Nova's that fits best."""
    if step.call is not None:
        id_, called = step.call
        use = {"toolUseId": id_, "name": called}
        return {"contentBlockStart": {"start": {"toolUse": use}, "contentBlockIndex": at}}
    if step.reason is not None:
        return {"messageStop": {"stopReason": step.reason}}
    if step.counts is not None:
        cached = step.counts["cached"]
        counts = {
            "inputTokens": step.counts["input"] - cached,
            "outputTokens": step.counts["output"],
            "totalTokens": step.counts["input"] + step.counts["output"],
            "cacheReadInputTokens": cached,
        }
        return {"metadata": {"usage": counts}}
    said: dict[str, Any] = {"text": step.text}
    if step.thought:
        said = {"reasoningContent": {"text": step.thought}}
    return bedrock_delta(at, **said)


def enveloped(chunk: dict[str, Any], metered: Counts | None = None) -> dict[str, Any]:
    """The chunk as Amazon wraps it, with its own counts beside the model's if it is the last one."""
    if metered is not None:
        chunk = chunk | {
            "amazon-bedrock-invocationMetrics": {
                "inputTokenCount": metered["input"] - metered["cached"] - 1,
                "outputTokenCount": metered["output"],
                "cacheReadInputTokenCount": metered["cached"],
                "cacheWriteInputTokenCount": 1,
            }
        }
    return {"chunk": {"bytes": json.dumps(chunk).encode()}}


AMAZON_S: st.SearchStrategy[Counts] = st.fixed_dictionaries(
    {"input": st.integers(10, 99), "output": st.integers(0, 99), "cached": st.integers(0, 9)}
)
SPOKEN_ON_BEDROCK = st.builds(
    Step, text=TEXTS, thought=TEXTS, call=CALLS, counts=st.none() | BILLED, reason=st.none() | REASONS
)
NOVA_STEPS = (
    st.builds(Step, text=TEXTS)
    | st.builds(Step, thought=TEXTS)
    | st.builds(Step, call=CALLS)
    | st.builds(Step, counts=AMAZON_S)
    | st.builds(Step, reason=st.sampled_from(["end_turn", "guardrail_intervened"]))
)
ENVELOPED: dict[str, tuple[Speak, st.SearchStrategy[Step], set[str]]] = {
    "claude": (as_message_event, MESSAGE_STEPS, {"refusal"}),
    "nova": (as_converse_event, NOVA_STEPS, {"guardrail_intervened"}),
    "chat": (as_chat, PLAIN | SPOKEN_ON_BEDROCK | REFUSING, {"content_filter"}),
    "mapping": (as_mapping, PLAIN | SPOKEN_ON_BEDROCK | REFUSING, {"content_filter", "refusal"}),
}


@pytest.mark.parametrize("dialect", ENVELOPED)
@given(data=st.data())
def test_invocations(dialect: str, data: st.DataObject) -> None:
    """Of one call, whatever ids are in it; Amazon's counts replace the model's own and end the stream."""
    speak, drawn, refusing = ENVELOPED[dialect]
    steps = data.draw(st.lists(drawn, max_size=8))
    metered = data.draw(st.none() | AMAZON_S)
    chunks = [enveloped(speak(step, at)) for at, step in enumerate(steps)]
    expected = reference(
        [attrs.evolve(step, begins=None) for step in steps], refusing, every_model=dialect == "mapping"
    )
    if metered is not None:
        last = speak(steps[-1], len(steps) - 1) if steps else {}
        chunks = [*chunks[:-1], enveloped(last, metered)]
        expected.counts |= metered
        expected.finished = True
    check(BedrockInvokeReader(), chunks, expected)


def test_what_these_tests_can_see() -> None:
    """Negative control: a chunk that says something else than its step makes the folds disagree."""
    steps = [Step(text="Hi"), Step(counts={"input": 1, "output": 2}, reason="stop", model="m1")]
    chunks = [as_chat(step, at) for at, step in enumerate(steps)]
    expected = reference(steps, set())
    check(OpenAIChatReader(), chunks, expected)
    for wrong in (chunks[:1], chunks[1:], [chunks[0], as_chat(attrs.evolve(steps[1], reason="length"), 1)]):
        with pytest.raises(AssertionError):
            check(OpenAIChatReader(), wrong, expected)
