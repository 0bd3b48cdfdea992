"""What the file of a SQLite ledger holds, and how older files become newer ones.

Rule for this file: tables, triggers and their versions. A version that was released is never edited; a
change is a further entry of ``VERSIONS``.

One statement does all that must happen together, because the triggers do the rest: recording a row makes
its claim, and ending a batch takes its rows along. A connection gives the interpreter lock up around every
statement and, in a busy process, waits 5 ms to get it back.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from ldtrack.exceptions import LedgerError

__all__ = ["APPLICATION_ID", "OLDEST_SQLITE", "PAGE_SIZE", "VERSIONS", "bring_up_to_date", "version_of"]

APPLICATION_ID: Final = 0x6C647472
"""``ldtr``: by this, ``file`` and other tools know a ledger."""
OLDEST_SQLITE: Final = (3, 35, 0)
"""``RETURNING`` came with it."""
JOURNAL: Final = "WAL"
PAGE_SIZE: Final = 8192
"""Measured in groups of 1000: 470,000 to 540,000 rows a second; 4096 gives about 300,000, 16384 440,000."""

_FIRST: Final = (
    # Text keys: 77 bytes per claim, where 16 raw bytes for a UUID make it 54, and 5 % quicker. Readable wins.
    """
    CREATE TABLE claims (
        run_id TEXT NOT NULL,
        place INTEGER NOT NULL,
        claimant INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (run_id, place)
    ) WITHOUT ROWID
    """,
    # There is one writer at a time, so ids are in the order of the commits and have no gaps; AUTOINCREMENT
    # never gives one out twice. A batch can be a range of ids, and what is pending can be computed.
    """
    CREATE TABLE pending (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL,
        place INTEGER NOT NULL,
        claimant INTEGER,
        at_ms INTEGER NOT NULL,
        events INTEGER NOT NULL,
        body TEXT NOT NULL
    )
    """,
    # A row without a claimant has its claim already: it was refused once and is tried again.
    # A row of nothing but NULL pads a statement to the next power of two.
    """
    CREATE TRIGGER claim BEFORE INSERT ON pending WHEN new.claimant IS NOT NULL OR new.run_id IS NULL BEGIN
        SELECT raise(IGNORE) WHERE new.run_id IS NULL
            OR EXISTS (SELECT 1 FROM claims WHERE run_id = new.run_id AND place = new.place);
        INSERT INTO claims VALUES (new.run_id, new.place, new.claimant, new.at_ms);
    END
    """,
    """
    CREATE TABLE batches (
        first_id INTEGER PRIMARY KEY,
        last_id INTEGER NOT NULL,
        size INTEGER NOT NULL,
        events INTEGER NOT NULL,
        payload_id TEXT NOT NULL,
        owner TEXT,
        since_ms INTEGER NOT NULL,
        until_ms INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        delivered_ms INTEGER,
        refused_ms INTEGER,
        reason TEXT
    )
    """,
    """
    CREATE TABLE aside (
        id INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL,
        place INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        events INTEGER NOT NULL,
        body TEXT NOT NULL,
        reason TEXT NOT NULL,
        aside_ms INTEGER NOT NULL
    )
    """,
    # One row. What is pending is the last id minus what is gone, so that recording need not count.
    """
    CREATE TABLE tally (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        gone INTEGER NOT NULL DEFAULT 0,
        delivered INTEGER NOT NULL DEFAULT 0,
        set_aside INTEGER NOT NULL DEFAULT 0,
        walk_run TEXT NOT NULL DEFAULT '',
        walk_place INTEGER NOT NULL DEFAULT -1,
        walked_ms INTEGER NOT NULL DEFAULT 0
    )
    """,
    "INSERT INTO tally (one) VALUES (1)",
    """
    CREATE TRIGGER delivered AFTER UPDATE OF delivered_ms ON batches BEGIN
        DELETE FROM pending WHERE id BETWEEN old.first_id AND old.last_id;
        DELETE FROM batches WHERE first_id = old.first_id;
        UPDATE tally SET gone = gone + old.size, delivered = delivered + old.size;
    END
    """,
    """
    CREATE TRIGGER refused AFTER UPDATE OF refused_ms ON batches BEGIN
        INSERT INTO aside
            SELECT id, run_id, place, at_ms, events, body, new.reason, new.refused_ms FROM pending
            WHERE id BETWEEN old.first_id AND old.last_id ORDER BY id;
        DELETE FROM pending WHERE id BETWEEN old.first_id AND old.last_id;
        DELETE FROM batches WHERE first_id = old.first_id;
        UPDATE tally SET gone = gone + old.size, set_aside = set_aside + old.size;
    END
    """,
)

VERSIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST,)
"""What leads from each version to the next; the first entry makes a file out of nothing."""


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the file, 0 if there is nothing in it; refuses files that are not ours to touch."""
    [(application, version, tables)] = connection.execute(
        "SELECT (SELECT application_id FROM pragma_application_id),"
        " (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)"
    )
    if tables and application != APPLICATION_ID:
        raise LedgerError(f"{path} is the database of another application; give the ledger a file of its own")
    if version > len(VERSIONS):
        raise LedgerError(
            f"{path} was written by a newer ldtrack: its schema has version {version}, "
            f"and this one knows {len(VERSIONS)}; upgrade ldtrack here"
        )
    return int(version)


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Make the file what this version expects, in one transaction; nothing if somebody else has."""
    if version_of(connection, path) == 0:
        # Neither can be changed once there is something in the file.
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    [(mode,)] = connection.execute(f"PRAGMA journal_mode = {JOURNAL}")
    if mode != "wal":
        raise LedgerError(
            f"{path} is on a file system that cannot share memory between processes (mode {mode}); "
            "put the ledger on a local disk"
        )
    connection.execute("BEGIN EXCLUSIVE")
    version = version_of(connection, path)
    for statements in VERSIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(VERSIONS)}")
    connection.execute("COMMIT")
