"""Every block of Python in the README and in docs/ is run; none is skipped."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import attrs
import pytest
from endpoint import Endpoint
from fake_http import FakeServer, openai_client
from ldclient import Config, Context
from pages import CHECKOUT, PAGES, blocks_of
from recorded import CHAT_USAGE, chat_answer, chat_stream

from ldtrack import AIClient, AICompletionConfigDefault
from ldtrack.testing import FakeRunners, Recording, RecordingClient, recording

pytest_plugins = ["pytester"]

Namespace = dict[str, Any]
ADA = Context.builder("ada").name("Ada").build()
QUESTION = {"role": "user", "content": "Hi"}
FLAG = {
    "_ldMeta": {"enabled": True, "variationKey": "short", "version": 3},
    "model": {"name": "gpt-4o"},
    "messages": [{"role": "system", "content": "You help {{name}}."}],
}


@contextlib.asynccontextmanager
async def plain() -> AsyncIterator[Namespace]:
    """A page that needs nothing."""
    yield {}


@contextlib.asynccontextmanager
async def concepts() -> AsyncIterator[Namespace]:
    """A LaunchDarkly client, and OpenAI's package over a transport in memory."""

    async def words() -> AsyncIterator[str]:
        yield "Hel"
        yield "lo"

    server = FakeServer(chat_answer("Plan"), chat_stream("Hel", "lo"), chat_answer("Hello"))
    client = RecordingClient({"support-chat": FLAG})
    yield {
        "ld_client": client,
        "context": ADA,
        "openai": openai_client(server=server),
        "question": QUESTION,
        "show": lambda chunk: None,
        "words": words,
        "new_secret": "a secret of this year",
        "old_secret": "a secret of last year",
    }
    # A run of two calls, with the usage of both, and one vote of each of two trackers.
    names = [event.key.removeprefix("$ld:ai:") for event in client.events]
    totals = [event.metric_value for event in client.events if event.key.endswith("tokens:total")]
    assert totals[0] == 2 * CHAT_USAGE["total_tokens"]
    assert names.count("feedback:user:positive") == 2
    assert names.count("feedback:user:negative") == 0


@contextlib.asynccontextmanager
async def providers() -> AsyncIterator[Namespace]:
    """A LaunchDarkly client, and a provider called Acme."""

    @attrs.frozen
    class Part:
        text: str
        is_last: bool = False
        tokens_in: int = 3
        tokens_out: int = 4
        reason: str = "done"
        model: str = "acme-2"

    Part.__module__ = "acme.streaming"

    async def acme_stream() -> AsyncIterator[Part]:
        yield Part("Hel")
        yield Part("lo")
        yield Part("", is_last=True)

    client = RecordingClient({"support-chat": FLAG})
    yield {"ld_client": client, "context": ADA, "acme_stream": acme_stream, "show": lambda chunk: None}
    # Two runs, each with its usage.
    totals = [event.metric_value for event in client.events if event.key.endswith("tokens:total")]
    assert totals == [7, 7]


@contextlib.asynccontextmanager
async def migrating() -> AsyncIterator[Namespace]:
    """What somebody has who uses LaunchDarkly's SDK: a client, a context, a default, a stream."""

    async def source() -> AsyncIterator[str]:
        yield "Hello"

    client = RecordingClient({"support-chat": FLAG})
    default = AICompletionConfigDefault(enabled=False)
    yield {
        "ld_client": client,
        "context": ADA,
        "default": default,
        "source": source,
        "show": lambda chunk: None,
    }
    assert [event.key for event in client.events][-1] == "$ld:ai:generation:success"


@contextlib.asynccontextmanager
async def managed() -> AsyncIterator[Namespace]:
    """Flags of a model, an agent and a judge, and a provider of the user's own."""
    config = {**FLAG, "provider": {"name": "openai"}}
    client = RecordingClient(
        {
            "support-chat": config,
            "judged-chat": {
                **config,
                "judgeConfiguration": {"judges": [{"key": "kindness", "samplingRate": 1}]},
            },
            "kindness": {
                **config,
                "_ldMeta": {"enabled": True, "mode": "judge"},
                "evaluationMetricKey": "kindness",
            },
            "weather-agent": {**config, "_ldMeta": {"enabled": True, "mode": "agent"}},
        }
    )

    async def acme(model: str, messages: Any) -> dict[str, Any]:
        return {"content": "Hello.", "usage": {"input_tokens": 3, "output_tokens": 4}}

    tracker = (await AIClient(client).completion_config("support-chat", ADA)).create_tracker()
    yield {
        "ld_client": client,
        "context": ADA,
        "acme": acme,
        "tracker": tracker,
        "save": lambda token: None,
        "print": lambda *said, **how: None,
    }
    scores = [event.metric_value for event in client.events if event.key == "kindness"]
    assert scores == [0.9, 0.9], "of the judge that was attached, and of the one that was called"


@contextlib.asynccontextmanager
async def graphs() -> AsyncIterator[Namespace]:
    """A graph of two agents, and a provider called Acme that answers and streams."""
    agent = {**FLAG, "instructions": "Plan a trip to {{city}}."}
    edges = {"router": [{"key": "writer", "handoff": {"description": "to write it down"}}]}
    client = RecordingClient(
        {
            "trip-planner": {"_ldMeta": {"enabled": True}, "root": "router", "edges": edges},
            "router": agent,
            "writer": agent,
        }
    )

    async def acme(question: str) -> dict[str, Any]:
        return {"content": "Rome.", "usage": {"input_tokens": 3, "output_tokens": 4}}

    async def acme_stream(question: str) -> AsyncIterator[dict[str, Any]]:
        yield {"content": "Go"}
        yield {"content": "!", "usage": {"input_tokens": 3, "output_tokens": 4}}

    yield {
        "AIClient": AIClient,
        "ld_client": client,
        "context": ADA,
        "acme": acme,
        "acme_stream": acme_stream,
        "show": lambda chunk: None,
    }
    values = {event.key.removeprefix("$ld:ai:graph:"): event for event in client.events}
    assert values["invocation_success"].metric_value == 1
    assert values["path"].data["path"] == ["router", "writer"]
    assert values["total_tokens"].metric_value == 14
    assert "$ld:ai:feedback:user:positive" in {event.key for event in client.events}


PRELUDES: dict[str, Callable[[], AbstractAsyncContextManager[Namespace]]] = {
    "concepts.md": concepts,
    "graphs.md": graphs,
    "managed.md": managed,
    "migrating.md": migrating,
    "providers.md": providers,
}
ELSEWHERE = {"README.md", "testing.md"}
"""Pages whose blocks are run by a test of their own below."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in ELSEWHERE], ids=lambda p: p.name)
async def test_blocks_run_from_top_to_bottom(page: Path) -> None:
    """A page is one program: whatever a block needs stands above it, or in the page's prelude."""
    async with PRELUDES.get(page.name, plain)() as namespace:
        for block in blocks_of(page):
            await block.run(namespace)


def test_every_page_was_found() -> None:
    """The tests look at pages that are there, and at blocks where there are some."""
    found = {page.name: len(blocks_of(page)) for page in PAGES}
    assert {"README.md", "concepts.md", "migrating.md", "testing.md"} <= set(found)
    assert ELSEWHERE | set(PRELUDES) <= {name for name, blocks in found.items() if blocks}


# README


@pytest.fixture
async def readme() -> Namespace:
    """What the README's block defines, with a `save` that keeps what it is given."""
    saved: list[str] = []
    namespace: Namespace = {"save": saved.append, "saved": saved}
    for block in blocks_of(CHECKOUT / "README.md"):
        await block.run(namespace)
    return namespace


@pytest.fixture
def ld() -> Recording:
    """A client over fakes, with the README's flag."""
    return recording({"support-chat": FLAG})


async def test_the_readme_s_answer(readme: Namespace, ld: Recording) -> None:
    """Read to its end: the chunks of the provider, all events of a run, and the token saved."""
    server = FakeServer(chat_stream("Hel", "lo"))
    answer = readme["answer"](ld.ai, ADA, openai_client(server=server), QUESTION)
    texts = [chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices]
    assert "".join(texts) == "Hello"
    assert server.requests[0]["messages"] == [{"role": "system", "content": "You help Ada."}, QUESTION]
    assert ld.names() == [
        *("duration:total", "tokens:ttf", "generation:success"),
        *("tokens:total", "tokens:input", "tokens:output"),
    ]
    assert server.closed == 1
    assert len(readme["saved"]) == 1


async def test_the_readme_s_answer_closed_early(readme: Namespace, ld: Recording) -> None:
    """Closed after the first token: the run is timed, its stream closed, and no verdict sent."""
    server = FakeServer(chat_stream("Hel", "lo"))
    answer = readme["answer"](ld.ai, ADA, openai_client(server=server), QUESTION)
    async for chunk in answer:
        if chunk.choices[0].delta.content:
            break
    await answer.aclose()
    assert ld.names() == ["duration:total", "tokens:ttf"]
    assert server.closed == 1


async def test_the_readme_s_managed_model(readme: Namespace) -> None:
    """The question is answered, and nothing had to be tracked for its events."""
    flag = {**FLAG, "provider": {"name": "openai"}}
    ld = recording({"support-chat": flag}, runners={"openai": FakeRunners("Because of the light.")})
    answer = readme["ask"](ld.ai, ADA, "Why is the sky blue?")
    assert "".join([text async for text in answer]) == "Because of the light."
    assert ld.names()[:3] == ["duration:total", "tokens:ttf", "generation:success"]
    assert len(readme["saved"]) == 1


async def test_the_readme_s_vote(readme: Namespace, ld: Recording) -> None:
    """It counts once, for the run that was answered."""
    client = openai_client(chat_stream("Hello"))
    async for _ in readme["answer"](ld.ai, ADA, client, QUESTION):
        pass
    (token,) = readme["saved"]
    assert await readme["rate"](ld.ai, ADA, token) is True
    assert await readme["rate"](ld.ai, ADA, token) is False
    assert ld.names()[-1] == "feedback:user:positive"
    assert len({event.data["runId"] for event in ld.events}) == 1


async def test_the_readme_s_durable_client(
    readme: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has recorded arrives, and is in the file beside it."""
    monkeypatch.chdir(tmp_path)
    with Endpoint() as endpoint:
        config = Config("sdk-key", events_uri=endpoint.uri)
        async with readme["durable"](RecordingClient(), config) as ai:
            await _a_vote(ai)
            assert await ai.flush()
        assert [event["key"] for event in endpoint.customs] == ["$ld:ai:feedback:user:positive"]
    assert (tmp_path / "ledger.db").exists()


async def _a_vote(ai: AIClient) -> None:
    config = await ai.completion_config("support-chat", ADA, AICompletionConfigDefault(enabled=True))
    assert await config.create_tracker().track_feedback("positive")


# docs/ledgers.md


async def test_the_ledgers_page_serves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing recorded there is nothing to say."""
    namespace: Namespace = {}
    (block,) = blocks_of(CHECKOUT / "docs" / "ledgers.md")
    await block.run(namespace)
    with Endpoint() as endpoint:
        offline = {"use_ldd": True, "diagnostic_opt_out": True}
        await namespace["serve"](Config("sdk-key", events_uri=endpoint.uri, **offline), tmp_path)
    assert capsys.readouterr().out == ""


# docs/testing.md

FIXTURES = """
import pytest
from ldclient import Config, Context


@pytest.fixture
def context():
    return Context.create("ada")


@pytest.fixture
def words():
    async def words(*said):
        for word in said:
            yield word

    return words
"""


def test_the_tests_of_the_testing_page(pytester: pytest.Pytester) -> None:
    """Its blocks are one file of tests, and all of them pass, in a project of their own."""
    code = "\n\n".join(block.code for block in blocks_of(CHECKOUT / "docs" / "testing.md"))
    tests = code.count("def test_")
    assert tests >= 5
    pytester.makeconftest(FIXTURES)
    pytester.makepyfile(code)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    ran = pytester.runpytest_subprocess("-p", "no:anyio", "-p", "no:cacheprovider", "-W", "error")
    ran.assert_outcomes(passed=tests)
