"""Trackers as one is tempted to write them: what the harness has to catch.

Rule for this file: nobody may use these. Each is right as long as callers take turns and nothing fails, and
each has one weakness.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Literal

from ldai.tracker import FeedbackKind, LDAIConfigTracker
from ldai.tracker import TokenUsage as OfficialUsage
from once_world import ADA, ATTRIBUTION
from step_loop import pause

from ldtrack.core.slots import DURATION, FEEDBACK, FIRST_TOKEN, OUTCOME, TOKENS, TOOL_CALL, Claim, Metric
from ldtrack.core.values import Feedback, JudgeResult, MetricSummary, TokenUsage
from ldtrack.exceptions import LedgerError
from ldtrack.testing import RecordingClient
from ldtrack.tracking.recorder import Recorder
from ldtrack.tracking.track_methods import TrackMethods

__all__ = ["CheckThenSet", "Family", "Official", "SpendsFirst", "TiesItsClaims"]


class Family:
    """Makes the trackers of one run, which share what they remember."""

    def __init__(self, kind: Callable[..., Any]) -> None:
        self._kind = kind
        self.values: dict[Metric, Any] = {}
        self.tool_calls: list[str] = []

    def __call__(self, recorder: Recorder, run_id: str | None) -> Any:
        return self._kind(self, recorder, run_id or recorder.new_run_id())


class CheckThenSet(TrackMethods):
    """Looks whether the slot is free, waits, and takes it."""

    def __init__(self, family: Family, recorder: Recorder, run_id: str) -> None:
        self._ledger = recorder.ledger
        self._family = family
        self.resumption_token = run_id

    async def _record(self, metric: Metric, value: Any) -> bool:  # type: ignore[override]  # naive
        if metric in self._family.values:
            return False
        await pause()
        if not await self._submit(metric, value):
            return False
        self._keep(metric, value)
        return True

    def _duplicate(self, metric: Metric) -> Literal[False]:
        return False

    async def _submit(self, metric: Metric, value: Any) -> bool:
        data = ATTRIBUTION.data_of(self.resumption_token)
        answer = self._ledger.submit(Claim(self.resumption_token, metric, metric.events(data, value), ADA))
        return answer if isinstance(answer, bool) else await asyncio.shield(answer)

    async def _record_all(self, metric: Metric, values: list[Any]) -> bool:
        return any([await self._record(metric, value) for value in values])

    def _keep(self, metric: Metric, value: Any) -> None:
        if metric is TOOL_CALL:
            self._family.tool_calls.append(value)
        elif metric.slot is not None:
            self._family.values[metric] = value

    @property
    def summary(self) -> MetricSummary:
        value = self._family.values.get
        return MetricSummary(
            resumption_token=self.resumption_token,
            duration_ms=value(DURATION),
            time_to_first_token=value(FIRST_TOKEN),
            tokens=value(TOKENS),
            success=value(OUTCOME),
            feedback=value(FEEDBACK),
            tool_calls=tuple(self._family.tool_calls),
        )


class SpendsFirst(CheckThenSet):
    """Takes the slot, then hands over, and does not let go of it when that fails."""

    async def _record(self, metric: Metric, value: Any) -> bool:  # type: ignore[override]  # naive
        if metric in self._family.values:
            return False
        self._keep(metric, value)
        return await self._submit(metric, value)


class TiesItsClaims(CheckThenSet):
    """Awaits the ledger's own future, so that whoever cancels the wait cancels the claim."""

    async def _record(self, metric: Metric, value: Any) -> bool:  # type: ignore[override]  # naive
        if metric in self._family.values:
            return False
        data = ATTRIBUTION.data_of(self.resumption_token)
        answer = self._ledger.submit(Claim(self.resumption_token, metric, metric.events(data, value), ADA))
        if not (answer if isinstance(answer, bool) else await answer):
            return False
        self._keep(metric, value)
        return True


class Official:
    """LaunchDarkly's own tracker, with answers: whether the slot was free when the call came."""

    def __init__(self, client: RecordingClient) -> None:
        self._inner = LDAIConfigTracker(client, "run", "chat", "warm", 3, ADA, "gpt", "openai")  # type: ignore[arg-type]  # a fake

    async def _if_free(self, field: str, method: str, *arguments: Any) -> bool:
        is_free = getattr(self._inner.get_summary(), field) is None
        try:
            getattr(self._inner, method)(*arguments)
        except OSError as error:
            raise LedgerError(str(error)) from error
        return is_free

    async def track_duration(self, ms: int) -> bool:
        return await self._if_free("duration_ms", "track_duration", ms)

    async def track_time_to_first_token(self, ms: int) -> bool:
        return await self._if_free("time_to_first_token", "track_time_to_first_token", ms)

    async def track_tokens(self, tokens: TokenUsage) -> bool:
        usage = OfficialUsage(tokens.total, tokens.input, tokens.output)
        return await self._if_free("tokens", "track_tokens", usage)

    async def track_success(self) -> bool:
        return await self._if_free("success", "track_success")

    async def track_error(self) -> bool:
        return await self._if_free("success", "track_error")

    async def track_feedback(self, feedback: Any) -> bool:
        kind = FeedbackKind(Feedback.parse(feedback).value)
        return await self._if_free("feedback", "track_feedback", {"kind": kind})

    async def track_tool_call(self, tool_key: str) -> bool:
        self._inner.track_tool_calls([tool_key])
        return True

    async def track_tool_calls(self, tool_keys: Iterable[str]) -> bool:
        self._inner.track_tool_calls(tool_keys)
        return True

    async def track_judge_result(self, result: JudgeResult) -> bool:
        self._inner.track_judge_result(result)
        return True

    @property
    def summary(self) -> MetricSummary:
        said = self._inner.get_summary()
        usage = said.tokens
        return MetricSummary(
            resumption_token=self._inner.resumption_token,
            duration_ms=said.duration_ms,
            time_to_first_token=said.time_to_first_token,
            tokens=None if usage is None else TokenUsage(usage.total, usage.input, usage.output),
            success=said.success,
            feedback=None if said.feedback is None else Feedback.parse(said.feedback),
            tool_calls=tuple(said.tool_calls or ()),
        )
