"""How much room a ledger takes: for each claim it remembers, for each row that waits, and on its way.

A ledger is filled with runs of seven events in five claims, in groups of a hundred, measured, delivered, and
measured again: what is left are the claims. What is written is what reaches the disk while recording: a log
and then the tables for SQLite, the write-ahead log for PostgreSQL, the append-only file for Redis.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import parser_of, report
from growth import GROUP, deliver
from places import CLAIMS_OF_RUN, EVENTS_OF_RUN, Places, Spot, load, places, rows_of_runs

from ldtrack.ids import new_run_id

KINDS = ("sqlite full", "postgres", "redis always")
Room = tuple[int, int]
"""How many bytes are held, and how many were written so far."""


def sqlite_room(spot: Spot, _ground: Places) -> Room:
    path = Path(spot.address)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        [(pages,)] = connection.execute("PRAGMA page_count")
        [(free,)] = connection.execute("PRAGMA freelist_count")
        [(size,)] = connection.execute("PRAGMA page_size")
    connection.close()
    found = re.search(r"^write_bytes: (\d+)", Path("/proc/self/io").read_text(), re.MULTILINE)
    return (pages - free) * size, int(found[1]) if found else 0


def postgres_room(spot: Spot, _ground: Places) -> Room:
    import psycopg

    with psycopg.connect(spot.address, autocommit=True) as connection:
        written = connection.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint").fetchone()
        # Rewritten, so that what was deleted no longer counts; a server does the like in the background.
        connection.execute(f"VACUUM FULL {spot.name}.ldtrack_pending")
        connection.execute(f"VACUUM FULL {spot.name}.ldtrack_batches")
        size = connection.execute(
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
            " WHERE relnamespace = %s::regnamespace AND relkind = 'r'",
            (spot.name,),
        ).fetchone()
    assert size
    assert written
    return size[0], written[0]


def redis_room(spot: Spot, _ground: Places) -> Room:
    import redis

    client = redis.Redis.from_url(spot.address)
    client.config_set("auto-aof-rewrite-percentage", 0)  # a file that is rewritten says nothing
    written = client.info("persistence")["aof_current_size"]
    held = client.info("memory")["used_memory"]
    client.close()
    return held, written


ROOMS: dict[str, Callable[[Spot, Places], Room]] = {
    "sqlite full": sqlite_room,
    "postgres": postgres_room,
    "redis always": redis_room,
}


def measure(ground: Places, kind: str, runs: int) -> dict[str, float]:
    room = ROOMS[kind]
    claims, text = runs * CLAIMS_OF_RUN, 0
    with ground.fresh(kind) as spot:
        store = spot.store()
        store.standing()
        empty, written_before = room(spot, ground)
        for rows in rows_of_runs(runs, new_run_id):
            text += sum(len(row.body) for row in rows)
            for start in range(0, len(rows), GROUP):
                store.record(rows[start : start + GROUP])
        full, written = room(spot, ground)
        deliver(store)
        left, _ = room(spot, ground)
        store.close()
    return {
        "body": text / claims,
        "claim": (left - empty) / claims,
        "waiting": (full - left) / claims,
        "written": (written - written_before) / claims,
    }


def main() -> None:
    parser = parser_of(__doc__ or "")
    options = parser.parse_args()
    rows: list[list[str]] = []
    figures: dict[str, Any] = {}
    with places(KINDS) as ground:
        for kind in filter(ground.has, KINDS):
            one = figures[kind] = measure(ground, kind, 4_000 if options.quick else 100_000)
            by_run = [one["claim"] * CLAIMS_OF_RUN, one["waiting"] * CLAIMS_OF_RUN]
            rows.append(
                [kind, *(f"{one[name]:.0f}" for name in one), *(f"{bytes_:,.0f}" for bytes_ in by_run)]
            )
    print(f"{load()}; a run is {EVENTS_OF_RUN} events in {CLAIMS_OF_RUN} claims; {json.dumps(figures)}")
    header = [
        "bytes per claim",
        "its JSON",
        "remembered",
        "waiting",
        "written",
        "a run remembered",
        "a run waiting",
    ]
    report("Room", header, rows, figures, options.json)


if __name__ == "__main__":
    main()
