"""A run: one billed execution, however many model calls it makes.

Rule for this file: a run opens once, collects its calls, and settles once, on whichever exit comes first.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import attrs

from ldtrack.core.meter import Totals, sum_of_all
from ldtrack.core.settlement import DurationBasis, Facts
from ldtrack.core.values import OUTCOME_OF, Ending, LDAIMetrics, MetricSummary, Outcome
from ldtrack.exceptions import MisuseError
from ldtrack.tracking.call import Call, ending_of
from ldtrack.tracking.operation import result_of
from ldtrack.tracking.run_slots import landed
from ldtrack.tracking.source import Source, StreamSource
from ldtrack.tracking.stream import TrackedStream
from ldtrack.tracking.track_methods import TrackMethods
from ldtrack.typing import Flight, Reader

if TYPE_CHECKING:
    from ldtrack.core.slots import Metric
    from ldtrack.tracking.recorder import Recorder
    from ldtrack.tracking.tracker import Tracker
    from ldtrack.typing import Estimator

__all__ = ["Run", "RunOptions"]

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class RunOptions:
    """How a run is measured."""

    cancelled_as: Outcome | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.instance_of(Outcome))
    )
    duration: DurationBasis = attrs.field(default="wall", validator=attrs.validators.in_(("wall", "model")))
    model_time: bool = False
    estimator: Callable[[], Estimator] | None = None


class Run(TrackMethods):
    """Times one execution and records it when it is left. Made by ``tracker.run()``.

    What is tracked explicitly inside the block wins over what the exit would record.
    """

    __slots__ = (
        "_calls",
        "_is_alone",
        "_is_repeatable",
        "_is_settled",
        "_options",
        "_recorder",
        "_started_ns",
        "tracker",
    )

    def __init__(
        self, tracker: Tracker, recorder: Recorder, options: RunOptions, *, is_repeatable: bool = False
    ) -> None:
        self._is_repeatable = is_repeatable
        self.tracker = tracker
        self._recorder = recorder
        self._options = options
        self._calls: list[Call] = []
        self._started_ns: int | None = None
        self._is_alone = False
        self._is_settled = False

    def __repr__(self) -> str:
        state = "settled" if self._is_settled else "new" if self._started_ns is None else "open"
        return f"<Run {self.tracker.run_id}, {state}, calls={len(self._calls)}>"

    async def __aenter__(self) -> Self:
        """Start the clock; there is no wait to cancel."""
        if not self._is_repeatable:
            self.tracker._claim_run()
        self._begin()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Settle the run and close what is still open; cancelling the wait loses nothing.

        Everything is handed to the ledger before the first wait.
        """
        flights = self._settle(self._end_calls(error))
        await close_streams(self._calls, self._recorder.close_timeout, error)
        if flights:
            await landed(flights, self._recorder.settle_timeout)

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
    def run_id(self) -> str:
        """The run's id."""
        return self.tracker.run_id

    @property
    def summary(self) -> MetricSummary:
        """What has been recorded for this run so far: a snapshot that never changes."""
        return self.tracker.summary

    @property
    def resumption_token(self) -> str:
        """This run's identity as text."""
        return self.tracker.resumption_token

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

    def _begin(self) -> None:
        """Start the clock, once."""
        if self._started_ns is None:
            self._started_ns = self._recorder.clock.monotonic_ns()

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

    def _require_open(self, what: str) -> None:
        if self._is_settled:
            raise MisuseError(f"{what} was called on {self!r}, which is over: a new run needs a new tracker")
        if self._started_ns is None and not self._is_alone:
            raise MisuseError(f"{what} was called on {self!r} before `async with`: enter the run first")

    def _settle(self, ending: Ending | None) -> list[Flight]:
        """Record what the run leaves, once; returns the claims that the ledger has yet to answer."""
        if self._is_settled:
            return []
        self._is_settled = True
        if ending is None and self._calls:
            begun = [call for call in self._calls if call.has_begun]
            ending = (begun or self._calls)[-1].ending
            self.tracker._note_ending(ending)
        return self.tracker._settle(self._facts(OUTCOME_OF[ending or Ending.COMPLETED]))

    def _facts(self, outcome: Outcome) -> Facts:
        if outcome is Outcome.CANCELLED and self._options.cancelled_as is not None:
            outcome = self._options.cancelled_as
        stated = [call.stated_ms for call in self._calls]
        return Facts(
            totals=Totals.of([call.meter for call in self._calls]),
            outcome=outcome,
            started_ns=self._started_ns,
            ended_ns=self._recorder.clock.monotonic_ns(),
            duration_basis=self._options.duration,
            stated_ms=sum_of_all(stated),
        )


async def close_streams(calls: Sequence[Call], timeout: float, left_by: BaseException | None) -> None:
    """Close what is still open, all of it within one time limit; what takes longer is left to a task.

    Cancelling the wait leaves the rest to tasks too.
    """
    unclosed = [call for call in calls if call.source is not None and not call.source.is_spent]
    if not unclosed:
        return
    time = asyncio.get_running_loop().time
    until = time() + timeout
    try:
        for call in unclosed:
            if call is not unclosed[0] and time() >= until:
                break
            await call.close_source_quietly(left_by, until)
    finally:
        for call in unclosed:
            call.close_soon()


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
