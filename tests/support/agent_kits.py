"""Kits for what runs agents through a framework of its own: scripted like the runners of chat models.

Rule for this file: as in ``runner_kits``; the framework's own package is in between, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import openai
from fake_http import broken_connection, openai_client
from frameworks import of_call
from recorded import response, response_event, response_function_item, response_stream, response_text_item
from runner_kits import Asks, Broken, OpenAIKit, Turn, langchain_models

from ldtrack.providers.runners.openai_agents import OpenAIAgentsRunners

__all__ = ["AGENT_KITS", "AgentsOnChat", "AgentsOnResponses", "LangGraphAgentKit"]


class AgentsOnChat(OpenAIKit):
    """OpenAI's Agents SDK on chat completions."""

    name = "openai_agents chat"
    package = "agents"

    @property
    def factory(self) -> Any:
        return OpenAIAgentsRunners(openai_client(server=self.server), responses=False)

    @property
    def asked(self) -> list[list[tuple[str, str]]]:
        return [[*said] for said in super().asked]


class AgentsOnResponses(AgentsOnChat):
    """OpenAI's Agents SDK on responses."""

    name = "openai_agents responses"

    def __init__(self, turns: Sequence[Turn], *, streams: bool = False) -> None:
        self._numbers = iter(range(1, 10_000))
        super().__init__(turns, streams=streams)

    @property
    def factory(self) -> Any:
        return OpenAIAgentsRunners(openai_client(server=self.server))

    @property
    def asked(self) -> list[list[tuple[str, str]]]:
        return [
            [
                *([("system", request["instructions"])] if request.get("instructions") else []),
                *((part.get("role", part.get("type")), _said_in(part)) for part in request["input"]),
            ]
            for request in self.server.requests
        ]

    def _answer(self, turn: Turn) -> Any:
        if isinstance(turn, Broken):
            return broken_connection(openai)
        number = next(self._numbers)
        return response("completed", *_items(turn, number)) | {"id": f"resp_{number}"}

    def _stream(self, turn: Turn) -> Any:
        if isinstance(turn, Broken):
            return [*response_stream(turn.after)[:5], broken_connection(openai)]
        number = next(self._numbers)
        if isinstance(turn, str):
            middle = len(turn) // 2
            return of_call(number, response_stream(turn[:middle], turn[middle:]))
        events = [response_event("created", response=response("in_progress"))]
        items = _items(turn, number)
        for at, item in enumerate(items):
            events += [
                response_event("output_item.added", output_index=at, item=item),
                response_event("output_item.done", output_index=at, item=item),
            ]
        return of_call(number, [*events, response_event("completed", response=response("completed", *items))])


def _said_in(part: Any) -> str:
    return str(part.get("content") or part.get("output") or "")


def _items(turn: Any, number: int) -> list[Any]:
    if not isinstance(turn, Asks):
        return [response_text_item(turn if isinstance(turn, str) else json.dumps(turn))]
    return [
        response_function_item(at, name)
        | {"call_id": f"call_{number}_{at}", "arguments": json.dumps(args), "status": "completed"}
        for at, (name, args) in enumerate(turn.calls)
    ]


class LangGraphAgentKit(OpenAIKit):
    """LangChain's ``create_agent``."""

    name = "langgraph"

    @property
    def factory(self) -> Any:
        from ldtrack.providers.runners.langgraph import LangGraphRunners

        return LangGraphRunners(langchain_models(self.server))


AGENT_KITS: tuple[type[OpenAIKit], ...] = (AgentsOnChat, AgentsOnResponses, LangGraphAgentKit)
