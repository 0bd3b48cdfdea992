"""What is known of batches that were tried before: whether an earlier attempt may have arrived after all.

Rule for this file: it remembers, and decides nothing. What it does not remember is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ldtrack.core.batch import Batch
from ldtrack.core.receipts import Receipt, Verdict

__all__ = ["Doubts"]

_ROOM: Final = 1_000
"""How many batches are remembered. Few are on their way at once."""
_REFUSALS: Final = (Verdict.REFUSED, Verdict.TOO_LARGE)


class Doubts:
    """One relay's memory of its attempts. Of those of others, gone or at work elsewhere, nothing is known."""

    def __init__(self) -> None:
        self._answered: dict[str, int] = {}
        """So many loans of a batch certainly brought nothing there, by its payload id."""
        self._refused: dict[str, int] = {}
        """So often it was refused while it was in doubt."""

    def about(self, batch: Batch) -> int | None:
        """How often a batch was refused since an attempt that may have arrived; ``None`` if none may have."""
        if batch.attempts <= self._answered.get(batch.payload_id, 0):
            return None
        return self._refused.get(batch.payload_id, 0)

    def learn(self, batch: Batch, receipt: Receipt) -> None:
        """Remember how an attempt went."""
        key = batch.payload_id
        if self.about(batch) is None:
            if receipt.verdict is not Verdict.LATER:
                _put(self._answered, key, batch.attempts + 1)
        elif receipt.verdict in _REFUSALS:
            _put(self._refused, key, self._refused.get(key, 0) + 1)

    def made(self, batches: Iterable[Batch]) -> None:
        """Nobody has tried these yet, though they are on loan."""
        for batch in batches:
            _put(self._answered, batch.payload_id, batch.attempts + 1)

    def forget(self, batch: Batch) -> None:
        """It is settled, one way or another."""
        self._answered.pop(batch.payload_id, None)
        self._refused.pop(batch.payload_id, None)


def _put(known: dict[str, int], key: str, number: int) -> None:
    if len(known) >= _ROOM and key not in known:
        del known[next(iter(known))]
    known[key] = number
