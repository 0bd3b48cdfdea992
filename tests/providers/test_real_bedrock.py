"""The boto3 and aiobotocore packages themselves, over a loopback server: what was served is what is recorded.

``aioboto3`` is a thin layer over ``aiobotocore``, whose streams it hands out as they are.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiobotocore.config  # type: ignore[import-untyped]  # it brings no types
import aiobotocore.session  # type: ignore[import-untyped]  # it brings no types
import boto3  # type: ignore[import-untyped]  # it brings no types
import botocore.config  # type: ignore[import-untyped]  # it brings no types
import pytest
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]  # it brings no types
from model_server import CUT, Answer, ModelServer, aws_stream, plain, serving_model
from recorded import message, message_end, message_text_block, message_tool_block
from recorded_models import (
    BEDROCK_USAGE,
    bedrock_answer,
    bedrock_delta,
    bedrock_end,
    bedrock_start,
    bedrock_stream,
)
from tracked import Tracked, new_run, tracked_call, tracked_stream

from ldtrack import Ending, Outcome, TokenUsage, in_thread
from ldtrack.core.reading import CONTENT, Reading
from ldtrack.providers import BedrockInvokeReader, BedrockReader, ReaderRegistry

USAGE = TokenUsage(19, 12, 7, cached_input=4)
SETTINGS: Any = {
    "region_name": "us-east-1",
    "aws_access_key_id": "none",
    "aws_secret_access_key": "none",
}
ASKED: Any = {"modelId": "anthropic.claude-3", "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
INVOKED: Any = {"modelId": "anthropic.claude-3", "body": "{}"}
SESSION = boto3.Session()
OPENING = {"messageStart": {"role": "assistant"}}


@pytest.fixture(params=["boto3", "aiobotocore"])
def package(request: pytest.FixtureRequest) -> str:
    """Which of the two packages asks."""
    return str(request.param)


class Bedrock:
    """Either client, asked the same way."""

    def __init__(self, client: Any, server: ModelServer) -> None:
        self.client = client
        self.server = server

    async def converse(self) -> Any:
        """The whole answer."""
        if _is_async(self.client):
            return await self.client.converse(**ASKED)
        return await asyncio.to_thread(self.client.converse, **ASKED)

    async def stream(
        self, operation: str = "converse_stream", place: str = "stream", asked: Any = ASKED
    ) -> Any:
        """A stream that is open."""
        ask = getattr(self.client, operation)
        if _is_async(self.client):
            return (await ask(**asked))[place]
        return in_thread((await asyncio.to_thread(ask, **asked))[place])


def _is_async(client: Any) -> bool:
    return type(client).__mro__[1].__module__.startswith("aiobotocore")


@contextlib.asynccontextmanager
async def client_of(package: str, server: ModelServer) -> AsyncIterator[Bedrock]:
    """A client of this package, talking to this server."""
    config: Any = {"retries": {"total_max_attempts": 1}, "read_timeout": 20}
    if package == "boto3":
        made = botocore.config.Config(**config)
        client = SESSION.client("bedrock-runtime", endpoint_url=server.url, config=made, **SETTINGS)
        try:
            yield Bedrock(client, server)
        finally:
            client.close()
    else:
        aio = aiobotocore.config.AioConfig(**config)
        session = aiobotocore.session.get_session()
        maker = session.create_client("bedrock-runtime", endpoint_url=server.url, config=aio, **SETTINGS)
        async with maker as client:
            yield Bedrock(client, server)


@contextlib.asynccontextmanager
async def bedrock(package: str, *answers: Answer) -> AsyncIterator[Bedrock]:
    """A client of this package, and the server behind it."""
    async with serving_model(*answers) as server, client_of(package, server) as asked:
        yield asked


async def streamed(
    package: str, *events: Any, into: Tracked | None = None, until: int | None = None
) -> Tracked:
    """Stream these events through a package and a run."""
    async with bedrock(package, aws_stream(*events)) as asked:
        return await tracked_stream(asked.stream(), into=into, until=until)


async def test_a_whole_stream(package: str) -> None:
    """Role, texts, the stop reason, and after it the usage, all that the cache had a part in included."""
    tracked = await streamed(package, *bedrock_stream("Hel", "lo"))
    assert tracked.chunks == bedrock_stream("Hel", "lo")
    assert isinstance(ReaderRegistry().find(tracked.chunks[0]), BedrockReader)
    assert BedrockReader().read(tracked.chunks[1]) is CONTENT
    assert tracked.first_token == 1
    assert tracked.usage == USAGE
    summary = tracked.summary
    assert (summary.outcome, summary.ending) == (Outcome.SUCCESS, Ending.COMPLETED)
    assert (summary.finish_reason, summary.answered_by) == ("end_turn", None)


async def test_a_manager_of_a_client_and_its_stream(package: str) -> None:
    """A client that lives as long as its stream: the run enters and leaves both."""
    async with serving_model(aws_stream(*bedrock_stream("Hel", "lo"))) as server:
        left: list[str] = []

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Any]:
            async with client_of(package, server) as asked:
                yield await asked.stream()
            left.append(package)

        tracked = await tracked_stream(opened())
    assert left == [package]
    assert tracked.usage == USAGE
    assert tracked.summary.outcome is Outcome.SUCCESS


async def test_thoughts_are_first_tokens_and_their_signature_is_not(package: str) -> None:
    """Also where they are hidden."""
    hidden = base64.b64encode(b"secret").decode()
    for first in ({"text": "Hm"}, {"redactedContent": hidden}):
        tracked = await streamed(
            package,
            OPENING,
            bedrock_delta(reasoningContent={"signature": "x"}),
            bedrock_delta(reasoningContent=first),
            *bedrock_end(),
        )
        assert tracked.first_token == 2


async def test_citations_are_no_content(package: str) -> None:
    """They come with text, not instead of it."""
    tracked = await streamed(
        package, OPENING, bedrock_delta(citation={"title": "x"}), *bedrock_stream("Hi")[1:]
    )
    assert tracked.first_token == 2


async def test_tool_calls_split_over_deltas(package: str) -> None:
    """Each call is named where its block begins, its input comes in pieces."""
    tracked = await streamed(
        package,
        OPENING,
        bedrock_start(0, "weather"),
        bedrock_delta(0, toolUse={"input": '{"city":'}),
        bedrock_delta(0, toolUse={"input": '"Bern"}'}),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        bedrock_start(1, "weather"),
        bedrock_delta(1, toolUse={"input": "{}"}),
        *bedrock_end("tool_use"),
    )
    assert tracked.tools == ["weather", "weather"]
    assert tracked.first_token == 1
    assert tracked.summary.finish_reason == "tool_use"


async def test_without_usage(package: str) -> None:
    """Not sent, not invented."""
    tracked = await streamed(package, OPENING, bedrock_delta(text="Hi"), *bedrock_end(usage=None))
    assert tracked.usage is None
    assert tracked.summary.outcome is Outcome.SUCCESS


@pytest.mark.parametrize("reason", ["guardrail_intervened", "content_filtered"])
async def test_a_filter_stops_the_answer(package: str, reason: str) -> None:
    """That is a refusal, and no failure."""
    tracked = await streamed(package, *bedrock_stream("He", reason=reason))
    assert (tracked.summary.refused, tracked.summary.finish_reason) == (True, reason)
    assert tracked.summary.outcome is Outcome.SUCCESS


async def test_the_model_that_a_router_chose(package: str) -> None:
    """A prompt router says which model it asked."""
    trace = {"promptRouter": {"invokedModelId": "arn:aws:bedrock:::foundation-model/haiku"}}
    metadata = {"metadata": {"usage": BEDROCK_USAGE, "metrics": {"latencyMs": 1}, "trace": trace}}
    tracked = await streamed(package, *bedrock_stream("Hi")[:-1], metadata)
    assert tracked.summary.answered_by == "arn:aws:bedrock:::foundation-model/haiku"


@pytest.mark.parametrize(
    "error",
    ["internalServerException", "modelStreamErrorException", "throttlingException", "validationException"],
)
async def test_an_error_in_mid_stream(package: str, error: str) -> None:
    """The SDK raises its own error; what had come by then is recorded."""
    tracked = await new_run()
    events = [*bedrock_stream("Hel")[:2], {error: {"message": "no more"}}]
    with pytest.raises(EventStreamError, match=error):
        await streamed(package, *events, into=tracked)
    assert tracked.first_token == 1
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.FAILED)


def test_an_error_that_is_handed_on() -> None:
    """Others than boto3 make an event of it."""
    event = {"throttlingException": {"message": "slow down"}}
    assert isinstance(ReaderRegistry().find(event), BedrockReader)
    assert BedrockReader().read(event) == Reading(failed=True)


async def test_a_request_that_is_refused(package: str) -> None:
    """An HTTP error before the first event."""
    tracked = await new_run()
    async with bedrock(package, plain({"message": "no such model"}, 400)) as asked:
        with pytest.raises(ClientError, match="no such model"):
            await tracked_stream(asked.stream(), into=tracked)
    assert tracked.summary.outcome is Outcome.ERROR


async def test_a_stream_that_ends_too_soon(package: str) -> None:
    """Closed politely before the stop reason."""
    tracked = await streamed(package, *bedrock_stream("Hel", "lo")[:3])
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.TRUNCATED)


async def test_a_connection_that_breaks(package: str) -> None:
    """What the HTTP library raises passes."""
    tracked = await new_run()
    said = {"boto3": "ended prematurely", "aiobotocore": "payload is not completed"}[package]
    with pytest.raises(Exception, match=said):
        await streamed(package, *bedrock_stream("Hel")[:2], CUT, into=tracked)
    assert tracked.first_token == 1
    assert tracked.summary.ending is Ending.FAILED


async def test_closing_early(package: str) -> None:
    """What was read before counts, and the server sees the connection closed."""
    async with bedrock(package, aws_stream(*bedrock_stream("Hel")[:2], asyncio.Event())) as asked:
        tracked = await tracked_stream(asked.stream(), until=2)
        await asked.server.hung_up.wait()
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.CANCELLED, Ending.CLOSED_EARLY)
    assert tracked.first_token == 1


async def test_cancellation(package: str) -> None:
    """Cancelled while it waits: recorded as far as it came, and the connection is closed at once."""
    tracked = await new_run()
    async with bedrock(package, aws_stream(*bedrock_stream("Hel")[:2], asyncio.Event())) as asked:
        reading = asyncio.create_task(tracked_stream(asked.stream(), into=tracked))
        await asked.server.waiting.wait()
        await tracked.seen[2].wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asked.server.hung_up.wait()
    assert tracked.summary.outcome is Outcome.CANCELLED
    assert tracked.ld.ai.stats.failures == {}


async def test_an_answer_that_does_not_stream(package: str) -> None:
    """The whole answer, by the same reader."""
    use = {"toolUse": {"toolUseId": "a", "name": "weather", "input": {}}}
    trace = {"promptRouter": {"invokedModelId": "haiku"}}
    async with bedrock(
        package, plain(bedrock_answer({"text": "Hm"}, use, reason="tool_use", trace=trace))
    ) as asked:
        tracked = await tracked_call(asked.converse())
    assert isinstance(ReaderRegistry().find(tracked.chunks[0]), BedrockReader)
    assert tracked.usage == USAGE
    assert tracked.tools == ["weather"]
    assert (tracked.summary.finish_reason, tracked.summary.answered_by) == ("tool_use", "haiku")


def invoked(*events: Any, **metrics: int) -> list[Any]:
    """These events in Amazon's envelope; the last one has the metrics."""
    last = {**events[-1], **({"amazon-bedrock-invocationMetrics": metrics} if metrics else {})}
    encoded = [base64.b64encode(json.dumps(event).encode()).decode() for event in (*events[:-1], last)]
    return [{"chunk": {"bytes": one}} for one in encoded]


METRICS = {
    "inputTokenCount": 5,
    "outputTokenCount": 7,
    "cacheReadInputTokenCount": 4,
    "cacheWriteInputTokenCount": 3,
}
CLAUDE = [
    {"type": "message_start", "message": message(stop_reason=None)},
    *message_text_block(0, "Hel", "lo"),
    *message_tool_block(1, "weather", "{}"),
    *message_end("tool_use"),
]


async def invoke(package: str, *events: Any, into: Tracked | None = None) -> Tracked:
    """Stream these events through ``invoke_model_with_response_stream`` and a run."""
    async with bedrock(package, aws_stream(*events)) as asked:
        opening = asked.stream("invoke_model_with_response_stream", "body", INVOKED)
        return await tracked_stream(opening, into=into)


@pytest.mark.parametrize("metrics", [{}, METRICS], ids=["its own counts", "and Amazon's"])
async def test_claude_s_own_events(package: str, metrics: Any) -> None:
    """Anthropic's events in Amazon's envelope: both count the same way."""
    tracked = await invoke(package, *invoked(*CLAUDE, **metrics))
    assert isinstance(ReaderRegistry().find(tracked.chunks[0]), BedrockInvokeReader)
    assert tracked.first_token == 2
    assert tracked.usage == USAGE
    assert tracked.tools == ["weather"]
    assert tracked.summary.outcome is Outcome.SUCCESS


async def test_another_model_s_own_events(package: str) -> None:
    """Of Llama and others only the text is known, and Amazon's counts."""
    events = [{"generation": "Hel"}, {"generation": "lo"}, {"generation": "", "stop_reason": "stop"}]
    tracked = await invoke(package, *invoked(*events, **METRICS))
    assert tracked.first_token == 0
    assert tracked.usage == USAGE
    assert tracked.summary.ending is Ending.COMPLETED


async def test_an_invoked_stream_that_ends_too_soon(package: str) -> None:
    """Cut before Amazon's counts and the model's own end."""
    assert (await invoke(package, *invoked(*CLAUDE[:3]))).summary.ending is Ending.TRUNCATED
