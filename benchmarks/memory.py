"""What one live run weighs: an open tracker, a run that is being streamed, and what the ledger remembers."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

from common import arguments, report
from ldclient import Context

from ldtrack.core.events import Attribution
from ldtrack.testing import recording
from ldtrack.tracking.tracker import Tracker


async def source() -> AsyncIterator[str]:
    yield "word"
    await asyncio.Event().wait()


async def weigh(count: int) -> dict[str, float]:
    recorded = recording(usage_events=False)
    recorder = recorded.ai._recorder
    attribution, context = Attribution("benchmark"), Context.create("benchmark")
    weights: dict[str, float] = {}

    def weighed(name: str, before: int) -> int:
        now = tracemalloc.get_traced_memory()[0]
        weights[name] = (now - before) / count
        return now

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    trackers = [Tracker(recorder, attribution, context) for _ in range(count)]
    before = weighed("a tracker", before)
    sources = [source() for _ in trackers]
    before = weighed("(an open generator, bare)", before)
    streams: list[Any] = [tracker.stream(one) for tracker, one in zip(trackers, sources, strict=True)]
    before = weighed("a run and its stream, open", before)
    for stream in streams:
        await anext(stream)
    before = weighed("... once its first token is there", before)
    for stream in streams:
        await stream.aclose()
    recorded.client.events.clear()
    del streams, sources, stream
    trackers.clear()
    weighed("given back by all of them at the end", before)
    weights["what the ledger remembers of it"] = sum(weights.values()) - 0
    tracemalloc.stop()
    return weights


def main() -> None:
    options = arguments(__doc__ or "")
    weights = asyncio.run(weigh(1_000 if options.quick else 10_000))
    rows = [[name, f"{weight:.0f}"] for name, weight in weights.items()]
    report("Memory per run", ["per run", "bytes"], rows, dict(weights), options.json)


if __name__ == "__main__":
    main()
