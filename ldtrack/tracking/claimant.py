"""A claimant: who fills the slots of one run, of a config or of a graph.

Rule for this file: which run it is, as an object and as text, and how claims are made and handed over. What
is recorded is for the trackers to say, and who was first for the slots, which all trackers of a run share.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, TypeVar

from ldtrack.core.ended import EndedRun
from ldtrack.core.events import Attribution, GraphAttribution
from ldtrack.core.slots import Claim, Metric
from ldtrack.core.values import Outcome
from ldtrack.exceptions import MisuseError
from ldtrack.ledgers.refusing import RefusingLedger
from ldtrack.tracking.run_slots import RunSlots

if TYPE_CHECKING:
    from ldclient import Context

    from ldtrack.tracking.recorder import Recorder
    from ldtrack.typing import Flight

__all__ = ["Claimant"]

AttributionT = TypeVar("AttributionT", bound=Attribution | GraphAttribution)
_new: Final = tuple.__new__


class _NotFirst:
    """Awaited, it says at once that another claim was the first."""

    def __await__(self) -> Generator[Any, Any, Literal[False]]:
        return False
        yield


_NOT_FIRST: Final = _NotFirst()


class Claimant(Generic[AttributionT]):
    """What the tracker of a config's run and that of a graph's run have in common."""

    __slots__ = ("_attribution", "_context", "_data", "_recorder", "_slots", "_token", "run_id")

    parent_run_id: str | None = None
    """The id of the run that this one is part of; it is never sent to LaunchDarkly."""

    _another_run: ClassVar[str]
    """What to do about a tracker whose run is taken."""

    def __init__(
        self, recorder: Recorder, attribution: AttributionT, context: Context, run_id: str | None = None
    ) -> None:
        if run_id is None:
            self.run_id = recorder.new_run_id()
            self._slots = RunSlots(recorder.ledger if context.valid else _refusal_of(context))
        else:
            self.run_id = run_id
            self._slots = recorder.slots_of(run_id)
        self._recorder = recorder
        self._attribution = attribution
        self._context = context
        self._data = attribution.data_of(self.run_id)
        self._token: str | None = None

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

    def _summary(self, *, is_expected: bool = False) -> Any:
        """What has been recorded for this run, or is expected to be once the ledger has answered."""
        raise NotImplementedError  # pragma: no cover - every subclass says what is in it

    def _ended(self) -> EndedRun:
        said = self._attribution
        return EndedRun(
            run_id=self.run_id,
            parent_run_id=self.parent_run_id,
            config_key=getattr(said, "config_key", ""),
            graph_key=said.graph_key,
            version=said.version,
            variation_key=said.variation_key,
            model_name=getattr(said, "model_name", ""),
            provider_name=getattr(said, "provider_name", ""),
            summary=self._summary(is_expected=True),
        )

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

    def _record_quietly(self, metric: Metric, value: object) -> Flight | None:
        """Record without waiting and without raising: what runs and streams do on their exits."""
        claim = Claim(self.run_id, metric, metric.events(self._data, value), self._context)
        return self._slots.claim_quietly(claim, value, partial(self._recorder.failed, metric.name))

    def _claim_run(self) -> None:
        """Begin the one run there can be of this tracker."""
        if not self._slots.begin_run():
            raise MisuseError(
                f"{self!r} has been run already, and a run id stands for one execution: {self._another_run}"
            )

    def _record_left(self, outcome: Outcome, todo: Iterable[tuple[Metric, object]]) -> list[Flight]:
        """Record what an ended run leaves; returns the claims that the ledger has yet to answer.

        What was tracked explicitly has filled its slot and wins.
        """
        self._slots.is_cancelled = outcome is Outcome.CANCELLED
        flights = [self._record_quietly(metric, value) for metric, value in todo]
        return [flight for flight in flights if flight is not None]


def _refusal_of(context: Context) -> RefusingLedger:
    """The ledger for runs of a context that LaunchDarkly would drop."""
    return RefusingLedger(f"its context is invalid ({context.error}), and LaunchDarkly would drop its events")
