"""How many of 200 events arrive when a process ends: at once, and after the next start.

    python benchmarks/exits.py

Each way out is taken in a process of its own, with a healthy endpoint on loopback; nobody closes anything
unless the column says so. Then another process starts with the same settings, flushes and closes: what a
killed relay had on loan takes a minute to come back. Rivals: the base SDK's `LDClient`, and an `AIClient`
with each ledger whose server is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))

from ldclient import Config, Context, LDClient  # noqa: E402 - the path comes first
from ldclient.integrations.test_data import TestData  # noqa: E402

EVENTS = 200
PATIENCE = 20.0
"""Seconds after which a process that should have ended is said to hang."""
LOAN_AND_MORE = 100.0
"""Seconds that the next start may take: longer than a relay's loan."""
ADA = Context.create("ada")
TOOL_CALL = "$ld:ai:tool_call"

WAYS = {
    "closed": "closed, then returned",
    "return": "returned, not closed",
    "exception": "uncaught exception",
    "_exit": "`os._exit`",
    "SIGTERM": "SIGTERM",
    "SIGKILL": "SIGKILL",
    "fork": "`os.fork`, the child flushes",
    "multiprocessing": "`multiprocessing` child, no flush",
}


# In the process that ends


def config_for(uri: str) -> Config:
    return Config(
        "sdk-key",
        events_uri=uri,
        update_processor_class=TestData.data_source(),
        diagnostic_opt_out=True,
    )


class BaseSDK:
    """LaunchDarkly's own client, as its documentation has it."""

    def __init__(self, uri: str) -> None:
        self._client = LDClient(config_for(uri))

    def record(self, name: str, count: int, then: Callable[[], None], *, closes: bool = False) -> None:
        for number in range(count):
            self._client.track(TOOL_CALL, ADA, {"toolKey": f"{name}-{number}"}, 1)
        then()
        if closes:
            self._client.close()

    def flush(self) -> None:
        self._client.flush()
        self._client.close()

    def start_again(self) -> None:
        self.flush()


class Ours:
    """An ``AIClient`` with a ledger: every event counts whose await has returned."""

    def __init__(self, uri: str, ledger: str, where: str, options: dict[str, Any]) -> None:
        from crashtest.places import Place

        from ldtrack import AIClient
        from ldtrack.delivery import LaunchDarklyEvents

        config = config_for(uri)
        durable: dict[str, Any] = {}
        if ledger != "memory":
            durable["ledger"] = Place(ledger, where, options).open()
            durable["destination"] = LaunchDarklyEvents.from_config(config)
        self._client = LDClient(config)
        self.ai = AIClient(self._client, **durable)

    def record(self, name: str, count: int, then: Callable[[], None], *, closes: bool = False) -> None:
        asyncio.run(self._record(name, count, then, closes=closes))

    async def _record(self, name: str, count: int, then: Callable[[], None], *, closes: bool) -> None:
        await self.ai.__aenter__()
        tracker = (await self.ai.completion_config("chat", ADA)).create_tracker()
        await asyncio.gather(*[tracker.track_tool_call(f"{name}-{number}") for number in range(count)])
        then()
        if closes:
            await self.ai.aclose()
            self._client.close()

    def flush(self) -> None:
        asyncio.run(self._flush())

    async def _flush(self) -> None:
        await self.ai.flush(10)

    def start_again(self) -> None:
        asyncio.run(self._start_again())

    async def _start_again(self) -> None:
        async with self.ai:
            await self.ai.flush(LOAN_AND_MORE)
        self._client.close()


def leave(rival: Any, way: str) -> None:
    """Record all events, and be gone."""
    if way == "fork":
        rival.record("warm-up", 1, lambda: None)  # whatever starts with the first event has started
        child = os.fork()
        if child == 0:
            rival.record("event", EVENTS, lambda: None)
            rival.flush()
            os._exit(0)
        os.waitpid(child, 0)
        os._exit(0)
    if way == "multiprocessing":
        rival.record("warm-up", 1, lambda: None)
        arguments = ("event", EVENTS, bool)
        child_process = multiprocessing.get_context("fork").Process(target=rival.record, args=arguments)
        child_process.start()
        child_process.join()
        os._exit(0)
    rival.record("event", EVENTS, lambda: go(way), closes=way == "closed")


def go(way: str) -> None:
    if way == "exception":
        raise RuntimeError("nobody catches this")
    if way == "_exit":
        os._exit(0)
    if way.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, way))


def child(settings: dict[str, Any]) -> None:
    warnings.simplefilter("ignore")  # of forking with threads: that is what is tried
    rival = BaseSDK(settings["uri"]) if settings["ledger"] is None else Ours(**settings["ours"])
    if settings["way"] == "start":
        rival.start_again()
    else:
        leave(rival, settings["way"])


# In the process that watches


def run_child(settings: dict[str, Any], patience: float = PATIENCE) -> bool:
    """Run one; returns whether it came to its end."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__)), "--child", json.dumps(settings)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        return False
    finally:
        # Its own children as well.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return True


def arrived(endpoint: Any) -> tuple[int, int]:
    """How many different events have arrived, and how many more than once."""
    tools = Counter(
        event["data"]["toolKey"]
        for event in endpoint.events
        if event.get("key") == TOOL_CALL and event["data"]["toolKey"].startswith("event")
    )
    return len(tools), sum(count > 1 for count in tools.values())


def try_way(ledger: str | None, where: str, options: dict[str, Any], way: str) -> dict[str, Any]:
    from endpoint import Endpoint

    with Endpoint() as endpoint:
        ours = {"uri": endpoint.uri, "ledger": ledger, "where": where, "options": options}
        settings = {"uri": endpoint.uri, "ledger": ledger, "ours": ours, "way": way}
        has_ended = run_child(settings)
        at_once, _ = arrived(endpoint)
        run_child(settings | {"way": "start"}, LOAN_AND_MORE + PATIENCE)
        later, twice = arrived(endpoint)
    return {"at once": at_once, "later": later, "twice": twice, "hangs": not has_ended}


def cell(found: dict[str, Any]) -> str:
    text = f"{found['at once']} / {found['later']}"
    text += f", {found['twice']} twice" if found["twice"] else ""
    return text + (", hangs" if found["hangs"] else "")


@contextlib.contextmanager
def places(ledger: str | None, folder: Path) -> Iterator[Callable[[], tuple[str, dict[str, Any]]]]:
    """Hands out places for a ledger that nobody has used before."""
    if ledger in (None, "memory"):
        yield lambda: ("", {})
        return
    if ledger == "sqlite":
        numbers = iter(range(1000))
        yield lambda: (str(folder / f"{next(numbers)}.db"), {})
        return
    import servers
    from crashtest.places import place_on

    with servers.postgres_server() if ledger == "postgres" else servers.redis_server() as server:

        def fresh() -> tuple[str, dict[str, Any]]:
            place = place_on(server)
            return place.where, {**place.options, "spool": str(folder / f"{ledger}-spool.db")}

        yield fresh


def main() -> None:
    import servers
    from common import arguments

    given = arguments(__doc__ or "")
    rivals: dict[str, str | None] = {"LDClient": None, "AIClient, MemoryLedger": "memory"}
    rivals["AIClient, SQLiteLedger"] = "sqlite"
    if not given.quick:
        for name, ledger, missing in (
            ("AIClient, PostgresLedger", "postgres", servers.missing_postgres()),
            ("AIClient, RedisLedger", "redis", servers.missing_redis()),
        ):
            if missing:
                print(missing)
            else:
                rivals[name] = ledger

    figures: dict[str, dict[str, Any]] = {}
    for name, ledger in rivals.items():
        with (
            tempfile.TemporaryDirectory() as folder,
            places(ledger, Path(folder)) as fresh,
            # A few at once: most of the time is waiting for the loans of relays that were killed.
            ThreadPoolExecutor(4) as pool,
        ):
            found = {way: pool.submit(try_way, ledger, *fresh(), way) for way in WAYS}
            figures[name] = {way: one.result() for way, one in found.items()}

    print(f"\nOf {EVENTS} events arrived: at once / after the next start\n")
    print("| | " + " | ".join(WAYS.values()) + " |")
    print("|---|" + "---|" * len(WAYS))
    for name, found in figures.items():
        print(f"| {name} | " + " | ".join(cell(found[way]) for way in WAYS) + " |")
    if given.json is not None:
        given.json.write_text(json.dumps({"title": "exits", "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(json.loads(sys.argv[2]))
    else:
        main()
