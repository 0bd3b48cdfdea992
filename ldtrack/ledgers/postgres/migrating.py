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

TABLE: Final = b"SELECT to_regclass(%(table)s) IS NOT NULL"
VERSION: Final = "SELECT version FROM ldtrack_version"
SCHEMA: Final = b"SELECT to_regnamespace(%(schema)s) IS NULL"
LOCK: Final = b"SELECT pg_advisory_xact_lock(%(space)s::integer, %(lock)s::integer)"
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
        [(is_missing,)] = connection.rows(SCHEMA, {"schema": f'"{schema}"'})
        if is_missing:
            connection.execute(f'CREATE SCHEMA "{schema}"'.encode())
        for step in MIGRATIONS[version:]:
            connection.execute(qualify(step, schema))
        connection.execute(qualify("UPDATE ldtrack_version SET version = %(version)s", schema), {"version": len(MIGRATIONS)})


def _version(connection: Connection, schema: str) -> int:
    [(is_there,)] = connection.rows(TABLE, {"table": f'"{schema}".ldtrack_version'})
    if not is_there:
        return 0
    [(version,)] = connection.rows(qualify(VERSION, schema))
    return int(version)
