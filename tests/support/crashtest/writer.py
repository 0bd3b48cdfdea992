"""A child that records through real trackers until it is killed, and writes down what it was told.

Rule for this file: it behaves like an app. It looks at answers only, never into the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, TypeAlias

from ldclient import Config, Context, LDClient
from ldclient.integrations.test_data import TestData

from crashtest import frauds
from crashtest.journal import Journal, line_of, tokens_in
from crashtest.plan import Plan
from ldtrack import AIClient, JudgeResult, TokenUsage
from ldtrack.exceptions import LedgerError

__all__ = ["race", "write_forever"]

FLAG: Final = {"_ldMeta": {"enabled": True, "variationKey": "warm", "version": 3}, "model": {"name": "gpt"}}
Track: TypeAlias = Callable[[Any], Awaitable[bool]]
Attempt: TypeAlias = tuple[dict[str, float], Track]
"""The events that a call should record, and the call."""


def write_forever(plan: Plan, number: int) -> None:
    """Record run after run, several at once."""
    asyncio.run(Writer(plan, number).work())


def race(plan: Plan, number: int, start: Callable[[], object]) -> None:
    """Resume all runs that there are tokens of, wait for the start, and claim every slot of them."""
    asyncio.run(Writer(plan, number).race(start))


class Writer:
    """One child."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._plan = plan
        self._random = random.Random(f"{plan.seed} writer {number}")
        self._values = number * 100_000
        self._parent = os.getppid()
        self._journal = Journal(plan.journals / str(number))
        self._tokens = os.open(plan.tokens, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        flags = TestData.data_source()
        flags.update(flags.flag("chat").variations(FLAG).variation_for_all(0))
        config = Config("sdk-key", update_processor_class=flags, send_events=False, diagnostic_opt_out=True)
        # A run's exit counts when it returns: it must not return before the ledger has answered.
        self._ai = AIClient(
            LDClient(config), ledger=frauds.ledger_of(plan), usage_events=False, settle_timeout=600
        )

    async def work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._plan.tasks):
                tasks.create_task(self._record_forever(number))

    async def race(self, start: Callable[[], object]) -> None:
        context = Context.create("ada")
        trackers = [self._ai.resume(token, context) for token in self._plan.tokens.read_text().splitlines()]
        self._random.shuffle(trackers)
        start()
        # A few at a time: all in one commit would be one race, and not a thousand.
        for begin in range(0, len(trackers), 8):
            await asyncio.gather(
                *[self._record(tracker, list(self._once())) for tracker in trackers[begin : begin + 8]]
            )
        await self._ai.aclose()

    async def _record_forever(self, task: int) -> None:
        context = Context.builder(f"user-{task}").set("plan", "gold").build()
        config = await self._ai.completion_config("chat", context)
        ways = (self._explicitly, self._explicitly, self._implicitly, self._resumed, self._hastily)
        while os.getppid() == self._parent:  # a supervisor that is gone can end nobody
            tracker = config.create_tracker()
            if self._random.random() < 0.3:
                os.write(self._tokens, line_of(tracker.resumption_token))
            await self._random.choice(ways)(tracker, context)

    # Ways of recording a run

    async def _explicitly(self, tracker: Any, _: Context) -> None:
        await self._record(tracker, [*self._once(), *self._repeatable()])

    async def _resumed(self, _: Any, context: Context) -> None:
        """Race for the slots of a run that another process began, and maybe did not live to end."""
        token = self._any_token()
        if token is not None:
            await self._record(self._ai.resume(token, context), list(self._once()))

    async def _hastily(self, tracker: Any, _: Context) -> None:
        """Cancel the waiting: what was asked may be recorded, and nobody was told."""
        waiting = asyncio.create_task(self._record(tracker, list(self._once())))
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting

    async def _implicitly(self, tracker: Any, _: Context) -> None:
        """Let the end of a run record what its stream showed."""
        tool, count = f"tool-{self._value()}", self._random.randrange(1, 1000)
        events: dict[str, float | None] = {
            "duration:total": None,
            "tokens:ttf": None,
            "generation:success": 1,
            "tokens:total": count + 5,
            "tokens:input": count,
            "tokens:output": 5,
            f"tool_call {tool}": 1,
        }
        self._journal.note("tried", tracker.run_id, events)
        async with tracker.run() as run:
            async for _ in run.stream(_answer(tool, count)):
                pass
        if self._ai.stats.failures:
            self._journal.note("failed", tracker.run_id, events)
        else:
            self._journal.note("held", tracker.run_id, events)

    # What there is to record

    def _once(self) -> Iterator[Attempt]:
        value = self._value()
        yield {"duration:total": value}, lambda tracker: tracker.track_duration(value)
        yield {"tokens:ttf": value}, lambda tracker: tracker.track_time_to_first_token(value)
        usage = TokenUsage(input=value + 1, output=7)
        counted = {"tokens:total": value + 8, "tokens:input": value + 1, "tokens:output": 7}
        yield counted, lambda tracker: tracker.track_tokens(usage)
        if self._random.random() < 0.5:
            yield {"generation:success": 1}, lambda tracker: tracker.track_success()
            yield {"feedback:user:positive": 1}, lambda tracker: tracker.track_feedback("positive")
        else:
            yield {"generation:error": 1}, lambda tracker: tracker.track_error()
            yield {"feedback:user:negative": 1}, lambda tracker: tracker.track_feedback("negative")

    def _repeatable(self) -> Iterator[Attempt]:
        tools = [f"tool-{self._value()}" for _ in range(3)]
        yield {f"tool_call {tools[0]}": 1}, lambda tracker: tracker.track_tool_call(tools[0])
        several = {f"tool_call {tool}": 1.0 for tool in tools[1:]}
        yield several, lambda tracker: tracker.track_tool_calls(tools[1:])
        name = f"judge-{self._value()}"
        result = JudgeResult(sampled=True, success=True, metric_key=name, score=0.5)
        yield {name: 0.5}, lambda tracker: tracker.track_judge_result(result)

    async def _record(self, tracker: Any, attempts: list[Attempt]) -> None:
        self._random.shuffle(attempts)
        together = {name: value for events, _ in attempts for name, value in events.items()}
        self._journal.note("tried", tracker.run_id, together)
        await asyncio.gather(*[self._one(tracker, *attempt) for attempt in attempts])

    async def _one(self, tracker: Any, events: dict[str, float], call: Track) -> None:
        try:
            is_first = await call(tracker)
        except LedgerError:
            self._journal.note("failed", tracker.run_id, events)
        else:
            self._journal.note("kept" if is_first else "taken", tracker.run_id, events)

    def _value(self) -> int:
        """A number that no other call of any child has."""
        self._values += 1
        return self._values

    def _any_token(self) -> str | None:
        end = os.fstat(self._tokens).st_size
        piece = os.pread(self._tokens, 4096, max(0, self._random.randrange(end + 1) - 2048))
        whole = tokens_in(piece)
        return self._random.choice(whole) if whole else None


async def _answer(tool: str, count: int) -> AsyncIterator[dict[str, Any]]:
    yield {"content": "Hel"}
    await asyncio.sleep(0)
    yield {"content": "lo"}
    yield {"tool_calls": [{"id": "1", "function": {"name": tool}}]}
    yield {"usage": {"input_tokens": count, "output_tokens": 5}, "finish_reason": "stop"}
