"""Whether the file of a SQLite ledger is undamaged.

Rule for this file: questions to a file that is open for reading only, and sentences about what is wrong.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

__all__ = ["checked"]

_MOST: Final = 20
"""How many problems are told: where there are more, nobody repairs them one by one."""

_RULES: Final = (
    (
        "the number of pending claims is not what the tally says",
        """
        SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'pending'), 0) - gone,
            (SELECT count(*) FROM pending) FROM tally
        """,
    ),
    (
        "the number of claims set aside is not what the tally says",
        "SELECT set_aside, (SELECT count(*) FROM aside) FROM tally",
    ),
    (
        "some batch does not have the rows that it should",
        """
        SELECT 0, count(*) FROM batches
        WHERE size != (SELECT count(*) FROM pending WHERE id BETWEEN first_id AND last_id)
        """,
    ),
)
"""What is wrong if the two figures differ."""


def checked(path: str, *, is_full: bool = False) -> list[str]:
    """What is wrong with the file, in sentences; nothing if all is well."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        ) as connection:
            # One view of the file for all of it: others go on writing.
            connection.execute("BEGIN")
            return _structure(connection, is_full=is_full) or _figures(connection)
    except sqlite3.DatabaseError as error:
        return [f"SQLite cannot read it: {error}"]


def _structure(connection: sqlite3.Connection, *, is_full: bool) -> list[str]:
    pragma = "integrity_check" if is_full else "quick_check"
    found = [str(text) for (text,) in connection.execute(f"PRAGMA {pragma}({_MOST})")]
    return [] if found == ["ok"] else [line for text in found for line in text.splitlines()][:_MOST]


def _figures(connection: sqlite3.Connection) -> list[str]:
    problems = []
    for sentence, question in _RULES:
        [(expected, counted)] = connection.execute(question)
        if expected != counted:
            problems.append(f"{sentence}: {expected:,} expected, {counted:,} counted")
    return problems
