"""Bedrock's events through both of the packages for it: of Converse, and Claude's own in Amazon's envelope.

Rule for this file: as in ``kit``. ``aioboto3`` is a thin layer over ``aiobotocore``, whose streams it hands
out as they are.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

from model_server import Answer, ModelServer, aws_stream
from recorded_models import bedrock_answer, bedrock_delta, bedrock_end, bedrock_start, bedrock_stream

from ldtrack import TokenUsage, in_thread
from ldtrack.providers import BedrockInvokeReader, BedrockReader
from ldtrack.typing import Reader
from provider_kits.anthropic import MessagesWire
from provider_kits.kit import ASKED, TOOLS, LoopbackKit, Scene

__all__ = [
    "BEDROCK_KITS",
    "OPENING",
    "AiobotocoreKit",
    "Boto3Kit",
    "InvokeAiobotocoreKit",
    "InvokeBoto3Kit",
    "enveloped",
]

SETTINGS: Any = {
    "region_name": "us-east-1",
    "aws_access_key_id": "none",
    "aws_secret_access_key": "none",
}
CONFIG: Any = {"retries": {"total_max_attempts": 1}, "read_timeout": 20}
OPENING = {"messageStart": {"role": "assistant"}}
CONVERSED: Any = {
    "modelId": "anthropic.claude-3",
    "messages": [{"role": "user", "content": [{"text": ASKED[0]["content"]}]}],
}
INVOKED: Any = {"modelId": "anthropic.claude-3", "body": "{}"}


@functools.cache
def boto3_session() -> Any:
    """One session for all clients: it takes its time."""
    import boto3  # type: ignore[import-untyped]  # it brings no types

    return boto3.Session()


class Boto3Kit(LoopbackKit):
    """Converse through boto3, whose streams are synchronous."""

    name = "bedrock boto3"
    needs: ClassVar[tuple[str, ...]] = ("boto3",)
    unable: ClassVar[Mapping[str, str]] = {
        "usage first": "the event after the stop reason is the only one with usage",
        "refusal": "the model has no way to decline but words; guardrails and filters have one",
    }
    reader: ClassVar[type[Reader]] = BedrockReader
    model: ClassVar[str | None] = None
    usage = TokenUsage(19, 12, 7, cached_input=4)
    reason = "end_turn"
    error_says = "modelStreamErrorException"
    cut_says = "ended prematurely"
    operation, place, question = "converse_stream", "stream", CONVERSED

    @contextlib.asynccontextmanager
    async def client(self, server: ModelServer) -> AsyncIterator[Any]:
        import botocore.config  # type: ignore[import-untyped]  # it brings no types

        config = botocore.config.Config(**CONFIG)
        client = boto3_session().client("bedrock-runtime", endpoint_url=server.url, config=config, **SETTINGS)
        try:
            yield client
        finally:
            client.close()

    async def ask_stream(self, client: Any) -> Any:
        opened = await asyncio.to_thread(getattr(client, self.operation), **self.question)
        return in_thread(opened[self.place])

    async def ask(self, client: Any) -> Any:
        return await asyncio.to_thread(client.converse, **CONVERSED)

    def frame(self, *events: Any) -> Answer:
        return aws_stream(*events)

    def errors(self) -> tuple[type[Exception], ...]:
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # it brings no types

        return (ClientError,)

    def whole(self) -> Scene:
        return Scene(bedrock_stream("Hel", "lo"), first_token=1, begun=2)

    def thoughts(self) -> Scene:
        thought = bedrock_delta(reasoningContent={"text": "Hm"})
        return Scene([OPENING, thought, *bedrock_stream("Hi")[1:]], first_token=1)

    def tools(self) -> Scene:
        calls = [
            bedrock_start(0, TOOLS[0]),
            bedrock_delta(0, toolUse={"input": '{"city":'}),
            bedrock_delta(0, toolUse={"input": '"Bern"}'}),
            {"contentBlockStop": {"contentBlockIndex": 0}},
            bedrock_start(1, TOOLS[1]),
            bedrock_delta(1, toolUse={"input": "{}"}),
        ]
        return Scene([OPENING, *calls, *bedrock_end("tool_use")], first_token=1, reason="tool_use")

    def without_usage(self) -> Scene:
        return Scene([OPENING, bedrock_delta(text="Hi"), *bedrock_end(usage=None)], first_token=1)

    def filtered(self) -> Scene:
        return Scene(bedrock_stream("He", reason="guardrail_intervened"), reason="guardrail_intervened")

    def error(self) -> Any:
        return {"modelStreamErrorException": {"message": "no more"}}

    def answer(self) -> Scene:
        uses = [
            {"toolUse": {"toolUseId": str(at), "name": name, "input": {}}} for at, name in enumerate(TOOLS)
        ]
        return Scene([bedrock_answer({"text": "Hm"}, *uses, reason="tool_use")], reason="tool_use")


class AiobotocoreKit(Boto3Kit):
    """Converse through aiobotocore."""

    name = "bedrock aiobotocore"
    needs = ("aiobotocore",)
    cut_says = "payload is not completed"

    @contextlib.asynccontextmanager
    async def client(self, server: ModelServer) -> AsyncIterator[Any]:
        import aiobotocore.config  # type: ignore[import-untyped]  # it brings no types
        import aiobotocore.session  # type: ignore[import-untyped]  # it brings no types

        config = aiobotocore.config.AioConfig(**CONFIG)
        session = aiobotocore.session.get_session()
        maker = session.create_client("bedrock-runtime", endpoint_url=server.url, config=config, **SETTINGS)
        async with maker as client:
            yield client

    async def ask_stream(self, client: Any) -> Any:
        return (await getattr(client, self.operation)(**self.question))[self.place]

    async def ask(self, client: Any) -> Any:
        return await client.converse(**CONVERSED)


def enveloped(*events: Any, **metrics: int) -> list[Any]:
    """A model's own events in Amazon's envelope; the last one has the metrics."""
    last = {**events[-1], **({"amazon-bedrock-invocationMetrics": metrics} if metrics else {})}
    encoded = [base64.b64encode(json.dumps(event).encode()).decode() for event in (*events[:-1], last)]
    return [{"chunk": {"bytes": one}} for one in encoded]


class _Enveloped(MessagesWire):
    """Claude's own events: those of Anthropic, each in an envelope."""

    reader: ClassVar[type[Reader]] = BedrockInvokeReader
    unable: ClassVar[Mapping[str, str]] = {
        **MessagesWire.unable,
        "common chunk": "an envelope has to be opened to know what is in it",
        "answer": "a whole answer is bytes, which the application opens",
    }
    error_says = "modelStreamErrorException"
    operation, place, question = "invoke_model_with_response_stream", "body", INVOKED

    def whole(self) -> Scene:
        scene = super().whole()
        return Scene(enveloped(*scene.events), first_token=3, begun=scene.begun)

    def thoughts(self) -> Scene:
        return Scene(enveloped(*super().thoughts().events), first_token=2)

    def tools(self) -> Scene:
        return Scene(enveloped(*super().tools().events), first_token=1, reason="tool_use")

    def refusal(self) -> Scene:
        return Scene(enveloped(*super().refusal().events), first_token=2, reason="refusal")

    def error(self) -> Any:
        return {"modelStreamErrorException": {"message": "no more"}}


class InvokeBoto3Kit(_Enveloped, Boto3Kit):
    """Invoke through boto3."""

    name = "bedrock invoke boto3"


class InvokeAiobotocoreKit(_Enveloped, AiobotocoreKit):
    """Invoke through aiobotocore."""

    name = "bedrock invoke aiobotocore"


BEDROCK_KITS = (Boto3Kit, AiobotocoreKit, InvokeBoto3Kit, InvokeAiobotocoreKit)
