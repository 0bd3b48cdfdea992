"""What recording costs: claims per second and the latency of one ``await track_...``, for every ledger.

Each caller is a task that records runs of seven events in five claims, one ``await`` after the other, each
run for a context of its own. The ledger, the number of callers and the collector are varied in turns.
``whole runs`` are ``async with tracker.run()`` round a stream: what they claim is submitted together when
they end. The last table sets one lonely ``await`` beside one bare insert of such a row into a SQLite file on
the same disk, during which the event loop stands still, and beside the same insert made in a thread.

Python's cyclic collector walks over every live object now and then, and ten thousand waiting tasks are many.
So there are two figures: with the collector as it is, and as services commonly set it after they have
started: ``gc.freeze()``, and ``gc.set_threshold(50_000)``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import queue
import sqlite3
import statistics
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from operator import sub
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import attrs
from common import ForgetfulClient, parser_of, report
from ldclient import Context
from places import CLAIMS_OF_RUN, EVENTS_OF_RUN, NAMES, Places, load, places, seconds_and_cpu

from ldtrack import (
    AIClient,
    AICompletionConfigDefault,
    Feedback,
    LDAIMetrics,
    ModelConfig,
    ProviderConfig,
    TokenUsage,
)

COLLECTORS = ("as it is", "tuned")
CALLERS = (1, 100, 10_000)
RUNS_AT_ALL = {1: 300, 100: 10_000, 10_000: 60_000}
"""How many runs are recorded with so many callers."""
WHOLE = "whole runs"
CLAIMS_OF_WHOLE, EVENTS_OF_WHOLE = 4, 6
"""No feedback."""


@attrs.frozen
class Sample:
    """One measurement, by claim."""

    wall_us: float
    cpu_us: float
    server_us: float
    p50_ms: float
    p99_ms: float


Setting = tuple[str, Any, str]
"""Which ledger, how many callers, which collector."""


@contextlib.contextmanager
def collector(how: str) -> Iterator[None]:
    """Have the collector as it is, or as a service sets it once it has started."""
    gc.collect()
    thresholds = gc.get_threshold()
    if how == "tuned":
        gc.freeze()
        gc.set_threshold(50_000, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def chunks() -> AsyncIterator[str]:
    for _ in range(5):
        yield "word "


async def record_runs(config: Any, count: int, latencies: list[int]) -> None:
    """So many runs of seven events, each claim awaited."""
    usage = TokenUsage(30, 10, 20)
    for _ in range(count):
        tracker = config.create_tracker()
        at = [perf_counter_ns()]
        assert await tracker.track_duration(1_200)
        at.append(perf_counter_ns())
        assert await tracker.track_time_to_first_token(300)
        at.append(perf_counter_ns())
        assert await tracker.track_tokens(usage)
        at.append(perf_counter_ns())
        assert await tracker.track_success()
        at.append(perf_counter_ns())
        assert await tracker.track_feedback(Feedback.POSITIVE)
        at.append(perf_counter_ns())
        latencies.extend(map(sub, at[1:], at))


async def whole_runs(config: Any, count: int, latencies: list[int]) -> None:
    """So many runs that record themselves when they end; the latency is that of the end."""
    metrics = LDAIMetrics(tokens=TokenUsage(30, 10, 20))
    for _ in range(count):
        async with config.create_tracker().run() as run:
            async for _chunk in run.stream(chunks()):
                pass
            run.observe(None, lambda _: metrics)
            started = perf_counter_ns()
        latencies.append(perf_counter_ns() - started)


async def measure(ground: Places, kind: str, callers: Any, how: str, runs: int) -> Sample:
    is_whole = callers == WHOLE
    work, count = (whole_runs, 10_000) if is_whole else (record_runs, callers)
    count = min(count, runs)
    claims = runs * (CLAIMS_OF_WHOLE if is_whole else CLAIMS_OF_RUN)
    default = AICompletionConfigDefault(model=ModelConfig("gpt"), provider=ProviderConfig("openai"))
    latencies: list[int] = []
    with ground.fresh(kind) as spot:
        ledger = spot.ledger()
        ai = AIClient(
            ForgetfulClient(), ledger=ledger, usage_events=False, blocking_store=False, settle_timeout=60
        )
        contexts = [Context.builder(f"user-{n}").set("plan", "pro").build() for n in range(count)]
        first = await ai.completion_config("benchmark", Context.create("benchmark"), default)
        await record_runs(first, 2, [])  # opens files and connections
        with collector(how):
            configs = [await ai.completion_config("benchmark", one, default) for one in contexts]
            server_before = ground.server_cpu(kind)
            wall, cpu = seconds_and_cpu()
            async with asyncio.TaskGroup() as group:
                for config in configs:
                    group.create_task(work(config, runs // count, latencies))
            wall, cpu = (now - then for now, then in zip(seconds_and_cpu(), (wall, cpu), strict=True))
            server = ground.server_cpu(kind) - server_before
        await ledger.aclose()
        extra = 2 * CLAIMS_OF_RUN
        assert kind == "memory" or ledger.recorded == claims + extra, (ledger.recorded, claims + extra)
    cuts = statistics.quantiles(latencies, n=100)
    return Sample(
        wall / claims * 1e6, cpu / claims * 1e6, server / claims * 1e6, cuts[49] / 1e6, cuts[98] / 1e6
    )


def table_of(samples: dict[Setting, list[Sample]]) -> tuple[list[list[str]], dict[str, Any]]:
    rows, figures = [], {}
    for (kind, callers, how), several in samples.items():
        middle = {
            name: statistics.median(getattr(one, name) for one in several)
            for name in ("wall_us", "cpu_us", "server_us", "p50_ms", "p99_ms")
        }
        per_claim = EVENTS_OF_WHOLE / CLAIMS_OF_WHOLE if callers == WHOLE else EVENTS_OF_RUN / CLAIMS_OF_RUN
        per_second, best = 1e6 / middle["wall_us"], 1e6 / min(one.wall_us for one in several)
        figures[f"{kind}, {callers}, collector {how}"] = middle | {
            "claims_per_s": per_second,
            "events_per_s": per_second * per_claim,
            "best_events_per_s": best * per_claim,
        }
        rows.append(
            [
                kind,
                f"{callers:,}" if isinstance(callers, int) else callers,
                how,
                f"{per_second:,.0f}",
                f"{per_second * per_claim:,.0f}",
                f"{best * per_claim:,.0f}",
                f"{middle['cpu_us']:.1f}",
                f"{middle['cpu_us'] / per_claim:.1f}",
                f"{middle['server_us']:.1f}",
                f"{middle['p50_ms']:.3g}",
                f"{middle['p99_ms']:.3g}",
            ]
        )
    return rows, figures


# One lonely await


class Bare:
    """One insert and its sync, without anything around: what a file can do."""

    def __init__(self, path: Path, level: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("page_size = 8192", "journal_mode = WAL", f"synchronous = {level}"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(
            "CREATE TABLE claims (run_id TEXT, place INTEGER, body TEXT, PRIMARY KEY (run_id, place))"
        )
        self._serial = iter(range(10**9))

    def insert(self) -> None:
        row = f"run-{next(self._serial):033d}", "x" * 300
        self._connection.execute("INSERT INTO claims VALUES (?, 0, ?)", row)

    async def here(self) -> None:
        """On the event loop, which stands still meanwhile."""
        self.insert()


class Threaded:
    """The same insert in a thread, awaited: the least there is for whom the loop must not stand still."""

    def __init__(self, bare: Bare) -> None:
        self._inbox: queue.SimpleQueue[asyncio.Future[None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, args=(bare,))
        self._thread.start()

    def _serve(self, bare: Bare) -> None:
        while (future := self._inbox.get()) is not None:
            bare.insert()
            future.get_loop().call_soon_threadsafe(future.set_result, None)

    async def insert(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.put(future)
        await future

    def close(self) -> None:
        self._inbox.put(None)
        self._thread.join()


async def timed(step: Callable[[], Awaitable[object]], count: int) -> list[int]:
    taken = []
    for _ in range(count):
        started = perf_counter_ns()
        await step()
        taken.append(perf_counter_ns() - started)
    return taken


async def lonely(ground: Places, repetitions: int) -> tuple[list[list[str]], dict[str, Any]]:
    rows, figures = [], {}
    for level in ("FULL", "NORMAL"):
        with ground.fresh(f"sqlite {level.lower()}") as spot:
            ledger = spot.ledger()
            ai = AIClient(ForgetfulClient(), ledger=ledger, usage_events=False)
            default = AICompletionConfigDefault(model=ModelConfig("gpt"))
            config = await ai.completion_config("benchmark", Context.create("benchmark"), default)
            bare = Bare(Path(spot.address).with_name("bare.db"), level)
            threaded = Threaded(Bare(Path(spot.address).with_name("threaded.db"), level))
            rivals: dict[str, Callable[[], Awaitable[object]]] = {
                "bare": bare.here,
                "threaded": threaded.insert,
                "await": lambda config=config: config.create_tracker().track_success(),
            }
            for step in rivals.values():
                await timed(step, 1_200)  # until the logs beside the files grow no more
            taken: dict[str, list[list[int]]] = {name: [] for name in rivals}
            for _ in range(repetitions):
                for name, step in rivals.items():
                    taken[name].append(await timed(step, 40))
            threaded.close()
            await ledger.aclose()
        middles = {name: [statistics.median(some) for some in several] for name, several in taken.items()}
        cells, figures[level] = compared(middles)
        rows.append([f"sqlite {level}", *cells])
    return rows, figures


def compared(middles: dict[str, list[float]]) -> tuple[list[str], dict[str, float]]:
    """The medians in microseconds, and how many times as long an await of ours takes, by repetition."""
    figures = {f"{name}_us": statistics.median(several) / 1e3 for name, several in middles.items()}
    for rival in ("bare", "threaded"):
        ratios = [ours / its for ours, its in zip(middles["await"], middles[rival], strict=True)]
        figures[f"to_{rival}"] = statistics.median(ratios)
    cells = [f"{figure:.0f}" if name.endswith("_us") else f"{figure:.2f}" for name, figure in figures.items()]
    return cells, figures


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--only", action="append", choices=NAMES, help="only this ledger; may be repeated")
    parser.add_argument("--callers", action="append", help="only so many callers; may be repeated")
    parser.add_argument("--repetitions", type=int, help="how often everything is measured")
    options = parser.parse_args()
    kinds = tuple(options.only or NAMES)
    repetitions = options.repetitions or (1 if options.quick else 5)
    wanted = [
        callers for callers in (*CALLERS, WHOLE) if not options.callers or str(callers) in options.callers
    ]
    figures: dict[str, Any] = {"load_before": load()}
    started = time.perf_counter()
    with places((*kinds, "sqlite full")) as ground, asyncio.Runner() as runner:
        kinds = tuple(kind for kind in kinds if ground.has(kind))
        samples: dict[Setting, list[Sample]] = {}
        for _ in range(repetitions):
            for callers in wanted:
                for kind in kinds:
                    for how in COLLECTORS:
                        least = callers if isinstance(callers, int) else 10_000
                        runs = max(RUNS_AT_ALL.get(callers, 20_000) // (10 if options.quick else 1), least)
                        sample = runner.run(measure(ground, kind, callers, how, runs))
                        samples.setdefault((kind, callers, how), []).append(sample)
        rows, figures["ledgers"] = table_of(samples)
        lonely_rows, figures["lonely"] = runner.run(lonely(ground, 5 if options.quick else 50))
    header = [
        "ledger",
        "callers",
        "collector",
        "claims/s",
        "events/s",
        "best",
        "CPU µs/claim",
        "per event",
        "server µs/claim",
        "p50 ms",
        "p99 ms",
    ]
    print(f"{load()}; {repetitions} repetitions in {time.perf_counter() - started:.0f} s")
    report("Recording", header, rows, {}, None)
    header = ["one lonely await", "bare insert µs", "in a thread µs", "await µs", "to bare", "to thread"]
    report("One claim at a time", header, lonely_rows, figures, options.json)


if __name__ == "__main__":
    main()
