"""What is special to the cohere package; what it has in common with others is in ``test_real_sdks``."""

from __future__ import annotations

from typing import Any

import pytest
from provider_kits.cohere import CohereKit
from recorded_models import (
    COHERE_START,
    cohere_answer,
    cohere_end,
    cohere_event,
    cohere_stream,
)

from ldtrack import Ending, Outcome, TokenUsage
from ldtrack.providers import CohereReader, ReaderRegistry

KIT = CohereKit()
KIT.require()


async def test_citations_are_no_content() -> None:
    """They come with text, not instead of it."""
    citation = {"start": 0, "end": 2, "text": "Hi", "sources": []}
    tracked = await KIT.streamed(
        COHERE_START,
        cohere_event("citation-start", 0, citations=citation),
        {"type": "citation-end", "index": 0},
        *cohere_stream("Hi")[2:],
    )
    assert tracked.first_token == 3


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"billed_units": {"input_tokens": 3, "output_tokens": 2}}, TokenUsage(5, 3, 2)),
        ({"tokens": {"output_tokens": 7}, "billed_units": {"input_tokens": 3}}, TokenUsage(10, 3, 7)),
        ({"tokens": {"input_tokens": 1.5, "output_tokens": 7.0}}, TokenUsage(7, 0, 7)),
    ],
    ids=["billed only", "in parts", "a fraction"],
)
async def test_usage(usage: Any, expected: TokenUsage) -> None:
    """What is not counted is taken from the bill."""
    assert (await KIT.streamed(*cohere_stream("Hi")[:-2], cohere_end(usage=usage))).usage == expected


@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT"])
async def test_an_end_by_error(reason: str) -> None:
    """The reason is that it failed; its usage counts."""
    tracked = await KIT.streamed(*cohere_stream("Hi", reason=reason))
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.FAILED)
    assert tracked.summary.finish_reason == reason
    assert tracked.usage == KIT.usage


def test_its_json_is_known_by_its_shape() -> None:
    """Events and answers, without the SDK."""
    assert isinstance(ReaderRegistry().find(COHERE_START), CohereReader)
    assert isinstance(ReaderRegistry().find(cohere_answer()), CohereReader)
