"""The ``track_*`` methods, which a tracker and its run have in common.

Rule for this file: validate what was given, name the metric, and leave the rest to ``_record``. Nothing is
claimed before its value is known to be good, and an empty value claims nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, overload

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
from ldtrack.core.values import Feedback, JudgeResult, LDAIMetrics, TokenUsage, key_of, whole_ms
from ldtrack.tracking.operation import require_operation

__all__ = ["FeedbackLike", "TrackMethods", "no_usage"]

T = TypeVar("T")
FeedbackLike = Feedback | Literal["positive", "negative"] | Mapping[str, Any]


def no_usage(tokens: object) -> TypeError:
    """Say what token usage is, to who gave something else."""
    return TypeError(
        f"tokens must be an ldtrack.TokenUsage, not {tokens!r} ({type(tokens).__name__}): "
        "write TokenUsage(total=..., input=..., output=...)"
    )


class TrackMethods:
    """Records one metric each. Returns whether this very call recorded it."""

    __slots__ = ()

    def _record(self, metric: Metric, value: Any) -> Literal[True] | Awaitable[bool]:
        """Claim and hand over, at once; ``True`` if that recorded it, else what tells whether it did.

        Not a coroutine: the commonest answer is known without one, and C4 wants it before any wait.
        """
        raise NotImplementedError  # pragma: no cover - every subclass says how

    def _duplicate(self, metric: Metric) -> Literal[False]:
        """Note that a call recorded nothing, since its slot is filled."""
        raise NotImplementedError  # pragma: no cover - every subclass says how

    async def _record_all(self, metric: Metric, values: list[Any]) -> bool:
        raise NotImplementedError  # pragma: no cover - every subclass says how

    async def _timed(self, func: Callable[[], Any]) -> Any:
        raise NotImplementedError  # pragma: no cover - every subclass says how

    async def _measured(self, extractor: Callable[[Any], Any], func: Callable[[], Any]) -> Any:
        raise NotImplementedError  # pragma: no cover - every subclass says how

    async def track_duration(self, duration: float) -> bool:
        """Record how long the run took, in milliseconds; ``False`` if that was recorded already.

        Cancelling the wait neither loses nor repeats the metric.
        """
        recorded = self._record(DURATION, whole_ms(duration, "duration"))
        return recorded is True or await recorded or self._duplicate(DURATION)

    async def track_time_to_first_token(self, time_to_first_token: float) -> bool:
        """Record the time to the first token, in milliseconds; ``False`` if that was recorded already.

        Cancelling the wait neither loses nor repeats the metric.
        """
        recorded = self._record(FIRST_TOKEN, whole_ms(time_to_first_token, "time_to_first_token"))
        return recorded is True or await recorded or self._duplicate(FIRST_TOKEN)

    async def track_tokens(self, tokens: TokenUsage) -> bool:
        """Record the token usage; ``False`` if it was recorded already, or is empty and spends nothing.

        Cancelling the wait neither loses nor repeats the metric.
        """
        if not isinstance(tokens, TokenUsage):
            raise no_usage(tokens)
        if tokens.is_empty:
            return False
        recorded = self._record(TOKENS, tokens)
        return recorded is True or await recorded or self._duplicate(TOKENS)

    async def track_success(self) -> bool:
        """Record that the run succeeded; ``False`` if its outcome was recorded already.

        Cancelling the wait neither loses nor repeats the metric.
        """
        recorded = self._record(OUTCOME, True)
        return recorded is True or await recorded or self._duplicate(OUTCOME)

    async def track_error(self) -> bool:
        """Record that the run failed; ``False`` if its outcome was recorded already.

        Cancelling the wait neither loses nor repeats the metric.
        """
        recorded = self._record(OUTCOME, False)
        return recorded is True or await recorded or self._duplicate(OUTCOME)

    async def track_feedback(self, feedback: FeedbackLike) -> bool:
        """Record what the user thought of the answer; ``False`` if feedback was recorded already.

        Cancelling the wait neither loses nor repeats the metric.
        """
        recorded = self._record(FEEDBACK, Feedback.parse(feedback))
        return recorded is True or await recorded or self._duplicate(FEEDBACK)

    async def track_tool_call(self, tool_key: str) -> bool:
        """Record one tool call; every call is recorded.

        Cancelling the wait neither loses nor repeats the metric.
        """
        recorded = self._record(TOOL_CALL, key_of(tool_key, "tool_key"))
        return recorded is True or await recorded or self._duplicate(TOOL_CALL)

    async def track_tool_calls(self, tool_keys: Iterable[str]) -> bool:
        """Record several tool calls, all of them or, if one is not a key, none; ``False`` for none at all.

        They are handed over together before the first wait; cancelling the wait neither loses nor
        repeats any.
        """
        if isinstance(tool_keys, str | bytes):
            raise TypeError(
                f"tool_keys must be several keys, not the text {tool_keys!r}: write [{tool_keys!r}]"
            )
        return await self._record_all(TOOL_CALL, [key_of(key, "each of tool_keys") for key in tool_keys])

    async def track_judge_result(self, judge_result: JudgeResult) -> bool:
        """Record one judge's score; ``False`` if the result has none to record.

        Cancelling the wait neither loses nor repeats the metric.
        """
        if not isinstance(judge_result, JudgeResult):
            raise TypeError(
                f"judge_result must be an ldtrack.JudgeResult, not {judge_result!r} "
                f"({type(judge_result).__name__})"
            )
        if not judge_result.is_scored:
            return False
        recorded = self._record(JUDGE_SCORE, judge_result)
        return recorded is True or await recorded or self._duplicate(JUDGE_SCORE)

    @overload
    async def track_duration_of(self, func: Callable[[], Awaitable[T]]) -> T: ...
    @overload
    async def track_duration_of(self, func: Callable[[], T]) -> T: ...
    async def track_duration_of(self, func: Callable[[], Any]) -> Any:
        """Call a function, await what it returns if it is awaitable, and record how long that took.

        The duration is recorded on every exit, cancellation included; the result or the exception of the
        function passes unchanged.
        """
        require_operation(func, "track_duration_of")
        return await self._timed(func)

    @overload
    async def track_metrics_of(
        self, extractor: Callable[[T], LDAIMetrics | None], func: Callable[[], Awaitable[T]]
    ) -> T: ...
    @overload
    async def track_metrics_of(
        self, extractor: Callable[[T], LDAIMetrics | None], func: Callable[[], T]
    ) -> T: ...
    async def track_metrics_of(self, extractor: Callable[[Any], Any], func: Callable[[], Any]) -> Any:
        """Call a function, await what it returns if it is awaitable, and record what the extractor reads.

        On a run it is one of the run's calls, recorded with the others when the run is left. Cancellation
        is recorded as the outcome and passes on; the result or the exception of the function passes
        unchanged, whatever the extractor does.
        """
        require_operation(func, "track_metrics_of")
        return await self._measured(extractor, func)
