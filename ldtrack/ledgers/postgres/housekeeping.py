"""What keeps a PostgreSQL ledger from growing for good.

Rule for this file: short steps, by one host at a time, whose cost does not depend on how much there is.
"""

from __future__ import annotations

from typing import Any, Final

from ldtrack.ledgers.postgres.schema import qualify
from ldtrack.ledgers.postgres.session import Connection

__all__ = ["Housekeeping"]

PAGES: Final = 512
"""How much of the claims one step looks through: 4 MB."""
PASSES: Final = 100
"""Into how many parts the time that claims are kept is cut: claims go late by at most one of them."""
MANY_TELLERS: Final = 200

WHERE: Final = """
    SELECT page, oldest_ms, due_ms,
        pg_relation_size('ldtrack_claims') / current_setting('block_size')::integer
    FROM ldtrack_walk FOR UPDATE SKIP LOCKED
"""
FORGET: Final = """
    DELETE FROM ldtrack_claims
    WHERE ctid >= %(from)s::tid AND ctid < %(to)s::tid AND at_ms < %(horizon)s
"""
OLDEST: Final = "SELECT min(at_ms) FROM ldtrack_claims WHERE ctid >= %(from)s::tid AND ctid < %(to)s::tid"
WALKED: Final = "UPDATE ldtrack_walk SET page = %(page)s, oldest_ms = %(oldest)s, due_ms = %(due)s"
TELLERS: Final = "SELECT count(*) FROM ldtrack_tellers"
FOLD: Final = """
    WITH gone AS (
        DELETE FROM ldtrack_tellers WHERE id = ANY (ARRAY(
            SELECT id FROM ldtrack_tellers WHERE id <> 0 FOR UPDATE SKIP LOCKED
        )) RETURNING *
    )
    INSERT INTO ldtrack_tellers AS total (id, recorded, delivered, discarded, set_aside)
    SELECT 0, sum(recorded), sum(delivered), sum(discarded), sum(set_aside) FROM gone HAVING count(*) > 0
    ON CONFLICT (id) DO UPDATE SET
        recorded = total.recorded + excluded.recorded, delivered = total.delivered + excluded.delivered,
        discarded = total.discarded + excluded.discarded, set_aside = total.set_aside + excluded.set_aside
"""


class Housekeeping:
    """Walks through the claims from the first page to the last, and forgets those that are too old.

    An index on their age would cost every claim something; a walk costs nothing while there is none to
    forget: each one notes the oldest claim it has left, and the next begins when that one is too old.
    """

    def __init__(self, schema: str, *, keep_ms: int) -> None:
        self._schema = schema
        self._keep_ms = keep_ms

    def step(self, connection: Connection, now_ms: int) -> bool:
        """Look through some pages; returns whether there are more. Nothing while another host does it."""
        with connection.transaction():
            found = self._run(connection, WHERE)
            if not found:
                return False
            [(page, oldest, due, pages)] = found
            if page == 0:
                self._fold(connection)
            if now_ms < due:
                return False
            return self._walk(connection, now_ms, page, pages, oldest)

    def _walk(self, connection: Connection, now_ms: int, page: int, pages: int, oldest: int | None) -> bool:
        end = page + PAGES
        part: dict[str, object] = {"from": f"({page},0)", "to": f"({end},0)"}
        self._run(connection, FORGET, {**part, "horizon": now_ms - self._keep_ms})
        [(left,)] = self._run(connection, OLDEST, part)
        oldest = min((at for at in (oldest, left) if at is not None), default=None)
        if end < pages:
            self._run(connection, WALKED, {"page": end, "oldest": oldest, "due": 0})
            return True
        due = max(now_ms + self._keep_ms // PASSES, (now_ms if oldest is None else oldest) + self._keep_ms)
        self._run(connection, WALKED, {"page": 0, "oldest": None, "due": due})
        return False

    def _fold(self, connection: Connection) -> None:
        """Add up what stores have counted that are gone for the most part."""
        [(count,)] = self._run(connection, TELLERS)
        if count > MANY_TELLERS:
            self._run(connection, FOLD)

    def _run(
        self, connection: Connection, statement: str, parameters: dict[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        return connection.rows(qualify(statement, self._schema), parameters)
