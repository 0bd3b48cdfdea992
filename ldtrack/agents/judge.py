"""A judge: a config whose model scores the answers of other models.

Rule for this file: one answer, one judge. Which runs are looked at, and how many judges at a time, is the
evaluator's to say; what a verdict is worth is decided in ``core.judging``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ldtrack.agents.asking import ask, ended_well, messages_of
from ldtrack.configs.types import AIJudgeConfig
from ldtrack.core.judging import VERDICT_SCHEMA, is_sampled, question_of, read_verdict
from ldtrack.core.models import LDMessage
from ldtrack.core.values import JudgeResult
from ldtrack.running import PlainRunner, Runner, RunnerResult
from ldtrack.tracking.sub_run import Parent, run_id_of
from ldtrack.tracking.tracker import Tracker

__all__ = ["Judge"]

NO_METRIC_KEY: Final = "The judge's flag has no evaluationMetricKey, so its score would have no name."


class Judge:
    """Scores answers. Made by ``AIClient.create_judge``.

    Each verdict is a run of the judge's own, with a run id of its own. The score itself belongs to the run
    that is judged: record it there, with ``await tracker.track_judge_result(result)``.
    """

    def __init__(self, config: AIJudgeConfig, runner: Runner | PlainRunner, sample_rate: float = 1.0) -> None:
        is_sampled("", config.key, sample_rate)  # or raise, before anything is judged
        self.config = config
        self.runner = runner
        self.sample_rate = sample_rate

    def __repr__(self) -> str:
        return f"<Judge {self.config.key!r}>"

    async def evaluate(
        self,
        input_text: str,
        output_text: str,
        sampling_rate: float | None = None,
        *,
        parent: Parent | None = None,
    ) -> JudgeResult:
        """Score one answer; whatever goes wrong is in the result's ``error_message``.

        ``parent`` is the run that is judged: whether it is sampled depends on its run id alone, and it is
        the parent of the judge's own run. Without one it is drawn anew each time. Cancelling stops the
        judge's run.
        """
        return await self._evaluate(input_text, output_text, sampling_rate, parent)

    async def _evaluate(
        self,
        input_text: str,
        output_text: str,
        sampling_rate: float | None,
        parent: Parent | None,
        answered: Callable[[], None] | None = None,
    ) -> JudgeResult:
        """``evaluate``, which says when the judge has answered and only its run's end is to be recorded."""
        _require_text(input_text, "input_text")
        _require_text(output_text, "output_text")
        tracker = self.config.create_tracker(parent)
        rate = self.sample_rate if sampling_rate is None else sampling_rate
        run_id = tracker.run_id if parent is None else run_id_of(parent)
        sampled = is_sampled(run_id, self.config.key, rate)
        if not self.config.evaluation_metric_key:
            return self._failure(NO_METRIC_KEY, sampled=False)
        if not sampled:
            return JudgeResult(judge_config_key=self.config.key)
        try:
            async with tracker.run() as run:
                question = messages_of(question_of(input_text, output_text))
                try:
                    answer = await ask(self.runner, run, question, VERDICT_SCHEMA)
                finally:
                    if answered is not None:
                        answered()
        except Exception as error:  # noqa: BLE001 - a judge that fails must not fail who asked for a verdict
            return self._failure(str(error) or type(error).__name__)
        return self._result(answer, tracker)

    async def evaluate_messages(
        self,
        messages: Sequence[LDMessage],
        response: RunnerResult,
        sampling_ratio: float | None = None,
        *,
        parent: Parent | None = None,
    ) -> JudgeResult:
        """``evaluate`` for a conversation and its answer; cancelling stops the judge's run."""
        history = "\n".join(f"{message.role}: {message.content}" for message in messages)
        return await self.evaluate(history, response.content, sampling_ratio, parent=parent)

    def _result(self, answer: RunnerResult, tracker: Tracker) -> JudgeResult:
        verdict = read_verdict(answer.parsed)
        if isinstance(verdict, str):
            return self._failure(verdict)
        if not ended_well(tracker.summary):
            return self._failure("The judge's own run failed.")
        return JudgeResult(
            judge_config_key=self.config.key,
            success=True,
            sampled=True,
            metric_key=self.config.evaluation_metric_key,
            score=verdict.score,
            reasoning=verdict.reasoning,
        )

    def _failure(self, reason: str, *, sampled: bool = True) -> JudgeResult:
        return JudgeResult(judge_config_key=self.config.key, sampled=sampled, error_message=reason)


def _require_text(text: object, what: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a text, not {text!r:.80} ({type(text).__name__})")
