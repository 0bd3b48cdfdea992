"""Rows in a SQLite file.

Rule for this file: a store's calls, each one statement or one transaction. What has to happen together is
written in ``schema``; what may go wrong with a file, in ``file`` and ``faults``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from ldtrack import ids
from ldtrack.core.batch import Aside, Batch, Standing
from ldtrack.core.row import Row
from ldtrack.ledgers.sqlite import statements as sql
from ldtrack.ledgers.sqlite.file import DatabaseFile
from ldtrack.ledgers.sqlite.housekeeping import Housekeeping
from ldtrack.ledgers.sqlite.opening import Options, Synchronous
from ldtrack.typing import Clock

__all__ = ["SQLiteStore"]

YEAR_AND_A_BIT: Final = 400 * 86_400.0


class SQLiteStore:
    """A store in one file, which several threads and processes may have open at once.

    The file is opened by the first call. ``synchronous`` is ``"FULL"``: what was recorded survives the loss
    of power; or ``"NORMAL"``: it survives the end of the process, and of the operating system only from the
    next checkpoint on. ``busy_timeout``: how long to wait for other processes, in seconds. ``keep_claims``:
    for how long a slot stays filled, in seconds; at least as long as tokens are used. ``read_only`` is for
    viewers: nothing is written, and nothing waits.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "FULL",
        busy_timeout: float = 10.0,
        keep_claims: float = YEAR_AND_A_BIT,
        clock: Clock | None = None,
        new_payload_id: Callable[[], str] = ids.new_payload_id,
        read_only: bool = False,
    ) -> None:
        if synchronous not in ("FULL", "NORMAL"):
            raise ValueError(f"synchronous must be 'FULL' or 'NORMAL', got {synchronous!r}")
        if not os.fspath(path) or os.fspath(path) == ":memory:":
            raise ValueError(f"a SQLite ledger needs the path of a file, got {os.fspath(path)!r}")
        if keep_claims <= 0:
            raise ValueError(f"keep_claims must be positive, got {keep_claims!r}")
        if busy_timeout < 0:
            raise ValueError(f"busy_timeout must not be negative, got {busy_timeout!r}")
        options = Options(synchronous=synchronous, busy_timeout=busy_timeout, is_read_only=read_only)
        self._file = DatabaseFile(Path(path), options)
        self._clock = clock or ids.SystemClock()
        self._new_payload_id = new_payload_id
        self._housekeeping = Housekeeping(self._file, keep_ms=int(keep_claims * 1000))

    # Recording

    def record(self, rows: Sequence[Row]) -> list[bool]:
        """Store those rows that are the first for their run and place, all in one step."""
        if not rows:
            return []
        first = self._file.run(partial(sql.record, rows=rows))
        self._housekeeping.after_record()
        return first

    # The relay's side

    def lease(self, owner: str, limit: int, max_chars: int, seconds: float) -> Batch | None:
        """Take a batch on loan: a stored one whose loan has run out or that is due again, or a new one."""
        if limit < 1:
            raise ValueError(f"a batch has at least one row, got limit={limit!r}")
        lent = self._terms(owner, seconds)
        lent |= {"limit": limit, "max_chars": max_chars, "payload_id": self._new_payload_id()}
        return self._file.run(partial(sql.lease, lent=lent))

    def delivered(self, batch: Batch) -> None:
        """Delete the batch and its rows, and count them; their claims stay. Nothing if it is gone."""
        self._change(sql.DELIVERED, batch, {"now": self._now_ms()})

    def postpone(self, batch: Batch, owner: str, seconds: float) -> None:
        """Give the batch back; nobody takes it before so long. Nothing if the loan was lost."""
        self._change(sql.POSTPONE, batch, self._terms(owner, seconds))

    def hasten(self, seconds: float) -> None:
        """Make due what was postponed at least so long ago. What is on loan stays on loan."""
        now = self._now_ms()
        self._ask(sql.HASTEN, {"now": now, "since": now - int(seconds * 1000)})

    def split(self, batch: Batch, owner: str, seconds: float) -> tuple[Batch, Batch] | None:
        """Halve the batch into two on loan to the same owner; ``None`` if the loan was lost."""
        half = len(batch.bodies) // 2
        if not half:
            raise ValueError("a batch of one row cannot be split")
        lent = self._terms(owner, seconds) | _key_of(batch) | {"half": half}
        ids = self._new_payload_id(), self._new_payload_id()
        return self._file.run(partial(sql.split, lent=lent, new_payload_ids=ids))

    def rows_of(self, batch: Batch) -> list[Row]:
        """The batch's rows as they were recorded; none if the batch is gone."""
        return [Row(*row) for row in self._ask(sql.ROWS_OF, _key_of(batch))]

    # What was refused

    def set_aside(self, batch: Batch, reason: str) -> None:
        """Move the batch's rows to those that were refused. Nothing if it is gone."""
        self._change(sql.REFUSED, batch, {"now": self._now_ms(), "reason": reason})

    def aside(self, limit: int) -> list[Aside]:
        """The rows that were refused, oldest first."""
        return [
            Aside(run_id=run_id, body=body, reason=reason, at_ms=at_ms, aside_ms=aside_ms)
            for run_id, body, reason, at_ms, aside_ms in self._ask(sql.ASIDE, (limit,))
        ]

    def retry_aside(self) -> int:
        """Make the refused rows pending again; returns how many."""
        return self._clear_aside(is_retry=True)

    def discard_aside(self) -> int:
        """Delete the refused rows; their claims stay. Returns how many."""
        return self._clear_aside(is_retry=False)

    def _clear_aside(self, *, is_retry: bool) -> int:
        cleared, last = 0, 0
        [(end,)] = self._ask(sql.LAST_ASIDE)
        while end is not None and last < end:
            last, count = self._file.run(partial(sql.clear_aside, end=end, is_retry=is_retry))
            cleared += count
        return cleared

    # How it stands, and housekeeping

    def standing(self) -> Standing:
        """How much is waiting, and since when; as quick with millions waiting as with none."""
        [(last, gone, delivered, set_aside, first, oldest_ms)] = self._ask(sql.STANDING)
        return Standing(
            pending=last - gone,
            set_aside=set_aside,
            delivered=delivered,
            oldest_ms=oldest_ms,
            first=first,
            last=last,
        )

    def tidy(self, now_ms: int) -> bool:
        """Do one short step of housekeeping; returns whether there is more to do."""
        return self._housekeeping.step(now_ms)

    def vacuum(self) -> None:
        """Give all room that is not used back to the file system, in steps between which others write."""
        self._housekeeping.vacuum()

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        self._file.close()

    def abandon(self) -> None:
        """In a forked child: forget the parent's connection without touching it."""
        self._file.abandon()

    # Asking the file

    def _now_ms(self) -> int:
        return int(self._clock.time() * 1000)

    def _terms(self, owner: str, seconds: float) -> dict[str, Any]:
        now = self._now_ms()
        return {"owner": owner, "now": now, "until": now + int(seconds * 1000)}

    def _ask(
        self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        return self._file.run(partial(sql.fetch, statement=statement, parameters=parameters))

    def _change(self, statement: str, batch: Batch, parameters: Mapping[str, Any]) -> None:
        self._ask(statement, {**parameters, **_key_of(batch)})


def _key_of(batch: Batch) -> dict[str, Any]:
    return {"id": int(batch.id), "payload_id": batch.payload_id}
