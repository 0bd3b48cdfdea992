"""The tracker: the object on which ``track_*`` is called.

Rule for this file: what is recorded of a config's run, and how to time one. How it is claimed is for
``Claimant`` to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ldtrack.core.events import Attribution
from ldtrack.core.settlement import DurationBasis, Facts, settle
from ldtrack.core.slots import (
    DURATION,
    FEEDBACK,
    FIRST_TOKEN,
    OUTCOME,
    TOKENS,
    TOOL_CALL,
    Claim,
    Metric,
)
from ldtrack.core.values import Ending, MetricSummary, Outcome
from ldtrack.tracking.claimant import Claimant
from ldtrack.tracking.execution import RunOptions
from ldtrack.tracking.operation import result_of
from ldtrack.tracking.run import Run
from ldtrack.tracking.track_methods import TrackMethods

if TYPE_CHECKING:
    from ldtrack.tracking.source import StreamSource
    from ldtrack.tracking.stream import TrackedStream
    from ldtrack.typing import Estimator, Flight, Reader

__all__ = ["Tracker"]

T = TypeVar("T")


class Tracker(Claimant[Attribution], TrackMethods):
    """Records what one run did.

    A tracker comes from ``config.create_tracker()``, with a fresh ``runId``, or from
    ``client.resume(token, context)``, with the original one. It may be used from many tasks, threads and
    loops at once.
    """

    __slots__ = ()

    _another_run = "call config.create_tracker() for another run, or make several calls inside one run"

    def __repr__(self) -> str:
        return f"<Tracker of run {self.run_id} of {self._attribution.config_key!r}>"

    @property
    def summary(self) -> MetricSummary:
        """What has been recorded for this run so far, by this process: a snapshot that never changes."""
        return self._summary()

    def _summary(self, *, is_expected: bool = False) -> MetricSummary:
        slots, totals = self._slots, self._slots.totals
        value = slots.expected if is_expected else slots.value
        return MetricSummary(
            resumption_token=self.resumption_token,
            duration_ms=value(DURATION),
            time_to_first_token=value(FIRST_TOKEN),
            tokens=value(TOKENS),
            success=value(OUTCOME),
            feedback=value(FEEDBACK),
            tool_calls=slots.expected_tool_calls if is_expected else slots.tool_calls,
            outcome=slots.outcome_of(value(OUTCOME)),
            ending=slots.ending,
            model_ms=totals.model_ms,
            finish_reason=totals.finish_reason,
            answered_by=totals.model,
            refused=totals.refused,
            parent_run_id=self.parent_run_id,
        )

    async def _timed(self, func: Callable[[], Any]) -> Any:
        now = self._recorder.clock.monotonic_ns
        started = now()
        try:
            return await result_of(func)
        finally:
            self._record_quietly(DURATION, (now() - started) // 1_000_000)

    async def _measured(self, extractor: Callable[[Any], Any], func: Callable[[], Any]) -> Any:
        async with Run(self, self._recorder, RunOptions(), is_repeatable=True) as run:
            return await run.call(result_of(func), extractor)

    def run(
        self,
        *,
        cancelled_as: Outcome | None = None,
        duration: DurationBasis = "wall",
        model_time: bool | None = None,
        estimator: Callable[[], Estimator] | None = None,
    ) -> Run:
        """Time a run: ``async with tracker.run() as run``. Single use.

        ``cancelled_as=Outcome.ERROR`` sends an error for a cancelled run, which otherwise sends neither.
        ``duration="model"`` records the time spent waiting for the provider instead of the wall time.
        ``model_time`` measures that time for streams too, at the cost of two clock readings per chunk.
        ``estimator`` makes a guess at the usage of a stream whose provider reported none.
        """
        recorder = self._recorder
        if model_time is None:
            model_time = recorder.model_time or duration == "model"
        options = RunOptions(
            cancelled_as=cancelled_as,
            duration=duration,
            model_time=model_time,
            estimator=estimator or recorder.new_estimator,
        )
        return Run(self, recorder, options)

    def stream(
        self,
        source: StreamSource[T],
        *,
        first_token: Callable[[T], bool] | None = None,
        reader: Reader | None = None,
        cancelled_as: Outcome | None = None,
        duration: DurationBasis = "wall",
        model_time: bool | None = None,
        estimator: Callable[[], Estimator] | None = None,
    ) -> TrackedStream[T]:
        """A run and a stream in one object: it opens on the first read and settles itself.

        Its clock starts when the request is issued: with an awaitable source at its first await, with an
        open one now. ``first_token`` says of a chunk whether it counts as the first token. The other
        options are those of ``run``.
        """
        run = self.run(
            cancelled_as=cancelled_as, duration=duration, model_time=model_time, estimator=estimator
        )
        return run._alone(source, first_token=first_token, reader=reader)

    async def _record_all(self, metric: Metric, values: list[Any]) -> bool:
        if not values:
            return False
        # One claim, so that the ledger takes all of them or none.
        events = [event for value in values for event in metric.events(self._data, value)]
        claim = Claim(self.run_id, metric, tuple(events), self._context)
        answer = self._slots.claim(claim, values)
        if isinstance(answer, bool):
            return answer
        assert answer is not None, "nothing queues for a metric without a slot"
        return await self._slots.waiter(answer)

    def _note_ending(self, ending: Ending | None) -> None:
        """Keep how the latest model call ended, for the summary."""
        self._slots.ending = ending

    def _settle(self, facts: Facts) -> list[Flight]:
        """Record what an ended run leaves; returns the claims that the ledger has yet to answer.

        Tool calls have no slot, so any tool call that was tracked explicitly stands for all of them.
        """
        slots, todo = self._slots, settle(facts)
        slots.totals = facts.totals
        if facts.totals.tool_calls and slots.has_tool_calls:
            todo = [(metric, value) for metric, value in todo if metric is not TOOL_CALL]
        return self._record_left(facts.outcome, todo)
