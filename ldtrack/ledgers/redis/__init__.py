"""The ledger in Redis or Valkey, which many hosts share. Needs the extra ``redis``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldtrack.ledgers.on_demand import names_on_demand

if TYPE_CHECKING:
    from ldtrack.ledgers.redis.ledger import RedisLedger
    from ldtrack.ledgers.redis.store import RedisStore

__all__ = ["RedisLedger", "RedisStore"]

__getattr__ = names_on_demand(
    __name__,
    {
        "RedisLedger": "ldtrack.ledgers.redis.ledger",
        "RedisStore": "ldtrack.ledgers.redis.store",
    },
    driver="redis",
    extra="redis",
    known_as="redis-py",
)
