"""What the runners send: every parameter, every tool, in each provider's own terms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_http import FakeServer, anthropic_client, openai_client
from ldclient import Context
from recorded import chat_answer, chat_stream, message, message_stream

from ldtrack import ManagedModel, Outcome
from ldtrack.providers.runners.anthropic import AnthropicRunners
from ldtrack.providers.runners.chat import keywords_for
from ldtrack.providers.runners.openai import OpenAIRunners
from ldtrack.testing import recording

ADA = Context.create("ada")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = {
    "weather": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "customParameters": {"owner": "team weather"},
    },
    "bare": {"name": "bare"},
    "search": {"name": "web_search", "type": "web_search_20250305", "parameters": {"max_uses": 3}},
}


async def a_model(factory: Any, **flag: Any) -> ManagedModel:
    served = {
        "_ldMeta": {"enabled": True},
        "provider": {"name": "acme"},
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "system", "content": "Be brief."}],
        **flag,
    }
    served.setdefault("model", {"name": "gpt"})
    model = await recording({"chat": served}, runners={"acme": factory}).ai.create_model("chat", ADA)
    assert model is not None
    return model


async def openai_request(*, stream: bool = False, schema: Any = None, **flag: Any) -> dict[str, Any]:
    server = FakeServer(chat_stream("Hi") if stream else chat_answer('{"city": "Bern"}'))
    model = await a_model(OpenAIRunners(openai_client(server=server)), **flag)
    if stream:
        async for _ in model.stream("Hello"):
            pass
    else:
        await model.run("Hello", schema)
    return server.requests[0]


async def anthropic_request(*, stream: bool = False, schema: Any = None, **flag: Any) -> dict[str, Any]:
    text = message({"type": "text", "text": "Hi"})
    server = FakeServer(message_stream("Hi") if stream else text)
    model = await a_model(AnthropicRunners(anthropic_client(server=server)), **flag)
    if stream:
        async for _ in model.stream("Hello"):
            pass
    else:
        await model.run("Hello", schema)
    return server.requests[0]


class TestOpenAI:
    """Chat completions."""

    @pytest.mark.parametrize("stream", [False, True])
    async def test_all_parameters_are_passed_on(self, stream: bool) -> None:
        """Those that the SDK knows, and those that only some gateway does; `stream` is ours to say."""
        parameters = {"temperature": 0.5, "seed": 7, "top_k": 40, "stream": not stream, "stop": ["."]}
        request = await openai_request(stream=stream, model={"name": "gpt", "parameters": parameters})
        assert request["model"] == "gpt"
        assert [request[name] for name in ("temperature", "seed", "top_k", "stop")] == [0.5, 7, 40, ["."]]
        assert request.get("stream", False) is stream

    async def test_usage_is_asked_for_in_streams_alone(self) -> None:
        """Unless the config says that it is not wanted; without a stream OpenAI refuses the option."""
        assert (await openai_request(stream=True))["stream_options"] == {"include_usage": True}
        unwanted = {"name": "gpt", "parameters": {"stream_options": {"include_usage": False}}}
        assert (await openai_request(stream=True, model=unwanted))["stream_options"] == {
            "include_usage": False
        }
        assert "stream_options" not in await openai_request(model=unwanted)

    async def test_tools_of_the_config(self) -> None:
        """As functions; those of another type as they are; the customer's own data is not sent."""
        assert (await openai_request(tools=TOOLS))["tools"] == [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "Tells the weather.",
                    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                },
            },
            {
                "type": "function",
                "function": {
                    "name": "bare",
                    "description": "",
                    "parameters": {"type": "object", "properties": {}},
                },
            },
            {"type": "web_search_20250305", "max_uses": 3},
        ]

    async def test_legacy_tools_of_the_model_s_parameters(self) -> None:
        """Named ones are the config's tools; those in OpenAI's own terms pass as they are, once."""
        own = {"type": "function", "function": {"name": "own", "parameters": {}}}
        double = {"type": "function", "function": {"name": "legacy"}}
        listed = [{"name": "legacy", "description": "Old."}, own, double, "nonsense"]
        request = await openai_request(model={"name": "gpt", "parameters": {"tools": listed}})
        assert [tool["function"]["name"] for tool in request["tools"]] == ["legacy", "own"]
        assert "tools" not in await openai_request(model={"name": "gpt", "parameters": {"tools": "nonsense"}})

    async def test_a_structured_answer_is_strict(self) -> None:
        """The schema as it was given."""
        request = await openai_request(schema=SCHEMA)
        assert request["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "structured_output", "schema": SCHEMA, "strict": True},
        }

    async def test_an_answer_without_choices(self) -> None:
        """Some gateways send one: there is no text, and nothing to go on with."""
        server = FakeServer({**chat_answer("x"), "choices": []})
        model = await a_model(OpenAIRunners(openai_client(server=server)))
        assert (await model.run("Hello")).content == ""

    @pytest.mark.parametrize(("text", "outcome"), [('{"city":', Outcome.ERROR), ("[1]", Outcome.ERROR)])
    async def test_a_structured_answer_of_no_use_is_a_failure(self, text: str, outcome: Outcome) -> None:
        """Cut short, or another kind of JSON: the text is there, and nothing parsed."""
        model = await a_model(OpenAIRunners(openai_client(chat_answer(text))))
        result = await model.run("Hello", SCHEMA)
        assert (result.content, result.parsed, result.success) == (text, None, False)
        assert result.metrics.outcome is outcome

    async def test_a_refusal_is_no_failure(self) -> None:
        """There is nothing to parse, and the summary says why."""
        model = await a_model(OpenAIRunners(openai_client(chat_answer(None, refusal="I'm sorry"))))
        result = await model.run("Hello", SCHEMA)
        assert (result.parsed, result.success) == (None, True)
        assert result.metrics.refused

    async def test_a_second_choice_does_not_get_into_the_text(self) -> None:
        """With n=2 only the first is the answer."""
        first, *rest = chat_stream("one")
        assert isinstance(first, dict)
        first["choices"][0]["delta"]["tool_calls"] = [{"index": 0, "id": "a custom one", "type": "custom"}]
        other = json.loads(json.dumps(rest[0]))
        other["choices"][0].update(index=1, delta={"content": "two"})
        model = await a_model(OpenAIRunners(openai_client([first, other, *rest])))
        assert [text async for text in model.stream("Hello")] == ["one"]


class TestAnthropic:
    """Messages."""

    @pytest.mark.parametrize("stream", [False, True])
    async def test_all_parameters_are_passed_on(self, stream: bool) -> None:
        """Those that the SDK knows, and those that it does not."""
        parameters = {"temperature": 0.5, "top_k": 40, "a_new_one": {"on": True}, "max_tokens": 99}
        request = await anthropic_request(stream=stream, model={"name": "claude", "parameters": parameters})
        assert request["model"] == "claude"
        sent = [request[name] for name in ("temperature", "top_k", "a_new_one", "max_tokens")]
        assert sent == [0.5, 40, {"on": True}, 99]

    async def test_the_system_s_messages_go_apart(self) -> None:
        """All of them, as one text; the others in order."""
        request = await anthropic_request()
        assert request["system"] == "Be kind.\n\nBe brief."
        assert request["messages"] == [{"role": "user", "content": "Hello"}]
        assert "system" not in await anthropic_request(messages=[])

    async def test_max_tokens_has_a_default(self) -> None:
        """The API insists on one."""
        assert (await anthropic_request())["max_tokens"] == 4096

    async def test_tools_of_the_config(self) -> None:
        """In Anthropic's terms; its own kinds of tools as they are."""
        assert (await anthropic_request(tools=TOOLS))["tools"] == [
            {
                "name": "weather",
                "description": "Tells the weather.",
                "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
            {"name": "bare", "description": "", "input_schema": {"type": "object", "properties": {}}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        ]

    async def test_a_structured_answer_is_a_tool_that_has_to_be_called(self) -> None:
        """With tools of the config beside it, one of them may come first."""
        request = await anthropic_request(schema=SCHEMA)
        assert request["tool_choice"] == {"type": "tool", "name": "structured_output"}
        assert request["tools"][0]["input_schema"] == SCHEMA
        assert (await anthropic_request(schema=SCHEMA, tools=TOOLS))["tool_choice"] == {"type": "any"}

    async def test_a_model_that_does_not_fill_it_in_has_failed(self) -> None:
        """What it said instead is there to read."""
        server = FakeServer(message({"type": "text", "text": "I would rather not."}))
        model = await a_model(AnthropicRunners(anthropic_client(server=server)))
        result = await model.run("Hello", SCHEMA)
        assert (result.content, result.parsed, result.success) == ("I would rather not.", None, False)


def test_a_method_that_takes_anything_is_given_everything() -> None:
    """A wrapped client tells nothing of its parameters, so nothing is moved into the body."""
    assert keywords_for(lambda **anything: None, {"top_k": 1}) == {"top_k": 1}
    assert keywords_for(lambda model: None, {"model": "gpt", "top_k": 1}) == {
        "model": "gpt",
        "extra_body": {"top_k": 1},
    }


def test_what_is_in_the_extra_body_already_wins() -> None:
    """The config may have one itself."""
    parameters = {"top_k": 1, "extra_body": {"top_k": 2, "more": 3}}
    sent = keywords_for(lambda extra_body: None, parameters)
    assert sent == {"extra_body": {"top_k": 2, "more": 3}}
