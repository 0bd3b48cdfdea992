"""The FastAPI example, over a real socket: answers, closed tabs, late feedback, forged tokens."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from fake_http import FakeServer, openai_client
from ldclient import Context
from recorded import chat_stream
from served import serving

from ldtrack import Ending, Outcome, TokenSigner, TokenUsage
from ldtrack.testing import Recording, recording

HERE = Path(__file__).parents[2] / "examples" / "fastapi_chat"
ADA = Context.create("ada")
SIGNER = TokenSigner.from_key("a secret of the tests", ttl=3600)
TOKEN = "X-Resumption-Token"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example's module, imported as Python does when it runs it as a script."""
    monkeypatch.syspath_prepend(str(HERE))
    yield importlib.import_module("app")
    for name in ("app", "provider"):
        del sys.modules[name]


@pytest.fixture
def recorded(app: ModuleType) -> Recording:
    """The client that the service uses: the example's own flag and a signer, over fakes."""
    return recording({app.CONFIG_KEY: app.SERVED}, signer=SIGNER)


class Hesitant:
    """A model that says one thing and then thinks, until it is told to go on or nobody waits any more."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.is_closed = asyncio.Event()
        self.closings = 0

    async def ask(self, config: Any, question: str) -> AsyncIterator[str]:
        try:
            yield "Well, "
            await self.go_on.wait()
            yield question
        finally:
            self.closings += 1
            self.is_closed.set()

    def text(self, chunk: str) -> str:
        return chunk


class Talkative(Hesitant):
    """A model that never stops, and lets others have their turn in between."""

    async def ask(self, config: Any, question: str) -> AsyncIterator[str]:
        try:
            while True:
                yield question * 1000
                await asyncio.sleep(0)
        finally:
            self.closings += 1
            self.is_closed.set()


async def ask(client: httpx.AsyncClient, text: str = "Hello?") -> httpx.Response:
    return await client.post("/chat", json={"user": "ada", "text": text})


async def vote(client: httpx.AsyncClient, token: str, feedback: str = "positive", user: str = "ada") -> Any:
    return await client.post("/feedback", json={"user": user, "token": token, "feedback": feedback})


async def test_a_whole_answer(app: ModuleType, recorded: Recording) -> None:
    """The answer arrives complete, with the token; the run is a success with its usage."""
    async with serving(app.create_app(recorded.ai, app.Simulated())) as client:
        answer = await ask(client)
    assert answer.status_code == 200
    assert answer.text.startswith("You asked: Hello? I am only simulated")
    assert recorded.names() == [
        *("duration:total", "tokens:ttf", "generation:success"),
        *("tokens:total", "tokens:input", "tokens:output"),
    ]
    tracker = recorded.ai.resume(answer.headers[TOKEN], ADA)
    assert {event.data["runId"] for event in recorded.events} == {tracker.run_id}


async def test_the_real_openai_package(app: ModuleType, recorded: Recording) -> None:
    """With OpenAI's client as the model: its text is served, its usage recorded, its stream closed."""
    server = FakeServer(chat_stream("Hel", "lo"))
    async with serving(app.create_app(recorded.ai, app.OpenAI(openai_client(server=server)))) as client:
        answer = await ask(client)
    assert answer.text == "Hello"
    assert recorded.values()["tokens:total"] == TokenUsage(19, 12, 7).total
    assert server.requests[0]["messages"][0]["content"] == "Help ada, and be brief."
    assert server.closed == 1


async def test_a_chunk_is_there_before_the_answer_is(app: ModuleType, recorded: Recording) -> None:
    """The first word is served while the model still thinks."""
    model = Hesitant()
    async with (
        serving(app.create_app(recorded.ai, model)) as client,
        client.stream("POST", "/chat", json={"user": "ada", "text": "yes"}) as answer,
    ):
        pieces = answer.aiter_text()
        assert await anext(pieces) == "Well, "
        model.go_on.set()
        assert "".join([piece async for piece in pieces]) == "yes"
    assert recorded.names() == ["duration:total", "tokens:ttf", "generation:success"]


@pytest.mark.parametrize("model_class", [Hesitant, Talkative])
async def test_a_closed_tab(app: ModuleType, recorded: Recording, model_class: type[Hesitant]) -> None:
    """Whoever leaves while waiting or while reading: the run is cancelled, timed, its stream closed once."""
    model = model_class()
    async with serving(app.create_app(recorded.ai, model)) as client:
        async with client.stream("POST", "/chat", json={"user": "ada", "text": "x"}) as answer:
            tracker = recorded.ai.resume(answer.headers[TOKEN], ADA)
            await anext(answer.aiter_text())
            recorded.clock.advance(ms=1500)
        await model.is_closed.wait()
        assert recorded.ai.stats.open_calls == 0
    assert tracker.summary.outcome is Outcome.CANCELLED
    assert tracker.summary.ending in {Ending.CANCELLED, Ending.CLOSED_EARLY}
    assert recorded.names() == ["duration:total", "tokens:ttf"]
    assert tracker.summary.duration_ms == 1500
    assert model.closings == 1
    assert recorded.ai.stats.failures == {}


async def test_a_service_that_stops_ends_its_runs(app: ModuleType, recorded: Recording) -> None:
    """The client is closed with the application: nothing stays open."""
    async with serving(app.create_app(recorded.ai, app.Simulated())) as client:
        await ask(client)
    assert recorded.client.flushes == 1


async def test_a_vote_counts_once(app: ModuleType, recorded: Recording) -> None:
    """Posted twice at the same time and once later, it is counted by exactly one of them."""
    async with serving(app.create_app(recorded.ai, app.Simulated())) as client:
        token = (await ask(client)).headers[TOKEN]
        twice = await asyncio.gather(vote(client, token), vote(client, token, "negative"))
        later = await vote(client, token)
    assert sorted(response.json()["counted"] for response in twice) == [False, True]
    assert later.json() == {"counted": False}
    assert sum(name.startswith("feedback") for name in recorded.names()) == 1


@pytest.mark.parametrize("wrong", ["altered", "unsigned", "expired", "another's", "text"])
async def test_a_token_that_is_not_to_be_trusted(app: ModuleType, recorded: Recording, wrong: str) -> None:
    """It gives 400 with the reason, and records nothing."""
    unsigned = recording({app.CONFIG_KEY: app.SERVED}).ai
    async with serving(app.create_app(recorded.ai, app.Simulated())) as client:
        token = (await ask(client)).headers[TOKEN]
        before = len(recorded.events)
        if wrong == "expired":
            recorded.clock.advance(3601)
        tokens = {
            "altered": token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8),
            "unsigned": (await unsigned.completion_config(app.CONFIG_KEY, ADA))
            .create_tracker()
            .resumption_token,
            "text": "no token at all",
        }
        refused = await vote(client, tokens.get(wrong, token), user="bob" if wrong == "another's" else "ada")
    assert refused.status_code == 400
    assert refused.json()["detail"].endswith(".")
    assert token not in refused.text
    assert len(recorded.events) == before


async def test_a_chat_that_is_switched_off(app: ModuleType) -> None:
    """A flag that is missing or disabled answers 503, and nothing is run."""
    recorded = recording()
    async with serving(app.create_app(recorded.ai, app.Simulated())) as client:
        assert (await ask(client)).status_code == 503
    assert recorded.events == []


def test_the_program_itself() -> None:
    """`python app.py` starts a server without any key, which answers, takes votes and stops when told to."""
    env = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_SECRET"))}
    started = subprocess.Popen(
        [sys.executable, "-W", "error", "app.py"],
        cwd=HERE,
        env={**env, "PORT": "0", "PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    with started:
        said: list[str] = []
        for line in started.stderr or ():
            said.append(line)
            if found := re.search(r"running on (http://[\d.]+:\d+)", line):
                break
        else:
            raise AssertionError("".join(said))
        try:
            with httpx.Client(base_url=found[1], trust_env=False, timeout=None) as client:
                answer = client.post("/chat", json={"user": "ada", "text": "Hello?"})
                ballot = {"user": "ada", "token": answer.headers[TOKEN], "feedback": "positive"}
                counted = [client.post("/feedback", json=ballot).json()["counted"] for _ in range(2)]
        finally:
            started.send_signal(signal.SIGINT)
            started.communicate()
    assert answer.text.startswith("You asked: Hello?")
    assert counted == [True, False]
