"""A flag store that blocks does not block the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fake_provider import tick
from launchdarkly import PersistentCore, async_client, client, client_with_store, flag, persistent_store
from ldclient import Config, Context, LDClient
from ldclient.async_feature_store import AsyncInMemoryFeatureStore
from ldclient.config import DataSystemConfig
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

from ldtrack import AIClient
from ldtrack.configs.flags import SLOW_NS
from ldtrack.testing import ManualClock, RecordingClient

ADA = Context.create("ada")
FLAGS = {"chat": {"_ldMeta": {"enabled": True}}}
PATIENCE_S = 30
"""When a test gives up on a thread; nothing waits that long unless something is broken."""


class StuckCore(PersistentCore):
    """A database that does not answer until it is told to."""

    def __init__(self) -> None:
        super().__init__(FLAGS)
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()
        self.threads: list[int] = []
        self.gave_up = False

    def before_get(self, key: str) -> None:
        self.threads.append(threading.get_ident())
        self.is_asked.set()
        self.gave_up = not self.may_answer.wait(PATIENCE_S)


@pytest.fixture
def stuck() -> Iterator[StuckCore]:
    core = StuckCore()
    yield core
    core.may_answer.set()


# A persistent store


async def test_the_loop_goes_on_while_a_persistent_store_is_waited_for(stuck: StuckCore) -> None:
    """LaunchDarkly's SDK says that the store is persistent, so it is asked in a worker thread."""
    with client_with_store(persistent_store(stuck)) as ld:
        asking = asyncio.create_task(AIClient(ld).completion_config("chat", ADA))
        await asyncio.to_thread(stuck.is_asked.wait, PATIENCE_S)
        for _ in range(100):
            await tick()
        assert not asking.done()
        stuck.may_answer.set()
        assert (await asking).enabled
    assert not stuck.gave_up


async def test_waiting_for_a_persistent_store_can_be_cancelled(stuck: StuckCore) -> None:
    """The caller goes on at once; the evaluation ends by itself."""
    with client_with_store(persistent_store(stuck)) as ld:
        asking = asyncio.create_task(AIClient(ld).completion_config("chat", ADA))
        await asyncio.to_thread(stuck.is_asked.wait, PATIENCE_S)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not stuck.gave_up
        stuck.may_answer.set()


async def test_a_batch_of_agents_does_not_block_either(stuck: StuckCore) -> None:
    """Every one of them is evaluated away from the loop."""
    from ldtrack import AIAgentConfigRequest

    stuck.may_answer.set()
    with client_with_store(persistent_store(stuck)) as ld:
        await AIClient(ld).agent_configs([AIAgentConfigRequest("chat"), AIAgentConfigRequest("other")], ADA)
    assert len(stuck.threads) == 2
    assert threading.get_ident() not in stuck.threads


async def test_a_persistent_store_may_be_declared_harmless(stuck: StuckCore) -> None:
    """``blocking_store=False``: it is asked in the loop."""
    stuck.may_answer.set()
    with client_with_store(persistent_store(stuck)) as ld:
        await AIClient(ld, blocking_store=False).completion_config("chat", ADA)
    assert stuck.threads == [threading.get_ident()]


async def test_what_a_hook_sees_of_the_callers_context_variables(stuck: StuckCore) -> None:
    """The worker thread has those of the caller, so that traces hang together."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []
    stuck.before_get = lambda _key: seen.append(variable.get())  # type: ignore[method-assign]  # this once
    with client_with_store(persistent_store(stuck)) as ld:
        variable.set("the caller's")
        await AIClient(ld).completion_config("chat", ADA)
    assert seen == ["the caller's"]


# A store in memory


class ThreadClient(RecordingClient):
    """Notes in which thread it is asked, and takes its time on a clock of its own."""

    def __init__(self, clock: ManualClock | None = None, *took_ms: float) -> None:
        super().__init__(FLAGS)
        self._clock = clock or ManualClock()
        self._took_ms = list(took_ms)
        self.threads: list[int] = []

    def variation(self, key: str, context: Context, default: Any) -> Any:
        self.threads.append(threading.get_ident())
        if self._took_ms:
            self._clock.advance(ms=self._took_ms.pop(0))
        return super().variation(key, context, default)

    @property
    def in_the_loop(self) -> list[bool]:
        return [thread == threading.get_ident() for thread in self.threads]


async def test_a_store_in_memory_is_asked_in_the_loop() -> None:
    """The trip to a thread would cost ten times the evaluation."""
    with client(FLAGS) as ld:
        evaluations: list[int] = []
        evaluate = ld.variation

        def variation(key: str, context: Context, default: Any) -> Any:
            evaluations.append(threading.get_ident())
            return evaluate(key, context, default)

        ld.variation = variation  # type: ignore[method-assign]  # looked at, not replaced
        assert (await AIClient(ld).completion_config("chat", ADA)).enabled
    assert evaluations == [threading.get_ident()]


async def test_any_store_may_be_declared_blocking() -> None:
    """``blocking_store=True``: it is asked in a worker thread from the start."""
    ld = ThreadClient()
    assert (await AIClient(ld, blocking_store=True).completion_config("chat", ADA)).enabled
    assert ld.in_the_loop == [False]


# A store that does not say so


async def test_one_slow_answer_is_the_last_one_to_hold_up_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """From then on flags are evaluated in worker threads, for good; the log says so once."""
    clock = ManualClock()
    ld = ThreadClient(clock, 0.1, 5.1, 0.1, 80, 0.1)
    ai = AIClient(ld, clock=clock)
    for _ in range(5):
        assert (await ai.completion_config("chat", ADA)).enabled
    assert ld.in_the_loop == [True, True, False, False, False]
    (line,) = caplog.messages
    assert "held up the event loop for 5 ms" in line
    assert "blocking_store" in line


class JumpyClock(ManualClock):
    """A process that is so busy that every reading of the clock is a second later."""

    def monotonic_ns(self) -> int:
        self.advance(1)
        return super().monotonic_ns()


async def test_the_sdks_own_store_in_memory_is_never_suspected(caplog: pytest.LogCaptureFixture) -> None:
    """If evaluating from memory takes long, the process is busy, and a thread would not help."""
    with client(FLAGS) as ld:
        ai = AIClient(ld, clock=JumpyClock())
        for _ in range(3):
            assert (await ai.completion_config("chat", ADA)).enabled
        assert not ai._flags.uses_thread
    assert caplog.messages == []


@pytest.mark.parametrize(("store", "suspected"), [(None, False), (InMemoryFeatureStore(), True)])
async def test_the_newer_data_system_is_known_too(store: Any, suspected: bool) -> None:
    """Without a store of its own it keeps its flags in memory; with one, nobody knows."""
    system = DataSystemConfig(initializers=None, synchronizers=None, data_store=store)
    with LDClient(Config("sdk-key", datasystem_config=system, offline=True), start_wait=0) as ld:
        ai = AIClient(ld, clock=JumpyClock())
        await ai.completion_config("chat", ADA)
        assert ai._flags.uses_thread is suspected


async def test_a_store_of_somebody_elses_is_watched() -> None:
    """Nobody knows what it does, even if it keeps its flags in memory."""

    class OwnStore(InMemoryFeatureStore):
        pass

    store = OwnStore()
    store.init({FEATURES: {"chat": flag("chat", FLAGS["chat"])}, SEGMENTS: {}})
    with client_with_store(store) as ld:
        ai = AIClient(ld, clock=JumpyClock())
        for _ in range(2):
            assert (await ai.completion_config("chat", ADA)).enabled
        assert ai._flags.uses_thread


async def test_five_milliseconds_are_not_slow_yet() -> None:
    """The limit is what a loop can bear."""
    clock = ManualClock()
    ld = ThreadClient(clock, SLOW_NS / 1e6, SLOW_NS / 1e6)
    ai = AIClient(ld, clock=clock)
    for _ in range(2):
        await ai.completion_config("chat", ADA)
    assert ld.in_the_loop == [True, True]


async def test_a_store_that_was_declared_harmless_stays_in_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever says so has measured it."""
    clock = ManualClock()
    ld = ThreadClient(clock, 500, 500)
    ai = AIClient(ld, clock=clock, blocking_store=False)
    for _ in range(2):
        await ai.completion_config("chat", ADA)
    assert ld.in_the_loop == [True, True]
    assert caplog.messages == []


# An asynchronous client


class StuckAsyncStore(AsyncInMemoryFeatureStore):
    """A database that an ``AsyncLDClient`` waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def get(self, kind: Any, key: str) -> Any:
        self.is_asked.set()
        await self.may_answer.wait()
        return await super().get(kind, key)


async def test_an_async_client_is_awaited() -> None:
    """Its store may take its time; the loop goes on, and the wait can be cancelled."""
    store = StuckAsyncStore()
    await store.init({FEATURES: {"chat": flag("chat", FLAGS["chat"])}})
    async with await async_client(store=store) as ld, AIClient(ld) as ai:
        asking = asyncio.create_task(ai.completion_config("chat", ADA))
        abandoned = asyncio.create_task(ai.completion_config("chat", ADA))
        await store.is_asked.wait()
        for _ in range(100):
            await tick()
        assert not asking.done()
        abandoned.cancel()
        store.may_answer.set()
        assert (await asking).enabled
        with pytest.raises(asyncio.CancelledError):
            await abandoned
