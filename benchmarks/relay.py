"""How fast a relay brings a backlog to an endpoint, what that costs, and what memory it takes.

Everything has a process of its own: the relay, the endpoint (which unpacks and counts, and parses nothing),
and the ledger's server if it has one. The memory is what a client over the same ledger occupies at its peak
with so large a backlog, above the same client with nothing to deliver.
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
from pathlib import Path
from typing import Any

from common import parser_of, report
from loopback import Loopback, loopback
from places import CLAIMS_OF_RUN, DURABLE, EVENTS_OF_RUN, Places, Spot, load, places, rows_of_runs

from ldtrack.ids import new_run_id

RUNS = 40_000
BACKLOGS = (10_000, 1_000_000)
"""In rows."""
KINDS = tuple(kind for kind in DURABLE if kind != "redis everysec")


def memory(field: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


async def deliver(spot: Spot, uri: str, concurrency: int) -> dict[str, float]:
    """In the relay's process: a client and its relay, until nothing is left."""
    from ldclient import Config, LDClient
    from ldclient.integrations.test_data import TestData

    from ldtrack import AIClient
    from ldtrack.delivery import LaunchDarklyEvents, Relay

    source = TestData.data_source()
    config = Config("sdk-key", update_processor_class=source, events_uri=uri, diagnostic_opt_out=True)
    destination = LaunchDarklyEvents.from_config(config)
    with LDClient(config) as client:
        ledger = spot.ledger()
        async with AIClient(client, ledger=ledger, usage_events=False):
            relay = Relay(ledger, destination, concurrency=concurrency)
            wall, cpu = time.perf_counter(), time.process_time()
            is_done = await relay.drain(600)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            assert is_done
            standing = await ledger.standing()
            assert not standing.pending, standing
            await destination.aclose()
    return {"wall": wall, "cpu": cpu, "peak": memory("VmHWM")}


def fill(spot: Spot, runs: int) -> None:
    store = spot.store()
    for chunk in rows_of_runs(runs, new_run_id):
        # A thousand runs at a time, each with its user, claim side by side: then they compress the least.
        rows = sorted(chunk, key=lambda row: row.place)
        for start in range(0, len(rows), 1_000):
            assert all(store.record(rows[start : start + 1_000]))
    store.close()


def once(ground: Places, kind: str, runs: int, endpoint: Loopback, concurrency: int) -> dict[str, float]:
    """Fill a fresh ledger, and have a fresh process deliver it."""
    with ground.fresh(kind) as spot:
        if runs:
            fill(spot, runs)
        before, server_before = endpoint.tally(), ground.server_cpu(kind)
        command = [sys.executable, __file__, "--deliver", *spot.arguments, endpoint.uri, str(concurrency)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        figures = dict(json.loads(done.stdout))
        after = endpoint.tally()
        arrived = after["events"] - before["events"]
        assert arrived == runs * EVENTS_OF_RUN, (arrived, runs * EVENTS_OF_RUN)
        figures["server"] = ground.server_cpu(kind) - server_before
        figures["endpoint"] = after["cpu"] - before["cpu"]
        figures["bytes"] = after["bytes"] - before["bytes"]
        figures["unpacked"] = after["unpacked"] - before["unpacked"]
        return figures


def speeds(ground: Places, kinds: list[str], runs: int, repetitions: int, concurrency: int) -> Any:
    samples: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    with loopback() as endpoint:
        for _ in range(repetitions):
            for kind in kinds:
                samples[kind].append(once(ground, kind, runs, endpoint, concurrency))
    rows, figures = [], {}
    events = runs * EVENTS_OF_RUN
    for kind, several in samples.items():
        middle = {name: statistics.median(one[name] for one in several) for name in several[0]}
        best = min(one["wall"] for one in several)
        figures[kind] = {name: value / events for name, value in middle.items() if name != "peak"}
        rows.append(
            [
                kind,
                f"{events / middle['wall']:,.0f}",
                f"{events / best:,.0f}",
                *(f"{middle[name] / events * 1e6:.1f}" for name in ("cpu", "server", "endpoint")),
                f"{middle['unpacked'] / events:.0f}",
                f"{middle['bytes'] / events:.0f}",
            ]
        )
    return rows, figures


def weights(ground: Places, kinds: list[str], backlogs: tuple[int, ...]) -> Any:
    rows, figures = [], {}
    with loopback() as endpoint:
        for kind in kinds:
            idle = once(ground, kind, 0, endpoint, 2)["peak"]
            peaks = {
                backlog: once(ground, kind, backlog // CLAIMS_OF_RUN, endpoint, 2)["peak"]
                for backlog in backlogs
            }
            figures[kind] = {"idle": idle, **{f"{backlog} rows": peak for backlog, peak in peaks.items()}}
            added = [f"{(peak - idle) / 1e6:+.1f}" for peak in peaks.values()]
            rows.append([kind, f"{idle / 1e6:.1f}", *added])
    return rows, figures


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--only", action="append", choices=KINDS, help="only this ledger; may be repeated")
    parser.add_argument("--concurrency", type=int, default=2, help="how many batches at once")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--no-memory", action="store_true", help="only the speed")
    parser.add_argument("--deliver", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.deliver:
        *where, uri, concurrency = options.deliver
        print(json.dumps(asyncio.run(deliver(Spot(*where), uri, int(concurrency)))))
        return
    kinds, backlogs = tuple(options.only or KINDS), BACKLOGS[:1] if options.quick else BACKLOGS
    figures: dict[str, Any] = {"load_before": load()}
    with places(kinds) as ground:
        there = [kind for kind in kinds if ground.has(kind)]
        runs = RUNS // 10 if options.quick else RUNS
        repetitions = options.repetitions or (1 if options.quick else 5)
        rows, figures["speed"] = speeds(ground, there, runs, repetitions, options.concurrency)
        print(load())
        header = ["ledger", "events/s", "best", "CPU µs/event", "server", "endpoint", "bytes/event", "sent"]
        report(f"A relay with {runs * EVENTS_OF_RUN:,} events to deliver", header, rows, {}, None)
        if not options.no_memory:
            rows, figures["memory"] = weights(ground, there, backlogs)
            header = ["ledger", "idle client MB", *(f"with {backlog:,} rows" for backlog in backlogs)]
            report("Memory at the peak, above an idle client", header, rows, {}, None)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
