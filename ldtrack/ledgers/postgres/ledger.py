"""The durable ledger for many machines, in a database that is there already.

Rule for this file: how a PostgreSQL store becomes a ledger, and what that promises.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ldtrack.core.options import require_clock, require_texts
from ldtrack.ids import SystemClock
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.limits import require_limits
from ldtrack.ledgers.places import SpoolPlace, spool_path
from ldtrack.ledgers.postgres.store import YEAR_AND_A_BIT, PostgresStore
from ldtrack.ledgers.spool import spool_at

if TYPE_CHECKING:
    from ldtrack.core.privacy import Privacy
    from ldtrack.typing import Clock

__all__ = ["PostgresLedger"]


class PostgresLedger(DurableLedger):
    """Records claims in a PostgreSQL database, which any number of processes and hosts may share.

    What an ``await tracker.track_...`` has recorded is on the server's disk, and survives what the server
    survives: with synchronous replication its loss, with asynchronous replication all but the moment before
    it. ``dsn`` is a connection string as libpq reads it; of several hosts the one that takes writes is used.
    The tables are in ``schema``, which is made if it is missing.

    ``deadline`` bounds how long recording waits for the server, in seconds, before it fails with a
    ``LedgerError``. ``spool`` is the path of a file on this machine that keeps what nobody waits for while
    the server is away, such as what a stream records when it ends. By default it is in the user's state
    directory (``$XDG_STATE_HOME`` or ``~/.local/state``); with ``False`` there is none, and what nobody waits
    for is lost then, and counted.
    ``keep_claims`` says for how many seconds a slot stays filled: at least as long as resumption tokens are
    used. ``privacy`` names attributes that are redacted from contexts besides those that the ``AIClient``
    knows to be private.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "ldtrack",
        deadline: float = 15.0,
        spool: SpoolPlace = True,
        keep_claims: float = YEAR_AND_A_BIT,
        privacy: Privacy | None = None,
        clock: Clock | None = None,
    ) -> None:
        require_texts(dsn=dsn, schema=schema)
        require_limits(deadline=deadline, keep_claims=keep_claims)
        require_clock(clock)
        clock = clock or SystemClock()
        self.schema = schema
        # Not the clock: loans are timed by the server's, which all hosts have in common.
        open_store = partial(PostgresStore, dsn, schema=schema, timeout=deadline / 3, keep_claims=keep_claims)
        open_store()  # connects to nothing yet: what is wrong with the options is said right away
        super().__init__(
            open_store,
            deadline=deadline,
            privacy=privacy,
            clock=clock,
            spool=spool_at(spool_path(spool, dsn, schema), clock),
        )

    def __repr__(self) -> str:
        # Without the connection string: it may hold a password.
        return f"<PostgresLedger {self.schema}>"
