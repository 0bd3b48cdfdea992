"""The durable ledger for many machines, in a server that is quick and keeps all of it in memory.

Rule for this file: how a Redis store becomes a ledger, and what that promises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ldtrack.core.options import given, require_clock, require_counts, require_kinds, require_texts
from ldtrack.ids import SystemClock
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.limits import require_limits
from ldtrack.ledgers.places import SpoolPlace, spool_path
from ldtrack.ledgers.redis.facts import Facts
from ldtrack.ledgers.redis.store import KEEP_CLAIMS, RedisStore
from ldtrack.ledgers.spool import spool_at

if TYPE_CHECKING:
    from ldtrack.core.privacy import Privacy
    from ldtrack.typing import Clock

__all__ = ["RedisLedger"]


class RedisLedger(DurableLedger):
    """Records claims in Redis or Valkey, from version 6.2, which any number of processes and hosts may share.

    What an ``await tracker.track_...`` has recorded is as safe as the server keeps it. With ``appendonly
    yes`` and ``appendfsync always`` it survives a crash of the server's machine; with ``everysec`` the last
    second or two may be lost then; without ``appendonly`` all since the last snapshot. A failover to a
    replica loses what the replica had not received: ``wait_replicas`` says how many must have it before a
    claim counts as recorded, on a server that is no cluster; nothing is lost if that is all of them.
    ``maxmemory-policy`` must be ``noeviction``.
    ``aof-load-truncated`` must be ``no``, with ``redis-check-aof --fix`` run before the server starts: else a
    second crash may lose what was recorded after the first.

    ``url`` begins with ``redis://``, ``rediss://`` for TLS, or ``unix://``; of a cluster, any node will do.
    ``redis+sentinel://user:password@host:26379,host:26379/service/0`` names Sentinels, which know the master
    of their ``service``; so does ``rediss+sentinel://``.
    ``name`` keeps several ledgers on one server apart. ``shards`` spreads a ledger over the nodes of a
    cluster; it can never be changed. ``driver`` holds further options for redis-py's connections, such as a
    ``credential_provider``, and in ``sentinel_kwargs`` those for connections to Sentinels.

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
        url: str,
        *,
        name: str = "ldtrack",
        shards: int = 1,
        wait_replicas: int = 0,
        deadline: float = 15.0,
        spool: SpoolPlace = True,
        keep_claims: float = KEEP_CLAIMS,
        privacy: Privacy | None = None,
        clock: Clock | None = None,
        driver: Mapping[str, Any] | None = None,
    ) -> None:
        require_texts(name=name)
        require_counts(shards=shards)
        require_counts(0, wait_replicas=wait_replicas)
        require_kinds({"driver": Mapping}, given(driver=driver))
        require_limits(deadline=deadline, keep_claims=keep_claims)
        require_clock(clock)
        clock = clock or SystemClock()
        self.name = name
        # Not the clock: loans are timed by the server's, which all hosts have in common.
        self._facts: deque[Facts] = deque(maxlen=1)
        open_store = partial(
            RedisStore,
            url,
            name=name,
            shards=shards,
            keep_claims=keep_claims,
            timeout=deadline / 3,
            wait_replicas=wait_replicas,
            driver=driver,
            tell=self._facts.append,
        )
        open_store()  # connects to nothing yet: what is wrong with the options is said right away
        super().__init__(
            open_store,
            deadline=deadline,
            privacy=privacy,
            clock=clock,
            spool=spool_at(spool_path(spool, url, name), clock),
        )

    @property
    def durability(self) -> str:
        """What a recorded claim survives on this server, in a sentence; empty before it was connected to."""
        return self._facts[-1].durability if self._facts else ""

    def __repr__(self) -> str:
        # Without the URL: it may hold a password.
        return f"<RedisLedger {self.name}>"
