"""Streams whose first chunks nobody knows: the reader that knows a later one takes over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from ldclient import Context

from ldtrack import AICompletionConfigDefault, Ending, TokenUsage, Tracker
from ldtrack.core.reading import Reading, Wants
from ldtrack.providers import MappingReader
from ldtrack.testing import Recording, recording

CHUNK_MS = 10
FLAG = {"_ldMeta": {"enabled": True}, "model": {"name": "m"}, "messages": []}
USAGE = TokenUsage(15, 10, 5)

AIMessage = type("AIMessage", (SimpleNamespace,), {"__module__": "langchain_core.messages.ai"})


def said(message_id: str) -> Any:
    """A whole message of LangChain's."""
    told = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    return AIMessage(type="ai", id=message_id, content="Hi", usage_metadata=told)


GRAPH = [{"model": {"messages": [said("1")]}}]
OPENAI = [
    {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hi"}}]},
    {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    },
]
GEMINI = [
    {
        "candidates": [{"content": {"parts": [{"text": "Hi"}], "role": "model"}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
    }
]
FILTERED = {"choices": [], "model": "", "prompt_filter_results": []}


@pytest.fixture
def ld() -> Recording:
    """A client over fakes, with one config."""
    return recording({"chat": FLAG})


async def tracked(ld: Recording, chunks: list[Any], **options: Any) -> Tracker:
    """The tracker of a stream of these chunks, read to its end."""
    config = await ld.ai.completion_config("chat", Context.create("ada"), AICompletionConfigDefault())
    tracker = config.create_tracker()

    async def provider() -> AsyncIterator[Any]:
        for chunk in chunks:
            ld.clock.advance(ms=CHUNK_MS)
            yield chunk

    assert [chunk async for chunk in tracker.stream(provider(), **options)] == chunks
    return tracker


@pytest.mark.parametrize(
    ("before", "known"),
    [
        ([{"Middleware.before_model": None}], GRAPH),
        ([{"Middleware.before_agent": None}, {"Middleware.before_model": None}], GRAPH),
        ([{"retrieve": {"docs": ["d"]}}], GRAPH),
        ([{}], GRAPH),
        ([{}], OPENAI),
        ([None], OPENAI),
        ([{"choices": [], "model": "m"}], OPENAI),
        ([FILTERED], OPENAI),
        ([{"candidates": [{"content": {"role": "model"}, "index": 0}]}], GEMINI),
        ([{"responseId": "r", "modelVersion": "g"}], GEMINI),
    ],
    ids=[
        "a node without messages",
        "two nodes without messages",
        "a node that retrieves",
        "an empty update",
        "an empty mapping",
        "nothing at all",
        "no choices",
        "results of a filter",
        "a candidate without text",
        "no candidates",
    ],
)
async def test_a_first_chunk_that_nobody_knows(ld: Recording, before: list[Any], known: list[Any]) -> None:
    """The next one says whose stream it is, and is the first token, whatever the first was taken for."""
    tracker = await tracked(ld, [*before, *known])
    usage = tracker.summary.tokens
    assert usage is not None
    assert (usage.total, usage.input, usage.output) == (15, 10, 5)
    assert tracker.summary.time_to_first_token == (len(before) + 1) * CHUNK_MS
    assert tracker.summary.ending is Ending.COMPLETED


@pytest.mark.parametrize("odd", [{"x": 1}, {"model": "m"}], ids=["a guess", "a preamble"])
async def test_readers_are_asked_about_so_many_chunks_and_no_more(ld: Recording, odd: Any) -> None:
    """A stream of mappings that nobody knows does not cost a search per chunk."""
    soon = await tracked(ld, [odd] * 15 + GRAPH)
    late = await tracked(ld, [odd] * 16 + GRAPH)
    assert (soon.summary.time_to_first_token, soon.summary.tokens) == (16 * CHUNK_MS, USAGE)
    assert late.summary.tokens is None


@pytest.mark.parametrize(
    ("chunks", "first"),
    [
        ([{"x": 1}, {"x": 2}], 1),
        ([{"x": 1}, {"text": "Hi"}, {"x": 2}], 1),
        ([{"model": "m"}, {"x": 1}], 2),
        ([{"x": 1}, {"choices": [], "object": "chat.completion.chunk"}], 1),
        ([None, 7], 2),
    ],
    ids=["guesses", "a guess, then text", "a preamble, then a guess", "a reader without content", "a number"],
)
async def test_a_guess_stands_unless_a_reader_knows_better(
    ld: Recording, chunks: list[Any], first: int
) -> None:
    """A payload of a name nobody has heard of is timed, and later ones of the kind change nothing."""
    tracker = await tracked(ld, chunks)
    assert tracker.summary.time_to_first_token == first * CHUNK_MS


async def test_after_content_by_a_usual_name_nobody_is_asked(ld: Recording) -> None:
    """The stream is an application's own, even if a later chunk looks like somebody's."""
    tracker = await tracked(ld, [{"text": "Hi"}, OPENAI[0]])
    assert tracker.summary.time_to_first_token == CHUNK_MS
    assert tracker.summary.ending is Ending.COMPLETED, "nobody waits for OpenAI's finish mark"


async def test_a_reader_that_is_given_never_gives_way(ld: Recording) -> None:
    """Whoever names a reader means it."""
    tracker = await tracked(ld, [{}, *GRAPH], reader=MappingReader())
    assert tracker.summary.tokens is None


@pytest.mark.parametrize("key", ["x", "choices"])
async def test_a_predicate_beside_a_guess(ld: Recording, key: str) -> None:
    """It alone says what the first token is, and is not asked again once it agreed."""
    asked: list[bool] = []

    def agrees(chunk: Any) -> bool:
        asked.append(key in chunk)
        return asked[-1]

    tracker = await tracked(ld, [{"x": 1}, *OPENAI], first_token=agrees)
    assert asked == [False] * (len(asked) - 1) + [True]
    assert tracker.summary.time_to_first_token == len(asked) * CHUNK_MS
    assert tracker.summary.tokens == USAGE


class Broken:
    """Gives way, but fails before."""

    wants = Wants.EVERY
    marks_end = False
    usage_hint = ""
    gives_way = True

    def recognises(self, item: object) -> bool:
        return item == {}

    def read(self, item: Any) -> Reading | None:
        raise KeyError(item)


async def test_after_a_reader_that_failed_nobody_is_asked() -> None:
    """The chunk it failed at counts as the first token, and the failure is counted once."""
    ld = recording({"chat": FLAG}, readers=[Broken()])
    tracker = await tracked(ld, [{}, {}, *GRAPH])
    assert tracker.summary.time_to_first_token == CHUNK_MS
    assert tracker.summary.tokens is None
    assert dict(ld.ai.stats.failures) == {"reader": 1}
