"""Whether evaluating a flag may block the event loop, and what avoiding that costs.

Three ways to evaluate one flag: in the loop from a store in memory, in a worker thread from the same store,
and in the loop from a persistent store whose database takes five milliseconds and whose cache is off.
"""

from __future__ import annotations

import asyncio
import time
from time import perf_counter_ns
from typing import Any

from anyio import to_thread
from common import arguments, interleaved, report
from ldclient import Config, Context, LDClient
from ldclient.feature_store import CacheConfig
from ldclient.feature_store_helpers import CachingStoreWrapper
from ldclient.integrations.test_data import TestData
from ldclient.interfaces import FeatureStoreCore

CONTEXT = Context.create("benchmark")
ROUNDS = 50


class SlowDatabase(FeatureStoreCore):
    """A persistent store whose every answer takes five milliseconds."""

    def __init__(self) -> None:
        self._items: dict[Any, dict[str, Any]] = {}

    def get_internal(self, kind: Any, key: str) -> Any:
        time.sleep(0.005)
        return self._items.get(kind, {}).get(key)

    def get_all_internal(self, kind: Any) -> Any:
        return self._items.get(kind, {})

    def init_internal(self, all_data: Any) -> None:
        self._items = {kind: dict(items) for kind, items in all_data.items()}

    def upsert_internal(self, kind: Any, item: Any) -> Any:
        self._items.setdefault(kind, {})[item["key"]] = item
        return item

    def initialized_internal(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True


def client_over(store: Any = None) -> LDClient:
    source = TestData.data_source()
    source.update(source.flag("flag").variations({"model": {"name": "gpt"}}).variation_for_all(0))
    options = {} if store is None else {"feature_store": store}
    return LDClient(Config("sdk-key", update_processor_class=source, send_events=False, **options))


def main() -> None:
    options = arguments(__doc__ or "")
    memory = client_over()
    slow = client_over(CachingStoreWrapper(SlowDatabase(), CacheConfig.disabled()))
    loop = asyncio.new_event_loop()

    async def in_loop(client: LDClient, rounds: int) -> float:
        started = perf_counter_ns()
        for _ in range(rounds):
            client.variation("flag", CONTEXT, None)
        return (perf_counter_ns() - started) / rounds

    async def in_thread(client: LDClient, rounds: int) -> float:
        started = perf_counter_ns()
        for _ in range(rounds):
            await to_thread.run_sync(client.variation, "flag", CONTEXT, None)
        return (perf_counter_ns() - started) / rounds

    series = interleaved(
        {
            "memory, in the loop": lambda: loop.run_until_complete(in_loop(memory, ROUNDS)),
            "memory, in a thread": lambda: loop.run_until_complete(in_thread(memory, ROUNDS)),
            "slow store, in the loop: blocks it": lambda: loop.run_until_complete(in_loop(slow, 3)),
        },
        5 if options.quick else 30,
    )
    for name, client in {"memory": memory, "slow": slow}.items():
        monitored = client.data_store_status_provider.is_monitoring_enabled()
        print(f"{name}: the SDK says persistent store = {monitored}")
        client.close()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    base = series["memory, in the loop"]
    rows = [
        [name, f"{one.minimum / 1e3:.1f}", f"{one.median / 1e3:.1f}", f"{one.median / base.median:.1f}"]
        for name, one in series.items()
    ]
    figures = {name: {"median_ns": one.median, "min_ns": one.minimum} for name, one in series.items()}
    report(
        "Evaluating a flag", ["per evaluation", "min µs", "median µs", "ratio"], rows, figures, options.json
    )


if __name__ == "__main__":
    main()
