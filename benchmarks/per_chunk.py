"""What wrapping a stream adds to every chunk.

The rival is what people write by hand: an async generator round the provider's, which stamps the first and
the last chunk and counts. The streams yield at once, so the figures are the wrappers' own cost; a real
provider's chunk costs some 70 µs before anybody wraps it.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable
from time import perf_counter_ns
from typing import Any

from common import ForgetfulClient, arguments, interleaved, report
from ldclient import Context
from openai.types.chat import ChatCompletionChunk

from ldtrack import AIClient

SHORT, LONG = 100, 1_100
"""What a chunk costs is the difference between a long and a short stream; what a stream costs is the rest.

Both are short enough to be read within one turn of the operating system's scheduler. A least difference
means nothing, so only medians are shown.
"""


def openai_chunks(count: int) -> list[Any]:
    """Real chunks of the OpenAI package, made once: making one costs some 60 µs."""

    def chunk(delta: dict[str, Any], finish: str | None = None, usage: Any = None) -> Any:
        choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
        return ChatCompletionChunk.model_validate(
            {
                "id": "x",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "gpt",
                "choices": choices,
                "usage": usage,
            }
        )

    usage = {"prompt_tokens": 10, "completion_tokens": count, "total_tokens": count + 10}
    body = [chunk({"content": "word "})] * (count - 3)
    return [chunk({"role": "assistant"}), *body, chunk({}, "stop"), chunk({}, usage=usage)]


async def by_hand(source: AsyncIterator[Any]) -> AsyncIterator[Any]:
    first = last = None
    count = 0
    async for chunk in source:
        last = perf_counter_ns()
        if first is None:
            first = last
        count += 1
        yield chunk
    del first, last, count


def main() -> None:
    options = arguments(__doc__ or "")
    loop = asyncio.new_event_loop()
    ai = AIClient(ForgetfulClient({"benchmark": {"model": {"name": "gpt"}}}), usage_events=False)
    config = loop.run_until_complete(ai.completion_config("benchmark", Context.create("user")))
    chunks = {
        "text": {n: ["word "] * n for n in (SHORT, LONG)},
        "OpenAI": {n: openai_chunks(n) for n in (SHORT, LONG)},
    }

    async def source(items: list[Any]) -> AsyncIterator[Any]:
        for item in items:
            yield item

    def ours(source: AsyncIterator[Any], **how: Any) -> Any:
        return config.create_tracker().stream(source, **how)

    async def read(stream: Any) -> int:
        started = perf_counter_ns()
        async for _ in stream:
            pass
        return perf_counter_ns() - started

    def measured(kind: str, wrap: Callable[[Any], Any]) -> Callable[[], float]:
        def measure() -> float:
            short, long = (
                loop.run_until_complete(read(wrap(source(chunks[kind][n])))) for n in (SHORT, LONG)
            )
            fixed[kind, wrap].append(short - (long - short) / (LONG - SHORT) * SHORT)
            return (long - short) / (LONG - SHORT)

        fixed[kind, wrap] = []
        return measure

    fixed: dict[Any, list[float]] = {}
    wrappers: dict[str, Callable[[Any], Any]] = {
        "text: bare loop": lambda stream: stream,
        "text: generator by hand": by_hand,
        "text: ldtrack": ours,
        "text: ldtrack, model_time": lambda stream: ours(stream, model_time=True),
        "OpenAI: bare loop": lambda stream: stream,
        "OpenAI: generator by hand": by_hand,
        "OpenAI: ldtrack": ours,
    }
    series = interleaved(
        {name: measured(name.split(":")[0], wrap) for name, wrap in wrappers.items()},
        15 if options.quick else 300,
    )
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    rows, figures = [], {}
    for name, measurement in series.items():
        kind = name.split(":")[0]
        bare, hand = series[f"{kind}: bare loop"], series[f"{kind}: generator by hand"]
        added = measurement.median - bare.median
        ratio = added / (hand.median - bare.median)
        per_stream = statistics.median(fixed[kind, wrappers[name]])
        figures[name] = {
            "median_ns": measurement.median,
            "added_ns": added,
            "ratio": ratio,
            "per_stream_ns": per_stream,
        }
        rows.append(
            [
                name,
                f"{measurement.median:.0f}",
                f"{added:+.0f}",
                f"{ratio:.2f}",
                f"{per_stream / 1e3:.1f}",
            ]
        )
    header = ["per chunk", "median ns", "added ns", "added / by hand", "per stream µs"]
    report("Cost per chunk", header, rows, figures, options.json)


if __name__ == "__main__":
    main()
