"""Rows in PostgreSQL.

Rule for this file: a store's calls, each one statement where it can be. What they say is in ``statements``;
what may go wrong on the way, in ``session`` and ``faults``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ldtrack import ids
from ldtrack.core.batch import Aside, Batch, Standing
from ldtrack.core.row import Row
from ldtrack.ledgers.postgres import statements as sql
from ldtrack.ledgers.postgres.front import Front
from ldtrack.ledgers.postgres.housekeeping import Housekeeping
from ldtrack.ledgers.postgres.keys import key_of, storable
from ldtrack.ledgers.postgres.migrating import migrate
from ldtrack.ledgers.postgres.schema import check_schema, qualify
from ldtrack.ledgers.postgres.session import Connection, Session

if TYPE_CHECKING:
    from ldtrack.typing import Clock

__all__ = ["YEAR_AND_A_BIT", "PostgresStore"]

YEAR_AND_A_BIT: Final = 400 * 86_400.0
_ASIDE_AT_ONCE: Final = 2_000
"""How many refused rows are moved by one statement, so that it ends in time."""


class PostgresStore:
    """A store in a schema of a PostgreSQL database, which any number of hosts may use at once.

    The first call connects and makes what tables are missing. Every call comes back within ``timeout``
    seconds or little more, whatever the server or the network does. ``keep_claims``: for how long a slot
    stays filled, in seconds; at least as long as tokens are used. Loans are timed by the server's clock;
    ``clock`` replaces it in tests.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "ldtrack",
        timeout: float = 5.0,
        keep_claims: float = YEAR_AND_A_BIT,
        clock: Clock | None = None,
        new_payload_id: Callable[[], str] = ids.new_payload_id,
    ) -> None:
        if keep_claims <= 0:
            raise ValueError(f"keep_claims must be positive, got {keep_claims!r}")
        if timeout <= 0:
            raise ValueError(f"timeout must be positive, got {timeout!r}")
        self._schema = check_schema(schema)
        self._session = Session(dsn, timeout=timeout, prepare=lambda new: migrate(new, schema))
        self._clock = clock
        self._new_payload_id = new_payload_id
        self._housekeeping = Housekeeping(schema, keep_ms=int(keep_claims * 1000))
        self._front = Front(time.monotonic)
        self._teller = random.SystemRandom().randrange(1, 1 << 62)

    def _run(self, connection: Connection, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return connection.rows(qualify(statement, self._schema), parameters)

    def _ask(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self._session as connection:
            return self._run(connection, statement, **parameters)

    def _now(self) -> int | None:
        return None if self._clock is None else int(self._clock.time() * 1000)

    # Recording

    def record(self, rows: Sequence[Row]) -> list[bool]:
        """Store those rows that are the first for their run and place, all in one step."""
        if not rows:
            return []
        keys = [(key_of(row.run_id), row.place) for row in rows]
        firsts: dict[tuple[str, int], int] = {}
        for at, key in enumerate(keys):
            firsts.setdefault(key, at)
        # In one order everywhere: see the statement.
        asked = [(at, key[0], rows[at]) for key, at in sorted(firsts.items())]
        with self._session as connection:
            [(won,)] = self._run(connection, sql.RECORD, teller=self._teller, **_columns(asked))
            held = {keys[at]: rows[at].claimant for at in won or ()}
            open_keys = [key for key in firsts if key not in held]
            if open_keys:
                runs, places = zip(*open_keys, strict=True)
                asked_for = {"run": list(runs), "place": list(places), "is_open": not won}
                found = self._run(connection, sql.HOLDERS, teller=self._teller, **asked_for)
                held.update({(run, place): claimant for run, place, claimant in found})
        return [held.get(key) == row.claimant for key, row in zip(keys, rows, strict=True)]

    # The relay's side

    def lease(self, owner: str, limit: int, max_chars: int, seconds: float) -> Batch | None:
        """Take a batch on loan: a stored one whose loan has run out or that is due again, or a new one."""
        if limit < 1:
            raise ValueError(f"a batch has at least one row, got limit={limit!r}")
        lent = {"owner": storable(owner), "for_ms": int(seconds * 1000), "now": self._now()}
        with self._session as connection:
            self._find_front(connection)
            for found in self._run(connection, sql.TAKE_OVER, low=self._front.batches, **lent):
                return _batch_of(*found)
            new = {"payload_id": self._new_payload_id(), "limit": limit, "max_chars": max_chars, **lent}
            for low in self._front.tries():
                for *taken, first in self._run(connection, sql.TAKE_NEW, low=low, **new):
                    self._front.took(first)
                    return _batch_of(*taken)
        return None

    def _find_front(self, connection: Connection) -> None:
        if self._front.wants_look:
            front = self._front
            [found] = self._run(connection, sql.FRONT, low=front.sure, batches=front.batches)
            if front.looked(*found):
                self._run(connection, sql.MOVE_FRONT, low=front.sure)

    def delivered(self, batch: Batch) -> None:
        """Delete the batch and its rows, and count them; their claims stay. Nothing if it is gone."""
        self._ask(sql.DELIVERED, id=batch.id, teller=self._teller)

    def postpone(self, batch: Batch, owner: str, seconds: float) -> None:
        """Give the batch back; nobody takes it before so long. Nothing if the loan was lost."""
        self._ask(sql.POSTPONE, for_ms=int(seconds * 1000), now=self._now(), **_loan(batch, owner))

    def hasten(self, seconds: float) -> None:
        """Make due what was postponed at least so long ago. What is on loan stays on loan."""
        self._ask(sql.HASTEN, for_ms=int(seconds * 1000), now=self._now())

    def split(self, batch: Batch, owner: str, seconds: float) -> tuple[Batch, Batch] | None:
        """Halve the batch into two on loan to the same owner; ``None`` if the loan was lost."""
        size = len(batch.bodies)
        if size < 2:  # noqa: PLR2004 - halves
            raise ValueError("a batch of one row cannot be split")
        new = {"first": self._new_payload_id(), "second": self._new_payload_id()}
        lent = {"for_ms": int(seconds * 1000), "now": self._now(), **_loan(batch, owner)}
        found = self._ask(sql.SPLIT, half=size // 2, size=size, **new, **lent)
        if not found:
            return None
        first, second = (_batch_of(*half) for *half, _ in sorted(found, key=lambda half: half[-1]))
        return first, second

    # What was refused

    def set_aside(self, batch: Batch, reason: str) -> None:
        """Move the batch's rows to those that were refused. Nothing if it is gone."""
        self._ask(sql.SET_ASIDE, id=batch.id, reason=storable(reason), now=self._now(), teller=self._teller)

    def aside(self, limit: int) -> list[Aside]:
        """The rows that were refused, oldest first."""
        return [
            Aside(run_id=run_id, body=body, reason=reason, at_ms=at_ms, aside_ms=aside_ms)
            for run_id, body, reason, at_ms, aside_ms in self._ask(sql.ASIDE, limit=limit)
        ]

    def retry_aside(self) -> int:
        """Make the refused rows pending again; returns how many."""
        return self._clear_aside(sql.RETRY_ASIDE)

    def discard_aside(self) -> int:
        """Delete the refused rows; their claims stay. Returns how many."""
        return self._clear_aside(sql.DISCARD_ASIDE)

    def _clear_aside(self, statement: str) -> int:
        cleared: int = 0
        [(end,)] = self._ask(sql.LAST_ASIDE)
        while True:
            [(count,)] = self._ask(statement, end=end, limit=_ASIDE_AT_ONCE, teller=self._teller)
            cleared += count
            if not count:
                return cleared

    # How it stands, and housekeeping

    def standing(self) -> Standing:
        """How much is waiting, and since when; as quick with millions waiting as with none."""
        with self._session as connection:
            self._find_front(connection)
            low = {"low": self._front.sure, "batches": self._front.batches}
            [found] = self._run(connection, sql.STANDING, **low)
        pending, set_aside, delivered, last, first, oldest = found
        return Standing(
            pending=pending,
            set_aside=set_aside,
            delivered=delivered,
            oldest_ms=oldest,
            first=first,
            last=last,
        )

    def tidy(self, now_ms: int) -> bool:
        """Do one short step of housekeeping; returns whether there is more to do."""
        with self._session as connection:
            return self._housekeeping.step(connection, now_ms)

    def close(self) -> None:
        """Let go of the connection; the next call opens another."""
        self._session.close()

    def abandon(self) -> None:
        """In a forked child: forget the parent's connection without a word to the server."""
        self._session.abandon()


def _columns(asked: Sequence[tuple[int, str, Row]]) -> dict[str, list[Any]]:
    """The rows, as one array for each column."""
    return {
        "at": [at for at, _, _ in asked],
        "run": [run for _, run, _ in asked],
        "place": [row.place for _, _, row in asked],
        "claimant": [row.claimant for _, _, row in asked],
        "at_ms": [row.at_ms for _, _, row in asked],
        "events": [row.events for _, _, row in asked],
        "run_id": [storable(row.run_id) for _, _, row in asked],
        "body": [storable(row.body) for _, _, row in asked],
    }


def _loan(batch: Batch, owner: str) -> dict[str, object]:
    return {"id": batch.id, "owner": storable(owner)}


def _batch_of(payload_id: str, bodies: list[str], events: int, attempts: int) -> Batch:
    return Batch(id=payload_id, payload_id=payload_id, bodies=tuple(bodies), events=events, attempts=attempts)
