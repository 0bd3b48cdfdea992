"""The recorder: what all trackers of one client share.

Rule for this file: services and counters, no rules. It hands out clocks, ids, readers and the ledger, and
it is told of everything that went wrong while recording: counted, logged once per kind, never raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

from ldtrack.core.slots import Metric
from ldtrack.core.values import Ending
from ldtrack.exceptions import DuplicateError
from ldtrack.tracking.run_slots import RunSlots
from ldtrack.tracking.vigils import Vigils
from ldtrack.typing import Clock, Estimator, Ledger, NewRunId, Observer, Reader

if TYPE_CHECKING:
    from ldtrack.core.batch import Standing
    from ldtrack.core.ended import EndedRun
    from ldtrack.tracking.call import Call

__all__ = ["Recorder", "Stats"]

log: Final = logging.getLogger("ldtrack")

STRICT: Final = ContextVar("ldtrack_strict", default=False)
"""Whether a duplicate raises instead of returning ``False``; set by ``ldtrack.testing.strict()``."""


MAX_HINTS: Final = 1_000
"""How many different things are said at most: some of them name flags, and flags may be made up."""


def _say(text: str, *values: object) -> None:
    # A filter of the app's may raise: what is logged implicitly must not (C5).
    with contextlib.suppress(Exception):
        log.warning(text, *values)


@attrs.frozen(kw_only=True)
class Stats:
    """What a client has recorded and what went wrong: a snapshot."""

    recorded: int
    """Claims that were the first for their slot, and repeatable metrics."""
    duplicates: int
    """Explicit ``track_*`` calls whose slot was filled already."""
    failures: Mapping[str, int]
    """What failed while recording implicitly, by kind; each kind is logged once."""
    open_calls: int
    """Streams and calls that have not ended."""
    pending: int | None = None
    """Claims in the ledger that are not delivered yet, as of the last look; ``None`` if it does not tell."""
    delivered: int | None = None
    """Claims that were delivered since the ledger was made."""
    set_aside: int | None = None
    """Claims that the destination refused; they are kept with the reason."""
    spooled: int | None = None
    """Claims that wait beside a ledger that could not be reached; they come on top of the pending ones."""
    oldest_s: float | None = None
    """How many seconds ago the oldest of the pending claims was recorded."""
    last_error: str = ""
    """What last kept a claim from being recorded."""


@attrs.define(eq=False, kw_only=True)
class Recorder:
    """The services that trackers, runs and streams need."""

    ledger: Ledger
    clock: Clock
    new_run_id: NewRunId
    find_reader: Callable[[object], Reader | None]
    encode_token: Callable[..., str]
    model_time: bool = False
    idle_limit: float | None = None
    settle_timeout: float = 1.0
    close_timeout: float = 2.0
    new_estimator: Callable[[], Estimator] | None = None
    observers: tuple[Observer, ...] = ()

    duplicates: int = attrs.field(default=0, init=False)
    failures: Counter[str] = attrs.field(factory=Counter, init=False)
    open_calls: set[Call] = attrs.field(factory=set, init=False)
    _hints: set[str] = attrs.field(factory=set, init=False)
    vigils: Vigils = attrs.field(
        init=False, default=attrs.Factory(lambda self: Vigils(self._shut_down), takes_self=True)
    )
    """Who ends what is open in a loop when that loop shuts down."""
    _tasks: set[asyncio.Task[Any]] = attrs.field(factory=set, init=False)
    _unclosed: set[Call] = attrs.field(factory=set, init=False)
    _runs: weakref.WeakValueDictionary[str, RunSlots] = attrs.field(
        factory=weakref.WeakValueDictionary, init=False
    )
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False)
    """Guards the runs and the counters; re-entrant, since a finalizer may come to record something too."""

    def slots_of(self, run_id: str) -> RunSlots:
        """The slots that all trackers of this run share, for a tracker resumed from a token."""
        with self._lock:
            slots = self._runs.get(run_id)
            if slots is None:
                slots = self._runs[run_id] = RunSlots(self.ledger)
            return slots

    def share(self, run_id: str, slots: RunSlots) -> None:
        """Let trackers resumed from this run's token find its slots. Done when a token is handed out."""
        with self._lock:
            self._runs.setdefault(run_id, slots)

    def stats(self) -> Stats:
        """A snapshot of the counters."""
        standing: Standing | None = getattr(self.ledger, "last_standing", None)
        oldest_ms = None if standing is None else standing.oldest_ms
        return Stats(
            recorded=self.ledger.recorded,
            duplicates=self.duplicates,
            failures=MappingProxyType(dict(self.failures)),
            open_calls=len(self.open_calls),
            pending=None if standing is None else standing.pending,
            delivered=None if standing is None else standing.delivered,
            set_aside=None if standing is None else standing.set_aside,
            spooled=getattr(self.ledger, "spooled", None),
            oldest_s=None if oldest_ms is None else max(0.0, self.clock.time() - oldest_ms / 1000),
            last_error=getattr(self.ledger, "last_error", ""),
        )

    def duplicate(self, metric: Metric, run_id: str) -> None:
        """Note an explicit call for a slot that is filled: log the first of its kind."""
        with self._lock:
            self.duplicates += 1
        said = (
            f"the {metric.name} of run {run_id} is recorded already, so this call records nothing; "
            "a new run needs a new tracker, from create_tracker()"
        )
        if STRICT.get():
            raise DuplicateError(said)
        self.hint(f"duplicate {metric.name}", said)

    def tell(self, ended: Callable[[], EndedRun]) -> None:
        """Tell the observers, if there are any, of a run that is over."""
        for observer in self.observers:
            try:
                observer.run_ended(ended())
            except Exception as error:  # noqa: BLE001 - C5: who only watches never breaks the app
                self.failed("observer", error)

    def failed(self, kind: str, error: BaseException) -> None:
        """Note that something failed while recording implicitly: counted always, logged once per kind."""
        with self._lock:
            self.failures[kind] += 1
            is_first = self.failures[kind] == 1
        if is_first:
            _say(
                "ldtrack could not record something (%s): %r. Further failures of this kind are only "
                "counted, in stats.failures.",
                kind,
                error,
            )

    def hint(self, kind: str, text: str) -> None:
        """Say something useful, once per kind."""
        with self._lock:
            is_new = kind not in self._hints and len(self._hints) < MAX_HINTS
            if is_new:
                self._hints.add(kind)
        if is_new:
            _say("%s", text)

    async def _shut_down(self, loop: asyncio.AbstractEventLoop) -> None:
        unclosed = [call for call in list(self._unclosed) if call.loop is loop]
        self._unclosed.difference_update(unclosed)
        for call in [*self.end_open_calls(loop), *unclosed]:
            await call.close_source_quietly()

    def end_open_calls(self, loop: asyncio.AbstractEventLoop | None = None) -> list[Call]:
        """End every open call (of a loop that shuts down) as cancelled, since nobody will read on.

        Returns them: their streams are still to be closed.
        """
        calls = [call for call in list(self.open_calls) if loop is None or call.loop is loop]
        for call in calls:
            call.end(Ending.CANCELLED)
        return calls

    def end_idle_calls(self, since_ns: int) -> None:
        """End every call that nobody has asked for a chunk since then."""
        for call in list(self.open_calls):
            idle_since_ns = None if call.attendance is None else call.attendance.idle_since_ns
            if idle_since_ns is not None and idle_since_ns <= since_ns:
                call.was_idle = True
                call.close_abandoned()

    def close_in_task(self, call: Call) -> None:
        """Close an abandoned call's stream in a task that this recorder owns until it is done.

        A loop that shuts down may cancel the task before its first step: then the vigil closes.
        """
        self._unclosed.add(call)
        loop = asyncio.get_running_loop()
        self.vigils.hold(loop)
        task = loop.create_task(call.close_source_quietly())
        self._tasks.add(task)
        task.add_done_callback(partial(self._closed, call))

    def _closed(self, call: Call, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._unclosed.discard(call)
            self.vigils.release(task.get_loop())

    async def drain(self) -> None:
        """Wait for the clean-up under way; cancelling the wait cancels none of it."""
        here = asyncio.get_running_loop()
        pending = [task for task in self._tasks if task.get_loop() is here]
        if pending:
            await asyncio.wait(pending, timeout=self.close_timeout)
