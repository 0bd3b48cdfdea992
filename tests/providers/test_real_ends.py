"""The real SDKs through tracked streams, on every exit: LaunchDarkly gets the figures that were served."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import attrs
import openai
import pytest
from fake_http import (
    FakeServer,
    anthropic_client,
    azure_client,
    broken_connection,
    huggingface_clients,
    openai_client,
)
from folding import Folded
from ldclient import Context
from recorded import (
    chat_chunk,
    chat_stream,
    message,
    message_end,
    message_stream,
    message_text_block,
    response,
    response_delta,
    response_event,
    response_stream,
)

from ldtrack import AICompletionConfigDefault, Outcome, TokenUsage, Tracker
from ldtrack.testing import Recording, recording

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network when it is imported
try:
    import litellm
except ImportError:
    litellm = None

GPT, CLAUDE = "gpt-4o-2024-08-06", "claude-sonnet-4-20250514"
QUESTION: Any = [{"role": "user", "content": "Hi"}]
CHAT: Any = {"model": "gpt-4o", "messages": QUESTION, "stream": True}
CLAUDE_ASKED: Any = {"model": "claude-sonnet-4", "messages": QUESTION, "max_tokens": 99}
WITH_DETAILS = TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
OF_CLAUDE = TokenUsage(19, 12, 7, cached_input=4)
AZURE_OPENS = {
    "id": "",
    "object": "",
    "created": 0,
    "model": "",
    "choices": [],
    "prompt_filter_results": [
        {"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}
    ],
}
AZURE_HOLDS_BACK: Any = chat_chunk(finish_reason="content_filter")
AZURE_HOLDS_BACK["choices"][0]["content_filter_results"] = {"violence": {"filtered": True}}
CLAUDE_STARTS = {"type": "message_start", "message": message(stop_reason=None)}


async def over_litellm(server: FakeServer) -> Any:
    """A stream of LiteLLM's over OpenAI's wire format."""
    options = {**CHAT, "model": "openai/gpt-4o", "stream_options": {"include_usage": True}}
    return await litellm.acompletion(**options, client=openai_client(server=server))


async def over_huggingface(server: FakeServer) -> Any:
    """A stream of Hugging Face's over OpenAI's wire format."""
    with huggingface_clients() as make:
        return await make(server=server).chat_completion(QUESTION, stream=True)


@attrs.frozen
class Way:
    """One SDK's way to stream, and what it is served."""

    ask: Callable[[FakeServer], Any]
    whole: list[Any]
    refused: list[Any]
    first: int
    """How many events are served until the first token is."""
    usage: TokenUsage = WITH_DETAILS
    seen: TokenUsage | None = None
    """What is known of the usage once the first token is there."""
    reason: str = "stop"
    why_refused: str = "content_filter"
    model: str = GPT


WAYS = {
    "openai chat": Way(
        lambda server: openai_client(server=server).chat.completions.create(**CHAT),
        whole=chat_stream("Hel", "lo"),
        refused=chat_stream("Hel", finish_reason="content_filter"),
        first=2,
    ),
    "openai responses": Way(
        lambda server: openai_client(server=server).responses.create(model="gpt-4o", input="Hi", stream=True),
        whole=response_stream("Hel", "lo"),
        refused=[
            response_event("created", response=response("in_progress")),
            response_delta("refusal", "I'm sorry"),
            response_event("completed", response=response("completed")),
        ],
        first=5,
        reason="completed",
        why_refused="completed",
    ),
    "azure": Way(
        lambda server: azure_client(server=server).chat.completions.create(**CHAT),
        whole=[AZURE_OPENS, *chat_stream("Hel", "lo")],
        refused=[AZURE_OPENS, *chat_stream("Hel")[:2], AZURE_HOLDS_BACK, *chat_stream()[-2:]],
        first=3,
    ),
    "anthropic events": Way(
        lambda server: anthropic_client(server=server).messages.create(**CLAUDE_ASKED, stream=True),
        whole=message_stream("Hel", "lo"),
        refused=[CLAUDE_STARTS, *message_text_block(0, "I"), *message_end("refusal")],
        first=4,
        usage=OF_CLAUDE,
        seen=TokenUsage(13, 12, 1, cached_input=4),
        reason="end_turn",
        why_refused="refusal",
        model=CLAUDE,
    ),
    "anthropic helper": Way(
        lambda server: anthropic_client(server=server).messages.stream(**CLAUDE_ASKED),
        whole=message_stream("Hel", "lo"),
        refused=[CLAUDE_STARTS, *message_text_block(0, "I"), *message_end("refusal")],
        first=4,
        usage=OF_CLAUDE,
        seen=TokenUsage(13, 12, 1, cached_input=4),
        reason="end_turn",
        why_refused="refusal",
        model=CLAUDE,
    ),
    "litellm": Way(
        over_litellm,
        whole=chat_stream("Hel", "lo"),
        refused=chat_stream("Hel", finish_reason="content_filter"),
        first=2,
        model="gpt-4o",  # LiteLLM names what it was asked for
    ),
    "huggingface": Way(
        over_huggingface,
        whole=chat_stream("Hel", "lo"),
        refused=chat_stream("Hel", finish_reason="content_filter"),
        first=2,
    ),
}


OF_LITELLM = (
    pytest.mark.skipif(
        litellm is None, reason="litellm holds openai below 3, so it is not in every environment"
    ),
    pytest.mark.filterwarnings("ignore"),  # litellm and pydantic disagree on a type of litellm's
)


@pytest.fixture(params=[pytest.param(key, marks=OF_LITELLM if key == "litellm" else ()) for key in WAYS])
def way(request: pytest.FixtureRequest) -> Way:
    """One SDK after the other."""
    return WAYS[request.param]


@pytest.fixture
def ld() -> Recording:
    """A client over fakes, with one config."""
    return recording({"chat": {"_ldMeta": {"enabled": True}, "model": {"name": "gpt-4o"}}})


@pytest.fixture
async def tracker(ld: Recording) -> Tracker:
    """The tracker of one run."""
    config = await ld.ai.completion_config("chat", Context.create("ada"), AICompletionConfigDefault())
    return config.create_tracker()


def figures(ld: Recording) -> dict[str, Any]:
    """The token counts that LaunchDarkly got."""
    sent = {event.key.removeprefix("$ld:ai:tokens:"): event.metric_value for event in ld.events}
    return {key: sent[key] for key in ("total", "input", "output") if key in sent}


def figures_of(usage: TokenUsage | None) -> dict[str, Any]:
    """The token counts that belong to this usage."""
    return {} if usage is None else {"total": usage.total, "input": usage.input, "output": usage.output}


@contextlib.asynccontextmanager
async def tracked(tracker: Tracker, way: Way, *events: Any) -> AsyncIterator[Any]:
    """A tracked stream of this SDK's over these events."""
    async with contextlib.aclosing(tracker.stream(way.ask(FakeServer([*events])))) as stream:
        yield stream


async def test_to_the_end(ld: Recording, tracker: Tracker, way: Way) -> None:
    """Everything that was served is in the summary, and its counts are in the events."""
    async with tracked(tracker, way, *way.whole) as stream:
        async for _ in stream:
            pass
    summary = tracker.summary
    assert figures(ld) == figures_of(way.usage)
    assert summary.tokens == way.usage
    assert (summary.outcome, summary.refused) == (Outcome.SUCCESS, False)
    assert (summary.finish_reason, summary.answered_by) == (way.reason, way.model)
    assert summary.time_to_first_token is not None


async def test_a_refusal(ld: Recording, tracker: Tracker, way: Way) -> None:
    """The model declines or a filter stops it: no error, but it can be told."""
    async with tracked(tracker, way, *way.refused) as stream:
        async for _ in stream:
            pass
    summary = tracker.summary
    assert (summary.outcome, summary.refused) == (Outcome.SUCCESS, True)
    assert (summary.finish_reason, summary.answered_by) == (way.why_refused, way.model)
    assert figures(ld) == figures_of(way.usage)


async def test_closed_early(ld: Recording, tracker: Tracker, way: Way) -> None:
    """After the first token: what is known by then is sent, and no verdict."""
    folded = Folded()
    async with tracked(tracker, way, *way.whole) as stream:
        async for chunk in stream:
            folded.add(chunk)
            if folded.first_token is not None:
                break
    check_cut_short(ld, tracker, way, Outcome.CANCELLED)


async def test_cancelled(ld: Recording, tracker: Tracker, way: Way) -> None:
    """While the provider is silent after the first token."""
    silence, is_spoken = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        folded = Folded()
        async with tracked(tracker, way, *way.whole[: way.first], silence) as stream:
            async for chunk in stream:
                folded.add(chunk)
                if folded.first_token is not None:
                    is_spoken.set()

    reading = asyncio.create_task(read())
    spoken = asyncio.create_task(is_spoken.wait())
    await asyncio.wait([reading, spoken], return_when=asyncio.FIRST_COMPLETED)
    spoken.cancel()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    check_cut_short(ld, tracker, way, Outcome.CANCELLED)


async def test_a_broken_connection(ld: Recording, tracker: Tracker, way: Way) -> None:
    """The SDK's own error passes; what had come by then is sent with the error."""
    sdk = anthropic if way.model == CLAUDE else openai
    with pytest.raises(Exception, match=r"reset|Connection|connection"):
        async with tracked(tracker, way, *way.whole[: way.first], broken_connection(sdk)) as stream:
            async for _ in stream:
                pass
    check_cut_short(ld, tracker, way, Outcome.ERROR)


def check_cut_short(ld: Recording, tracker: Tracker, way: Way, outcome: Outcome) -> None:
    """The first token, the model and the usage so far are known, and why it stopped is not."""
    summary = tracker.summary
    assert summary.outcome is outcome
    assert summary.time_to_first_token is not None
    assert figures(ld) == figures_of(way.seen)
    assert (summary.finish_reason, summary.answered_by) == (None, way.model)
