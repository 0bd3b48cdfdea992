"""What is special to the mistralai package; what it has in common with others is in ``test_real_sdks``."""

from __future__ import annotations

from provider_kits.mistral import MistralKit
from recorded_models import mistral_call, mistral_chunk, mistral_stream

from ldtrack import Ending, Outcome
from ldtrack.providers import MistralReader, OpenAIChatReader, ReaderRegistry

KIT = MistralKit()
KIT.require()


async def test_usage_that_is_empty() -> None:
    """The SDK makes zeros of it: not sent, not invented."""
    tracked = await KIT.streamed(*mistral_stream("Hi", usage={}))
    assert tracked.usage is None
    assert tracked.summary.outcome is Outcome.SUCCESS


async def test_references_are_no_content() -> None:
    """Content may be a list of parts."""
    reference = {"type": "reference", "reference_ids": [1]}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    tracked = await KIT.streamed(
        mistral_chunk({"content": [reference]}), mistral_chunk({"content": [thought]}), *mistral_stream("Hi")
    )
    assert tracked.first_token == 1


async def test_tool_calls_without_an_id() -> None:
    """The SDK calls them all null, and does not count them either: their places tell them apart."""
    calls = [mistral_call("weather"), mistral_call("weather")]
    tracked = await KIT.streamed(mistral_chunk({"tool_calls": calls}), *mistral_stream())
    assert tracked.tools == ["weather", "weather"]


async def test_an_end_by_error() -> None:
    """The finish reason is that it failed."""
    tracked = await KIT.streamed(
        mistral_chunk({"content": "He"}), mistral_chunk({"content": ""}, reason="error")
    )
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.FAILED)


def test_its_json_is_read_as_a_chat_completion() -> None:
    """It says that it is one; an event that somebody made JSON of is still an event."""
    chunk = mistral_chunk({"content": "Hi"})
    assert isinstance(ReaderRegistry().find(chunk), OpenAIChatReader)
    assert isinstance(ReaderRegistry().find({"data": chunk}), MistralReader)
