"""The statements of a SQLite ledger, and what their answers mean.

Rule for this file: SQL, and plain functions that hand it to a connection. No clock, no file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from ldtrack.core.batch import Batch
from ldtrack.core.row import Row

__all__ = ["clear_aside", "fetch", "lease", "record", "split"]

COLUMNS: Final = 6
MOST_ROWS: Final = 4096
"""As many as one statement stores: 24,576 parameters, of 32,766 that SQLite allows."""

ASIDE_AT_ONCE: Final = 5_000
"""How many refused rows become pending in one transaction: others want to write as well."""


def _insert(size: int) -> str:
    values = ",".join(["(?,?,?,?,?,?)"] * size)
    into = "INSERT INTO pending (run_id, place, claimant, at_ms, events, body)"
    return f"{into} VALUES {values}"


def _held(size: int) -> str:
    # CROSS JOIN keeps SQLite from walking the claims instead of what is asked.
    values = ",".join(f"({at},?,?,?)" for at in range(size))
    join = "asked CROSS JOIN claims USING (run_id, place) WHERE claims.claimant = asked.claimant"
    asked = f"WITH asked (at, run_id, place, claimant) AS (VALUES {values})"
    return f"{asked} SELECT group_concat(at) FROM {join}"  # noqa: S608 - made of constants


# In powers of two, so that few statements are prepared; the rest of one is padded with NULL.
_INSERT: Final = {1 << power: _insert(1 << power) for power in range(13)}
_HELD: Final = {1 << power: _held(1 << power) for power in range(13)}

# Character 30 separates records: JSON has no control characters, so no body contains it.
_SEPARATOR: Final = "\x1e"
_BATCH: Final = (
    "first_id, payload_id, size, events, attempts, last_id, (SELECT group_concat(body, char(30)) FROM"
    " (SELECT body FROM pending WHERE id BETWEEN batches.first_id AND batches.last_id ORDER BY id))"
)

# What ends later than it could was lent or postponed before the clock was set back; by a second, clocks are
# put right in passing.
TAKE_OVER: Final = f"""
    UPDATE batches SET owner = :owner, since_ms = :now, until_ms = :until, attempts = attempts + 1
    WHERE first_id = (
        SELECT first_id FROM batches WHERE until_ms <= :now
            OR CASE WHEN owner IS NULL THEN since_ms > :now + 1000 ELSE until_ms > :until END
        ORDER BY first_id LIMIT 1
    ) RETURNING {_BATCH}
"""  # noqa: S608 - made of constants
# Batches are made in the order of ids, so all that is beyond the last batch is in none.
TAKE_NEW: Final = f"""
    INSERT INTO batches (first_id, last_id, size, events, payload_id, owner, since_ms, until_ms)
    SELECT * FROM (
        SELECT min(id), max(id), count(*) AS size, sum(events), :payload_id, :owner, :now, :until FROM (
            SELECT id, events, row_number() OVER ids AS at, sum(length(body)) OVER ids AS chars FROM (
                SELECT id, events, body FROM pending
                WHERE id > coalesce((SELECT last_id FROM batches ORDER BY first_id DESC LIMIT 1), 0)
                ORDER BY id LIMIT :limit
            ) WINDOW ids AS (ORDER BY id)
        ) WHERE at = 1 OR chars <= :max_chars
    ) WHERE size > 0 RETURNING {_BATCH}
"""  # noqa: S608 - made of constants
DELIVERED: Final = """
    UPDATE batches SET delivered_ms = :now WHERE first_id = :id AND payload_id = :payload_id
"""
REFUSED: Final = (
    "UPDATE batches SET refused_ms = :now, reason = :reason WHERE first_id = :id AND payload_id = :payload_id"
)
POSTPONE: Final = """
    UPDATE batches SET owner = NULL, since_ms = :now, until_ms = :until
    WHERE first_id = :id AND payload_id = :payload_id AND owner = :owner
"""
HASTEN: Final = """
    UPDATE batches SET until_ms = :now WHERE owner IS NULL AND until_ms > :now AND since_ms <= :since
"""
MIDDLE: Final = """
    SELECT first_id, last_id, (SELECT id FROM pending WHERE id >= first_id ORDER BY id LIMIT 1 OFFSET :half)
    FROM batches WHERE first_id = :id AND payload_id = :payload_id AND owner = :owner
"""
HALVE: Final = f"""
    REPLACE INTO batches (first_id, last_id, size, events, payload_id, owner, since_ms, until_ms)
    SELECT :first, :last, count(*), sum(events), :new_payload_id, :owner, :now, :until
    FROM pending WHERE id BETWEEN :first AND :last
    RETURNING {_BATCH}
"""  # noqa: S608 - made of constants
BODIES: Final = "SELECT body FROM pending WHERE id BETWEEN ? AND ? ORDER BY id"
ROWS_OF: Final = """
    SELECT run_id, place, claimant, at_ms, pending.events, body
    FROM batches JOIN pending ON id BETWEEN first_id AND last_id
    WHERE first_id = :id AND payload_id = :payload_id ORDER BY id
"""
ASIDE: Final = "SELECT run_id, body, reason, at_ms, aside_ms FROM aside ORDER BY id LIMIT ?"
LAST_ASIDE: Final = "SELECT max(id) FROM aside"
LAST_OF_SOME_ASIDE: Final = "SELECT max(id) FROM (SELECT id FROM aside WHERE id <= ? ORDER BY id LIMIT ?)"
RETRY_ASIDE: Final = """
    INSERT INTO pending (run_id, place, at_ms, events, body)
    SELECT run_id, place, at_ms, events, body FROM aside WHERE id <= ? ORDER BY id
"""
STANDING: Final = """
    SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'pending'), 0), gone, delivered, set_aside,
        (SELECT id FROM pending ORDER BY id LIMIT 1), (SELECT at_ms FROM pending ORDER BY id LIMIT 1)
    FROM tally
"""


def fetch(
    connection: sqlite3.Connection, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """The statement's answer, read to its end: only then it is committed and its snapshot let go."""
    return connection.execute(statement, parameters).fetchall()


def record(connection: sqlite3.Connection, rows: Sequence[Row]) -> list[bool]:
    """Store rows, all or none, and say which are first."""
    if len(rows) <= MOST_ROWS:
        return _record(connection, rows)
    connection.execute("BEGIN IMMEDIATE")
    first: list[bool] = []
    for start in range(0, len(rows), MOST_ROWS):
        first += _record(connection, rows[start : start + MOST_ROWS])
    connection.execute("COMMIT")
    return first


def _record(connection: sqlite3.Connection, rows: Sequence[Row]) -> list[bool]:
    size = 1 << (len(rows) - 1).bit_length()
    padding = size - len(rows)
    # A tuple: the collector finds out that nothing in it is its business, and does not walk over it again.
    values = (*chain.from_iterable(rows), *[None] * (padding * COLUMNS))
    if connection.execute(_INSERT[size], values).rowcount == len(rows):
        return [True] * len(rows)
    asked = (*chain.from_iterable(row[:3] for row in rows), *[None] * (padding * 3))
    [(held,)] = fetch(connection, _HELD[size], asked)
    first = set(map(int, held.split(","))) if held else set()
    return [at in first for at in range(len(rows))]


def lease(connection: sqlite3.Connection, lent: Mapping[str, Any]) -> Batch | None:
    """Take a batch over, or make a new one."""
    for row in fetch(connection, TAKE_OVER, lent) or fetch(connection, TAKE_NEW, lent):
        return _batch_of(connection, row)
    return None


def split(
    connection: sqlite3.Connection, lent: Mapping[str, Any], new_payload_ids: tuple[str, str]
) -> tuple[Batch, Batch] | None:
    """Halve a batch that is still on loan to its owner."""
    connection.execute("BEGIN IMMEDIATE")
    halves: list[Batch] = []
    for first, last, middle in fetch(connection, MIDDLE, lent):
        ranges = (first, middle - 1), (middle, last)
        for payload_id, (start, stop) in zip(new_payload_ids, ranges, strict=True):
            new = {**lent, "first": start, "last": stop, "new_payload_id": payload_id}
            halves.append(_batch_of(connection, fetch(connection, HALVE, new)[0]))
    connection.execute("COMMIT")
    return (halves[0], halves[1]) if halves else None


def clear_aside(connection: sqlite3.Connection, end: int, *, is_retry: bool) -> tuple[int, int]:
    """Empty a part of what was set aside, up to that id; returns the last of the part, and how many."""
    connection.execute("BEGIN IMMEDIATE")
    [(last,)] = fetch(connection, LAST_OF_SOME_ASIDE, (end, ASIDE_AT_ONCE))
    count = 0
    if last is not None:  # or somebody else was quicker
        if is_retry:
            connection.execute(RETRY_ASIDE, (last,))
        count = connection.execute("DELETE FROM aside WHERE id <= ?", (last,)).rowcount
        connection.execute("UPDATE tally SET set_aside = set_aside - ?", (count,))
    connection.execute("COMMIT")
    return last or end, count


def _batch_of(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Batch:
    """The batch that a statement has returned."""
    first, payload_id, size, events, attempts, last, text = row
    bodies = text.split(_SEPARATOR)
    if len(bodies) != size:  # not JSON after all
        found = fetch(connection, BODIES, (first, last))
        bodies = [body for (body,) in found]
    return Batch(id=str(first), payload_id=payload_id, bodies=tuple(bodies), events=events, attempts=attempts)
