"""An execution: what a run of a config and a run of a graph have in common.

Rule for this file: it is entered once and settled once, on whichever exit comes first. What happens in
between, and what is recorded of it, is for the runs to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import attrs

from ldtrack.core.settlement import DurationBasis
from ldtrack.core.values import OUTCOME_OF, Ending, Outcome
from ldtrack.exceptions import MisuseError
from ldtrack.tracking.claimant import Claimant
from ldtrack.tracking.run_slots import landed

if TYPE_CHECKING:
    from ldtrack.tracking.call import Call
    from ldtrack.tracking.recorder import Recorder
    from ldtrack.typing import Estimator, Flight

__all__ = ["Execution", "RunOptions"]

TrackerT = TypeVar("TrackerT", bound=Claimant[Any])


@attrs.frozen(kw_only=True)
class RunOptions:
    """How a run is measured."""

    cancelled_as: Outcome | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.instance_of(Outcome))
    )
    duration: DurationBasis = attrs.field(default="wall", validator=attrs.validators.in_(("wall", "model")))
    model_time: bool = False
    estimator: Callable[[], Estimator] | None = None

    def outcome_of(self, ending: Ending) -> Outcome:
        """What it means for the run that it ended so."""
        outcome = OUTCOME_OF[ending]
        if outcome is Outcome.CANCELLED and self.cancelled_as is not None:
            return self.cancelled_as
        return outcome


class Execution(Generic[TrackerT]):
    """Times one execution and records it when it is left."""

    __slots__ = ("_is_repeatable", "_is_settled", "_options", "_recorder", "_started_ns", "tracker")

    def __init__(
        self, tracker: TrackerT, recorder: Recorder, options: RunOptions, *, is_repeatable: bool = False
    ) -> None:
        self.tracker = tracker
        self._recorder = recorder
        self._options = options
        self._is_repeatable = is_repeatable
        self._started_ns: int | None = None
        self._is_settled = False

    async def __aenter__(self) -> Self:
        """Start the clock; there is no wait to cancel."""
        self._enter()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Settle the run, with all that is part of it, and close what is still open.

        Everything is handed to the ledger before the first wait; cancelling the wait loses nothing.
        """
        flights = self._leave(error)
        calls = self._calls_made()
        unclosed = [call for call in calls if call.source is not None and not call.source.is_spent]
        if unclosed:
            await _close_streams(unclosed, self._recorder.close_timeout, error)
        if flights:
            await landed(flights, self._recorder.settle_timeout)

    def _enter(self) -> None:
        """Take the run, of which there is one, and start the clock."""
        if not self._is_repeatable:
            self.tracker._claim_run()
        self._begin()

    def _leave(self, error: BaseException | None) -> list[Flight]:
        """End what is open, and settle; returns the claims that the ledger has yet to answer."""
        raise NotImplementedError  # pragma: no cover - every subclass says how

    def _calls_made(self) -> Sequence[Call]:
        """All model calls of the run."""
        raise NotImplementedError  # pragma: no cover - every subclass says which

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.tracker.run_id

    @property
    def parent_run_id(self) -> str | None:
        """The id of the run that this one is part of; it is never sent to LaunchDarkly."""
        return self.tracker.parent_run_id

    @property
    def resumption_token(self) -> str:
        """This run's identity as text: lets another process track the same run, within the same slots."""
        return self.tracker.resumption_token

    @property
    def _state(self) -> str:
        return "settled" if self._is_settled else "new" if self._started_ns is None else "open"

    def _begin(self) -> None:
        """Start the clock, once."""
        if self._started_ns is None:
            self._started_ns = self._recorder.clock.monotonic_ns()

    def _require_open(self, what: str) -> None:
        if self._is_settled:
            raise MisuseError(
                f"{what} was called on {self!r}, which is over: a new run needs a new tracker, from "
                "create_tracker()"
            )
        if self._started_ns is None:
            raise MisuseError(f"{what} was called on {self!r} before `async with`: enter the run first")


async def _close_streams(unclosed: Sequence[Call], timeout: float, left_by: BaseException | None) -> None:
    """Close them all within one time limit; what takes longer is left to a task.

    Cancelling the wait leaves the rest to tasks too.
    """
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
