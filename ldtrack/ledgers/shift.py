"""What a ledger's thread does from its start to its end: gather rows, have them stored, answer.

Rule for this file: which rows go to the store now, which wait until it is back, and which have waited long
enough. It runs in one thread at a time, the one on duty.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeVar

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.asked import Asking, Barrier
from ldtrack.ledgers.store import UnavailableError
from ldtrack.ledgers.trouble import Trouble

if TYPE_CHECKING:
    from ldtrack.core.row import Row
    from ldtrack.ledgers.group import GroupWriter
    from ldtrack.ledgers.store import Store

__all__ = ["Shift"]

log: Final = logging.getLogger("ldtrack")

T = TypeVar("T")

MAX_GROUP: Final = 4_096
"""How many rows share a commit at most."""
HOPELESS: Final = 16
"""When so many rows have failed one after another, it is not the rows."""
SETTLED_IN: Final = 1.0
"""After how many seconds housekeeping begins: a script is over by then."""
TIDY_EVERY: Final = 60.0
"""For how many seconds a ledger that is written goes without housekeeping."""


def _answers_of(store: Store, rows: list[Row]) -> list[bool]:
    answers = store.record(rows)
    if len(answers) != len(rows):
        raise ValueError(f"a store gave {len(answers)} answers for {len(rows)} rows")
    return answers


class Shift:
    """One stretch of the writer's life."""

    def __init__(self, writer: GroupWriter) -> None:
        self._writer = writer
        self._keeper = writer.keeper
        self._spool = writer.spool
        self._waiting: list[Asking] = []
        self._barriers: list[Barrier] = []
        self._is_leaving = False
        self._trouble: Trouble | None = None
        self._limit = MAX_GROUP
        self._failed_in_a_row = 0
        self._tidy_at: float | None = self._now() + SETTLED_IN

    def work(self) -> None:
        """Serve until told to let go."""
        is_over = False
        while not is_over:
            has_come = self._gather(self._patience())
            is_over = self._turn(is_idle=not has_come)

    def finish(self) -> None:
        """Serve what is asked already, without waiting for anything."""
        self._gather(0.0)
        self._turn(is_idle=False)
        if self._waiting:
            self._spill()
            self._fail(self._waiting, self._writer.last_error)
        self._pass_barriers()
        self._close()

    def _now(self) -> float:
        return self._writer.clock.monotonic_ns() / 1e9

    # What there is to do

    def _patience(self) -> float | None:
        """For how many seconds there is nothing to do unless something comes; ``None`` for ever."""
        spool_at = None if self._spool is None else self._spool.wanted_at
        waiting_at = 0.0 if self._waiting else None
        due = [at for at in (waiting_at, spool_at, self._tidy_at) if at is not None]
        if not due:
            return None
        not_before = 0.0 if self._trouble is None else self._trouble.retry_at
        now = self._now()
        return max(min(due), not_before, now) - now

    def _gather(self, patience: float | None) -> bool:
        """Wait for something to come, and take it with all that has come by then."""
        take = self._writer.inbox.get
        try:
            item = take(timeout=patience)
            while True:
                if isinstance(item, Barrier):
                    self._barriers.append(item)
                else:
                    self._waiting.append(item)
                item = take(block=False)
        except queue.Empty:
            return bool(self._waiting or self._barriers)

    def _turn(self, *, is_idle: bool) -> bool:
        """Store what can be stored, answer what can be answered; whether the shift is over."""
        while self._waiting and not self._is_away():
            self._record()
        if not self._is_away():
            self._bring_back()
        if not self._is_away() and self._tidy_at is not None:
            late = 0.0 if is_idle else TIDY_EVERY
            if self._now() >= self._tidy_at + late:
                self._tidy()
        return self._pass_barriers()

    def _pass_barriers(self) -> bool:
        oldest = self._waiting[0].since_ns if self._waiting else None
        passed = [one for one in self._barriers if oldest is None or oldest > one.since_ns]
        if not passed and not self._is_leaving:
            return False
        self._barriers = [one for one in self._barriers if one not in passed]
        self._is_leaving |= any(one.is_last for one in passed)
        is_over = self._is_leaving and not self._waiting
        if is_over:
            self._close()
        for one in passed:
            if one.desk is not None and one.flight is not None:
                one.desk.tell([one.flight], [True])
        return is_over

    def _ask(self, errand: Callable[[Store], T]) -> T:
        """Ask the store. Whatever it says, that it came back is a sign of life."""
        try:
            return self._keeper.ask(errand)
        finally:
            self._writer.calls += 1

    # Recording

    def _record(self) -> None:
        group = self._waiting[: self._limit]
        rows = [asked.row for asked in group]
        began = self._now()
        try:
            answers = self._ask(lambda store: _answers_of(store, rows))
        except UnavailableError as error:
            self._put_off(error, began)
        except Exception as error:  # noqa: BLE001 - whatever a store does, the thread goes on
            self._refused(group, error)
        else:
            self._recovered()
            self._failed_in_a_row = 0
            self._limit = min(self._limit * 2, MAX_GROUP)
            if self._tidy_at is None:
                self._tidy_at = self._now() + TIDY_EVERY
            del self._waiting[: len(group)]
            self._writer.tell(group, answers)

    def _refused(self, group: list[Asking], error: Exception) -> None:
        """A row that cannot be stored must not take the others with it: half as many are tried next."""
        self._recovered()
        if len(group) > 1:
            self._limit = len(group) // 2
            return
        self._failed_in_a_row += 1
        if not isinstance(error, LedgerError):
            log.error("ldtrack's ledger failed in a way that it should not: %r", error, exc_info=error)
            self._close()
        if self._failed_in_a_row < HOPELESS:
            self._fail(group, error)
        else:
            self._spill()
            self._fail(self._waiting, error)

    def _fail(self, those: list[Asking], reason: object) -> None:
        self._take_out(those)
        self._writer.tell(those, [asked.failed(reason) for asked in those])

    def _take_out(self, those: Iterable[Asking]) -> None:
        out = set(map(id, those))
        self._waiting = [asked for asked in self._waiting if id(asked) not in out]

    # A store that is away

    def _is_away(self) -> bool:
        return self._trouble is not None and self._now() < self._trouble.retry_at

    def _recovered(self) -> None:
        if self._trouble is not None:
            self._trouble = None
            log.info("ldtrack's ledger is back")

    def _put_off(self, error: UnavailableError, began: float) -> None:
        self._writer.last_error = str(error)
        if self._trouble is None:
            log.warning("ldtrack cannot reach its ledger for now and will try again: %s", error)
            self._trouble = Trouble.begun(began, self._now(), self._writer.deadline)
        else:
            self._trouble = self._trouble.gone_on(self._now())
        self._spill()
        trouble = self._trouble
        overdue = [asked for asked in self._waiting if trouble.is_too_long_for(asked.since_ns / 1e9)]
        if overdue:
            self._fail(overdue, error)

    def _spill(self) -> None:
        """Keep what nobody waits for in the spool."""
        if self._spool is not None:
            left = [asked for asked in self._waiting if asked.is_left()]
            if not left:
                return
            is_kept = self._spool.keep([asked.row for asked in left])
            self._writer.calls += 1
            if is_kept:
                self._take_out(left)
                self._writer.tell(left, [True] * len(left))

    # Chores

    def _bring_back(self) -> None:
        """Bring a portion of what is in the spool to the store, if that is due."""
        if self._spool is None:
            return
        self._spool.look()
        if self._spool.due_at is None or self._now() < self._spool.due_at:
            return
        began = self._now()
        try:
            if self._spool.drain(self._keeper):
                self._recovered()
        except UnavailableError as error:
            self._put_off(error, began)
        finally:
            self._writer.calls += 1

    def _tidy(self) -> None:
        now_ms = int(self._writer.clock.time() * 1000)
        try:
            has_more = self._ask(lambda store: store.tidy(now_ms))
            self._tidy_at = self._now() if has_more else None
        except Exception as error:  # noqa: BLE001 - as in _record
            self._writer.last_error = str(error)
            self._tidy_at = self._now() + TIDY_EVERY
            log.warning("ldtrack could not tidy its ledger up and will try again: %r", error)

    def give_up(self, error: Exception) -> None:
        """Answer everybody, after something that must not happen has: nobody else will."""
        log.error("ldtrack's ledger failed in a way that it should not", exc_info=error)
        self._fail(self._waiting, repr(error))
        self._pass_barriers()
        self._close()

    def _close(self) -> None:
        try:
            self._keeper.close()
            if self._spool is not None:
                self._spool.close()
        except Exception as error:  # noqa: BLE001 - as in _record
            log.warning("ldtrack could not close its ledger: %r", error)
