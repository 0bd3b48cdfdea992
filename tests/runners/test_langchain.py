"""LangChain's runner: which model is made for a config, and what becomes of its messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anthropic
import openai
import pydantic
import pytest
from fake_http import FakeServer
from ldclient import Context
from recorded import chat_answer, chat_stream, message

from ldtrack import LDMessage, ManagedModel, MisuseError, NoRunnerError
from ldtrack.configs.types import AICompletionConfig
from ldtrack.core.models import ModelConfig, ProviderConfig
from ldtrack.providers.runners import langchain
from ldtrack.providers.runners.langchain import LangChainRunners, langchain_provider
from ldtrack.testing import Recording, recording

why = "the frameworks are a test group of their own: their lowest versions need newer SDKs than ours"
pytest.importorskip("langchain_anthropic", reason=why)
pytest.importorskip("langchain_openai", reason=why)

from langchain_anthropic import ChatAnthropic  # noqa: E402 - once it is known to be there
from langchain_core.language_models import FakeListChatModel  # noqa: E402 - as above
from langchain_openai import ChatOpenAI  # noqa: E402 - as above

ADA = Context.create("ada")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def config(provider: str, **model: Any) -> AICompletionConfig:
    return AICompletionConfig(
        key="chat",
        enabled=True,
        provider=ProviderConfig(provider) if provider else None,
        model=ModelConfig("a-model", **model),
        new_tracker=lambda: pytest.fail("nobody tracks anything here"),
    )


async def a_model(make_model: Any, **flag: Any) -> tuple[ManagedModel, Recording]:
    served = {"_ldMeta": {"enabled": True}, "provider": {"name": "acme"}, "model": {"name": "gpt"}, **flag}
    ld = recording({"chat": served}, runners={"acme": LangChainRunners(make_model)})
    model = await ld.ai.create_model("chat", ADA)
    assert model is not None
    return model, ld


@pytest.mark.parametrize(
    ("theirs", "langchain_s"),
    [
        ("openai", "openai"),
        ("OpenAI", "openai"),
        ("Gemini", "google_genai"),
        ("bedrock", "bedrock_converse"),
        ("Bedrock:Anthropic", "bedrock_converse"),
        ("bedrock:meta", "bedrock_converse"),
        ("mistralai", "mistralai"),
        ("", None),
    ],
)
def test_providers_go_by_other_names(theirs: str, langchain_s: str | None) -> None:
    """Whatever the case of the letters."""
    assert langchain_provider(theirs) == langchain_s


@pytest.mark.parametrize(
    ("given", "model", "made"),
    [
        ("openai", {"parameters": {"temperature": 0.5, "tools": [{"name": "x"}]}}, {"temperature": 0.5}),
        ("Bedrock:Anthropic", {"region": "eu-west-1"}, {"provider": "Anthropic", "region_name": "eu-west-1"}),
        ("bedrock", {"parameters": {"provider": "meta"}}, {"provider": "meta"}),
        ("bedrock", {}, {}),
        ("", {}, {}),
    ],
)
def test_what_the_model_is_made_of(
    given: str, model: Any, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All parameters but the tools; Bedrock's model family, whatever its case, and its region."""
    asked: list[Any] = []

    def init_chat_model(name: str, **options: Any) -> Any:
        asked.append((name, options))
        return FakeListChatModel(responses=["Hi"])

    monkeypatch.setattr(
        "ldtrack.providers.runners.langchain.importlib.import_module",
        lambda name: SimpleNamespace(init_chat_model=init_chat_model),
    )
    langchain.model_of(config(given, **model))
    assert asked == [("a-model", {"model_provider": langchain_provider(given), **made})]


def test_the_default_is_langchain_s_own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real ``init_chat_model``, with the config's name and parameters."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    made = langchain.model_of(config("openai", parameters={"temperature": 0.5}))
    assert isinstance(made, ChatOpenAI)
    assert (made.model_name, made.temperature) == ("a-model", 0.5)


async def test_an_integration_that_is_missing_is_a_reason() -> None:
    """Nobody fits, and it says which package to install."""
    flag = {"_ldMeta": {"enabled": True}, "provider": {"name": "mistralai"}, "model": {"name": "m"}}
    with pytest.raises(NoRunnerError, match=r"langchain: a package is missing \(.*langchain-mistralai"):
        await recording({"chat": flag}).ai.create_model("chat", ADA)


def chat_openai(server: FakeServer, **options: Any) -> Any:
    def make(_config: Any) -> ChatOpenAI:
        return ChatOpenAI(
            model="gpt",
            api_key=pydantic.SecretStr("none"),
            base_url="http://fake",
            http_async_client=server.client_for(openai),
            **options,
        )

    return make


async def test_usage_of_streams_is_asked_for_unless_the_model_has_decided() -> None:
    """LangChain leaves it out for every address but OpenAI's own."""
    for options, asked in (({}, {"include_usage": True}), ({"stream_usage": False}, None)):
        server = FakeServer(chat_stream("Hi"))
        model, _ = await a_model(chat_openai(server, **options))
        async for _text in model.stream("Hello"):
            pass
        assert server.requests[0].get("stream_options") == asked


async def test_tools_are_bound() -> None:
    """The config's tools, and those in the provider's own terms."""
    server = FakeServer(chat_answer("Hi"))
    own = {"type": "function", "function": {"name": "own", "description": "x", "parameters": {}}}
    flag: dict[str, Any] = {
        "tools": {"weather": {"name": "weather"}, "search": {"name": "s", "type": "mine"}},
        "model": {"name": "gpt", "parameters": {"tools": [own]}},
    }
    model, _ = await a_model(chat_openai(server), **flag)
    await model.run("Hello")
    (request,) = server.requests
    assert [tool["function"]["name"] for tool in request["tools"]] == ["weather", "s", "own"]
    with pytest.raises(MisuseError, match="cannot both call tools and fill in output_type"):
        await model.run("Hello", SCHEMA)


async def test_roles_that_langchain_has_no_class_for() -> None:
    """They are passed on by name."""
    asked: list[Any] = []

    class Listening(FakeListChatModel):
        def _call(self, messages: Any, *args: Any, **kwargs: Any) -> str:
            asked.extend(messages)
            return "Hi"

    model, _ = await a_model(lambda _config: Listening(responses=["Hi"]))
    await model.run([LDMessage("user", "a"), LDMessage("assistant", "b"), LDMessage("critic", "c")])
    assert [(part.type, getattr(part, "role", None)) for part in asked] == [
        ("human", None),
        ("ai", None),
        ("chat", "critic"),
    ]


async def test_an_empty_stream_says_nothing() -> None:
    """No chunk, no text, no tools."""

    class Silent(FakeListChatModel):
        async def astream(self, *args: Any, **kwargs: Any) -> Any:
            return
            yield

    model, _ = await a_model(lambda _config: Silent(responses=["Hi"]))
    assert [text async for text in model.stream("Hello")] == []


async def test_anthropic_s_blocks_and_forced_tool() -> None:
    """Content in blocks is joined, and the tool that holds a structured answer counts as none."""
    fill = {"type": "tool_use", "id": "t", "name": "structured_output", "input": {"city": "Bern"}}
    blocks = [{"type": "text", "text": "Good "}, {"type": "text", "text": "day"}]
    server = FakeServer(message(*blocks), message(fill), message({"type": "text", "text": "No."}))
    real = server.client_for(anthropic)

    def make(_config: Any) -> ChatAnthropic:
        chat = ChatAnthropic(model_name="claude", api_key=pydantic.SecretStr("none"), max_retries=0)  # type: ignore[call-arg]  # the rest has defaults
        client = anthropic.AsyncAnthropic(api_key="none", base_url="http://fake", http_client=real)
        object.__setattr__(chat, "_async_client", client)
        return chat

    model, _ = await a_model(make)
    assert (await model.run("Hello")).content == "Good day"
    result = await model.run("Hello", SCHEMA)
    assert (result.parsed, result.metrics.tool_calls) == ({"city": "Bern"}, ())
    result = await model.run("Hello", SCHEMA)
    assert (result.content, result.parsed, result.success) == ("No.", None, False)


async def test_a_structured_answer_that_langchain_cannot_read_has_failed() -> None:
    """What was filled in is there to read, whichever way it was wrong."""
    call = {"id": "c", "type": "function", "function": {"name": "structured_output", "arguments": '{"ci'}}

    class ByTool(ChatOpenAI):
        def with_structured_output(self, *args: Any, **options: Any) -> Any:
            return super().with_structured_output(*args, method="function_calling", **options)

    def make(_config: Any) -> ChatOpenAI:
        server = FakeServer(chat_answer(None, tool_calls=[call]))
        client = server.client_for(openai)
        key = pydantic.SecretStr("none")
        return ByTool(model="gpt", api_key=key, base_url="http://fake", http_async_client=client)

    model, _ = await a_model(make)
    result = await model.run("Hello", SCHEMA)
    assert (result.content, result.parsed, result.success) == ('{"ci', None, False)
