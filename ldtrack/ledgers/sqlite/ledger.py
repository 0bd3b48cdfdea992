"""The durable ledger for one machine.

Rule for this file: how a SQLite store becomes a ledger, and what that promises.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ldtrack.core.options import require_clock, require_path
from ldtrack.ids import SystemClock
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.limits import require_limits
from ldtrack.ledgers.sqlite.opening import Synchronous
from ldtrack.ledgers.sqlite.store import YEAR_AND_A_BIT, SQLiteStore

if TYPE_CHECKING:
    from ldtrack.core.privacy import Privacy
    from ldtrack.typing import Clock

__all__ = ["SQLiteLedger"]


class SQLiteLedger(DurableLedger):
    """Records claims in one file, which threads and processes of a machine may share.

    What an ``await tracker.track_...`` has recorded survives the end of the process, however it ends. With
    ``synchronous="FULL"`` it survives the loss of power as well; ``"NORMAL"`` is quicker for one claim at a
    time and may lose the last seconds then, but never the process's. The file must be on a local disk.

    ``deadline`` bounds how long recording waits for other processes, in seconds, before it fails with a
    ``LedgerError``. ``keep_claims`` says for how many seconds a slot stays filled: at least as long as
    resumption tokens are used. ``privacy`` names attributes that are redacted from contexts besides those
    that the ``AIClient`` knows to be private.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Synchronous = "FULL",
        deadline: float = 15.0,
        keep_claims: float = YEAR_AND_A_BIT,
        privacy: Privacy | None = None,
        clock: Clock | None = None,
    ) -> None:
        require_path(path=path)
        require_limits(deadline=deadline, keep_claims=keep_claims)
        require_clock(clock)
        clock = clock or SystemClock()
        self.path = os.fspath(path)
        store = partial(
            SQLiteStore,
            synchronous=synchronous,
            busy_timeout=deadline / 3,
            keep_claims=keep_claims,
            clock=clock,
        )
        store(path)  # opens nothing yet: what is wrong with the options is said right away
        # Stores are opened again and again, and by then the process may have gone to another folder.
        open_store = partial(store, Path(path).absolute())
        super().__init__(open_store, deadline=deadline, privacy=privacy, clock=clock)

    def __repr__(self) -> str:
        return f"<SQLiteLedger {self.path}>"
