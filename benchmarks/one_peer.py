"""One peer of ``instrumentation.py``, in a process of its own: bare and fitted calls in turns, as JSON.

    python one_peer.py NAME URI REPETITIONS

Rule for this file: both arms do the same in the same process, one after the other. What a peer has put into
the classes of ``openai`` and ``httpx`` is taken out again for the bare arm, and that this was all of it is
checked: a bare call must leave nothing behind, a fitted one must leave its usage.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from importlib import metadata
from time import process_time_ns, thread_time_ns
from typing import Any

import attrs
import openai
from peers import MARKER, PEERS, QUESTION, STREAMING, Fitted
from stage import LONG, SHORT, Stage

STREAMS = {"same": 10, "fresh": 8, "served": 2}
"""So many of each length make one measurement."""
PAIRS = {"same": 2, "fresh": 2, "served": 6}
"""So many measurements of both arms are one repetition; the more there is beside what is added, the more."""
ANSWERS = 20
Read = Callable[[], Coroutine[Any, Any, tuple[int, int]]]


class Switch:
    """Takes out of the classes of ``openai`` and ``httpx`` what a peer has put there, and back in."""

    def __init__(self) -> None:
        self._before = self._attributes()
        self._changed: list[tuple[type, str, Any, Any]] = []

    def learn(self) -> None:
        after = self._attributes()
        names = {at for at in (*self._before, *after) if at[0] in {owner for owner, _ in self._before}}
        self._changed = [
            (*at, self._before.get(at), after.get(at))
            for at in names
            if self._before.get(at) is not after.get(at)
        ]

    def set(self, *, is_on: bool) -> None:
        for owner, name, before, after in self._changed:
            value = after if is_on else before
            if value is not None:
                setattr(owner, name, value)
            elif name in vars(owner):
                delattr(owner, name)

    @staticmethod
    def _attributes() -> dict[tuple[type, str], Any]:
        owners = {
            owner
            for name, module in list(sys.modules.items())
            if name.split(".")[0] in {"openai", "httpx", "httpx2"} and not name.startswith("openai.types")
            for owner in vars(module).values()
            if isinstance(owner, type) and owner.__module__.split(".")[0] in {"openai", "httpx", "httpx2"}
        }
        return {
            (owner, name): value
            for owner in owners
            for name, value in vars(owner).items()
            if not name.startswith(("__pydantic", "__abc", "_abc", "__signature")) and name != "__stream__"
        }


# The two arms


def bare_or_wrapped(fitted: Fitted) -> tuple[Read, Read]:
    completions = fitted.client.chat.completions

    async def streamed() -> tuple[int, int]:
        began = thread_time_ns()
        first = 0
        with fitted.around():
            async for _ in await completions.create(**QUESTION, **STREAMING):
                if not first:
                    first = thread_time_ns()
        ended = thread_time_ns()
        return ended - began, ended - first

    async def answered() -> tuple[int, int]:
        began = thread_time_ns()
        with fitted.around():
            await completions.create(**QUESTION)
        return thread_time_ns() - began, 0

    return streamed, answered


def tracked(fitted: Fitted, noted: Callable[[Any], None]) -> tuple[Read, Read]:
    completions, config = fitted.client.chat.completions, fitted.config

    async def streamed() -> tuple[int, int]:
        began = thread_time_ns()
        first = 0
        async with config.create_tracker().run() as run:
            async for _ in run.stream(completions.create(**QUESTION, **STREAMING)):
                if not first:
                    first = thread_time_ns()
        ended = thread_time_ns()
        noted(run)
        return ended - began, ended - first

    async def answered() -> tuple[int, int]:
        began = thread_time_ns()
        async with config.create_tracker().run() as run:
            await run.call(completions.create(**QUESTION))
        ended = thread_time_ns()
        noted(run)
        return ended - began, 0

    return streamed, answered


@attrs.define
class Bench:
    """Both arms of one peer, and what is needed to measure them."""

    loop: asyncio.AbstractEventLoop
    stage: Stage
    switch: Switch
    arms: dict[str, tuple[Read, Read]]
    drain: Callable[[], Any]

    def measure(self, arm: str, read: Read, times: int) -> tuple[float, float, float]:
        """What a whole call took the loop's thread, what of it came after the first chunk; and the process.

        Processor time, because on a shared machine the rest is other people's; the least of it for the
        thread, the mean for the process, which includes sending everything off.
        """
        self.switch.set(is_on=arm == "fitted")
        self.drain()
        gc.collect()
        spent = process_time_ns()
        taken = [self.loop.run_until_complete(read()) for _ in range(times)]
        self.drain()
        spent = process_time_ns() - spent
        self.switch.set(is_on=True)
        whole, after = (min(values) for values in zip(*taken, strict=True))
        return whole, after, spent / times

    def streams(self, way: str, order: list[str]) -> dict[str, float]:
        """Per chunk and per call, bare and added, of one repetition."""
        seen: dict[tuple[str, int], tuple[float, float, float]] = {}
        for count in (SHORT, LONG):
            self.stage.set(way, count)
            for arm in order:
                seen[arm, count] = self.measure(arm, self.arms[arm][0], STREAMS[way])
        figures = {}
        for arm in order:
            short, long = seen[arm, SHORT], seen[arm, LONG]
            _, wall, cpu = ((b - a) / (LONG - SHORT) for a, b in zip(short, long, strict=True))
            figures |= {f"{arm}_ns": wall, f"{arm}_cpu_ns": cpu, f"{arm}_call_ns": short[0] - wall * SHORT}
        return figures

    def answers(self, order: list[str]) -> dict[str, float]:
        """Per call that does not stream, of one repetition."""
        self.stage.set("served", SHORT)
        figures = {}
        for arm in order:
            whole, _, cpu = self.measure(arm, self.arms[arm][1], ANSWERS)
            figures |= {f"{arm}_ns": whole, f"{arm}_cpu_ns": cpu}
        return figures


def recorded_at(uri: str) -> int:
    with urllib.request.urlopen(f"{uri}/tally") as answer:
        return int(json.load(answer)["marked"])


def check(bench: Bench, recorded: Callable[[], int]) -> dict[str, bool]:
    """Whether a bare call leaves nothing behind, and a fitted one what was served."""
    bench.stage.set("served", SHORT)
    verdict = {}
    for arm in ("bare", "fitted"):
        for name, read in zip(("stream", "answer"), bench.arms[arm], strict=True):
            bench.drain()
            before = recorded()
            bench.measure(arm, read, 1)
            verdict[f"{arm} {name}"] = recorded() > before
    return verdict


def added(repetitions: Iterator[dict[str, float]]) -> dict[str, list[float]]:
    """Turn the repetitions round, and put beside each pair of arms what the fitted one adds."""
    columns: dict[str, list[float]] = {}
    for figures in repetitions:
        for name, value in figures.items():
            columns.setdefault(name, []).append(value)
            if name.startswith("fitted"):
                more = value - figures[name.replace("fitted", "bare")]
                columns.setdefault(name.replace("fitted", "added"), []).append(more)
    return columns


def main() -> None:
    name, uri, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
    package, install = PEERS[name]
    stage = Stage()
    loop = asyncio.new_event_loop()
    plain = stage.client()
    loop.run_until_complete(stage.learn(plain))
    switch = Switch()
    with contextlib.redirect_stdout(sys.stderr):
        fitted = install(uri, stage.client)
    summaries: list[Any] = []
    noted = lambda run: summaries.append(run.summary.tokens.input == MARKER)  # noqa: E731 - one line
    is_ours = fitted.config is not None
    arms = {
        "bare": bare_or_wrapped(Fitted(client=plain, drain=fitted.drain, around=fitted.around)),
        "fitted": tracked(fitted, noted) if is_ours else bare_or_wrapped(fitted),
    }
    with contextlib.redirect_stdout(sys.stderr):
        for read in arms["fitted"]:
            loop.run_until_complete(read())  # some patch a class only when they are first called
    switch.learn()
    gc.collect()
    gc.freeze()  # what was imported is not gone through again before each measurement
    bench = Bench(loop, stage, switch, arms, fitted.drain)
    recorded = (lambda: sum(summaries)) if is_ours else fitted.recorded or (lambda: recorded_at(uri))
    with contextlib.redirect_stdout(sys.stderr):
        verdict = check(bench, recorded)
        orders = [["bare", "fitted"], ["fitted", "bare"]] * times
        turns = {way: orders * (pairs // 2) for way, pairs in PAIRS.items()}
        result = {
            "version": metadata.version(package),
            "openai": openai.__version__,
            "recorded": verdict,
            "same": added(bench.streams("same", order) for order in turns["same"]),
            "fresh": added(bench.streams("fresh", order) for order in turns["fresh"]),
            "served": added(bench.streams("served", order) for order in turns["served"]),
            "answers": added(bench.answers(order) for order in orders),
        }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
