"""Jobs outlive what began them, in every way in which a loop can end."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest

from ldtrack.agents.jobs import Job, Jobs


class Work:
    """Takes some turns of the loop, and counts how often it was begun and finished."""

    def __init__(self, turns: int = 3, error: BaseException | None = None) -> None:
        self.turns = turns
        self.error = error
        self.begun = 0
        self.finished = 0

    async def __call__(self) -> None:
        self.begun += 1
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.finished += 1


def new_jobs() -> tuple[Jobs, list[str]]:
    failures: list[str] = []
    return Jobs(lambda kind, error: failures.append(f"{kind}: {error!r}")), failures


async def begin(jobs: Jobs, work: Work, turns: int = 0) -> Job:
    job = jobs.start(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    return job


@pytest.mark.parametrize(("turns", "begun"), [(0, 2), (1, 2), (2, 2), (9, 1)])
def test_a_loop_that_cancels_everything_lets_a_job_finish(turns: int, begun: int) -> None:
    """Begun anew if it was interrupted, however early."""
    jobs, failures = new_jobs()
    work = Work()
    job = asyncio.run(begin(jobs, work, turns))
    assert (work.begun, work.finished, failures) == (begun, 1, [])
    assert job.is_over.is_set()


def test_a_loop_that_ends_without_cancelling_waits() -> None:
    """Who runs a loop by hand may only close its generators: that is heard as well."""
    jobs, _ = new_jobs()
    work = Work()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin(jobs, work, 1))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    assert (work.begun, work.finished) == (1, 1)


def test_a_loop_that_is_just_closed_loses_its_jobs() -> None:
    """Nothing can be done then; nothing of ours is left behind but asyncio's own complaint."""
    jobs, failures = new_jobs()
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    job: Any = loop.run_until_complete(begin(jobs, Work(), 1))
    loop.close()
    del job
    jobs._jobs.clear()
    with warnings.catch_warnings(action="ignore"):
        gc.collect()
    assert failures == []


@pytest.mark.parametrize("turns", [0, 1])
async def test_draining_gives_up_after_its_time(turns: int) -> None:
    """What has just begun is stopped, too, and does not begin again."""
    jobs, _ = new_jobs()
    work = Work(turns=10**9)
    job = await begin(jobs, work, turns)
    await jobs.drain(0)
    assert job.is_over.is_set()
    assert job.task.done()
    assert (work.begun, work.finished) == (1, 0)


async def test_draining_without_jobs_takes_no_time() -> None:
    """There is nothing to wait for."""
    jobs, _ = new_jobs()
    await jobs.drain(5)


async def test_what_a_job_raises_is_counted() -> None:
    """Nobody asked for its task."""
    jobs, failures = new_jobs()
    job = await begin(jobs, Work(error=KeyError("mine")))
    await job.is_over.wait()
    assert failures == ["judge: KeyError('mine')"]


async def test_a_cancelled_wait_inside_a_job_is_counted_and_ends_it() -> None:
    """Nobody cancelled the job: it is not begun again."""
    jobs, failures = new_jobs()
    work = Work(error=asyncio.CancelledError())
    job = await begin(jobs, work)
    await job.is_over.wait()
    assert (work.begun, failures) == (1, ["judge: CancelledError()"])


def test_what_a_job_raises_while_the_loop_ends_is_counted() -> None:
    """The same, at the last moment."""
    jobs, failures = new_jobs()
    asyncio.run(begin(jobs, Work(error=KeyError("mine")), 1))
    assert failures == ["judge: KeyError('mine')"]


def test_a_second_interruption_is_final() -> None:
    """Who cancels twice means it."""
    jobs, _ = new_jobs()
    work = Work(turns=10**9)

    async def main() -> None:
        job = await begin(jobs, work, 1)
        for _ in range(2):
            job.task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.wait([job.task])
        assert job.is_over.is_set()

    asyncio.run(main())
    assert (work.begun, work.finished) == (2, 0)
