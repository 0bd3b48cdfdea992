"""A run: one billed execution, however many model calls it makes.

Rule for this file: a run opens once, collects its calls, and settles once, on whichever exit comes first.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ldtrack.core.meter import Totals, sum_of_all
from ldtrack.core.settlement import Facts
from ldtrack.core.values import Ending, LDAIMetrics, MetricSummary, Outcome
from ldtrack.tracking.call import Call, ending_of
from ldtrack.tracking.execution import Execution, RunOptions
from ldtrack.tracking.operation import result_of
from ldtrack.tracking.source import Source, StreamSource
from ldtrack.tracking.stream import TrackedStream
from ldtrack.tracking.track_methods import TrackMethods
from ldtrack.typing import Flight, Reader

if TYPE_CHECKING:
    from ldtrack.core.slots import Metric
    from ldtrack.tracking.recorder import Recorder
    from ldtrack.tracking.tracker import Tracker
    from ldtrack.typing import Estimator

__all__ = ["Run"]

T = TypeVar("T")


class Run(Execution["Tracker"], TrackMethods):
    """Times one execution and records it when it is left. Made by ``tracker.run()``.

    What is tracked explicitly inside the block wins over what the exit would record.
    """

    __slots__ = ("_calls", "_is_alone")

    def __init__(
        self, tracker: Tracker, recorder: Recorder, options: RunOptions, *, is_repeatable: bool = False
    ) -> None:
        super().__init__(tracker, recorder, options, is_repeatable=is_repeatable)
        self._calls: list[Call] = []
        self._is_alone = False

    def __repr__(self) -> str:
        return f"<Run {self.run_id}, {self._state}, calls={len(self._calls)}>"

    def _leave(self, error: BaseException | None) -> list[Flight]:
        return self._settle(self._end_calls(error))

    def _calls_made(self) -> list[Call]:
        return self._calls

    def _end_calls(self, error: BaseException | None) -> Ending | None:
        """End what is still open; returns how the run ended, or ``None`` if its last call says so."""
        still_open = [call for call in self._calls if call.ending is None]
        if error is not None and not isinstance(error, GeneratorExit):
            ending = ending_of(error)
            for call in still_open:
                call.end(ending)
            return ending
        for call in still_open:
            call.end_closed()
        # A generator that is closed while it hands out a stream: whether anything was missed, that one knows.
        return None if error is None or still_open else Ending.CLOSED_EARLY

    @property
    def summary(self) -> MetricSummary:
        """What has been recorded for this run so far: a snapshot that never changes."""
        return self.tracker.summary

    def stream(
        self,
        source: StreamSource[T],
        *,
        first_token: Callable[[T], bool] | None = None,
        reader: Reader | None = None,
    ) -> TrackedStream[T]:
        """Wrap a provider's stream: time to first token, usage and tool calls are taken as it passes."""
        self._require_open("run.stream(...)")
        wrapped = Source(source)
        _require_lookers(first_token, reader)
        return self._attach(wrapped, first_token, reader)

    def _alone(
        self,
        source: StreamSource[T],
        *,
        first_token: Callable[[T], bool] | None = None,
        reader: Reader | None = None,
    ) -> TrackedStream[T]:
        """This run as a single stream that settles it: what ``tracker.stream`` returns."""
        wrapped = Source(source)
        _require_lookers(first_token, reader)
        self.tracker._claim_run()
        self._is_alone = True
        if wrapped.is_request_issued:
            self._begin()
        return self._attach(wrapped, first_token, reader)

    def _attach(
        self, source: Source[T], first_token: Callable[[T], bool] | None, reader: Reader | None
    ) -> TrackedStream[T]:
        call = Call(
            self,
            self._recorder,
            source,
            is_first_token=first_token,
            reader=reader,
            estimator=self._new_estimator(),
        )
        if self._options.model_time or self._recorder.idle_limit is not None:
            call.attend()
        self._calls.append(call)
        return TrackedStream(call)

    def _new_estimator(self) -> Estimator | None:
        make = self._options.estimator
        try:
            return None if make is None else make()
        except Exception as error:  # noqa: BLE001 - C5: a guess at tokens is not worth a stream
            self._recorder.failed("estimator", error)
            return None

    async def call(
        self, awaitable: Awaitable[T], extractor: Callable[[T], LDAIMetrics | None] | None = None
    ) -> T:
        """Await an answer that does not stream, and take its usage and tool calls.

        Cancelling passes to the awaitable and ends the call as cancelled; the answer or the exception
        passes unchanged.
        """
        self._require_open("run.call(...)")
        if not inspect.isawaitable(awaitable):
            raise TypeError(
                f"run.call(...) needs something to await, not {awaitable!r:.80} "
                f"({type(awaitable).__name__}): for an answer that is there already, use run.observe(answer)"
            )
        call = Call(self, self._recorder)
        self._calls.append(call)
        now = self._recorder.clock.monotonic_ns
        asked = now()
        try:
            answer = await awaitable
        except BaseException as error:
            call.meter.model_ns = now() - asked
            call.end(ending_of(error))
            raise
        call.meter.model_ns = now() - asked
        self._take(call, answer, extractor)
        return answer

    def observe(self, response: Any, extractor: Callable[[Any], LDAIMetrics | None] | None = None) -> None:
        """Take usage and tool calls from an answer that was awaited elsewhere."""
        self._require_open("run.observe(...)")
        call = Call(self, self._recorder)
        self._calls.append(call)
        self._take(call, response, extractor)

    def _take(self, call: Call, answer: Any, extractor: Callable[[Any], LDAIMetrics | None] | None) -> None:
        if extractor is None and hasattr(type(answer), "__aiter__"):
            self._recorder.hint(
                "stream in call",
                f"run.call(...) was given a stream ({type(answer).__name__}), which is not over when its "
                "call returns: use run.stream(...) to measure it",
            )
        call.take_answer(answer, extractor)
        call.end(Ending.FAILED if call.meter.failed else Ending.COMPLETED)

    def _call_ended(self, call: Call) -> None:
        """A call has ended: a run that is one stream ends with it."""
        self.tracker._note_ending(call.ending)
        if self._is_alone:
            self._settle(call.ending)

    def _record(self, metric: Metric, value: Any) -> Literal[True] | Awaitable[bool]:
        return self.tracker._record(metric, value)

    def _duplicate(self, metric: Metric) -> Literal[False]:
        return self.tracker._duplicate(metric)

    async def _record_all(self, metric: Metric, values: list[Any]) -> bool:
        return await self.tracker._record_all(metric, values)

    async def _timed(self, func: Callable[[], Any]) -> Any:
        return await self.tracker._timed(func)

    async def _measured(self, extractor: Callable[[Any], Any], func: Callable[[], Any]) -> Any:
        self._require_open("run.track_metrics_of(...)")
        return await self.call(result_of(func), extractor)

    def _settle(self, ending: Ending | None) -> list[Flight]:
        """Record what the run leaves, once; returns the claims that the ledger has yet to answer."""
        if self._is_settled:
            return []
        self._is_settled = True
        if ending is None and self._calls:
            begun = [call for call in self._calls if call.has_begun]
            ending = (begun or self._calls)[-1].ending
            self.tracker._note_ending(ending)
        flights = self.tracker._settle(self._facts(self._options.outcome_of(ending or Ending.COMPLETED)))
        self._recorder.tell(self.tracker._ended)
        return flights

    def _facts(self, outcome: Outcome) -> Facts:
        stated = [call.stated_ms for call in self._calls]
        return Facts(
            totals=Totals.of([call.meter for call in self._calls]),
            outcome=outcome,
            started_ns=self._started_ns,
            ended_ns=self._recorder.clock.monotonic_ns(),
            duration_basis=self._options.duration,
            stated_ms=sum_of_all(stated),
        )


def _require_lookers(first_token: object, reader: object) -> None:
    """Refuse, before anything is begun, what could not look at chunks."""
    if first_token is not None and not callable(first_token):
        raise TypeError(
            f"first_token must be a function that is given a chunk and says whether it counts, "
            f"not {first_token!r}"
        )
    if reader is not None and not isinstance(reader, Reader):
        raise TypeError(
            f"{reader!r} is not a reader: it needs recognises(item), read(item), wants, marks_end and "
            "usage_hint; was the class given instead of an instance?"
        )
