"""Runners that answer from a script, for testing code that uses managed models, agents and judges.

    runners = FakeRunners("Hello, Ada.", ConnectionError("gone"))
    rec = recording(flags, runners={"openai": runners})

Rule for this file: a fake makes its calls as the real runners do, so that what is recorded is what they would
have recorded, and passes the contract that they pass.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ldtrack.configs.types import AIAgentConfig, AICompletionConfig, AIJudgeConfig
from ldtrack.core.models import LDMessage
from ldtrack.core.values import LDAIMetrics
from ldtrack.running import Calls, RunnerResult, Schema, Tools

__all__ = ["FakeRunner", "FakeRunners"]

Answer: TypeAlias = str | Mapping[str, Any] | Exception
Messages: TypeAlias = tuple[LDMessage, ...]


class FakeRunners:
    """Makes runners for any config, which share one script.

    An answer is a text, a mapping (what a structured answer holds) or an exception, which is raised; the last
    one is given again as often as it is asked for. Or give one function that is shown the messages. The
    usage it reports is the number of words. A text that is no JSON object fails where a structured answer
    was asked for.
    """

    def __init__(self, *answers: Answer | Callable[[Messages], Answer]) -> None:
        if not answers:
            raise ValueError('FakeRunners needs at least one answer, such as FakeRunners("Hello.")')
        self.asked: list[Messages] = []
        """What the model was asked each time: the config's messages and all that follow."""
        self._answers = [*answers]

    def create_model(
        self, config: AICompletionConfig | AIJudgeConfig, tools: Tools | None = None
    ) -> FakeRunner:
        """A runner for this config."""
        return FakeRunner(self, config.messages or ())

    def create_agent(self, config: AIAgentConfig, tools: Tools) -> FakeRunner:
        """A runner for this agent, which calls no tools."""
        return FakeRunner(self, (LDMessage("system", config.instructions),) if config.instructions else ())

    def answer(self, messages: Messages) -> Answer:
        """What the script says next."""
        self.asked.append(messages)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer(messages) if callable(answer) else answer


class FakeRunner:
    """Answers for one config from the script of its factory."""

    def __init__(self, runners: FakeRunners, opening: Messages) -> None:
        self._runners = runners
        self._opening = opening

    async def run(
        self, input: Sequence[LDMessage], output_type: Schema | None = None, *, calls: Calls
    ) -> RunnerResult:
        """Give the next answer; cancelling passes."""
        answer = await calls.call(self._answer((*self._opening, *input)))
        content = answer["content"]
        if output_type is None or not content:
            return RunnerResult(content=content, raw=answer)
        parsed = _parsed(content)
        # What is not what was asked for is of no use to whoever asked, so the run has failed.
        metrics = LDAIMetrics(success=False) if parsed is None else None
        return RunnerResult(content=content, raw=answer, parsed=parsed, metrics=metrics)

    async def stream(self, input: Sequence[LDMessage], *, calls: Calls) -> AsyncGenerator[str, None]:
        """Give the next answer word by word; cancelling passes."""
        async with calls.stream(self._chunks((*self._opening, *input))) as chunks:
            async for chunk in chunks:
                if "content" in chunk:
                    yield chunk["content"]

    async def _answer(self, messages: Messages) -> dict[str, Any]:
        await asyncio.sleep(0)  # as a network would, let others go first
        answer = self._runners.answer(messages)
        if isinstance(answer, Exception):
            raise answer
        text = answer if isinstance(answer, str) else json.dumps(dict(answer))
        usage = {"input_tokens": _words_in(*(message.content for message in messages))}
        return {
            "content": text,
            "usage": {**usage, "output_tokens": _words_in(text)},
            "finish_reason": "stop",
        }

    async def _chunks(self, messages: Messages) -> AsyncIterator[dict[str, Any]]:
        answer = await self._answer(messages)
        for at, word in enumerate(answer["content"].split(" ")):
            yield {"content": word if at == 0 else f" {word}"}
            await asyncio.sleep(0)
        yield {"usage": answer["usage"], "finish_reason": "stop"}


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(text)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _words_in(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)
