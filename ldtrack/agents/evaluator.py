"""The evaluator: has the judges of a config look at a sample of its answers.

Rule for this file: a judge is made when it is first needed, and at most so many are at work at a time. What
is known of an evaluation is kept as it comes, so that an interrupted one goes on where it stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

import attrs

from ldtrack.agents.jobs import Job, Jobs
from ldtrack.agents.judge import Judge
from ldtrack.agents.limits import Limit
from ldtrack.agents.policy import JudgePolicy
from ldtrack.core.judging import history_of, is_sampled
from ldtrack.core.models import JudgeConfiguration, LDMessage
from ldtrack.core.slots import JUDGE_SCORE
from ldtrack.core.values import JudgeResult
from ldtrack.exceptions import MisuseError
from ldtrack.loops import running_loop
from ldtrack.tracking.run_slots import landed
from ldtrack.tracking.tracker import Tracker

__all__ = ["Evaluations", "Evaluator", "Judging"]

MakeJudge = Callable[[str], Awaitable[Judge | None]]
"""Makes the judge of that key; ``None`` if it is switched off."""
Place = tuple[str, asyncio.AbstractEventLoop]
"""A judge's key, and the loop in which it is being made."""


class Evaluations:
    """What the judges say of one answer, once they have said it.

    ``await`` it as often as you like, in the loop of the run: it is a tuple of one ``JudgeResult`` for each
    judge of the config, in order. The scores are recorded whether or not anybody awaits it.
    """

    __slots__ = ("_job", "_results")

    def __init__(self, results: Callable[[], tuple[JudgeResult, ...]], job: Job | None = None) -> None:
        self._results = results
        self._job = job

    def __repr__(self) -> str:
        return f"<Evaluations, {'done' if self.done() else 'open'}>"

    def done(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self._job is None or self._job.is_over.is_set()

    def __await__(self) -> Generator[Any, Any, tuple[JudgeResult, ...]]:
        """Wait for the judges; cancelling the wait stops none of them."""
        job = self._job
        if job is not None and not job.is_over.is_set():
            if job.task.get_loop() is not running_loop():
                raise MisuseError("evaluations must be awaited in the event loop of the run that they judge")
            yield from job.is_over.wait().__await__()
        return self._results()


NO_EVALUATIONS: Final = Evaluations(tuple)
"""Of an answer that nobody is to judge."""


STOPPED: Final = "The judge was stopped before it answered."
CUT: Final = "The answer was cut short, since the model ran out of tokens: no judge looked at it."


@attrs.frozen(kw_only=True)
class Judging:
    """What all evaluators of a client share."""

    policy: JudgePolicy
    jobs: Jobs
    failed: Callable[[str, BaseException], None]
    settle_timeout: float = 1.0
    """How long the ledger is waited for, in seconds."""
    _rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = attrs.field(
        factory=WeakKeyDictionary, init=False
    )

    def room(self) -> asyncio.Semaphore:
        """Where those are that are at work in the running loop."""
        return self._rooms.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self.policy.in_all))


class Evaluator:
    """The judges that are attached to one config."""

    def __init__(
        self, configuration: JudgeConfiguration | None, make_judge: MakeJudge, judging: Judging
    ) -> None:
        self._judges = () if configuration is None else configuration.judges
        self._make_judge = make_judge
        self._judging = judging
        self._made: dict[str, Judge | None] = {}
        self._making: dict[Place, asyncio.Future[Judge | None]] = {}

    def evaluate(self, tracker: Tracker, messages: Sequence[LDMessage], output: str) -> Evaluations:
        """Begin to judge a run's answer, in the background; the scores are recorded for that run.

        Which judges look at it depends on the run's id alone. If none does, no judge is made.
        """
        run_id = tracker.run_id
        sampled = [judge for judge in self._judges if is_sampled(run_id, judge.key, judge.sampling_rate)]
        evaluation = _Evaluation(self, tracker, messages, output, [judge.key for judge in sampled])
        if not sampled:
            return Evaluations(evaluation.results) if self._judges else NO_EVALUATIONS
        return Evaluations(evaluation.results, self._judging.jobs.start(evaluation.work))

    def decline(self, reason: str) -> Evaluations:
        """What comes of an answer that no judge is asked about, for this reason."""
        return Evaluations(
            lambda: tuple(JudgeResult(judge_config_key=key, error_message=reason) for key in self.keys)
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the judges."""
        return tuple(judge.key for judge in self._judges)

    async def verdict_of(
        self, key: str, tracker: Tracker, history: str, output: str, answered: Callable[[], None]
    ) -> JudgeResult:
        """What one judge says; cancelling stops the judge.

        ``answered`` is called once it has said it, and only the end of its run is still to be recorded.
        """
        try:
            judge = await self._judge_of(key)
            if judge is None:
                return _failure(key, "The judge's config is disabled.")
            return await judge._evaluate(history, output, 1.0, tracker, answered)  # noqa: SLF001 - one thing in two files
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled us: something that the provider was waiting for was.
            self._judging.failed("judge", error)
            return _failure(key, STOPPED)
        except Exception as error:  # noqa: BLE001 - C5: what a judge costs is never the app's
            self._judging.failed("judge", error)
            return _failure(key, str(error) or type(error).__name__)

    async def _judge_of(self, key: str) -> Judge | None:
        """The judge, which is made once however many answers wait for it; cancelling the wait leaves it."""
        if key not in self._made:
            here = key, asyncio.get_running_loop()
            making = self._making.get(here)
            if making is None:
                making = self._making[here] = asyncio.ensure_future(self._make_judge(key))
                making.add_done_callback(partial(self._was_made, here))
            self._made[key] = await asyncio.shield(making)
        return self._made[key]

    def _was_made(self, here: Place, making: asyncio.Future[Judge | None]) -> None:
        del self._making[here]
        if not making.cancelled():
            making.exception()  # whoever waits for it hears of it, and there may be nobody any more

    async def record(self, tracker: Tracker, result: JudgeResult) -> None:
        """Record a score for the run that was judged; cancelling the wait loses nothing.

        A ledger that takes too long is left to itself, as where a run ends.
        """
        if not result.is_scored:
            return
        flight = tracker._record_quietly(JUDGE_SCORE, result)  # noqa: SLF001 - nobody asked for this one
        if flight is not None:
            await landed([flight], self._judging.settle_timeout)

    def room(self) -> asyncio.Semaphore:
        """Where all judges at work are, whatever answer is before them."""
        return self._judging.room()

    @property
    def policy(self) -> JudgePolicy:
        """How long its judges may take, and how many of them may be at work on one answer."""
        return self._judging.policy

    def keep(self, task: asyncio.Task[None], key: str) -> None:
        """Leave a judge that does not stop to whoever owns what goes on."""
        self._judging.jobs.keep(task, f"judge {key!r}")


class _Evaluation:
    """One answer before its judges."""

    def __init__(
        self,
        evaluator: Evaluator,
        tracker: Tracker,
        messages: Sequence[LDMessage],
        output: str,
        sampled: Sequence[str],
    ) -> None:
        self._evaluator = evaluator
        self._tracker = tracker
        self._history = history_of(messages)
        self._output = output
        self._sampled = sampled
        self._said: dict[str, JudgeResult] = {}

    async def work(self) -> None:
        """Ask the judges that have not answered yet; cancelling stops them, and it may be called again."""
        room = asyncio.Semaphore(self._evaluator.policy.at_once)
        unasked = [key for key in dict.fromkeys(self._sampled) if key not in self._said]
        # Waits for all of them, however one ends.
        async with asyncio.TaskGroup() as group:
            for key in unasked:
                group.create_task(self._ask(key, room))

    async def _ask(self, key: str, room: asyncio.Semaphore) -> None:
        limit = Limit(self._evaluator.policy.timeout)
        async with room, self._evaluator.room():
            # In a task of its own: a provider that swallows being cancelled holds up nobody.
            judging = asyncio.create_task(self._judge(key, limit))
            try:
                await limit.hold(judging)
            finally:
                if not judging.done():
                    self._evaluator.keep(judging, key)
        if judging.done() and not judging.cancelled():
            judging.result()
        self._said.setdefault(key, _failure(key, f"The judge took longer than {limit.seconds:g} seconds."))

    async def _judge(self, key: str, limit: Limit) -> None:
        evaluator, task = self._evaluator, asyncio.current_task()
        result = await evaluator.verdict_of(key, self._tracker, self._history, self._output, limit.lift)
        if task is None or task.cancelling():
            return  # it was told to stop: who waited for it has gone on
        # From here to the hand-over there is no wait: a score is recorded once, interrupted or not.
        self._said[key] = result
        await evaluator.record(self._tracker, result)

    def results(self) -> tuple[JudgeResult, ...]:
        return tuple(self._result_of(key) for key in self._evaluator.keys)

    def _result_of(self, key: str) -> JudgeResult:
        if key in self._said:
            return self._said[key]
        if key in self._sampled:
            return _failure(key, STOPPED)
        return JudgeResult(judge_config_key=key)


def _failure(key: str, reason: str) -> JudgeResult:
    return JudgeResult(judge_config_key=key, sampled=True, error_message=reason)
