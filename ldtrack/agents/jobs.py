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
"""How long the end of a loop waits for what is unfinished, in seconds."""

Failed = Callable[[str, BaseException], None]


@attrs.define(eq=False)
class Job:
    """Some work that is done in a task of its own, and what is known of it."""

    work: Callable[[], Awaitable[None]]
    """Does what is left to do: after an interruption it may be called again."""
    task: asyncio.Task[None]
    is_over: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set once the work is done, or given up."""


class Jobs:
    """Holds every job until it is over: while its loop runs, while that shuts down, and while we close.

    A loop that ends cancels all tasks, before anybody could ask for more time. So what was interrupted is
    taken up again while the loop shuts down, for a few seconds.
    """

    def __init__(self, failed: Failed) -> None:
        self._failed = failed
        self._jobs: set[Job] = set()
        self._vigils = Vigils(self._at_shutdown)

    def __len__(self) -> int:
        return len(self._jobs)

    def start(self, work: Callable[[], Awaitable[None]]) -> Job:
        """Do some work in a task of the running loop."""
        loop = asyncio.get_running_loop()
        self._vigils.hold(loop)
        job = Job(work, loop.create_task(self._quietly(work)))
        self._jobs.add(job)
        job.task.add_done_callback(partial(self._done, job))
        return job

    async def drain(self, timeout: float) -> None:
        """Wait for the running loop's jobs for at most so long, then give up what is left of them.

        Cancelling the wait gives them up at once.
        """
        here = asyncio.get_running_loop()
        jobs = [job for job in list(self._jobs) if job.task.get_loop() is here]
        tasks = [job.task for job in jobs]
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, timeout=timeout)
        finally:
            late = [job for job in jobs if job in self._jobs]
            for job in late:
                self._end(job)
                job.task.cancel()
        if late:
            await asyncio.wait([job.task for job in late], timeout=1.0)

    async def _quietly(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._failed("judge", error)  # nobody cancelled us: something that a provider waited for was
        except Exception as error:  # noqa: BLE001 - C5: nobody asked for this task
            self._failed("judge", error)

    def _done(self, job: Job, task: asyncio.Task[Any]) -> None:
        # What was cancelled by somebody else stays: the loop is ending, and will hear of it.
        if not task.cancelled():
            self._end(job)

    def _end(self, job: Job) -> None:
        if job in self._jobs:
            self._jobs.discard(job)
            self._vigils.release(job.task.get_loop())
        job.is_over.set()

    async def _at_shutdown(self, loop: asyncio.AbstractEventLoop) -> None:
        jobs = [job for job in list(self._jobs) if job.task.get_loop() is loop]
        self._jobs.difference_update(jobs)
        again = [loop.create_task(self._quietly(job.work)) for job in jobs]
        if again:
            _, late = await asyncio.wait(again, timeout=AT_SHUTDOWN)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        for job in jobs:
            job.is_over.set()
