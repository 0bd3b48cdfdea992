"""A burst of runs of seven events: what share arrives, what an event costs, what memory it takes.

The rivals are LaunchDarkly's own AI SDK on a real ``LDClient``, and OpenTelemetry's SDK with its batch
processor and OTLP over HTTP, one span with seven events for each run. All have their default settings, post
to an endpoint on the loopback interface, and do the same: each run is a task, up to ten thousand at a time,
which gives way once between its steps. ``nothing`` is those tasks without anything to record. Then each is
closed the way its manual says. Every measurement is a fresh process, and the rivals take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from common import parser_of, report
from loopback import CUSTOM_EVENT, loopback
from places import EVENTS_OF_RUN, Spot, load, places

AT_ONCE = 10_000
SIZES = (10_000, 100_000)
SPAN_EVENT = "ldtrack.benchmark.event"
RIVALS = ("nothing", "ldtrack", "official", "OpenTelemetry")
CLOSING = 120.0
"""How long ldtrack may go on delivering when it is closed, in seconds; what is left it keeps."""

Run = Callable[[], Awaitable[None]]
breath = lambda: asyncio.sleep(0)  # noqa: E731


def memory(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def start() -> dict[str, float]:
    """What the process has used before the burst: its memory, its time, and when."""
    return {"rss": memory("VmRSS"), "cpu": time.process_time(), "wall": time.perf_counter()}


async def burst(run: Run, runs: int) -> float:
    """So many runs, as many as possible at once; returns how long that took."""
    left = iter(range(runs))

    async def caller() -> None:
        for _ in left:
            await run()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(runs, AT_ONCE)):
            group.create_task(caller())
    return time.perf_counter() - started


def ld_config(uri: str) -> Any:
    from ldclient import Config
    from ldclient.integrations.test_data import TestData

    source = TestData.data_source()
    return Config("sdk-key", update_processor_class=source, events_uri=uri, diagnostic_opt_out=True)


async def ours(uri: str, path: str, runs: int) -> dict[str, Any]:
    from ldclient import Context, LDClient

    from ldtrack import AIClient, AICompletionConfigDefault, Feedback, ModelConfig, TokenUsage
    from ldtrack.delivery import LaunchDarklyEvents
    from ldtrack.ledgers import SQLiteLedger

    with LDClient(ld_config(uri)) as client:
        destination = LaunchDarklyEvents.from_config(ld_config(uri))
        ai = AIClient(client, ledger=SQLiteLedger(path), destination=destination, usage_events=False)
        default = AICompletionConfigDefault(model=ModelConfig("gpt"))
        async with ai:
            config = await ai.completion_config("benchmark", Context.create("benchmark"), default)
            usage = TokenUsage(30, 10, 20)

            async def run() -> None:
                tracker = config.create_tracker()
                await tracker.track_duration(1_200)
                await tracker.track_time_to_first_token(300)
                await tracker.track_tokens(usage)
                await tracker.track_success()
                await tracker.track_feedback(Feedback.POSITIVE)

            before = start()
            taken = await burst(run, runs)
            await ai.aclose(CLOSING)
    return {"burst": taken, **before}


async def official(uri: str, _path: str, runs: int) -> dict[str, Any]:
    import uuid

    from ldai.tracker import FeedbackKind, LDAIConfigTracker
    from ldai.tracker import TokenUsage as OfficialUsage
    from ldclient import Context, LDClient

    context = Context.create("benchmark")
    with LDClient(ld_config(uri)) as client:

        async def run() -> None:
            tracker = LDAIConfigTracker(client, str(uuid.uuid4()), "benchmark", "", 1, context, "gpt", "")
            tracker.track_duration(1_200)
            await breath()
            tracker.track_time_to_first_token(300)
            await breath()
            tracker.track_tokens(OfficialUsage(30, 10, 20))
            await breath()
            tracker.track_success()
            await breath()
            tracker.track_feedback({"kind": FeedbackKind.Positive})

        before = start()
        taken = await burst(run, runs)
    return {"burst": taken, **before}


async def opentelemetry(uri: str, _path: str, runs: int) -> dict[str, Any]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "benchmark"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{uri}/v1/traces")))
    tracer = provider.get_tracer("benchmark")

    async def run() -> None:
        with tracer.start_as_current_span("run", attributes={"config": "benchmark", "model": "gpt"}) as span:
            for step, events in enumerate((1, 1, 3, 1, 1)):
                for event in range(events):
                    span.add_event(SPAN_EVENT, {"metric": f"{step}-{event}", "value": 1})
                await breath()

    before = start()
    taken = await burst(run, runs)
    provider.shutdown()
    return {"burst": taken, **before}


async def nothing(_uri: str, _path: str, runs: int) -> dict[str, Any]:
    async def run() -> None:
        for _ in range(4):
            await breath()

    before = start()
    return {"burst": await burst(run, runs), **before}


async def measured(name: str, uri: str, path: str, runs: int) -> dict[str, Any]:
    """In the rival's process."""
    import logging

    logging.disable(logging.CRITICAL)  # a warning for each event that is dropped would be the measurement
    rivals = {"nothing": nothing, "ldtrack": ours, "official": official, "OpenTelemetry": opentelemetry}
    figures = await rivals[name](uri, path, runs)
    figures["cpu"] = time.process_time() - figures["cpu"]
    figures["wall"] = time.perf_counter() - figures["wall"]
    return figures | {"peak": memory("VmHWM") - figures["rss"]}


def once(name: str, spot: Spot, runs: int) -> dict[str, float]:
    with loopback(SPAN_EVENT if name == "OpenTelemetry" else CUSTOM_EVENT) as endpoint:
        command = [sys.executable, __file__, "--rival", name, endpoint.uri, spot.address, str(runs)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        figures = dict(json.loads(done.stdout.splitlines()[-1]))
        tally = endpoint.tally()
    figures["arrived"] = tally["events"]
    return figures


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--rival", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rival:
        name, uri, path, runs = options.rival
        print(json.dumps(asyncio.run(measured(name, uri, path, int(runs)))))
        return
    repetitions = options.repetitions or (1 if options.quick else 3)
    samples: dict[tuple[int, str], list[dict[str, float]]] = {}
    with places(("sqlite full",)) as ground:
        for _ in range(repetitions):
            for runs in SIZES[:1] if options.quick else SIZES:
                for name in RIVALS:
                    with ground.fresh("sqlite full") as spot:
                        samples.setdefault((runs, name), []).append(once(name, spot, runs))
    rows, figures = [], {"load": load()}
    for (runs, name), several in samples.items():
        middle = {key: statistics.median(one[key] for one in several) for key in several[0]}
        events = runs * EVENTS_OF_RUN
        figures[f"{runs} {name}"] = middle | {"events": events}
        rows.append(
            [
                f"{runs:,} runs: {name}",
                f"{100 * middle['arrived'] / events:.1f}",
                f"{100 * (1 - min(one['arrived'] for one in several) / events):.1f}",
                f"{middle['cpu'] / events * 1e6:.1f}",
                f"{middle['cpu'] / middle['arrived'] * 1e6:.1f}" if middle["arrived"] else "",
                f"{middle['peak'] / 1e6:.0f}",
                f"{middle['burst']:.1f}",
                f"{middle['wall']:.1f}",
            ]
        )
    header = [
        "a burst of",
        "arrived %",
        "worst loss %",
        "CPU µs/event",
        "per arrived",
        "memory +MB",
        "burst s",
        "until closed s",
    ]
    print(load())
    report("A burst of runs of seven events", header, rows, figures, options.json)


if __name__ == "__main__":
    main()
