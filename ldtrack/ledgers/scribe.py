"""From a claim to the row that a durable ledger stores.

Rule for this file: everything private is gone from a row before anybody writes it anywhere (C7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ldtrack.core.privacy import Privacy
from ldtrack.core.redaction import redacted
from ldtrack.core.row import Row
from ldtrack.core.slots import Claim
from ldtrack.core.wire import body_of, json_of
from ldtrack.exceptions import LedgerError
from ldtrack.ids import new_claimant

if TYPE_CHECKING:
    from ldtrack.typing import Clock

__all__ = ["Scribe"]

_new = tuple.__new__

_MEMORY: Final = 8_000_000
"""In how many bytes written contexts are remembered: a run claims some five times for one context, and ten
thousand runs may be open at once."""
_ENTRY: Final = 400
"""What remembering one takes besides its text, in bytes."""


class Scribe:
    """Writes claims down as rows."""

    def __init__(self, clock: Clock, privacy: Privacy) -> None:
        self._now = clock.time
        self._privacy = privacy
        self._contexts: dict[int, tuple[Any, str]] = {}
        self._room = _MEMORY

    def guard(self, privacy: Privacy) -> None:
        """Redact what this says is private as well, from now on. Nothing becomes public again."""
        known = self._privacy
        attributes = dict.fromkeys((*known.private_attributes, *privacy.private_attributes))
        self._privacy = Privacy(
            private_attributes=tuple(attributes),
            all_attributes_private=known.all_attributes_private or privacy.all_attributes_private,
        )
        self._contexts, self._room = {}, _MEMORY

    def row_of(self, claim: Claim) -> Row:
        """The claim's row, stamped with the time; raises ``LedgerError`` if it cannot be written down."""
        run_id, metric, events, context = claim
        claimant = new_claimant()
        slot = metric.slot
        at_ms = int(self._now() * 1000)
        try:
            body = body_of(events, self._written(context), at_ms)
            if not run_id.isascii():
                run_id.encode()  # half a surrogate pair is text to Python, and to nobody else
        except (TypeError, ValueError) as error:
            raise LedgerError(
                f"the {metric.name} of run {run_id} could not be recorded: "
                f"it cannot be written down ({error})"
            ) from error
        # What Row(...) calls, without the call in between.
        return _new(Row, (run_id, claimant if slot is None else slot, claimant, at_ms, len(events), body))

    def _written(self, context: Any) -> str:
        contexts = self._contexts
        known = contexts.get(id(context))
        if known is not None:
            return known[1]
        written = json_of(redacted(context.to_dict(), self._privacy))
        self._room -= len(written) + _ENTRY
        if self._room < 0:
            self._contexts, self._room = {}, _MEMORY
        # Into the ones from before: if another thread has put new ones in their place, this one may be stale.
        # The context is kept with it: as long as it lives, nothing else has its id.
        contexts[id(context)] = (context, written)
        return written
