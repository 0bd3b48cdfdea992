"""What wrapping a stream adds to every chunk.

The rival is what people write by hand: an async generator round the provider's, which stamps the first and
the last chunk and counts. The streams yield at once, so the figures are the wrappers' own cost; a real
provider's chunk costs some 70 µs before anybody wraps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import perf_counter_ns
from typing import Any

from common import arguments, interleaved, report
from ldclient import Context

from ldtrack.core.events import Attribution
from ldtrack.testing import recording
from ldtrack.tracking.tracker import Tracker

CHUNKS = 1_000


async def texts() -> AsyncIterator[str]:
    for _ in range(CHUNKS):
        yield "word "


class Delta:
    """Shaped like the OpenAI package's chunk, without what costs it 60 µs to make."""

    __slots__ = ("content", "function_call", "role", "tool_calls")

    def __init__(self, content: str | None, role: str | None = None) -> None:
        self.content = content
        self.role = role
        self.tool_calls = None
        self.function_call = None


def openai_chunks() -> list[Any]:
    """Real chunks of the OpenAI package, made once."""
    from openai.types.chat import ChatCompletionChunk

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

    usage = {"prompt_tokens": 10, "completion_tokens": CHUNKS, "total_tokens": CHUNKS + 10}
    body = [chunk({"content": "word "}) for _ in range(CHUNKS - 3)]
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
    recorded = recording(usage_events=False)
    attribution = Attribution("benchmark", model_name="gpt", provider_name="openai")
    context = Context.create("benchmark")
    chunks = openai_chunks()

    async def prepared() -> AsyncIterator[Any]:
        for chunk in chunks:
            yield chunk

    def ours(source: AsyncIterator[Any], **how: Any) -> Any:
        return Tracker(recorded.ai._recorder, attribution, context).stream(source, **how)

    def measured(make: Callable[[], Any]) -> Callable[[], float]:
        async def read() -> float:
            started = perf_counter_ns()
            async for _ in make():
                pass
            return (perf_counter_ns() - started) / CHUNKS

        return lambda: loop.run_until_complete(read())

    loop = asyncio.new_event_loop()
    series = interleaved(
        {
            "text: bare loop": measured(texts),
            "text: generator by hand": measured(lambda: by_hand(texts())),
            "text: ldtrack": measured(lambda: ours(texts())),
            "text: ldtrack, model_time": measured(lambda: ours(texts(), model_time=True)),
            "OpenAI: bare loop": measured(prepared),
            "OpenAI: generator by hand": measured(lambda: by_hand(prepared())),
            "OpenAI: ldtrack": measured(lambda: ours(prepared())),
        },
        5 if options.quick else 60,
    )
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    rows, figures = [], {}
    for name, measurement in series.items():
        kind = name.split(":")[0]
        bare, hand = series[f"{kind}: bare loop"], series[f"{kind}: generator by hand"]
        added = measurement.median - bare.median
        ratio = added / (hand.median - bare.median)
        least = (measurement.minimum - bare.minimum) / (hand.minimum - bare.minimum)
        figures[name] = {"median_ns": measurement.median, "min_ns": measurement.minimum, "added_ns": added, "ratio": ratio, "ratio_of_minima": least}
        rows.append(
            [name, f"{measurement.minimum:.0f}", f"{measurement.median:.0f}", f"{added:+.0f}", f"{ratio:.2f}", f"{least:.2f}"]
        )
    header = ["per chunk", "min ns", "median ns", "added ns", "added / by hand", "of minima"]
    report("Cost per chunk", header, rows, figures, options.json)


if __name__ == "__main__":
    main()
