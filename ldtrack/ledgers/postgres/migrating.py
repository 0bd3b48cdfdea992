"""Takes a schema to the version that this code knows.

Rule for this file: any number of hosts may run it at the same moment, on a new database as well as on one
that others are using.
"""

from __future__ import annotations

import zlib
from typing import Final

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.postgres.schema import MIGRATIONS, qualify
from ldtrack.ledgers.postgres.session import Connection

__all__ = ["migrate"]

# The catalogue itself is asked: what the server remembers of it may be older than the lock that we waited
# for.
TABLES: Final = b"""
    SELECT nspname, relname FROM pg_catalog.pg_namespace AS schema
    LEFT JOIN pg_catalog.pg_class AS held ON held.relnamespace = schema.oid AND relname = 'ldtrack_version'
    WHERE nspname = %(schema)s
"""
VERSION: Final = "SELECT version FROM ldtrack_version"
STAMP: Final = "UPDATE ldtrack_version SET version = %(version)s"
LOCK: Final = b"SELECT pg_advisory_xact_lock(%(space)s::integer, %(lock)s::integer)"
NO_SCHEMA: Final = -1
LOCK_SPACE: Final = int.from_bytes(b"ldtr")


def migrate(connection: Connection, schema: str) -> None:
    """Make the tables, or bring them up to date; looks once and does nothing where that is done already."""
    if _version(connection, schema) == len(MIGRATIONS):
        return
    with connection.transaction():
        # Who comes second waits here, and then finds it done.
        connection.rows(LOCK, {"space": LOCK_SPACE, "lock": zlib.crc32(schema.encode()) >> 1})
        version = _version(connection, schema)
        if version > len(MIGRATIONS):
            raise LedgerError(
                f"the tables in schema {schema!r} are of version {version}, which a newer ldtrack made;"
                f" this one knows {len(MIGRATIONS)}: upgrade it"
            )
        # CREATE SCHEMA IF NOT EXISTS wants the right to create even where it exists.
        if version == NO_SCHEMA:
            connection.execute(f'CREATE SCHEMA "{schema}"'.encode())
        for step in MIGRATIONS[max(version, 0) :]:
            connection.execute(qualify(step, schema))
        connection.rows(qualify(STAMP, schema), {"version": len(MIGRATIONS)})


def _version(connection: Connection, schema: str) -> int:
    found = connection.rows(TABLES, {"schema": schema})
    if not found:
        return NO_SCHEMA
    [(_, table)] = found
    if table is None:
        return 0
    [(version,)] = connection.rows(qualify(VERSION, schema))
    return int(version)
