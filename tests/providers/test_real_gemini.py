"""What is special to the google-genai package; what it has in common with others is in ``test_real_sdks``."""

from __future__ import annotations

import asyncio

import pytest
from model_server import plain, serving_model, sse
from provider_kits.gemini import QUESTION, GeminiKit
from recorded_models import GEMINI_USAGE, gemini_chunk, gemini_stream
from tracked import tracked_call, tracked_stream

from ldtrack import Ending, Outcome, TokenUsage
from ldtrack.providers import ReaderRegistry

KIT = GeminiKit()
KIT.require()
pytestmark = [pytest.mark.filterwarnings(warning) for warning in KIT.warns]


async def test_tool_calls() -> None:
    """Several in a chunk and in chunks of their own, most of them without an id."""
    bern, rome = {"name": "weather", "args": {"city": "Bern"}}, {"name": "weather", "args": {"city": "Rome"}}
    search = {"id": "call-1", "name": "search", "args": {}}
    tracked = await KIT.streamed(
        gemini_chunk({"functionCall": bern}, {"functionCall": bern}),
        gemini_chunk({"functionCall": rome}),
        gemini_chunk({"functionCall": search}),
        gemini_chunk({"functionCall": search}),
        *gemini_stream(),
    )
    assert tracked.tools == ["weather", "weather", "weather", "search"]
    assert tracked.first_token == 0


async def test_a_tool_call_whose_arguments_are_streamed() -> None:
    """Only its first part names it."""
    begin = {"functionCall": {"id": "call-1", "name": "weather", "willContinue": True}}
    more = {"functionCall": {"id": "call-1", "partialArgs": [{"jsonPath": "$.city", "stringValue": "Be"}]}}
    tracked = await KIT.streamed(
        gemini_chunk(begin), gemini_chunk(more), gemini_chunk(more), *gemini_stream()
    )
    assert tracked.tools == ["weather"]


async def test_several_model_calls_in_one_stream() -> None:
    """Automatic function calling: usage is that of every answer, not of the last one."""

    def weather(city: str) -> str:
        """The weather."""
        return f"rain in {city}"

    call = {"functionCall": {"id": "call-1", "name": "weather", "args": {"city": "Bern"}}}
    first = sse(gemini_chunk(call, reason="STOP", usage=GEMINI_USAGE, responseId="resp-0"))
    async with serving_model(first, sse(*gemini_stream("Rain"))) as server, KIT.client(server) as models:
        source = models.generate_content_stream(**QUESTION, config={"tools": [weather]})
        tracked = await tracked_stream(source)
    assert len(server.requests) == 2
    if {chunk.response_id for chunk in tracked.chunks} == {"resp-1"}:
        pytest.skip("this version of the SDK keeps all answers but the last to itself")
    assert tracked.usage == KIT.usage + KIT.usage
    assert tracked.tools == ["weather"]


@pytest.mark.parametrize("reason", ["RECITATION", "PROHIBITED_CONTENT", "SPII", "BLOCKLIST"])
async def test_another_filter_stops_the_answer(reason: str) -> None:
    """That is a refusal, too, and its reason a text where the SDK has an enum."""
    tracked = await KIT.streamed(
        gemini_chunk({"text": "He"}), gemini_chunk(reason=reason, usage=GEMINI_USAGE)
    )
    assert (tracked.summary.refused, tracked.summary.finish_reason) == (True, reason)
    assert type(tracked.summary.finish_reason) is str
    assert tracked.summary.outcome is Outcome.SUCCESS
    assert tracked.usage == KIT.usage


@pytest.mark.parametrize("reason", ["MAX_TOKENS", "MALFORMED_FUNCTION_CALL", "OTHER"])
async def test_other_reasons_are_no_refusal(reason: str) -> None:
    """Limits and mishaps are ends like others."""
    tracked = await KIT.streamed(gemini_chunk({"text": "He"}, reason=reason))
    assert (tracked.summary.refused, tracked.summary.finish_reason) == (False, reason)


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_blocked_prompt(is_streamed: bool) -> None:
    """No candidate at all: a refusal, its reason, and the end."""
    served = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10},
        "modelVersion": "gemini-2.5-flash-001",
    }
    tracked = await (KIT.streamed(served) if is_streamed else KIT.answered(served))
    assert (tracked.summary.refused, tracked.summary.finish_reason) == (True, "PROHIBITED_CONTENT")
    assert tracked.usage == TokenUsage(10, 10)
    assert tracked.summary.ending is Ending.COMPLETED
    assert tracked.first_token is None


async def test_closing_early() -> None:
    """The SDK closes none of the generators inside its own: its client hangs up."""
    async with serving_model(sse(*gemini_stream("Hel")[:1], asyncio.Event())) as server:
        async with KIT.client(server) as models:
            await tracked_stream(KIT.ask_stream(models), until=1)
        await server.hung_up.wait()


async def test_a_chat() -> None:
    """The SDK's chats stream the same chunks."""
    from google.genai.chats import AsyncChats

    async with KIT.open(gemini_stream("Hel", "lo")) as line:
        chat = AsyncChats(modules=line.client).create(model="gemini-2.5-flash")
        tracked = await tracked_stream(chat.send_message_stream("Hi"))
    assert tracked.usage == KIT.usage


async def test_the_synchronous_client_is_read_alike() -> None:
    """Its answers are of the same type, for whoever observes them."""
    from google import genai

    served = plain(gemini_chunk({"text": "Hi"}, reason="STOP", usage=GEMINI_USAGE))
    async with serving_model(served) as server:
        options = genai.types.HttpOptions(base_url=server.url)
        client = genai.Client(api_key="none", http_options=options)
        tracked = await tracked_call(asyncio.to_thread(client.models.generate_content, **QUESTION))
        client.close()
    assert tracked.usage == KIT.usage


async def test_other_types_of_the_sdk_are_left_alone() -> None:
    """What its other streams send is timed, not misread as a truncated answer."""
    from google.genai import types

    live = types.LiveServerMessage(usage_metadata=types.UsageMetadata(prompt_token_count=1))
    assert ReaderRegistry().find(live) is None
