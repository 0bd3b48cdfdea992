"""What a reader says of one chunk or one answer.

Rule for this file: plain named tuples, since one may be made per chunk. A reader reports only what the
provider said; it adds up nothing and keeps nothing.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from ldtrack.core.values import TokenUsage

__all__ = ["CONTENT", "Reading", "ToolCall", "UsageReport", "Wants"]


class Wants(enum.Enum):
    """Which chunks a reader needs to see once the first token is known."""

    FIRST = "first"
    """None: the first token is all there is to learn."""
    LAST = "last"
    """Only the last one."""
    EVERY = "every"


class UsageReport(NamedTuple):
    """The token counts one chunk or answer reports; what it does not report is ``None``.

    Later reports of a call replace earlier ones, count by count: providers report running totals. So a
    provider that counts its input in parts is reported in parts, since a later report may know only some.
    """

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cached_input: int | None = None
    reasoning: int | None = None
    fresh_input: int | None = None
    """Input that no cache had a part in: a part of the input, which then is ``None`` itself."""
    written_input: int | None = None
    """Input that was written to a cache, where ``fresh_input`` does not include it."""

    def updated_by(self, later: UsageReport) -> UsageReport:
        """This report with every count that a later one knows better."""
        return UsageReport(*[new if new is not None else old for old, new in zip(self, later, strict=True)])

    def plus(self, part: UsageReport) -> UsageReport:
        """This report with every count of a further part added."""
        pairs = zip(self, part, strict=True)
        return UsageReport(*[old if new is None else new + (old or 0) for old, new in pairs])

    def usage(self) -> TokenUsage:
        """The counts as one value; a total that was not reported, or filled in, is the sum of its parts."""
        return TokenUsage(
            self.total or None,  # zero beside counts is nobody's total, and beside none it is their sum
            self._whole_input(),
            self.output or 0,
            cached_input=self.cached_input,
            reasoning=self.reasoning,
        )

    def _whole_input(self) -> int:
        if self.input is not None:
            return self.input
        if self.fresh_input is None:
            return 0
        return self.fresh_input + (self.written_input or 0) + (self.cached_input or 0)


class ToolCall(NamedTuple):
    """A tool call as far as a chunk tells. ``id`` tells apart two calls of one tool in one answer."""

    id: str
    name: str
    spot: str = ""
    """What stands for the id in later chunks, where only the first one has it: the call last seen there."""


class Reading(NamedTuple):
    """What one chunk or answer says."""

    content: bool = False
    """It carries something a user waits for: text, a tool-call delta or reasoning."""
    usage: UsageReport | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finished: bool = False
    """It carries the provider's finish mark."""
    failed: bool = False
    """It reports that the provider failed."""
    finish_reason: str | None = None
    """Why the model stopped, in the provider's own words."""
    model: str | None = None
    """The model that really answered, which may be another than was asked for."""
    refused: bool = False
    """The model declined to answer, or a filter stopped it."""
    step: str = ""
    """Which model call of several that pass through one stream this is about; usage is summed over them."""
    adds: bool = False
    """Its usage comes on top of what its step has: a part, where others report running totals."""
    parts: tuple[tuple[str, UsageReport], ...] = ()
    """Usage by step, where one item tells of several model calls; later reports replace earlier."""
    guessed: bool = False
    """That it carries content is a guess, since nobody knows the names in it."""
    begins: bool = False
    """Its step begins, if it is not under way: what names no step is about this one from here on."""


CONTENT: Final = Reading(content=True)
"""The commonest reading, made once."""
