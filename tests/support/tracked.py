"""A run over fakes, for a provider's real stream or answer: what went to LaunchDarkly is what counts.

Rule for this file: it goes the way that users go, through a config, a tracker and a run.
"""

from __future__ import annotations

import asyncio
import collections
from typing import Any

import attrs
from ldclient import Context

from ldtrack import AICompletionConfigDefault, MetricSummary, Run, TokenUsage
from ldtrack.testing import Recording, recording

__all__ = ["Tracked", "new_run", "tracked_call", "tracked_stream"]

FLAG = {"_ldMeta": {"enabled": True, "variationKey": "short", "version": 3}, "model": {"name": "asked"}}


@attrs.define
class Tracked:
    """One run, and what became of it."""

    ld: Recording
    run: Run
    chunks: list[Any] = attrs.field(factory=list)
    seen: dict[int, asyncio.Event] = attrs.field(factory=lambda: collections.defaultdict(asyncio.Event))
    """By number: set when so many chunks have been read."""
    first_token: int | None = None
    """The number of the chunk that was the first token, counted from 0: a chunk takes 10 ms."""

    @property
    def summary(self) -> MetricSummary:
        return self.run.tracker.summary

    @property
    def usage(self) -> TokenUsage | None:
        """The usage, once it is certain that LaunchDarkly got the same figures."""
        usage, sent = self.summary.tokens, self.ld.values()
        served = [sent.get(f"tokens:{kind}") for kind in ("total", "input", "output")]
        known = (
            [None] * 3 if usage is None else [usage.total or None, usage.input or None, usage.output or None]
        )
        assert served == known, "the events say something else than the summary"
        return usage

    @property
    def tools(self) -> list[str]:
        """The tool calls, as LaunchDarkly got them."""
        return [event.data["toolKey"] for event in self.ld.events if event.key.endswith("tool_call")]

    async def read(self, source: Any, *, until: int | None = None) -> None:
        """Read a stream in this run to its end, or so many chunks of it."""
        stream = self.run.stream(source)
        try:
            async for chunk in stream:
                self.chunks.append(chunk)
                self.seen[len(self.chunks)].set()
                self.ld.clock.advance(ms=10)
                if len(self.chunks) == until:
                    break
        finally:
            await stream.aclose()

    def settled(self) -> None:
        """Note at which chunk LaunchDarkly was told that the first token was."""
        ms = self.ld.values().get("tokens:ttf")
        self.first_token = None if ms is None else int(ms) // 10


async def new_run() -> Tracked:
    """A run of a fresh client."""
    ld = recording({"support-chat": FLAG})
    config = await ld.ai.completion_config("support-chat", Context.create("ada"), AICompletionConfigDefault())
    return Tracked(ld, config.create_tracker().run())


async def tracked_stream(source: Any, *, until: int | None = None, into: Tracked | None = None) -> Tracked:
    """A run that reads one stream; what the provider raises passes, and the run is in ``into``."""
    tracked = into or await new_run()
    try:
        async with tracked.run:
            await tracked.read(source, until=until)
    finally:
        tracked.settled()
    return tracked


async def tracked_call(answer: Any) -> Tracked:
    """A run that awaits one answer."""
    tracked = await new_run()
    async with tracked.run:
        tracked.chunks.append(await tracked.run.call(answer))
    return tracked
