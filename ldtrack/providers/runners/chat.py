"""A chat with a model, from a prompt to the answer: what the runners of chat models have in common.

Rule for this file: no provider is known here. A *dialect* knows how one is spoken to; the talk goes on until
the model has no wish that a tool of ours could fulfil. All that a run needs is in its own variables.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from ldtrack.configs.types import AIAgentConfig, AICompletionConfig, AIJudgeConfig
from ldtrack.core.finish_reasons import is_cut_short, is_filtered
from ldtrack.core.models import LDMessage
from ldtrack.core.values import LDAIMetrics
from ldtrack.exceptions import CutShortError, RoundLimitError
from ldtrack.providers.runners.tools import Toolbox, ToolRequest
from ldtrack.running import Calls, RunnerResult, Schema, Tools

__all__ = [
    "OUTPUT_NAME",
    "ChatRunner",
    "ChatRunners",
    "Dialect",
    "Said",
    "cut_short",
    "keywords_for",
    "opening_of",
    "parameters_of",
    "require_whole",
]

MAX_ROUNDS: Final = 25
"""How often a model is asked in one run, as in LaunchDarkly's SDK: longer means in circles."""

OUTPUT_NAME: Final = "structured_output"


class Said(NamedTuple):
    """What the model said in one answer."""

    text: str
    requests: tuple[ToolRequest, ...]
    message: Any
    """The answer in the provider's terms, to go on with."""
    finish_reason: str | None = None
    """In the provider's word; ``None`` if it gives none."""

    @property
    def is_cut_short(self) -> bool:
        """Whether the end is missing."""
        return is_cut_short(self.finish_reason)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing, neither cut nor filtered, so that its requests can be relied on."""
        return not is_cut_short(self.finish_reason) and not is_filtered(self.finish_reason)


class Gathering(Protocol):
    """Puts a streamed answer together."""

    def add(self, chunk: Any, /) -> str:
        """Take in one chunk; returns the text it brings, if any."""
        ...

    def said(self) -> Said:
        """What all chunks amount to."""
        ...


class Dialect(Protocol):
    """Knows how one provider is spoken to, with one config's model and parameters."""

    def opening(self, messages: Sequence[LDMessage]) -> list[Any]:
        """Messages in the provider's terms."""
        ...

    def ask(self, talk: Sequence[Any], output_type: Schema | None) -> Awaitable[Any]:
        """The whole answer; the request goes out when it is awaited."""
        ...

    def open(self, talk: Sequence[Any]) -> Any:
        """The answer as a stream, in one of the shapes that ``run.stream`` takes."""
        ...

    def gather(self, stream: Any) -> Gathering:
        """What puts the chunks of a stream together."""
        ...

    def said(self, answer: Any) -> Said:
        """What a whole answer says."""
        ...

    def results(self, results: Sequence[tuple[ToolRequest, str]]) -> list[Any]:
        """What came of tools, as messages."""
        ...


class ChatRunner:
    """Runs a config's chat model, and calls its tools where it has functions for them."""

    def __init__(self, dialect: Dialect, opening: Sequence[LDMessage], tools: Toolbox) -> None:
        self._dialect = dialect
        self._opening = tuple(opening)
        self._tools = tools

    def __repr__(self) -> str:
        return f"<ChatRunner on {type(self._dialect).__name__}>"

    async def run(
        self, input: Sequence[LDMessage], output_type: Schema | None = None, *, calls: Calls
    ) -> RunnerResult:
        """Answer what comes after the config's own messages; provider errors and cancellation pass."""
        dialect = self._dialect
        talk = dialect.opening([*self._opening, *input])
        for _ in range(MAX_ROUNDS):
            answer = await calls.call(dialect.ask(talk, output_type))
            said = dialect.said(answer)
            if not self._tools.takes(said.requests):
                return _result_of(said, answer, output_type)
            talk += await self._next(said)
        raise _too_many()

    async def stream(self, input: Sequence[LDMessage], *, calls: Calls) -> AsyncGenerator[str, None]:
        """The texts of the answer as they come, of all rounds; provider errors and cancellation pass."""
        dialect = self._dialect
        talk = dialect.opening([*self._opening, *input])
        for _ in range(MAX_ROUNDS):
            async with calls.stream(dialect.open(talk)) as chunks:
                gathering = dialect.gather(chunks)
                async for chunk in chunks:
                    text = gathering.add(chunk)
                    if text:
                        yield text
                said = gathering.said()
            if not self._tools.takes(said.requests):
                return
            talk += await self._next(said)
        raise _too_many()

    async def _next(self, said: Said) -> list[Any]:
        require_whole(said)
        results = await self._tools.use(said.requests)
        return [said.message, *self._dialect.results(list(zip(said.requests, results, strict=True)))]


def _result_of(said: Said, answer: Any, output_type: Schema | None) -> RunnerResult:
    if output_type is None or not (said.text or said.is_cut_short):
        return RunnerResult(content=said.text, raw=answer)
    parsed: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        parsed = json.loads(said.text)
    if isinstance(parsed, dict) and not said.is_cut_short:
        return RunnerResult(content=said.text, raw=answer, parsed=parsed)
    # Cut short, or never what was asked for: of no use to whoever asked, so the run has failed.
    return RunnerResult(content=said.text, raw=answer, metrics=LDAIMetrics(success=False))


def require_whole(said: Said) -> None:
    """Refuse an answer that asks for tools and may not have said all of it."""
    if said.requests and not said.is_whole:
        raise cut_short(said.finish_reason)


def cut_short(reason: str | None) -> CutShortError:
    """What to raise instead of calling tools, for an answer that ended for this reason."""
    return CutShortError(
        f"The model's answer was cut short ({reason}) while it asked for tools: none of them was called, "
        "since their arguments may be incomplete."
    )


def _too_many() -> RoundLimitError:
    return RoundLimitError(
        f"The model has been asked {MAX_ROUNDS} times in one run and still wants tools called: it probably "
        "goes in circles. Look at what the tools return."
    )


def opening_of(config: Any) -> tuple[LDMessage, ...]:
    """What stands before everything else: a config's messages, or an agent's instructions."""
    instructions = getattr(config, "instructions", None)
    if instructions:
        return (LDMessage("system", instructions),)
    return getattr(config, "messages", None) or ()


def parameters_of(config: Any) -> dict[str, Any]:
    """The model's parameters as plain data, without the tools, which are bound apart."""
    if config.model is None:
        raise ValueError("the config names no model")
    parameters = config.model.to_dict()["parameters"] or {}
    return {name: value for name, value in parameters.items() if name not in {"tools", "stream"}}


def keywords_for(method: Callable[..., Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as keywords for an SDK's method; what it has no keyword for goes into the request's body."""
    known = inspect.signature(method).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return parameters
    keywords = {name: value for name, value in parameters.items() if name in known}
    unknown = {name: value for name, value in parameters.items() if name not in known}
    if unknown:
        keywords["extra_body"] = {**unknown, **(keywords.get("extra_body") or {})}
    return keywords


class ChatRunners(ABC):
    """Makes chat runners of one dialect, for models and for agents."""

    @abstractmethod
    def _dialect(self, config: Any, toolbox: Toolbox) -> Dialect:
        """How this config's provider is spoken to; raises if its package is missing."""

    def create_model(
        self, config: AICompletionConfig | AIJudgeConfig, tools: Tools | None = None
    ) -> ChatRunner:
        """A runner for this config."""
        return self._runner(config, tools)

    def create_agent(self, config: AIAgentConfig, tools: Tools) -> ChatRunner:
        """A runner for this agent, which calls its tools itself."""
        return self._runner(config, tools)

    def _runner(self, config: Any, tools: Tools | None) -> ChatRunner:
        toolbox = Toolbox.of(config, tools)
        return ChatRunner(self._dialect(config, toolbox), opening_of(config), toolbox)
