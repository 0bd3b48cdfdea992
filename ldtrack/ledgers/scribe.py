"""From a claim to the row that a durable ledger stores.

Rule for this file: everything private is gone from a row before anybody writes it anywhere (C7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ldtrack.core.introductions import Introducing, Introductions
from ldtrack.core.privacy import Privacy
from ldtrack.core.redaction import redacted
from ldtrack.core.row import Row
from ldtrack.core.slots import Claim
from ldtrack.core.wire import body_of, index_of, json_of
from ldtrack.exceptions import LedgerError
from ldtrack.ids import new_claimant

if TYPE_CHECKING:
    from ldtrack.typing import Clock

__all__ = ["Scribe"]

_new = tuple.__new__
_ANONYMOUS: Final = '"anonymous":true'

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
        """What was written lately, and, if contexts are introduced, introduced in the present interval."""
        self._room = _MEMORY
        self._introducing: Introducing | None = None
        self._introductions = Introductions(0)

    def guard(self, privacy: Privacy) -> None:
        """Redact what this says is private as well, from now on. Nothing becomes public again."""
        known = self._privacy
        attributes = dict.fromkeys((*known.private_attributes, *privacy.private_attributes))
        self._privacy = Privacy(
            private_attributes=tuple(attributes),
            all_attributes_private=known.all_attributes_private or privacy.all_attributes_private,
        )
        self._forget()

    def introduce(self, introducing: Introducing) -> None:
        """Put an index event in front of each context's first claim, as a client's ``track`` does."""
        if introducing != self._introducing:
            self._introducing = introducing
            self._introductions = Introductions(int(introducing.interval * 1000))
            self._forget()

    def row_of(self, claim: Claim) -> Row:
        """The claim's row, stamped with the time; raises ``LedgerError`` if it cannot be written down."""
        run_id, metric, events, context = claim
        claimant = new_claimant()
        slot = metric.slot
        at_ms = int(self._now() * 1000)
        if self._introducing is not None and not self._introductions.covers(at_ms):
            self._introductions.begin(at_ms)
            self._forget()
        contexts = self._contexts
        known = contexts.get(id(context))
        try:
            written = json_of(redacted(context.to_dict(), self._privacy)) if known is None else known[1]
            body = body_of(events, written, at_ms)
            if not run_id.isascii():
                run_id.encode()  # half a surrogate pair is text to Python, and to nobody else
        except (TypeError, ValueError) as error:
            raise LedgerError(
                f"the {metric.name} of run {run_id} could not be recorded: "
                f"it cannot be written down ({error})"
            ) from error
        if known is None:
            body = self._introduction(context, written, at_ms) + body
            self._remember(contexts, context, written)
        # What Row(...) calls, without the call in between.
        return _new(Row, (run_id, claimant if slot is None else slot, claimant, at_ms, len(events), body))

    def _remember(self, contexts: dict[int, tuple[Any, str]], context: Any, written: str) -> None:
        self._room -= len(written) + _ENTRY
        if self._room < 0:
            self._forget()
        # Into the ones from before: if another thread has put new ones in their place, this one may be stale.
        # The context is kept with it: as long as it lives, nothing else has its id.
        contexts[id(context)] = (context, written)

    def _forget(self) -> None:
        self._contexts, self._room = {}, _MEMORY

    def _introduction(self, context: Any, written: str, at_ms: int) -> str:
        """The index event that goes in front of a claim's events, with a comma, or nothing."""
        if self._introducing is None:
            return ""
        # Only of anonymous ones an index event shows something else than the claim does.
        is_anonymous = _ANONYMOUS in written
        if is_anonymous and self._introducing.omits_anonymous:
            context = context.without_anonymous_contexts()
            if not context.valid:
                return ""
        if not self._introductions.is_due(context.fully_qualified_key):
            return ""
        if not is_anonymous:
            return index_of(written, at_ms) + ","
        try:
            shown = json_of(redacted(context.to_dict(), self._privacy, shows_anonymous=True))
        except (TypeError, ValueError):  # attributes that the claim does without
            return ""
        return index_of(shown, at_ms) + ","
