"""The statements of a PostgreSQL ledger.

Rule for this file: SQL alone. Each call of the store is one of these where it can be: a statement is atomic,
and a connection that is cut leaves all of it or nothing.

A plan must not depend on how large a backlog is thought to be: rows are picked by an array of their ids.
"""

from __future__ import annotations

from typing import Final

__all__: list[str] = []

# The server's clock, unless a test brings its own.
_NOW: Final = "coalesce(%(now)s::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"


def _count(column: str, source: str) -> str:
    """Add to this store's own counter what the source counts; nothing is written for nothing."""
    return f"""
        INSERT INTO ldtrack_tellers AS teller (id, {column})
        SELECT %(teller)s, {source}
        ON CONFLICT (id) DO UPDATE SET {column} = teller.{column} + excluded.{column}
    """


# The rows come sorted by their keys: two processes that insert the same ones wait for one another in one
# order. What is stored keeps the order of the call, which is what `at` is for.
RECORD: Final = f"""
    WITH asked AS (
        SELECT * FROM unnest(
            %(run)b::uuid[], %(place)b::bigint[], %(claimant)b::bigint[], %(at_ms)b::bigint[],
            %(events)b::bigint[], %(run_id)b::text[], %(body)b::text[], %(at)b::bigint[]
        ) AS row (run, place, claimant, at_ms, events, run_id, body, at)
    ), won AS (
        INSERT INTO ldtrack_claims (run, place, claimant, at_ms)
        SELECT run, place, claimant, at_ms FROM asked
        ON CONFLICT (run, place) DO NOTHING RETURNING run, place
    ), stored AS (
        INSERT INTO ldtrack_pending (at_ms, events, run_id, body)
        SELECT at_ms, events, run_id, body FROM asked JOIN won USING (run, place) ORDER BY at
    ), counted AS ({_count("recorded", "count(*) FROM won HAVING count(*) > 0")})
    SELECT array_agg(at) FROM asked JOIN won USING (run, place)
"""  # noqa: S608 - made of constants
# A statement of its own: only a fresh look sees what was committed while the other one waited for it.
# A claim is seen before a standby has it if the server crashed, or somebody cut its session off, while its
# commit waited. So what is answered is confirmed by a commit that comes later, unless there was one already.
HOLDERS: Final = """
    WITH confirmed AS (
        INSERT INTO ldtrack_tellers AS teller (id)
        SELECT %(teller)s WHERE %(is_open)s AND current_setting('synchronous_standby_names') <> ''
        ON CONFLICT (id) DO UPDATE SET recorded = teller.recorded
    )
    SELECT run::text, place, claimant
    FROM unnest(%(run)b::uuid[], %(place)b::bigint[]) AS asked (run, place)
    JOIN ldtrack_claims USING (run, place)
"""

_BATCH: Final = "payload_id::text, bodies, events, attempts"
# The clock was set back if a loan ends later than one that begins now, or a pause has not begun yet. A second
# is what clocks are put right by in passing.
TAKE_OVER: Final = f"""
    UPDATE ldtrack_batches SET
        owner = %(owner)s, since_ms = {_NOW}, until_ms = {_NOW} + %(for_ms)s, attempts = attempts + 1
    WHERE payload_id = (
        SELECT payload_id FROM ldtrack_batches
        WHERE first_id >= %(low)s AND (until_ms <= {_NOW}
            OR CASE WHEN owner IS NULL THEN since_ms > {_NOW} + 1000 ELSE until_ms > {_NOW} + %(for_ms)s END)
        ORDER BY first_id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING {_BATCH}
"""  # noqa: S608 - made of constants
TAKE_NEW: Final = f"""
    WITH front AS (
        SELECT * FROM ldtrack_pending WHERE id >= %(low)s ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ), taken AS (
        SELECT * FROM (
            SELECT *, row_number() OVER ids AS at, sum(length(body)) OVER ids AS chars
            FROM front WINDOW ids AS (ORDER BY id)
        ) AS counted WHERE at = 1 OR chars <= %(max_chars)s
    ), gone AS (
        DELETE FROM ldtrack_pending WHERE id = ANY (ARRAY(SELECT id FROM taken))
    )
    INSERT INTO ldtrack_batches
        (payload_id, owner, since_ms, until_ms, first_id, size, events, ids, at_ms, counts, run_ids, bodies)
    SELECT %(payload_id)s::uuid, %(owner)s, {_NOW}, {_NOW} + %(for_ms)s, min(id), count(*), sum(events),
        array_agg(id ORDER BY id), array_agg(at_ms ORDER BY id), array_agg(events ORDER BY id),
        array_agg(run_id ORDER BY id), array_agg(body ORDER BY id)
    FROM taken HAVING count(*) > 0
    RETURNING {_BATCH}, first_id
"""  # noqa: S608 - made of constants

_MINE: Final = "payload_id = %(id)s::uuid AND owner = %(owner)s"
POSTPONE: Final = f"""
    UPDATE ldtrack_batches SET owner = NULL, since_ms = {_NOW}, until_ms = {_NOW} + %(for_ms)s WHERE {_MINE}
"""  # noqa: S608 - made of constants
HASTEN: Final = f"""
    UPDATE ldtrack_batches SET until_ms = {_NOW}
    WHERE owner IS NULL AND until_ms > {_NOW} AND since_ms <= {_NOW} - %(for_ms)s
"""  # noqa: S608 - made of constants
SPLIT: Final = f"""
    WITH gone AS (DELETE FROM ldtrack_batches WHERE {_MINE} RETURNING *)
    INSERT INTO ldtrack_batches
        (payload_id, owner, since_ms, until_ms, first_id, size, events, ids, at_ms, counts, run_ids, bodies)
    SELECT half.payload_id, owner, {_NOW}, {_NOW} + %(for_ms)s, ids[low], high - low + 1,
        (SELECT sum(count) FROM unnest(counts[low:high]) AS count),
        ids[low:high], at_ms[low:high], counts[low:high], run_ids[low:high], bodies[low:high]
    FROM gone, (VALUES
        (%(first)s::uuid, 1, %(half)s::integer),
        (%(second)s::uuid, %(half)s::integer + 1, %(size)s::integer)
    ) AS half (payload_id, low, high)
    RETURNING {_BATCH}, first_id
"""  # noqa: S608 - made of constants

_GONE: Final = "gone AS (DELETE FROM ldtrack_batches WHERE payload_id = %(id)s::uuid RETURNING *)"
DELIVERED: Final = f"WITH {_GONE} {_count('delivered', 'size FROM gone')}"
SET_ASIDE: Final = f"""
    WITH {_GONE}, kept AS (
        INSERT INTO ldtrack_aside (at_ms, aside_ms, events, run_id, reason, body)
        SELECT row.at_ms, {_NOW}, row.count, row.run_id, %(reason)s, row.body
        FROM gone, unnest(ids, at_ms, counts, run_ids, bodies) AS row (id, at_ms, count, run_id, body)
        ORDER BY row.id
    ) {_count("set_aside", "size FROM gone")}
"""  # noqa: S608 - made of constants

ASIDE: Final = "SELECT run_id, body, reason, at_ms, aside_ms FROM ldtrack_aside ORDER BY id LIMIT %(limit)s"
LAST_ASIDE: Final = "SELECT coalesce(max(id), 0) FROM ldtrack_aside"
_SOME_ASIDE: Final = """
    gone AS (
        DELETE FROM ldtrack_aside WHERE id = ANY (ARRAY(
            SELECT id FROM ldtrack_aside WHERE id <= %(end)s ORDER BY id LIMIT %(limit)s
            FOR UPDATE SKIP LOCKED
        )) RETURNING *
    )
"""
RETRY_ASIDE: Final = f"""
    WITH {_SOME_ASIDE}, stored AS (
        INSERT INTO ldtrack_pending (at_ms, events, run_id, body)
        SELECT at_ms, events, run_id, body FROM gone ORDER BY id
    ), counted AS ({_count("set_aside", "-count(*) FROM gone HAVING count(*) > 0")})
    SELECT count(*) FROM gone
"""  # noqa: S608 - made of constants
DISCARD_ASIDE: Final = f"""
    WITH {_SOME_ASIDE}, lost AS (SELECT count(*) AS discarded FROM gone HAVING count(*) > 0), counted AS (
        INSERT INTO ldtrack_tellers AS teller (id, discarded, set_aside)
        SELECT %(teller)s, discarded, -discarded FROM lost
        ON CONFLICT (id) DO UPDATE SET
            discarded = teller.discarded + excluded.discarded,
            set_aside = teller.set_aside + excluded.set_aside
    )
    SELECT count(*) FROM gone
"""  # noqa: S608 - made of constants

FRONT: Final = """
    SELECT front.id,
        (SELECT id FROM ldtrack_pending WHERE id >= greatest(%(low)s, front.id) ORDER BY id LIMIT 1),
        (SELECT last_value + 1 FROM ldtrack_positions),
        (SELECT first_id FROM ldtrack_batches WHERE first_id >= %(batches)s ORDER BY first_id LIMIT 1)
    FROM ldtrack_front AS front
"""
MOVE_FRONT: Final = "UPDATE ldtrack_front SET id = %(low)s WHERE id < %(low)s"

# The sequence is asked, not the rows: a row may be committed after others that came behind it.
STANDING: Final = """
    WITH front AS (
        (SELECT id, at_ms FROM ldtrack_pending WHERE id >= %(low)s ORDER BY id LIMIT 1)
        UNION ALL (
            SELECT first_id, at_ms[1] FROM ldtrack_batches
            WHERE first_id >= %(batches)s ORDER BY first_id LIMIT 1
        )
    )
    SELECT recorded - delivered - discarded - set_aside, set_aside, delivered,
        (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM ldtrack_positions),
        (SELECT min(id) FROM front), (SELECT at_ms FROM front ORDER BY id LIMIT 1)
    FROM (
        SELECT
            coalesce(sum(recorded), 0)::bigint AS recorded, coalesce(sum(delivered), 0)::bigint AS delivered,
            coalesce(sum(discarded), 0)::bigint AS discarded, coalesce(sum(set_aside), 0)::bigint AS set_aside
        FROM ldtrack_tellers
    ) AS sums
"""
