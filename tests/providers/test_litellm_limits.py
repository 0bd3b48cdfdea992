"""What cannot be known of LiteLLM's streams: why its reader trusts an end that LiteLLM may have made up."""

from __future__ import annotations

import os
from typing import Any

import pytest
from fake_http import openai_client
from folding import fold
from recorded import chat_chunk, chat_stream

from ldtrack.core.values import Ending

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network when it is imported
litellm = pytest.importorskip(
    "litellm", reason="litellm holds openai below 3, so it is not in every environment"
)

pytestmark = pytest.mark.filterwarnings("ignore")  # litellm and pydantic disagree on a type of litellm's

WHOLE = [
    *chat_stream("Hel")[:2],
    chat_chunk({"content": "lo"}, finish_reason="stop"),
    chat_chunk(usage={"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}),
    "[DONE]",
]
"""From a service that sends its last text and the finish reason at once."""
CUT = [*chat_stream("Hel")[:2], chat_chunk({"content": "lo"})]
"""The same, broken off before the finish reason."""


async def last_chunks(*events: Any) -> tuple[list[Any], list[dict[str, Any]]]:
    """All chunks that LiteLLM makes of these events, and what is in the last two: the end, and usage."""
    stream = await litellm.acompletion(
        model="openai/gpt-4o",
        messages=[{"role": "user", "content": "Hi"}],
        stream=True,
        stream_options={"include_usage": True},
        client=openai_client([*events]),
    )
    chunks = [chunk async for chunk in stream]
    inside = [{**chunk.model_dump(), **chunk._hidden_params} for chunk in chunks[-2:]]
    for one in inside:
        del one["created"], one["created_at"]
    return chunks, inside


async def test_an_end_that_litellm_made_up_looks_like_one_that_was_served() -> None:
    """Both are made by LiteLLM itself, to the same names, the hidden ones included; only counts differ."""
    whole, served = await last_chunks(*WHOLE)
    cut, made_up = await last_chunks(*CUT)
    assert served[0] == made_up[0]
    assert served[0]["choices"][0]["finish_reason"] == "stop"
    counts = [one[1].pop("usage") for one in (served, made_up)]
    assert served[1] == made_up[1]
    assert counts[0].keys() == counts[1].keys()
    assert counts[0] != counts[1]
    for chunks in (whole, cut):
        folded = fold(chunks)
        assert folded.ending is Ending.COMPLETED
        assert folded.usage is not None
        assert not folded.usage.estimated
