"""Records 200 events, each of them awaited, and leaves in the way that it is told. Run as a script.

    python leaver.py WAY FILE

Rule for this file: nothing of pytest, and nothing that a program of our users would not do.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from ldclient import Context

from ldtrack import AIClient
from ldtrack.ledgers import SQLiteLedger
from ldtrack.testing import RecordingClient

EVENTS = 200
ADA = Context.create("ada")


def new_client(path: str) -> AIClient:
    """As a module of an app makes it, when it is imported."""
    return AIClient(RecordingClient(), ledger=SQLiteLedger(path), usage_events=False, blocking_store=False)


async def record(ai: AIClient, events: int = EVENTS) -> None:
    """So many events, each awaited."""
    config = await ai.completion_config("chat", ADA)
    await asyncio.gather(*[config.create_tracker().track_success() for _ in range(events)])


def say(what: str) -> None:
    """To whoever waits outside."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


# Ways that end the process that records


def leave_by_return(ai: AIClient) -> None:
    asyncio.run(record(ai))


def leave_by_close(ai: AIClient) -> None:
    async def main() -> None:
        async with ai:
            await record(ai)

    asyncio.run(main())


def leave_by_exception(ai: AIClient) -> None:
    asyncio.run(record(ai))
    raise ZeroDivisionError


def leave_by_sys_exit(ai: AIClient) -> None:
    async def main() -> None:
        await record(ai)
        sys.exit(0)

    asyncio.run(main())


def leave_by_os_exit(ai: AIClient) -> None:
    async def main() -> None:
        await record(ai)
        os._exit(0)

    asyncio.run(main())


def leave_by_sigterm(ai: AIClient) -> None:
    asyncio.run(record(ai))
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


def leave_by_sigkill(ai: AIClient) -> None:
    async def main() -> None:
        await record(ai)
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())


def leave_at_once(ai: AIClient) -> None:
    """The loop ends with streams that nobody finished: they are settled, and nobody waits for the answers."""
    held = []

    async def chunks() -> Any:
        yield "a"
        yield "b"

    async def main() -> None:
        config = await ai.completion_config("chat", ADA)
        for _ in range(EVENTS // 2):  # a duration and a time to the first token each
            held.append(config.create_tracker().stream(chunks()))
            await anext(held[-1])

    asyncio.run(main())


def leave_a_thread(ai: AIClient) -> None:
    """The main thread is over, and another one still records: the interpreter has begun to end."""
    main = threading.current_thread()

    def work() -> None:
        main.join()
        asyncio.run(record(ai))

    threading.Thread(target=work).start()


def leave_from_atexit(ai: AIClient) -> None:
    """What an app records in its own handler, when ours has run: it was registered later."""
    import atexit

    atexit.register(asyncio.run, record(ai, EVENTS // 2))
    asyncio.run(record(ai, EVENTS - EVENTS // 2))


# Ways in which children come and go


def leave_to_fork(ai: AIClient) -> None:
    """As gunicorn with --preload: the app is imported, then children are forked, and they work."""
    children = [fork(lambda: asyncio.run(record(ai, EVENTS // 4))) for _ in range(4)]
    await_all(children)


def leave_to_fork_after_use(ai: AIClient) -> None:
    """As Celery's prefork pool with a parent that has recorded, goes on, and ends first."""
    asyncio.run(record(ai, EVENTS // 4))
    gate, key = os.pipe()

    def child() -> None:
        asyncio.run(record(ai, EVENTS // 8))
        os.read(gate, 1)
        asyncio.run(record(ai, EVENTS // 8))

    children = [fork(child) for _ in range(2)]
    asyncio.run(record(ai, EVENTS // 4))
    asyncio.run(ai.aclose(0))  # the last one that has the file open tidies it up: it must not think it is
    os.write(key, b"xx")
    await_all(children)


def leave_forking_all_the_time(ai: AIClient) -> None:
    """Forks in the middle of commits: a thread records meanwhile, and each child does."""
    recording = threading.Thread(target=lambda: asyncio.run(one_by_one(ai, EVENTS // 2)))
    recording.start()
    for _ in range(10):
        await_all([fork(lambda: asyncio.run(record(ai, EVENTS // 20)))])
    recording.join()


async def one_by_one(ai: AIClient, events: int) -> None:
    config = await ai.completion_config("chat", ADA)
    for _ in range(events):
        await config.create_tracker().track_success()


def leave_to_a_child_that_exits(ai: AIClient) -> None:
    """A forked child that ends like a program, its atexit handlers included."""
    asyncio.run(record(ai, EVENTS // 2))
    child = os.fork()
    if child == 0:
        leave_at_once_with(ai, EVENTS // 2)
        sys.exit(0)
    await_all([child])


def leave_at_once_with(ai: AIClient, events: int) -> None:
    global EVENTS  # noqa: PLW0603 - a script
    EVENTS = events
    leave_at_once(ai)


def leave_to_multiprocessing(method: str) -> Callable[[AIClient], None]:
    def leave(ai: AIClient) -> None:
        """Children of multiprocessing, which end by os._exit: streams that are left are settled as well."""
        asyncio.run(record(ai, EVENTS // 2))
        context: Any = multiprocessing.get_context(method)
        children = [context.Process(target=child_of_multiprocessing, args=(sys.argv[2],)) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
            assert child.exitcode == 0, child.exitcode

    return leave


def child_of_multiprocessing(path: str) -> None:
    ai = INHERITED[0] if INHERITED and os.getpid() != OWNER else new_client(path)
    asyncio.run(record(ai, EVENTS // 4 - 20))
    leave_at_once_with(ai, 20)


def leave_frozen(ai: AIClient) -> None:
    """As a Lambda function between two calls: stopped in the middle of things, and thawed."""

    async def main() -> None:
        recording = asyncio.ensure_future(one_by_one(ai, EVENTS))
        await asyncio.sleep(0)
        say("working")
        await recording

    asyncio.run(main())


WAYS: dict[str, Callable[[AIClient], None]] = {
    "return": leave_by_return,
    "close": leave_by_close,
    "exception": leave_by_exception,
    "sys.exit": leave_by_sys_exit,
    "os._exit": leave_by_os_exit,
    "SIGTERM": leave_by_sigterm,
    "SIGKILL": leave_by_sigkill,
    "at once": leave_at_once,
    "a thread": leave_a_thread,
    "atexit": leave_from_atexit,
    "fork": leave_to_fork,
    "fork after use": leave_to_fork_after_use,
    "fork all the time": leave_forking_all_the_time,
    "child exits": leave_to_a_child_that_exits,
    "multiprocessing fork": leave_to_multiprocessing("fork"),
    "multiprocessing forkserver": leave_to_multiprocessing("forkserver"),
    "multiprocessing spawn": leave_to_multiprocessing("spawn"),
    "frozen": leave_frozen,
}
INHERITED: list[AIClient] = []
OWNER = os.getpid()


def fork(work: Callable[[], object]) -> int:
    """A child that does it and is gone."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def await_all(children: list[int]) -> None:
    for child in children:
        _, status = os.waitpid(child, 0)
        assert status == 0, status


if __name__ == "__main__":
    INHERITED.append(new_client(sys.argv[2]))
    WAYS[sys.argv[1]](INHERITED[0])
