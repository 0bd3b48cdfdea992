"""What is special to the ollama package; what it has in common with others is in ``test_real_sdks``."""

from __future__ import annotations

from provider_kits.ollama import CALL, OllamaKit
from recorded_models import OLLAMA_DONE, ollama_chunk
from tracked import tracked_stream

from ldtrack import Outcome, TokenUsage

KIT = OllamaKit()
KIT.require()


async def test_tool_calls_have_no_ids() -> None:
    """Two in a chunk and one in a chunk of its own, all of one tool: three calls."""
    tracked = await KIT.streamed(
        ollama_chunk(1, tool_calls=[CALL, CALL]),
        ollama_chunk(2, tool_calls=[CALL]),
        ollama_chunk(3, OLLAMA_DONE),
    )
    assert tracked.tools == ["weather", "weather", "weather"]
    assert tracked.first_token == 0


async def test_usage_in_part() -> None:
    """A prompt that needed no work is not counted."""
    assert (await KIT.streamed(ollama_chunk(1, {"done": True, "eval_count": 7}))).usage == TokenUsage(7, 0, 7)


async def test_cut_short_by_a_limit() -> None:
    """That is an end."""
    tracked = await KIT.streamed(
        ollama_chunk(content="He"), ollama_chunk(1, {**OLLAMA_DONE, "done_reason": "length"})
    )
    assert (tracked.summary.outcome, tracked.summary.finish_reason) == (Outcome.SUCCESS, "length")


async def test_generate() -> None:
    """Completions without a chat: text and thoughts are at the top."""
    chunk = {"model": "llama3.2", "created_at": "2025-07-07T20:22:19Z", "response": "", "done": False}
    served = [chunk, {**chunk, "thinking": "Hm"}, {**chunk, "response": "Hi"}, {**chunk, **OLLAMA_DONE}]
    async with KIT.open(served) as line:
        tracked = await tracked_stream(line.client.generate(model="llama3.2", prompt="Hi", stream=True))
    assert tracked.first_token == 1
    assert tracked.usage == KIT.usage
    assert tracked.summary.outcome is Outcome.SUCCESS


async def test_a_download_is_no_answer() -> None:
    """Other streams of the SDK are timed, and not taken for truncated answers."""
    async with KIT.open([{"status": "pulling", "total": 9, "completed": 1}]) as line:
        tracked = await tracked_stream(line.client.pull("llama3.2", stream=True))
    assert tracked.summary.outcome is Outcome.SUCCESS
