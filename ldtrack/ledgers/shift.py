"""What a ledger's thread does from its start to its end: gather rows, have them stored, answer.

Rule for this file: patience. Which rows go to the store now, which wait until it is back, and which have
waited long enough. It runs in the writer's thread alone.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.asked import Answer, Asked, Barrier
from ldtrack.ledgers.store import Store, UnavailableError

if TYPE_CHECKING:
    from ldtrack.ledgers.group import GroupWriter

__all__ = ["Shift"]

log: Final = logging.getLogger("ldtrack")

MAX_GROUP: Final = 4_096
"""How many rows share a commit at most."""
FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0
"""How long a store that was away is left alone, in seconds, at first and at most."""
TIDY_EVERY: Final = 60.0
"""How long the ledger goes without housekeeping while there is something to write, in seconds."""
MANY: Final = 3
"""When so many rows fail one after another, it is not the rows."""


class Shift:
    """One stretch of the thread's life."""

    def __init__(self, writer: GroupWriter, open_store: Callable[[], Store]) -> None:
        self._writer = writer
        self._open_store = open_store
        self._store: Store | None = None
        self._waiting: list[Asked] = []
        self._barriers: list[Barrier] = []
        self._pause = 0.0
        self._retry_at = 0.0
        self._is_untidy = True
        self._tidy_at = self._now() + TIDY_EVERY
        self._spool = writer.spool

    def work(self) -> None:
        """Serve until a last barrier is passed."""
        is_over = False
        while not is_over:
            is_idle = not self._gather()
            is_over = self._turn(is_idle=is_idle)

    def finish(self) -> None:
        """Serve what is asked already, without waiting for more."""
        self._take_all()
        self._turn(is_idle=False)
        self._close()

    def abandon(self) -> None:
        """In a forked child: touch nothing that is the parent's."""
        if self._store is not None:
            self._store.abandon()
        if self._spool is not None:
            self._spool.abandon()

    def _turn(self, *, is_idle: bool) -> bool:
        """Store what can be stored, answer what can be answered; whether the shift is over."""
        while self._waiting and not self._is_away():
            self._record()
        if not self._is_away() and (is_idle or self._now() >= self._tidy_at):
            self._do_chores()
        if self._waiting:
            return False
        barriers, self._barriers = self._barriers, []
        is_over = any(barrier.is_last for barrier in barriers)
        if is_over:
            self._close()
        for barrier in barriers:
            barrier.passed.set_result(True)
        return is_over

    # Gathering

    def _now(self) -> float:
        return self._writer.clock.monotonic_ns() / 1e9

    def _is_away(self) -> bool:
        return self._pause > 0 and self._now() < self._retry_at

    def _gather(self) -> bool:
        """Wait for something to do, and say whether anything came.

        While the store is away, this gathers until it is to be asked again.
        """
        patience = self._patience()
        has_come = False
        while True:
            try:
                self._take(self._writer.inbox.get(timeout=patience))
            except queue.Empty:
                return has_come
            has_come = True
            self._take_all()
            if not self._is_away():
                return True
            self._spill()
            patience = max(self._retry_at - self._now(), 0.0)

    def _patience(self) -> float | None:
        """For how many seconds nothing is to be done unless something comes; ``None`` for ever."""
        until_spool = None if self._spool is None else self._spool.patience()
        if self._pause > 0:
            is_needed = self._waiting or until_spool is not None
            return max(self._retry_at - self._now(), until_spool or 0.0, 0.0) if is_needed else None
        return FIRST_PAUSE if self._is_untidy else until_spool

    def _take_all(self) -> None:
        take = self._writer.inbox.get_nowait
        try:
            while True:
                self._take(take())
        except queue.Empty:
            pass

    def _take(self, item: Asked | Barrier) -> None:
        if isinstance(item, Barrier):
            self._barriers.append(item)
        else:
            self._waiting.append(item)

    # Recording

    def _record(self) -> None:
        group = self._waiting[:MAX_GROUP]
        try:
            answers = self._ask(group)
        except UnavailableError as error:
            self._put_off(error)
            return
        self._pause = 0.0
        self._is_untidy = True
        del self._waiting[: len(group)]
        self._writer.tell(list(zip(group, answers, strict=True)))

    def _ask(self, group: Sequence[Asked]) -> Sequence[Answer]:
        try:
            return self._opened().record([asked.row for asked in group])
        except LedgerError as error:
            if len(group) == 1:
                return [group[0].failed(error)]
            return self._ask_one_by_one(group)
        except UnavailableError:
            raise
        except Exception as error:
            log.exception("ldtrack's ledger failed in a way that it should not")
            return [asked.failed(repr(error)) for asked in group]

    def _ask_one_by_one(self, group: Sequence[Asked]) -> list[Answer]:
        """One row that cannot be stored must not take the others with it."""
        answers: list[Answer] = []
        failed: list[LedgerError] = []
        for asked in group:
            if len(failed) < MANY:
                try:
                    answers += self._opened().record([asked.row])
                    failed = []
                    continue
                except LedgerError as error:
                    failed.append(error)
            answers.append(asked.failed(failed[-1]))
        return answers

    def _opened(self) -> Store:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _put_off(self, error: UnavailableError) -> None:
        if not self._pause:
            log.warning("ldtrack cannot reach its ledger for now and will try again: %s", error)
        self._writer.last_error = str(error)
        self._pause = min(self._pause * 2, LAST_PAUSE) or FIRST_PAUSE
        self._retry_at = self._now() + self._pause
        self._spill()
        # Another try may take a third of the deadline; who could not outwait it is answered now.
        latest_ns = self._writer.clock.monotonic_ns() - int(self._writer.deadline * 1e9 * 2 / 3)
        overdue = [asked for asked in self._waiting if asked.since_ns <= latest_ns]
        if overdue:
            self._waiting = [asked for asked in self._waiting if asked.since_ns > latest_ns]
            self._writer.tell([(asked, asked.failed(error)) for asked in overdue])

    def _spill(self) -> None:
        """Keep what nobody waits for in the spool."""
        if self._spool is None:
            return
        left = self._writer.left
        quiet = [asked for asked in self._waiting if asked.is_quiet or asked.flight in left]
        if quiet and self._spool.keep([asked.row for asked in quiet]):
            kept = set(map(id, quiet))
            self._waiting = [asked for asked in self._waiting if id(asked) not in kept]
            self._writer.tell([(asked, True) for asked in quiet])

    # Chores

    def _do_chores(self) -> None:
        try:
            if self._spool is not None and self._spool.patience() == 0:
                self._spool.drain(self._opened())
                self._pause = 0.0
            if self._is_untidy:
                now_ms = int(self._writer.clock.time() * 1000)
                self._is_untidy = self._opened().tidy(now_ms)
                self._tidy_at = self._now() + TIDY_EVERY
        except UnavailableError as error:
            self._put_off(error)
        except LedgerError as error:
            self._is_untidy = False
            self._writer.last_error = str(error)
            log.warning("ldtrack could not tidy its ledger: %s", error)

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()
        if self._spool is not None:
            self._spool.close()
