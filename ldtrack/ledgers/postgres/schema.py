"""The tables of a PostgreSQL ledger, and the way to them from every version there was.

Rule for this file: what is stored, and why in this shape. A step that was released is never changed; a new
one is appended.

``claims`` only grows, by one narrow row for each claim, and is what makes a claim unique. ``pending`` is the
queue: rows enter at its end and leave at its front, so its index stays as small as the backlog is. A batch
carries its rows with it: taking one over reads one row, and delivering it deletes one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["MIGRATIONS", "check_schema", "qualify"]

_SCHEMA: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_TABLE: Final = re.compile(r"\bldtrack_")

FIRST_VERSION: Final = """
CREATE TABLE ldtrack_claims (
    place bigint NOT NULL,
    claimant bigint NOT NULL,
    at_ms bigint NOT NULL,
    run uuid NOT NULL,
    PRIMARY KEY (run, place)
);
CREATE TABLE ldtrack_pending (
    id bigint GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME ldtrack_positions) PRIMARY KEY,
    at_ms bigint NOT NULL,
    events integer NOT NULL,
    run_id text NOT NULL,
    body text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000);
CREATE TABLE ldtrack_batches (
    first_id bigint NOT NULL,
    since_ms bigint NOT NULL,
    until_ms bigint NOT NULL,
    size integer NOT NULL,
    events integer NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    payload_id uuid PRIMARY KEY,
    owner text,
    ids bigint[] NOT NULL,
    at_ms bigint[] NOT NULL,
    counts integer[] NOT NULL,
    run_ids text[] NOT NULL,
    bodies text[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE TABLE ldtrack_aside (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms bigint NOT NULL,
    aside_ms bigint NOT NULL,
    events integer NOT NULL,
    run_id text NOT NULL,
    reason text NOT NULL,
    body text NOT NULL
);
CREATE INDEX ON ldtrack_batches (first_id);
-- One row for each store that counts, so that nobody waits for another's commit; housekeeping adds them up.
CREATE TABLE ldtrack_tellers (
    id bigint PRIMARY KEY,
    recorded bigint NOT NULL DEFAULT 0,
    delivered bigint NOT NULL DEFAULT 0,
    discarded bigint NOT NULL DEFAULT 0,
    set_aside bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 30);
-- Where housekeeping is on its walk through the claims, page by page.
CREATE TABLE ldtrack_walk (
    page bigint NOT NULL,
    oldest_ms bigint,
    due_ms bigint NOT NULL
);
INSERT INTO ldtrack_walk (page, due_ms) VALUES (0, 0);
-- Before this there is no row of the queue, nor will there be.
CREATE TABLE ldtrack_front (id bigint NOT NULL);
INSERT INTO ldtrack_front VALUES (0);
CREATE TABLE ldtrack_version (version integer NOT NULL);
INSERT INTO ldtrack_version VALUES (0);
-- Several times quicker than the default where the server was built with it.
DO $$ BEGIN
    ALTER TABLE ldtrack_batches ALTER COLUMN bodies SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN NULL;
END $$;
"""

MIGRATIONS: Final = (FIRST_VERSION,)
"""Each takes the tables from the version that is its index to the next."""


def check_schema(name: str) -> str:
    """The name of a schema, if it is one that needs no escaping."""
    if not _SCHEMA.fullmatch(name):
        raise ValueError(
            "schema must be up to 63 letters, digits and underscores and not begin with a digit,"
            f" got {name!r}"
        )
    return name


@lru_cache(maxsize=256)
def qualify(statement: str, schema: str) -> bytes:
    """The statement, with every table looked for in that schema and nowhere else."""
    return _TABLE.sub(f'"{schema}".ldtrack_', statement).encode()
