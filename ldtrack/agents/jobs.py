"""Jobs: what goes on after a run has been handed back.

Rule for this file: tasks and their ends. Whoever gives a job says what is left to do of it, however often it
was interrupted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import attrs

from ldtrack.tracking.vigils import Vigils

__all__ = ["Job", "Jobs"]

AT_SHUTDOWN: Final = 5.0
"""How long the end of a loop is held up by what is unfinished, in seconds."""

PARTING: Final = 1.0
"""How long a job that was told to end is waited for, in seconds: longer than it waits for its own tasks."""

Failed = Callable[[str, BaseException], None]


@attrs.define(eq=False)
class Job:
    """Some work that is done in a task of its own, and what is known of it."""

    work: Callable[[], Awaitable[None]]
    """Does what is left to do: after an interruption it may be called again."""
    is_over: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set once the work is done, or given up."""
    task: asyncio.Task[None] = attrs.field(init=False)


class Jobs:
    """Holds every job until it is over: while its loop runs, while that ends, and while we close.

    A loop that ends cancels all tasks, and then waits for them. So a job that somebody else cancels takes up
    what is left of its work, for a few seconds. (It has always begun by then: a loop that stops goes through
    with its round.)
    """

    def __init__(self, failed: Failed) -> None:
        self._failed = failed
        self._jobs: set[Job] = set()
        self._runaways: set[asyncio.Task[Any]] = set()
        self._vigils = Vigils(self._at_shutdown)

    def start(self, work: Callable[[], Awaitable[None]]) -> Job:
        """Do some work in a task of the running loop."""
        loop = asyncio.get_running_loop()
        self._vigils.hold(loop)
        job = Job(work)
        job.task = loop.create_task(self._do(job))
        self._jobs.add(job)
        job.task.add_done_callback(partial(self._done, job))
        return job

    def keep(self, task: asyncio.Task[Any], what: str) -> None:
        """Own a task that goes on although it was told to end, until it does; its being so is counted."""
        self._runaways.add(task)
        task.add_done_callback(self._returned)
        self._failed("judge", TimeoutError(f"{what} was told to stop, and goes on all the same"))

    def _returned(self, task: asyncio.Task[Any]) -> None:
        self._runaways.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else asks for it

    async def drain(self, timeout: float) -> None:
        """Wait for the running loop's jobs for at most so long, then give up what is left of them.

        Cancelling the wait gives them up at once.
        """
        await self._wait_for(asyncio.get_running_loop(), timeout)

    async def _wait_for(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        jobs = [job for job in list(self._jobs) if job.task.get_loop() is loop]
        late = [task for task in list(self._runaways) if task.get_loop() is loop]
        try:
            if jobs:
                await asyncio.wait([job.task for job in jobs], timeout=timeout)
        finally:
            for job in jobs:
                if not job.is_over.is_set():
                    self._end(job)
                    late.append(job.task)
            for task in late:
                task.cancel()
        if late:
            await asyncio.wait(late, timeout=PARTING)

    async def _do(self, job: Job) -> None:
        try:
            await job.work()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if job.is_over.is_set():
                raise
            if task is not None and task.cancelling():
                await self._finish(job)
            else:  # nobody cancelled us: something that a provider was waiting for was
                self._failed("judge", error)
        except Exception as error:  # noqa: BLE001 - C5: nobody asked for this task
            self._failed("judge", error)

    async def _finish(self, job: Job) -> None:
        """Do what is left while the loop ends."""
        try:
            async with asyncio.timeout(AT_SHUTDOWN):
                await job.work()
        except TimeoutError:
            pass  # the results say that the judge was stopped
        except Exception as error:  # noqa: BLE001 - C5: as above
            self._failed("judge", error)

    def _done(self, job: Job, _task: asyncio.Task[Any]) -> None:
        self._end(job)

    def _end(self, job: Job) -> None:
        if job in self._jobs:
            self._jobs.discard(job)
            self._vigils.release(job.task.get_loop())
        job.is_over.set()

    async def _at_shutdown(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the jobs of a loop that ends without cancelling its tasks."""
        await self._wait_for(loop, AT_SHUTDOWN)
