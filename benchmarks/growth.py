"""What a claim costs as a ledger remembers more and more of them.

At each size a fresh ledger of ten thousand claims and the big one are measured in turns, each with claims in
groups of a hundred, so that the ratio is one of the same minute. What is pending is delivered in between, as
by a relay that keeps up. Run ids that begin with the time, as this library makes them, are set beside random
ones. The store is asked directly: with everything above it the ratio would only look better.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import parser_of, report
from places import CLAIMS_OF_RUN, Places, Spot, load, places, rows_of_runs, seconds_and_cpu

from ldtrack.ids import new_run_id

SMALL = 10_000
WINDOW = 20_000
"""How many claims are measured at a time."""
GROUP = 100
NewId = Callable[[], str]


def random_id() -> str:
    return str(uuid.uuid4())


def grow(spot: Spot, claims: int, new_id: NewId) -> None:
    store = spot.store()
    for rows in rows_of_runs(claims // CLAIMS_OF_RUN, new_id):
        for start in range(0, len(rows), 1_000):
            assert all(store.record(rows[start : start + 1_000]))
        deliver(store)
    store.close()


def deliver(store: Any) -> None:
    while batch := store.lease("growth", 2_500, 10**9, 60.0):
        store.delivered(batch)


def window(ground: Places, spot: Spot, new_id: NewId) -> tuple[float, float, float]:
    """The seconds that so many claims take: on the clock, of this process, and of the server."""
    chunks: Iterator[list[Any]] = rows_of_runs(WINDOW // CLAIMS_OF_RUN, new_id)
    rows = [row for chunk in chunks for row in chunk]
    store = spot.store()
    store.standing()
    server = ground.server_cpu(spot.kind)
    wall, cpu = seconds_and_cpu()
    for start in range(0, len(rows), GROUP):
        store.record(rows[start : start + GROUP])
    now = seconds_and_cpu()
    server = ground.server_cpu(spot.kind) - server
    deliver(store)
    store.close()
    return now[0] - wall, now[1] - cpu, server


def curve(ground: Places, kind: str, new_id: NewId, sizes: list[int], repetitions: int) -> Iterator[Any]:
    with ground.fresh(kind) as big:
        held = 0
        for size in sizes:
            started = time.perf_counter()
            grow(big, max(size - held, 0), new_id)
            held = max(held, size)
            growing = time.perf_counter() - started
            small_ones, big_ones = [], []
            for _ in range(repetitions):
                with ground.fresh(kind) as small:
                    grow(small, SMALL, new_id)
                    small_ones.append(window(ground, small, new_id))
                big_ones.append(window(ground, big, new_id))
                held += WINDOW
            path = Path(big.address) if kind.startswith("sqlite") else None
            yield size, small_ones, big_ones, path.stat().st_size / held if path else 0.0, growing


def rows_of(ground: Places, wanted: tuple[str, str, NewId], sizes: list[int], repetitions: int) -> Any:
    kind, ids, new_id = wanted
    rows, figures = [], {}
    for size, small, big, bytes_, growing in curve(ground, kind, new_id, sizes, repetitions):
        small_us, big_us = (
            [statistics.median(column) / WINDOW * 1e6 for column in zip(*several, strict=True)]
            for several in (small, big)
        )
        ratios = [
            statistics.median((b[0]) / (s[0]) for s, b in zip(small, big, strict=True)),
            statistics.median((b[1] + b[2]) / (s[1] + s[2]) for s, b in zip(small, big, strict=True)),
        ]
        figures[f"{kind}, {ids}, {size}"] = {
            "small_us": small_us,
            "big_us": big_us,
            "wall_ratio": ratios[0],
            "cpu_ratio": ratios[1],
            "file_bytes_per_claim": bytes_,
        }
        rows.append(
            [
                f"{kind}, {ids} ids: {size:,}",
                f"{small_us[0]:.1f}",
                f"{big_us[0]:.1f}",
                f"{ratios[0]:.2f}",
                f"{small_us[1] + small_us[2]:.1f}",
                f"{big_us[1] + big_us[2]:.1f}",
                f"{ratios[1]:.2f}",
                f"{bytes_:.0f}" if bytes_ else "",
            ]
        )
        print(f"{rows[-1]} grown in {growing:.0f} s, {load()}", flush=True)
    return rows, figures


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--claims", type=int, default=10_000_000, help="how far the SQLite ledger grows")
    parser.add_argument("--postgres-claims", type=int, default=2_000_000)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--only", choices=("sqlite", "postgres"))
    options = parser.parse_args()
    most = {"sqlite": options.claims, "postgres": options.postgres_claims}
    if options.quick:
        most = {"sqlite": 200_000, "postgres": 100_000}
    wanted = [("sqlite full", "time-ordered", new_run_id), ("sqlite full", "random", random_id)]
    wanted.append(("postgres", "time-ordered", new_run_id))
    wanted = [one for one in wanted if options.only in {None, one[0].split()[0]}]
    rows: list[list[str]] = []
    figures: dict[str, Any] = {"load_before": load()}
    with places(tuple(kind for kind, _, _ in wanted)) as ground:
        for one in wanted:
            kind = one[0]
            if ground.has(kind):
                limit = most[kind.split()[0]]
                sizes = [size for size in (10_000, 100_000, 1_000_000) if size < limit] + [limit]
                more, new = rows_of(ground, one, sizes, 3 if options.quick else options.repetitions)
                rows += more
                figures |= new
    header = [
        "ledger: claims it holds",
        f"at {SMALL:,} µs",
        "at its size µs",
        "ratio",
        "CPU µs",
        "CPU µs at its size",
        "CPU ratio",
        "bytes/claim",
    ]
    report("What a claim costs as the ledger grows", header, rows, figures, options.json)


if __name__ == "__main__":
    main()
