"""The agent frameworks, whose models speak OpenAI's and Anthropic's formats.

Rule for this file: as in ``kit``. Where the framework runs tools and goes on by itself, a scene with tools
has a second model call.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

from frameworks import (
    agents_sdk_model,
    chat_calls_answer,
    langchain_anthropic_model,
    langchain_openai_model,
    loop_of_chats,
    loop_of_responses,
    message_done,
    message_start,
    of_call,
    pydantic_ai_model,
)
from recorded import chat_answer, message_text_block

from ldtrack.providers import LangChainReader, OpenAIAgentsReader, PydanticAIReader
from provider_kits.anthropic import MessagesWire
from provider_kits.kit import InMemoryKit, Kit, Scene
from provider_kits.openai import ChatWire, ResponsesWire

__all__ = ["FRAMEWORK_KITS"]

WHY = "the frameworks are a test group of their own: their lowest versions need newer SDKs than ours"


class _Framework(InMemoryKit):
    held_back = WHY
    warns = ("ignore::DeprecationWarning", "ignore:Received unexpected tool")


SILENT = "newer versions wait for a silent model before they close"
REFUSES = "its versions differ: some raise it, some hand it out"


# LangChain


class _LangChainKit(_Framework):
    needs: ClassVar[tuple[str, ...]] = ("langchain_core", "langchain_openai")
    reader = LangChainReader
    unable: ClassVar[Mapping[str, str]] = {
        "truncated": "not every model behind it gives a finish reason",
        "hanging up": "the generators inside its own are closed by the garbage collector",
    }

    def ask_stream(self, client: Any) -> Any:
        return client.astream("Hi")

    async def ask(self, client: Any) -> Any:
        return await client.ainvoke("Hi")


class LangChainChatKit(_LangChainKit, ChatWire):
    """LangChain's ``ChatOpenAI``, on chat completions."""

    name = "langchain openai chat"
    names_model_at_once = False
    unable: ClassVar = {
        **_LangChainKit.unable,
        "thoughts": "it drops the reasoning of other services",
        "refusal": "it drops the text of a refusal from streams",
    }

    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        return contextlib.nullcontext(langchain_openai_model(server=server))


class LangChainResponsesKit(_LangChainKit, ResponsesWire):
    """LangChain's ``ChatOpenAI``, on responses."""

    name = "langchain openai responses"
    names_model_at_once = False
    first_tokens: ClassVar = {"whole": 2}
    unable: ClassVar = {
        **_LangChainKit.unable,
        **ResponsesWire.unable,
        "filtered": "its versions differ: some drop the usage then",
        "error": "its versions differ: some drop the event, some raise it",
    }

    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        return contextlib.nullcontext(langchain_openai_model(server=server, use_responses_api=True))


class LangChainAnthropicKit(_LangChainKit, MessagesWire):
    """LangChain's ``ChatAnthropic``."""

    name = "langchain anthropic"
    usage_so_far = None  # it counts at the end
    first_tokens: ClassVar = {"whole": 1, "thoughts": 1, "refusal": 1}
    unable: ClassVar = {**_LangChainKit.unable, **MessagesWire.unable}
    needs = ("langchain_core", "langchain_anthropic")

    def sdk(self) -> Any:
        import anthropic

        return anthropic

    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        return contextlib.nullcontext(langchain_anthropic_model(server=server))

    def whole(self) -> Scene:
        return Scene([message_start(), *message_text_block(0, "Hel", "lo"), *self.end()], begun=3)

    def end(self, reason: str = "end_turn") -> list[Any]:
        return message_done(reason)  # it looks for all of the usage there


# Agents, which run their tools


async def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class _AgentsKit(_Framework):
    needs = ("agents",)
    reader = OpenAIAgentsReader
    tells_of_answers = False
    error_says = "overloaded"
    unable: ClassVar[Mapping[str, str]] = {
        "refusal": REFUSES,
        "filtered": "its versions differ: some raise it, of chat completions none hands it out",
        "truncated": "its versions differ: some make a whole of it, some raise it",
        "closing early": SILENT,
        "hanging up": SILENT,
    }
    responses = False

    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        import agents

        agents.set_tracing_disabled(True)  # nothing goes to OpenAI's dashboard
        agent = agents.Agent(
            name="forecaster",
            model=agents_sdk_model(server=server, responses=self.responses),
            model_settings=agents.ModelSettings(include_usage=True),
            tools=[agents.function_tool(weather)],
        )
        return contextlib.nullcontext(agent)

    def ask_stream(self, client: Any) -> Any:
        import agents

        return agents.Runner.run_streamed(client, "Hi").stream_events()

    async def ask(self, client: Any) -> Any:
        import agents

        return await agents.Runner.run(client, "Hi")

    def errors(self) -> tuple[type[Exception], ...]:
        import agents
        import openai

        return openai.APIError, agents.exceptions.AgentsException


class _ChatLoop(ChatWire):
    """An agent's loop of chat completions."""

    def tools(self) -> Scene:
        calls, said = loop_of_chats("Bern", "Rom")
        return Scene(calls, first_token=1, later=(said,))

    def answer(self) -> Scene:
        later = of_call(2, [chat_answer("Sunny")])
        return Scene([chat_calls_answer("Bern", "Rom")], later=(later,))


class _ResponsesLoop(ResponsesWire):
    """An agent's loop of responses."""

    def tools(self) -> Scene:
        calls, said = loop_of_responses("Bern", "Rom")
        return Scene(calls, first_token=1, later=(said,))

    def answer(self) -> Scene:
        calls, said = loop_of_responses("Bern", "Rom")
        answers = [calls[-1]["response"]], [said[-1]["response"]]
        return Scene(answers[0], later=answers[1:])


class AgentsChatKit(_AgentsKit, _ChatLoop):
    """OpenAI's Agents SDK, on chat completions."""

    name = "openai_agents chat"
    model = "gpt-4o"  # of chat completions it keeps what was asked
    reason = "completed"  # it makes a response of each
    first_tokens: ClassVar = {"whole": 4, "thoughts": 4, "tools": 2}


class AgentsResponsesKit(_AgentsKit, _ResponsesLoop):
    """OpenAI's Agents SDK, on responses."""

    name = "openai_agents responses"
    responses = True
    first_tokens: ClassVar = {"whole": 5, "thoughts": 2, "tools": 2}
    unable: ClassVar = {**ResponsesWire.unable, **_AgentsKit.unable}


class _PydanticAIKit(_Framework):
    needs = ("pydantic_ai", "pydantic_ai.models.openai")
    reader = PydanticAIReader
    names_model_at_once = False
    error_says = "overloaded"
    unable: ClassVar[Mapping[str, str]] = {
        "refusal": REFUSES,
        "opening": "it hands out none",
        "truncated": "it makes a whole of it",
    }
    first_tokens: ClassVar = dict.fromkeys(("whole", "thoughts", "tools"), 0)
    responses = False

    def client(self, server: Any) -> AbstractAsyncContextManager[Any]:
        import pydantic_ai

        model = pydantic_ai_model(server=server, responses=self.responses)
        return contextlib.nullcontext(pydantic_ai.Agent(model, tools=[weather]))

    def ask_stream(self, client: Any) -> Any:
        return client.run_stream_events("Hi")

    async def ask(self, client: Any) -> Any:
        return await client.run("Hi")

    def errors(self) -> tuple[type[Exception], ...]:
        import openai
        import pydantic_ai

        return openai.APIError, pydantic_ai.exceptions.AgentRunError


class PydanticAIChatKit(_PydanticAIKit, _ChatLoop):
    """Pydantic AI, on chat completions."""

    name = "pydantic_ai chat"


class PydanticAIResponsesKit(_PydanticAIKit, _ResponsesLoop):
    """Pydantic AI, on responses."""

    name = "pydantic_ai responses"
    responses = True
    unable: ClassVar = {
        **ResponsesWire.unable,
        **_PydanticAIKit.unable,
        "filtered": "its versions differ: some keep the reason to themselves",
        "error": "its versions differ: some only warn of it",
    }


FRAMEWORK_KITS: tuple[type[Kit], ...] = (
    LangChainChatKit,
    LangChainResponsesKit,
    LangChainAnthropicKit,
    AgentsChatKit,
    AgentsResponsesKit,
    PydanticAIChatKit,
    PydanticAIResponsesKit,
)
