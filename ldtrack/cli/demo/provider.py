"""Simulated models, which answer slowly, call tools, refuse, break off and stop short.

Rule for this file: chance decides first (``Model.draw``), then the stream acts on it. Times are those of
real models, divided by ``speed``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from itertools import chain, islice
from random import Random
from typing import Final

import attrs

from ldtrack.cli.demo.dialects import DIALECTS, Answer, Chunk, Dialect

__all__ = ["MODELS", "Model", "Provider", "ProviderError", "Script"]

TOOLS: Final = ("find_order", "check_stock")
WORDS: Final = (
    *("your ", "order ", "has ", "left ", "us ", "on ", "Tuesday ", "and ", "will ", "reach ", "you "),
    *("the ", "second ", "edition ", "is ", "in ", "print ", "again ", "we ", "keep ", "one ", "aside "),
)


class ProviderError(Exception):
    """What a provider's client raises when the provider refuses, or breaks off."""


@attrs.frozen(kw_only=True)
class Script:
    """How one call will go."""

    opens_after: float
    """Seconds until the first chunk, which says nothing yet."""
    speaks_after: float
    """Seconds from there to the first token."""
    gaps: tuple[float, ...]
    """Seconds before each further chunk, over and over."""
    answer: Answer
    is_refused: bool = False
    breaks_after: int | None = None
    """Chunks after which the connection breaks with an error."""
    stops_after: int | None = None
    """Chunks after which the stream just ends, without the finish mark."""


@attrs.frozen(kw_only=True)
class Model:
    """What a model is like."""

    first_token: float
    """Seconds, half of the time."""
    gap: float
    """Seconds between two chunks, half of the time."""
    words: tuple[int, int]
    refuses: float
    breaks: float
    stops: float
    calls_tool: float

    def draw(self, chance: Random, tokens_in: int, *, may_call_tool: bool) -> Script:
        """Decide how a call will go."""
        calls_tool = chance.random() < self.calls_tool and may_call_tool
        words = () if calls_tool else tuple(chance.choices(WORDS, k=chance.randint(*self.words)))
        tool = chance.choice(TOOLS) if calls_tool else None
        first_token = self.first_token * chance.lognormvariate(0, 0.4)
        fate, cut = chance.random(), chance.randint(2, 12)
        breaks, stops = self.refuses + self.breaks, self.refuses + self.breaks + self.stops
        return Script(
            opens_after=0.6 * first_token,
            speaks_after=0.4 * first_token,
            gaps=tuple(self.gap * chance.lognormvariate(0, 0.5) for _ in range(8)),
            answer=Answer(words=words, tool=tool, tokens_in=tokens_in, tokens_out=len(words) or 12),
            is_refused=fate < self.refuses,
            breaks_after=cut if self.refuses <= fate < breaks else None,
            stops_after=cut if breaks <= fate < stops else None,
        )


MODELS: Final[Mapping[str, Model]] = {
    "simulated-large": Model(
        first_token=0.36, gap=0.015, words=(18, 46), refuses=0.02, breaks=0.02, stops=0.01, calls_tool=0.25
    ),
    "simulated-small": Model(
        first_token=0.16, gap=0.009, words=(14, 38), refuses=0.05, breaks=0.04, stops=0.02, calls_tool=0.10
    ),
}
"""By the name that a config gives its model."""


class Provider:
    """Stands in for a provider's asynchronous client."""

    def __init__(self, chance: Random, speed: float = 1.0) -> None:
        self._chance = chance
        self._speed = speed

    async def stream(
        self, *, provider: str, model: str, prompt: str, may_call_tool: bool = True
    ) -> AsyncGenerator[Chunk, None]:
        """Issue a request and return its stream; cancelling the wait drops the request."""
        tokens_in = len(prompt.split())
        script = MODELS[model].draw(self._chance, tokens_in, may_call_tool=may_call_tool)
        await self._pass(script.opens_after)
        if script.is_refused:
            raise ProviderError("429: the provider is overloaded")
        return self._perform(script, DIALECTS[provider])

    async def _perform(self, script: Script, dialect: Dialect) -> AsyncGenerator[Chunk, None]:
        for chunk in dialect.opening(script.answer):
            yield chunk
        await self._pass(script.speaks_after)
        rest: Iterator[Chunk] = chain(dialect.content(script.answer), dialect.closing(script.answer))
        cut = script.breaks_after or script.stops_after
        for at, chunk in enumerate(islice(rest, cut)):
            await self._pass(script.gaps[at % len(script.gaps)] if at else 0)
            yield chunk
        if script.breaks_after is not None:
            raise ProviderError("the connection to the provider was reset")

    async def _pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)
