"""What one live run weighs: an open tracker, a run that is being streamed, and what the ledger remembers."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

from common import arguments, report
from ldclient import Context

from ldtrack.testing import recording


async def source() -> AsyncIterator[str]:
    yield "word"
    await asyncio.Event().wait()


async def weigh(count: int) -> dict[str, float]:
    recorded = recording()
    config = await recorded.ai.completion_config("benchmark", Context.create("user"))
    weights: dict[str, float] = {}
    tracemalloc.start()
    last = start = _traced()

    def weighed(name: str) -> None:
        nonlocal last
        now = _traced()
        weights[name] = (now - last) / count
        last = now

    trackers = [config.create_tracker() for _ in range(count)]
    weighed("a tracker")
    sources = [source() for _ in trackers]
    weighed("(the provider's generator, not ours)")
    streams: list[Any] = [tracker.stream(one) for tracker, one in zip(trackers, sources, strict=True)]
    weighed("its run and its stream, open")
    for stream in streams:
        await anext(stream)
    weighed("more of it, once the first token is there")
    for stream in streams:
        await stream.aclose()
    recorded.client.events.clear()
    del streams, sources, stream
    trackers.clear()
    weights["what stays: the ledger knows the run"] = (_traced() - start) / count
    tracemalloc.stop()
    return weights


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def main() -> None:
    options = arguments(__doc__ or "")
    weights = asyncio.run(weigh(1_000 if options.quick else 10_000))
    rows = [[name, f"{weight:.0f}"] for name, weight in weights.items()]
    report("Memory per run", ["per run", "bytes"], rows, dict(weights), options.json)


if __name__ == "__main__":
    main()
