"""The tracker: the object on which ``track_*`` is called.

Rule for this file: it makes claims out of metrics and leaves the decision to the run's slots, which all
trackers of a run share.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from ldtrack.core.events import Attribution
from ldtrack.core.settlement import DurationBasis, Facts
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
from ldtrack.exceptions import MisuseError
from ldtrack.ledgers.refusing import RefusingLedger
from ldtrack.tracking.operation import result_of
from ldtrack.tracking.run import Run, RunOptions
from ldtrack.tracking.run_slots import RunSlots
from ldtrack.tracking.track_methods import TrackMethods

if TYPE_CHECKING:
    from ldclient import Context

    from ldtrack.tracking.recorder import Recorder
    from ldtrack.tracking.source import StreamSource
    from ldtrack.tracking.stream import TrackedStream
    from ldtrack.typing import Estimator, Flight, Reader

__all__ = ["Tracker"]

T = TypeVar("T")


def refusal_of(context: Context) -> RefusingLedger:
    """The ledger for runs of a context that LaunchDarkly would drop."""
    return RefusingLedger(f"its context is invalid ({context.error}), and LaunchDarkly would drop its events")


_new = tuple.__new__


class _NotFirst:
    """Awaited, it says at once that another claim was the first."""

    def __await__(self) -> Generator[Any, Any, Literal[False]]:
        return False
        yield


_NOT_FIRST: Final = _NotFirst()


class Tracker(TrackMethods):
    """Records what one run did.

    A tracker comes from ``config.create_tracker()``, with a fresh ``runId``, or from
    ``client.resume(token, context)``, with the original one. It may be used from many tasks, threads and
    loops at once.
    """

    __slots__ = ("_attribution", "_context", "_data", "_recorder", "_slots", "_token", "run_id")

    parent_run_id: str | None = None
    """The id of the run that this one is part of; it is never sent to LaunchDarkly. See ``sub_run``."""

    def __init__(
        self,
        recorder: Recorder,
        attribution: Attribution,
        context: Context,
        run_id: str | None = None,
    ) -> None:
        if run_id is None:
            self.run_id = recorder.new_run_id()
            self._slots = RunSlots(recorder.ledger if context.valid else refusal_of(context))
        else:
            self.run_id = run_id
            self._slots = recorder.slots_of(run_id)
        self._recorder = recorder
        self._attribution = attribution
        self._context = context
        self._data = attribution.data_of(self.run_id)
        self._token: str | None = None

    def __repr__(self) -> str:
        return f"<Tracker of run {self.run_id} of {self._attribution.config_key!r}>"

    @property
    def resumption_token(self) -> str:
        """This run's identity as text: lets another process track the same run, within the same slots."""
        if self._token is None:
            if self._context.valid:  # else its slots refuse, which a tracker of a good context must not share
                self._recorder.share(self.run_id, self._slots)
            self._token = self._recorder.encode_token(
                self.run_id, self._attribution, self._context, self.parent_run_id
            )
        return self._token

    @property
    def summary(self) -> MetricSummary:
        """What has been recorded for this run so far, by this process: a snapshot that never changes."""
        slots, value = self._slots, self._slots.value
        totals = slots.totals
        return MetricSummary(
            resumption_token=self.resumption_token,
            duration_ms=value(DURATION),
            time_to_first_token=value(FIRST_TOKEN),
            tokens=value(TOKENS),
            success=value(OUTCOME),
            feedback=value(FEEDBACK),
            tool_calls=slots.tool_calls,
            outcome=slots.outcome(),
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

    def _claim_of(self, metric: Metric, value: Any) -> Claim:
        return Claim(self.run_id, metric, metric.events(self._data, value), self._context)

    def _record(self, metric: Metric, value: Any) -> Literal[True] | Awaitable[bool]:
        # Five times per run, so: no method look-up for what is no method, and tuple.__new__ is what
        # Claim(...) calls, without the call in between.
        events_of = metric.events
        claim = _new(Claim, (self.run_id, metric, events_of(self._data, value), self._context))
        slots = self._slots
        answer = slots.claim(claim, value)
        if answer is True:
            return True
        if answer is None:
            return slots.answer_after(claim, value)
        return _NOT_FIRST if answer is False else slots.waiter(answer)

    def _duplicate(self, metric: Metric) -> Literal[False]:
        self._recorder.duplicate(metric, self.run_id)
        return False

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

    def _record_quietly(self, metric: Metric, value: object) -> Flight | None:
        """Record without waiting and without raising: what runs and streams do on their exits."""
        return self._slots.claim_quietly(
            self._claim_of(metric, value), value, partial(self._recorder.failed, metric.name)
        )

    def _claim_run(self) -> None:
        """Begin the one run there can be of this tracker."""
        if self._slots.is_run:
            raise MisuseError(
                f"{self!r} has been run already, and a run id stands for one execution: call "
                "config.create_tracker() for another run, or make several calls inside one run"
            )
        self._slots.is_run = True

    def _note_ending(self, ending: Ending | None) -> None:
        """Keep how the latest model call ended, for the summary."""
        self._slots.ending = ending

    def _settle(self, facts: Facts, todo: list[tuple[Metric, object]]) -> list[Flight]:
        """Record what an ended run leaves; returns the claims that the ledger has yet to answer.

        What was tracked explicitly has filled its slot and wins; tool calls have no slot, so any tool
        call that was tracked explicitly stands for all of them.
        """
        slots = self._slots
        slots.totals = facts.totals
        slots.is_cancelled = facts.outcome is Outcome.CANCELLED
        if slots.has_tool_calls:
            todo = [(metric, value) for metric, value in todo if metric is not TOOL_CALL]
        flights = [self._record_quietly(metric, value) for metric, value in todo]
        return [flight for flight in flights if flight is not None]
