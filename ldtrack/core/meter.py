"""The meter: folds readings and clock readings into first token, usage and tool calls.

Rule for this file: it never reads a clock and never looks at a chunk; both are handed to it, read.
"""

from __future__ import annotations

from typing import Final

import attrs

from ldtrack.core.reading import Reading, UsageReport
from ldtrack.core.values import Ending, TokenUsage, key_of

__all__ = ["Meter", "Totals", "sum_of_all", "sum_of_usage"]

_NOTHING_YET: Final = UsageReport()


@attrs.define(eq=False)
class Meter:
    """What one model call has shown so far."""

    first_token_ns: int | None = None
    """When the first token came, on the run's clock."""
    model_ns: int | None = None
    """Time spent waiting for the provider, where somebody measured it."""
    usage: dict[str, UsageReport] = attrs.field(factory=dict)
    """By step: an agent's stream may carry several model calls, one after the other or side by side."""
    tool_calls: dict[str, str] = attrs.field(factory=dict)
    """Name by call id: a call whose deltas repeat its name is still one call."""
    finished: bool = False
    """Whether the finish mark came; of several calls in one stream, that of the last one begun."""
    failed: bool = False
    finish_reason: str | None = None
    """The latest one, in the provider's own words."""
    model: str | None = None
    """The model that really answered; of several, the latest."""
    refused: bool = False
    stated: TokenUsage | None = None
    """Usage that was handed over whole, by an extractor or an estimator."""
    told: frozenset[str] = attrs.field(default=frozenset(), init=False)
    """Ids of messages, and of the tool calls in them, which a later answer may tell of again."""
    _step: str = attrs.field(default="", init=False)
    """The step that is under way."""
    _spots: dict[str, str] = attrs.field(factory=dict, init=False)
    """By the spot of a call, its id."""

    def note(self, reading: Reading) -> None:
        """Fold one reading in. Readings that say only "content" need not be handed over."""
        if reading.begins and reading.step != self._step:
            self._step, self.finished = reading.step, False
        if reading.usage is not None:
            step = reading.step or self._step
            known = self.usage.get(step, _NOTHING_YET)
            fold = known.plus if reading.adds else known.updated_by
            self.usage[step] = fold(reading.usage)
        if reading.parts:
            self._note_parts(reading)
        for call in reading.tool_calls:
            if call.spot:
                self._spots[call.spot] = call.id
            known_by = self._spots.get(call.id, call.id)
            if known_by not in self.tool_calls:
                self.tool_calls[known_by] = key_of(call.name, "the name of a tool call")
        if reading.finished:
            self.finished = True
        if reading.failed:
            self.failed = True
        if reading.refused:
            self.refused = True
        self.finish_reason = reading.finish_reason or self.finish_reason
        self.model = reading.model or self.model

    def _note_parts(self, reading: Reading) -> None:
        for step, report in reading.parts:
            self.usage[step] = self.usage.get(step, _NOTHING_YET).updated_by(report)
        ids = [*(step for step, _ in reading.parts), *(call.id for call in reading.tool_calls)]
        self.told = self.told.union(filter(_is_id, ids))

    def ending_when_exhausted(self, marks_end: bool) -> Ending:  # noqa: FBT001 - a fact of the reader's
        """How a call ended whose stream ran out by itself."""
        if self.failed:
            return Ending.FAILED
        return Ending.TRUNCATED if marks_end and not self.finished else Ending.COMPLETED

    def ending_when_closed(self) -> Ending:
        """How a call ended that its consumer stopped reading: after the finish mark nothing was missed."""
        if self.failed:
            return Ending.FAILED
        return Ending.COMPLETED if self.finished else Ending.CLOSED_EARLY

    def token_usage(self, known: frozenset[str] = frozenset()) -> TokenUsage | None:
        """The tokens of this call, but for known messages; ``None`` if nobody reported any."""
        if self.stated is not None and not known:
            return self.stated
        return sum_of_usage([report.usage() for step, report in self.usage.items() if step not in known])


def _is_id(step: str) -> bool:
    """Whether this names a message or a call, rather than the place where it stands."""
    return not any(word.isdecimal() for word in step.split(" "))


@attrs.frozen
class Totals:
    """What all model calls of one run amount to."""

    first_token_ns: int | None = None
    model_ns: int | None = None
    usage: TokenUsage | None = None
    tool_calls: tuple[str, ...] = ()
    finish_reason: str | None = None
    model: str | None = None
    refused: bool = False

    @property
    def model_ms(self) -> int | None:
        """Time spent waiting for the provider, where it was measured."""
        return None if self.model_ns is None else self.model_ns // 1_000_000

    @classmethod
    def of(cls, meters: list[Meter]) -> Totals:
        """Add up the calls of a run.

        Usage is summed, tool calls are listed, the first token is the first one's, finish reason and model
        are the last one's that tells; a run is refused if its last call is. A message that several answers
        tell of, as of a graph that was interrupted and resumed, counts once.
        """
        known: frozenset[str] = frozenset()
        usages: list[TokenUsage | None] = []
        tool_calls: list[str] = []
        for meter in meters:
            again = known & meter.told
            usages.append(meter.token_usage(again))
            tool_calls += [name for id_, name in meter.tool_calls.items() if id_ not in again]
            known |= meter.told
        firsts = [meter.first_token_ns for meter in meters if meter.first_token_ns is not None]
        return cls(
            first_token_ns=min(firsts) if firsts else None,
            model_ns=sum_of_all([meter.model_ns for meter in meters]),
            usage=sum_of_usage(usages),
            tool_calls=tuple(tool_calls),
            finish_reason=_last([meter.finish_reason for meter in meters]),
            model=_last([meter.model for meter in meters]),
            refused=bool(meters) and meters[-1].refused,
        )


def _last(texts: list[str | None]) -> str | None:
    return next((text for text in reversed(texts) if text is not None), None)


def sum_of_usage(parts: list[TokenUsage | None] | list[TokenUsage]) -> TokenUsage | None:
    """The sum of what is known; ``None`` if nothing is."""
    total: TokenUsage | None = None
    for part in parts:
        if part is not None:
            total = part if total is None else total + part
    return total


def sum_of_all(parts: list[int | None]) -> int | None:
    """The sum; ``None`` if there are no parts or one is unknown, since too little is worse than nothing."""
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None
