"""Models of the agent frameworks, over a server in memory; see ``fake_http``.

Rule for this file: a framework is imported by the function that needs it, and none of them reports to its
makers. What is served has an id per model call, as providers have.
"""

from __future__ import annotations

import os
from typing import Any

import openai
from fake_http import Answer, FakeServer, anthropic_client, openai_client
from recorded import (
    CHAT_USAGE,
    chat_answer,
    chat_chunk,
    chat_stream,
    chat_tool_delta,
    message,
    message_end,
    message_text_block,
    message_tool_block,
    response,
    response_delta,
    response_event,
    response_function_item,
    response_stream,
)

from ldtrack import TokenUsage

os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"
os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"

JSON = dict[str, Any]

USAGE = TokenUsage(19, 12, 7, cached_input=4, reasoning=3)
"""What every one of OpenAI's answers here reports."""

ARGUMENTS = ('{"city":', '"Bern"}')


# What is served


def of_call(number: int, events: list[Any]) -> list[Any]:
    """The same stream as of another model call: with ids of its own."""
    ids = {"chatcmpl-1": f"chatcmpl-{number}", "resp_1": f"resp_{number}"}

    def renamed(event: Any) -> Any:
        if not isinstance(event, dict):
            return event
        inside = {"response": renamed(event["response"])} if isinstance(event.get("response"), dict) else {}
        return {**event, **inside, **({"id": ids.get(event["id"], event["id"])} if "id" in event else {})}

    return [renamed(event) for event in events]


def chat_calls(*cities: str, usage: Any = CHAT_USAGE) -> list[Any]:
    """A stream of chat completions that calls the weather tool for each city, at once."""
    parts = [
        delta
        for at, city in enumerate(cities)
        for delta in (
            chat_tool_delta(at, id=f"call_{city}", name="weather"),
            chat_tool_delta(at, arguments='{"city":'),
            chat_tool_delta(at, arguments=f'"{city}"}}'),
        )
    ]
    start = {"role": "assistant", "content": None}
    return [
        *map(chat_chunk, [start, *parts]),
        chat_chunk(finish_reason="tool_calls"),
        *([] if usage is None else [chat_chunk(usage=usage)]),
        "[DONE]",
    ]


def chat_calls_answer(*cities: str) -> JSON:
    """The same as one answer."""
    calls = [
        {
            "id": f"call_{city}",
            "type": "function",
            "function": {"name": "weather", "arguments": f'{{"city":"{city}"}}'},
        }
        for city in cities
    ]
    answer = chat_answer(None, tool_calls=calls)
    answer["choices"][0]["finish_reason"] = "tool_calls"
    return answer


def chat_refusal(*texts: str) -> list[Any]:
    """A stream in which the model declines."""
    start = chat_chunk({"role": "assistant", "content": None, "refusal": ""})
    said = [chat_chunk({"refusal": text}) for text in texts]
    return [start, *said, chat_chunk(finish_reason="stop"), chat_chunk(usage=CHAT_USAGE), "[DONE]"]


def response_calls(*cities: str) -> list[Any]:
    """A stream of a response that calls the weather tool for each city, at once."""
    created = response_event("created", response=response("in_progress"))
    events, done = [created], []
    for at, city in enumerate(cities):
        item = response_function_item(at, "weather") | {"call_id": f"call_{city}"}
        whole = item | {"arguments": f'{{"city":"{city}"}}', "status": "completed"}
        delta = response_delta("function_call_arguments", whole["arguments"])
        events += [
            response_event("output_item.added", output_index=at, item=item),
            delta | {"output_index": at, "item_id": item["id"]},
            response_event("output_item.done", output_index=at, item=whole),
        ]
        done.append(whole)
    return [*events, response_event("completed", response=response("completed", *done))]


def message_calls(*cities: str) -> list[Any]:
    """A stream of a message that says a word and calls the weather tool for each city."""
    tools = [
        event for at, city in enumerate(cities) for event in message_tool_block(at + 1, "weather", *ARGUMENTS)
    ]
    return [message_start(), *message_text_block(0, "Let me see."), *tools, *message_done("tool_use")]


def message_start() -> JSON:
    """How a message begins, its input counted."""
    return {"type": "message_start", "message": message(stop_reason=None)}


def message_done(stop_reason: str = "end_turn") -> list[Any]:
    """How a message ends today: with all of its counts."""
    counts = {"input_tokens": 5, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4}
    return message_end(stop_reason, **counts)


def loop_of_chats(*cities: str) -> tuple[Any, Any]:
    """What an agent's loop is served: a call of tools, then the answer."""
    return chat_calls(*cities), of_call(2, chat_stream("Sun", "ny"))


def loop_of_responses(*cities: str) -> tuple[Any, Any]:
    """The same from Responses."""
    return response_calls(*cities), of_call(2, response_stream("Sun", "ny"))


# Models


def langchain_openai_model(*answers: Answer, server: FakeServer | None = None, **options: Any) -> Any:
    """LangChain's ``ChatOpenAI`` over these answers."""
    from langchain_openai import ChatOpenAI

    given: dict[str, Any] = {
        "model": "gpt-4o",
        "api_key": "none",
        "base_url": "http://fake",
        "http_async_client": (server or FakeServer(*answers)).client_for(openai),
        "max_retries": 0,
        "stream_usage": True,
    }
    return ChatOpenAI(**given | options)


def langchain_anthropic_model(*answers: Answer, server: FakeServer | None = None) -> Any:
    """LangChain's ``ChatAnthropic`` over these answers."""
    from langchain_anthropic import ChatAnthropic

    given: dict[str, Any] = {"model": "claude-sonnet-4-20250514", "api_key": "none", "max_tokens": 99}
    model = ChatAnthropic(**given)
    # Its client is made when it is first asked for, and kept.
    model.__dict__["_async_client"] = anthropic_client(server=server or FakeServer(*answers))
    return model


def pydantic_ai_model(*answers: Answer, server: FakeServer | None = None, responses: bool = False) -> Any:
    """Pydantic AI's model of OpenAI's chat completions or responses over these answers."""
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(openai_client=openai_client(server=server or FakeServer(*answers)))
    kind = OpenAIResponsesModel if responses else OpenAIChatModel
    return kind("gpt-4o", provider=provider)


def agents_sdk_model(*answers: Answer, server: FakeServer | None = None, responses: bool = True) -> Any:
    """The Agents SDK's model of OpenAI's responses or chat completions over these answers."""
    from agents import OpenAIChatCompletionsModel, OpenAIResponsesModel

    kind = OpenAIResponsesModel if responses else OpenAIChatCompletionsModel
    return kind(model="gpt-4o", openai_client=openai_client(server=server or FakeServer(*answers)))
