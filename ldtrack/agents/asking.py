"""How a runner is asked within a run, of whichever shape it is.

Rule for this file: foreign shapes stop here. What comes out is a ``RunnerResult``, or whatever the provider
raised; what a runner measured itself has been handed to the run.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from ldtrack.core.finish_reasons import is_cut_short
from ldtrack.core.models import LDMessage
from ldtrack.core.values import Ending, LDAIMetrics, MetricSummary, TokenUsage
from ldtrack.exceptions import MisuseError
from ldtrack.running import PlainRunner, Runner, RunnerResult, Schema, StreamingRunner
from ldtrack.tracking.run import Run

__all__ = ["ask", "ended_well", "is_cut", "messages_of", "metrics_of", "require_streaming"]


def ended_well(metrics: MetricSummary) -> bool:
    """Whether a run that nothing was raised from has a whole answer.

    Its last call says so, not the recorded outcome: a ledger that fails must not change what an app does.
    """
    return metrics.ending in {None, Ending.COMPLETED}


def is_cut(metrics: MetricSummary) -> bool:
    """Whether a run ended well, but the model had no room for the end of its answer."""
    return ended_well(metrics) and is_cut_short(metrics.finish_reason)


def messages_of(input: str | Sequence[LDMessage]) -> tuple[LDMessage, ...]:
    """A prompt as a message of the user's; messages as they are."""
    if isinstance(input, str):
        return (LDMessage("user", input),)
    given: object = input
    messages = tuple(given) if isinstance(given, Iterable) else ()
    if not messages or any(type(message) is not LDMessage for message in messages):
        raise TypeError(f"a run needs a prompt or some ldtrack.LDMessage objects, not {input!r:.80}")
    return messages


def takes_calls(runner: Runner | PlainRunner) -> TypeGuard[Runner]:
    """Whether a runner makes its calls through the run; otherwise it measures itself."""
    return "calls" in inspect.signature(runner.run).parameters


def require_streaming(runner: Runner | PlainRunner) -> StreamingRunner:
    """The runner, if it can stream."""
    if not hasattr(runner, "stream"):
        raise MisuseError(f"{type(runner).__name__} cannot stream: use `await run(...)`")
    return runner  # type: ignore[return-value]  # the protocol has no more than this


async def ask(
    runner: Runner | PlainRunner, run: Run, messages: Sequence[LDMessage], output_type: Schema | None
) -> RunnerResult:
    """Have a runner answer, and the run take in what it measured; cancelling passes to the runner."""
    if takes_calls(runner):
        answer: Any = await runner.run(messages, output_type, calls=run)
        result = _result_of(answer, runner)
        if getattr(answer, "metrics", None) is not None:
            run.observe(answer, metrics_of)
        return result
    plain: PlainRunner = runner  # type: ignore[assignment]  # what is left of the two
    given = None if output_type is None else dict(output_type)
    return _result_of(await run.call(plain.run(_prompt_of(messages, plain), given), metrics_of), plain)


def _prompt_of(messages: Sequence[LDMessage], runner: object) -> str:
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].content
    raise MisuseError(
        f"{type(runner).__name__} takes a single prompt, since its run() has no `calls`: it cannot be given "
        "messages or a conversation"
    )


def _result_of(answer: Any, runner: object) -> RunnerResult:
    """The answer in our own shape. Its metrics are left to the run, which survives what cannot be read."""
    content = getattr(answer, "content", None)
    if not isinstance(content, str):
        raise TypeError(
            f"{type(runner).__name__}.run(...) must return a RunnerResult whose content is a str, "
            f"not {answer!r:.80} ({type(answer).__name__})"
        )
    if isinstance(answer, RunnerResult):
        return answer
    parsed = getattr(answer, "parsed", None)
    return RunnerResult(
        content=content,
        raw=getattr(answer, "raw", None),
        parsed=parsed if isinstance(parsed, Mapping) else None,
    )


def metrics_of(answer: Any) -> LDAIMetrics | None:
    """What a runner states in its result, in our types or in those of LaunchDarkly's SDK."""
    metrics = getattr(answer, "metrics", None)
    if metrics is None or isinstance(metrics, LDAIMetrics):
        return metrics
    tokens = metrics.tokens
    return LDAIMetrics(
        success=bool(metrics.success),
        tokens=None if tokens is None else TokenUsage(tokens.total, tokens.input, tokens.output),
        tool_calls=metrics.tool_calls,
        duration_ms=metrics.duration_ms,
    )
