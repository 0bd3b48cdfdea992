"""What tests ask of any store: a batch on loan, everything it holds, every question there is.

Rule for this file: functions of a store, whichever it is. How to make one is in ``store_kits``.
"""

from __future__ import annotations

from collections.abc import Callable

from store_kits import a_row

from ldtrack.core.batch import Batch
from ldtrack.ledgers.store import Store

__all__ = ["PLENTY", "all_bodies", "every_call", "lease"]

PLENTY = 1_000_000
"""More characters than any batch of these tests has."""


def lease(
    store: Store, owner: str = "ada", limit: int = 1000, chars: int = PLENTY, seconds: float = 60
) -> Batch:
    """Take a batch that has to be there."""
    batch = store.lease(owner, limit, chars, seconds)
    assert batch is not None
    return batch


def all_bodies(store: Store) -> list[str]:
    """Deliver everything, and say what it was."""
    bodies: list[str] = []
    while batch := store.lease("ada", 1000, PLENTY, 60):
        bodies += batch.bodies
        store.delivered(batch)
    return bodies


def every_call(store: Store, batch: Batch) -> list[Callable[[], object]]:
    """Everything that a store can be asked but housekeeping, which some leave to their server."""
    return [
        lambda: store.record([a_row("run-2")]),
        lambda: store.lease("bob", 10, PLENTY, 60),
        lambda: store.delivered(batch),
        lambda: store.postpone(batch, "ada", 0),
        lambda: store.split(batch, "ada", 60),
        lambda: store.set_aside(batch, "no"),
        lambda: store.aside(10),
        store.retry_aside,
        store.discard_aside,
        store.standing,
    ]
