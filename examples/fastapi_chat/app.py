"""A chat service that streams, and counts the thumbs-up that comes later.

    pip install ldtrack fastapi uvicorn
    python examples/fastapi_chat/app.py

    curl -iN localhost:8000/chat -H 'content-type: application/json' -d '{"user": "ada", "text": "Hello?"}'
    curl localhost:8000/feedback -H 'content-type: application/json' \
         -d '{"user": "ada", "feedback": "positive", "token": "what X-Resumption-Token said"}'

It runs offline. With LAUNCHDARKLY_SDK_KEY set, flags come from LaunchDarkly and events go there; with
OPENAI_API_KEY set (and `pip install openai`), answers come from OpenAI; TOKEN_SECRET lets tokens be good in
other processes, and after a restart.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Literal

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations.test_data import TestData
from provider import OpenAI, Provider, Simulated
from pydantic import BaseModel

from ldtrack import AIClient, InvalidTokenError, TokenSigner, TrackedStream

CONFIG_KEY = "support-chat"
SERVED = {
    "_ldMeta": {"enabled": True, "variationKey": "brief", "version": 1},
    "model": {"name": "gpt-4o-mini"},
    "provider": {"name": "openai"},
    "messages": [{"role": "system", "content": "Help {{ldctx.key}}, and be brief."}],
}


class Question(BaseModel):
    user: str  # in real life from the session
    text: str


class Vote(BaseModel):
    user: str
    token: str
    feedback: Literal["positive", "negative"]


def create_app(ai: AIClient, provider: Provider) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with ai:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/chat")
    async def chat(question: Question) -> StreamingResponse:
        config = await ai.completion_config(CONFIG_KEY, Context.create(question.user))
        if not config.enabled:
            raise HTTPException(503, "The chat is switched off.")
        tracker = config.create_tracker()
        # A run and its stream in one: whoever ends it, or leaves, it settles by itself.
        answer = tracker.stream(provider.ask(config, question.text))
        return StreamingResponse(
            texts(answer, provider),
            media_type="text/plain",
            headers={"X-Resumption-Token": tracker.resumption_token},
        )

    @app.post("/feedback")
    async def feedback(vote: Vote) -> dict[str, bool]:
        try:
            tracker = ai.resume(vote.token, Context.create(vote.user))
        except InvalidTokenError as error:
            raise HTTPException(400, str(error)) from error
        return {"counted": await tracker.track_feedback(vote.feedback)}

    return app


async def texts(answer: TrackedStream, provider: Provider) -> AsyncIterator[str]:
    async with answer:  # closes the provider's stream, whichever way this is left
        async for chunk in answer:
            if text := provider.text(chunk):
                yield text


def launchdarkly() -> LDClient:
    if key := os.environ.get("LAUNCHDARKLY_SDK_KEY"):
        return LDClient(Config(key))
    flags = TestData.data_source()
    flags.update(flags.flag(CONFIG_KEY).value_for_all(SERVED))
    return LDClient(Config("offline", update_processor_class=flags, send_events=False))


def model() -> Provider:
    if "OPENAI_API_KEY" not in os.environ:
        return Simulated()
    from openai import AsyncOpenAI  # noqa: PLC0415 - needed only with a key

    return OpenAI(AsyncOpenAI())


def main() -> None:
    secret = os.environ.get("TOKEN_SECRET") or secrets.token_urlsafe(32)
    signer = TokenSigner.from_key(secret, ttl=timedelta(days=7))
    ld_client = launchdarkly()
    try:
        app = create_app(AIClient(ld_client, signer=signer), model())
        uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
    finally:
        ld_client.close()


if __name__ == "__main__":
    main()
