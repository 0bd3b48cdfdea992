"""What is asked of a tracker in a schedule: every ``track_*``, good and bad calls, runs and streams.

Rule for this file: one class per way of asking. An ask says which slots it means to fill and with what; what
became of it is noted by whoever performs it.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import attrs
from step_loop import pause

from ldtrack.core.slots import (
    DURATION,
    FEEDBACK,
    FIRST_TOKEN,
    JUDGE_SCORE,
    OUTCOME,
    TOKENS,
    TOOL_CALL,
    Metric,
)
from ldtrack.core.values import Feedback, JudgeResult, LDAIMetrics, TokenUsage

__all__ = ["BAD_CALLS", "Bad", "Boom", "Empty", "Explicit", "Implicit", "explicit_call"]


class Boom(Exception):
    """What the user's own code raises."""


@attrs.frozen
class Explicit:
    """One good call of a ``track_*`` that records one metric."""

    metric: Metric
    method: str
    argument: Any = None

    async def perform(self, tracker: Any) -> Any:
        method = getattr(tracker, self.method)
        return await (method() if self.argument is None else method(self.argument))

    @property
    def facts(self) -> list[tuple[Metric, Any]]:
        """What it records, in the form in which events are read back: see ``once.read_back``."""
        match self.method:
            case "track_success":
                return [(OUTCOME, True)]
            case "track_error":
                return [(OUTCOME, False)]
            case "track_tokens":
                return [(TOKENS, (self.argument.total, self.argument.input, self.argument.output))]
            case "track_feedback":
                return [(FEEDBACK, Feedback.parse(self.argument))]
            case "track_tool_calls":
                return [(TOOL_CALL, key) for key in self.argument]
            case "track_judge_result":
                return [(JUDGE_SCORE, self.argument.metric_key)]
        return [(self.metric, self.argument)]


def explicit_call(method: str, number: int) -> Explicit:
    """A good call whose value nobody else uses, as far as the metric has that many."""
    odd = number % 2 == 1
    scored = JudgeResult(sampled=True, success=True, metric_key=f"judge-{number}", score=0.5)
    arguments = {
        "track_duration": (DURATION, 1000 + number),
        "track_time_to_first_token": (FIRST_TOKEN, 1000 + number),
        "track_tokens": (TOKENS, TokenUsage(input=1000 + number, output=number % 2)),
        "track_success": (OUTCOME, None),
        "track_error": (OUTCOME, None),
        "track_feedback": (FEEDBACK, {"kind": "positive"} if odd else "negative"),
        "track_tool_call": (TOOL_CALL, f"tool-{number}"),
        "track_tool_calls": (TOOL_CALL, [f"tool-{number}-{at}" for at in range(1 + number % 3)]),
        "track_judge_result": (JUDGE_SCORE, scored),
    }
    metric, argument = arguments[method]
    return Explicit(metric, method, argument)


EXPLICIT = (
    "track_duration",
    "track_time_to_first_token",
    "track_tokens",
    "track_success",
    "track_error",
    "track_feedback",
    "track_tool_call",
    "track_tool_calls",
    "track_judge_result",
)
"""Every ``track_*`` that records what it is given."""
ONCE = EXPLICIT[:6]
"""Those of them that record once."""


@attrs.frozen
class Bad:
    """A call with a wrong type or value: it raises and spends nothing."""

    method: str
    argument: Any
    facts: ClassVar[list[tuple[Metric, Any]]] = []

    async def perform(self, tracker: Any) -> Any:
        return await getattr(tracker, self.method)(self.argument)


BAD_CALLS = tuple(
    Bad(method, argument)
    for method, arguments in {
        "track_duration": (-1, math.nan, math.inf, True, "12", None),
        "track_time_to_first_token": (-0.5, -math.inf, False, "12", None),
        "track_tokens": (None, 7, {"total": 7}, TokenUsage),
        "track_feedback": ("mixed", {}, {"kind": 1}, True, None, 1),
        "track_tool_call": ("", None, 3),
        "track_tool_calls": ("search", ["good", ""], ["good", None], 7),
        "track_judge_result": (None, 0.5, {"score": 0.5}),
        "track_duration_of": (None, 7, "func"),
    }.items()
    for argument in arguments
)


@attrs.frozen
class Empty:
    """A call with nothing to report: it returns ``False`` and spends nothing."""

    at: int
    facts: ClassVar[list[tuple[Metric, Any]]] = []

    async def perform(self, tracker: Any) -> Any:
        calls = (
            (tracker.track_tokens, TokenUsage(cached_input=1)),
            (tracker.track_tool_calls, []),
            (tracker.track_judge_result, JudgeResult(sampled=True)),
        )
        method, argument = calls[self.at % len(calls)]
        return await method(argument)


class _Chunks:
    """A provider's stream that takes a moment for each chunk."""

    def __init__(self, chunks: int, *, fails: bool) -> None:
        self._left = chunks
        self._fails = fails

    def __aiter__(self) -> AsyncIterator[str]:
        return self  # type: ignore[return-value]  # it has __anext__

    async def __anext__(self) -> str:
        await pause()
        if self._left == 0:
            if self._fails:
                raise Boom
            raise StopAsyncIteration
        self._left -= 1
        return "chunk"

    async def aclose(self) -> None:
        await pause()


@attrs.define
class Implicit:
    """Something that records on its exit: a run, a stream, a timed or a measured function."""

    kind: str
    moments: int = 1
    """How long it takes: how often others get to go first."""
    fails: bool = False
    stops_early: bool = False
    is_over: bool = attrs.field(default=False, init=False)
    """Whether it has left, in whichever way."""
    facts: list[tuple[Metric, Any]] = attrs.field(factory=list, init=False)
    """What it means to record, as far as it has come; ``...`` where the value is the clock's."""

    async def perform(self, tracker: Any) -> Any:
        try:
            await getattr(self, f"_{self.kind}")(tracker)
        finally:
            self.is_over = True

    async def _work(self) -> str:
        for _ in range(self.moments):
            await pause()
        if self.fails:
            raise Boom
        return "done"

    async def _timed(self, tracker: Any) -> None:
        self.facts.append((DURATION, ...))
        assert await tracker.track_duration_of(self._work) == "done"

    async def _measured(self, tracker: Any) -> None:
        def read(_: object) -> LDAIMetrics:
            self.facts += [(OUTCOME, True), (TOKENS, (3, 1, 2))]
            return LDAIMetrics(tokens=TokenUsage(3, 1, 2), tool_calls=("measured",))

        self.facts.append((DURATION, ...))
        try:
            assert await tracker.track_metrics_of(read, self._work) == "done"
        except Boom:
            self.facts.append((OUTCOME, False))
            raise

    async def _run(self, tracker: Any) -> None:
        async with tracker.run():
            self.facts.append((DURATION, ...))
            try:
                await self._work()
            except Boom:
                self.facts.append((OUTCOME, False))
                raise
            self.facts.append((OUTCOME, True))

    async def _stream(self, tracker: Any) -> None:
        stream = tracker.stream(_Chunks(self.moments, fails=self.fails))
        self.facts.append((DURATION, ...))
        try:
            async for _ in stream:
                if (FIRST_TOKEN, ...) not in self.facts:
                    self.facts.append((FIRST_TOKEN, ...))
                if self.stops_early:
                    await stream.aclose()
                    return
        except Boom:
            self.facts.append((OUTCOME, False))
            raise
        self.facts.append((OUTCOME, True))
