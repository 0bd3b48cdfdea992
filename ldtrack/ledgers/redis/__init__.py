"""The ledger in Redis or Valkey, which many hosts share. Needs the extra ``redis``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldtrack.ledgers.redis.ledger import RedisLedger
    from ldtrack.ledgers.redis.store import RedisStore

__all__ = ["RedisLedger", "RedisStore"]

_ELSEWHERE = {
    "RedisLedger": "ldtrack.ledgers.redis.ledger",
    "RedisStore": "ldtrack.ledgers.redis.store",
}
"""Imported when first asked for, so that the package can be looked through without the driver."""


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_ELSEWHERE[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise ImportError(f"{name} needs the driver redis-py: pip install 'ldtrack[redis]'") from error
