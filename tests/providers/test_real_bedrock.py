"""What is special to Bedrock, through boto3 and aiobotocore; the rest is in ``test_real_sdks``."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from model_server import aws_stream, serving_model
from provider_kits.bedrock import (
    OPENING,
    AiobotocoreKit,
    Boto3Kit,
    InvokeAiobotocoreKit,
    InvokeBoto3Kit,
    enveloped,
)
from recorded import message_stream
from recorded_models import BEDROCK_USAGE, bedrock_answer, bedrock_delta, bedrock_end, bedrock_stream
from tracked import new_run, tracked_stream

from ldtrack import Ending, Outcome
from ldtrack.core.reading import Reading
from ldtrack.providers import BedrockReader, ReaderRegistry

HAIKU = "arn:aws:bedrock:::foundation-model/haiku"
TRACE = {"promptRouter": {"invokedModelId": HAIKU}}
METRICS = {
    "inputTokenCount": 5,
    "outputTokenCount": 7,
    "cacheReadInputTokenCount": 4,
    "cacheWriteInputTokenCount": 3,
}


@pytest.fixture(params=[Boto3Kit, AiobotocoreKit], ids=lambda kind: kind.name)
def kit(request: pytest.FixtureRequest) -> Boto3Kit:
    """Converse through one of the two packages."""
    made: Boto3Kit = request.param()
    made.require()
    return made


@pytest.fixture(params=[InvokeBoto3Kit, InvokeAiobotocoreKit], ids=lambda kind: kind.name)
def invoking(request: pytest.FixtureRequest) -> Boto3Kit:
    """A model's own events through one of the two packages."""
    made: Boto3Kit = request.param()
    made.require()
    return made


async def test_a_manager_of_a_client_and_its_stream(kit: Boto3Kit) -> None:
    """A client that lives as long as its stream: the run enters and leaves both."""
    async with serving_model(aws_stream(*bedrock_stream("Hel", "lo"))) as server:
        left: list[str] = []

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Any]:
            async with kit.client(server) as client:
                yield await kit.ask_stream(client)
            left.append(kit.name)

        tracked = await tracked_stream(opened())
    assert left == [kit.name]
    assert tracked.usage == kit.usage
    assert tracked.summary.outcome is Outcome.SUCCESS


async def test_the_signature_of_a_thought_is_no_content(kit: Boto3Kit) -> None:
    """The thought is, also where it is hidden."""
    hidden = base64.b64encode(b"secret").decode()
    for first in ({"text": "Hm"}, {"redactedContent": hidden}):
        signature = bedrock_delta(reasoningContent={"signature": "x"})
        thought = bedrock_delta(reasoningContent=first)
        tracked = await kit.streamed(OPENING, signature, thought, *bedrock_end())
        assert tracked.first_token == 2


async def test_citations_are_no_content(kit: Boto3Kit) -> None:
    """They come with text, not instead of it."""
    citation = bedrock_delta(citation={"title": "x"})
    assert (await kit.streamed(OPENING, citation, *bedrock_stream("Hi")[1:])).first_token == 2


async def test_another_filter(kit: Boto3Kit) -> None:
    """Guardrails are the user's, this one is the model's."""
    tracked = await kit.streamed(*bedrock_stream("He", reason="content_filtered"))
    assert (tracked.summary.refused, tracked.summary.finish_reason) == (True, "content_filtered")
    assert tracked.summary.outcome is Outcome.SUCCESS


async def test_the_model_that_a_router_chose(kit: Boto3Kit) -> None:
    """A prompt router says which model it asked, in streams and answers."""
    metadata = {"metadata": {"usage": BEDROCK_USAGE, "metrics": {"latencyMs": 1}, "trace": TRACE}}
    tracked = await kit.streamed(*bedrock_stream("Hi")[:-1], metadata)
    assert tracked.summary.answered_by == HAIKU
    tracked = await kit.answered(bedrock_answer({"text": "Hm"}, trace=TRACE))
    assert tracked.summary.answered_by == HAIKU


@pytest.mark.parametrize("error", ["internalServerException", "throttlingException", "validationException"])
async def test_other_errors_in_mid_stream(kit: Boto3Kit, error: str) -> None:
    """Each is an event of its own, which the SDK raises."""
    tracked = await new_run()
    with pytest.raises(kit.errors(), match=error):
        await kit.streamed(*bedrock_stream("Hel")[:2], {error: {"message": "no more"}}, into=tracked)
    assert tracked.first_token == 1
    assert (tracked.summary.outcome, tracked.summary.ending) == (Outcome.ERROR, Ending.FAILED)


def test_an_error_that_is_handed_on() -> None:
    """Others than boto3 make an event of it."""
    event = {"throttlingException": {"message": "slow down"}}
    assert isinstance(ReaderRegistry().find(event), BedrockReader)
    assert BedrockReader().read(event) == Reading(failed=True)


async def test_claude_s_own_events_with_amazon_s_counts(invoking: Boto3Kit) -> None:
    """Both count the same way, and count once."""
    tracked = await invoking.streamed(*enveloped(*message_stream("Hi"), **METRICS))
    assert tracked.usage == invoking.usage
    assert tracked.summary.outcome is Outcome.SUCCESS


async def test_another_model_s_own_events(invoking: Boto3Kit) -> None:
    """Of Llama and others only the text is known, and Amazon's counts."""
    events = [{"generation": "Hel"}, {"generation": "lo"}, {"generation": "", "stop_reason": "stop"}]
    tracked = await invoking.streamed(*enveloped(*events, **METRICS))
    assert tracked.first_token == 0
    assert tracked.usage == invoking.usage
    assert tracked.summary.ending is Ending.COMPLETED
