"""What trackers do, on both SDKs.

Rule for this file: one function for each thing a tracker can be asked; what it returns is compared too.
Expectations are written in short: ``duration:total=12`` is an event and its value, ``->`` the answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ldclient import Context

from .harness import differs, same
from .sides import Side

# Single metrics


@same()
async def the_duration(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_duration, 12)


@same()
async def a_duration_of_nothing(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_duration, 0)


@same()
async def the_first_token(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_time_to_first_token, 7)


@same()
async def the_tokens(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_tokens, side.types.TokenUsage(12, 5, 7))


@same()
async def tokens_without_output(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_tokens, side.types.TokenUsage(total=5, input=5, output=0))


@same()
async def tokens_without_input(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_tokens, side.types.TokenUsage(total=7, input=0, output=7))


@same()
async def tokens_with_a_total_alone(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_tokens, side.types.TokenUsage(total=7, input=0, output=0))


@same()
async def tokens_with_parts_alone(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_tokens, side.types.TokenUsage(total=0, input=5, output=7))


@same()
async def tokens_that_do_not_add_up(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_tokens, side.types.TokenUsage(total=99, input=5, output=7))


@same()
async def no_tokens_at_all(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_tokens, side.types.TokenUsage(0, 0, 0))


@same()
async def a_success(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_success)


@same()
async def an_error(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_error)


@same()
async def liked(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_feedback, side.feedback("positive"))


@same()
async def disliked(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_feedback, side.feedback("negative"))


@same()
async def a_tool_call(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_tool_call, "search")
    await side.call(tracker.track_tool_call, "search")


@same()
async def several_tool_calls(side: Side) -> list[str]:
    tracker = await side.tracker()
    await side.call(tracker.track_tool_calls, ["search", "lookup", "search"])
    await side.call(tracker.track_tool_calls, [])
    await side.call(tracker.track_tool_calls, (name for name in ["last"]))
    return list(side.summary(tracker).tool_calls)


@same()
async def a_judge_result(side: Side) -> None:
    tracker = await side.tracker()
    for score in (0.75, 0.0, 1):
        result = side.types.JudgeResult(
            judge_config_key="judge",
            success=True,
            sampled=True,
            metric_key="$ld:ai:judge:relevance",
            score=score,
            reasoning="to the point",
        )
        await side.call(tracker.track_judge_result, result)


@same()
async def a_judge_result_without_a_judge(side: Side) -> None:
    tracker = await side.tracker()
    result = side.types.JudgeResult(success=True, sampled=True, metric_key="own-metric", score=0.5)
    await side.call(tracker.track_judge_result, result)


@same()
async def judge_results_with_nothing_to_record(side: Side) -> None:
    tracker = await side.tracker()
    new = side.types.JudgeResult
    for result in (
        new(success=True, sampled=False, metric_key="m", score=0.5),
        new(success=False, sampled=True, metric_key="m", score=0.5),
        new(success=True, sampled=True, metric_key="", score=0.5),
        new(success=True, sampled=True, metric_key=None, score=0.5),
        new(),
    ):
        await side.call(tracker.track_judge_result, result)


@same()
async def everything_there_is(side: Side) -> list[Any]:
    tracker = await side.tracker()
    await side.call(tracker.track_duration, 1200)
    await side.call(tracker.track_time_to_first_token, 300)
    await side.call(tracker.track_success)
    await side.call(tracker.track_tokens, side.types.TokenUsage(12, 5, 7))
    await side.call(tracker.track_tool_calls, ["search"])
    await side.call(tracker.track_feedback, side.feedback("positive"))
    summary = side.summary(tracker)
    return [summary.duration_ms, summary.time_to_first_token, summary.success, summary.tokens]


@same()
async def a_run_of_another_context(side: Side) -> None:
    organisation = Context.builder("acme").kind("organization").build()
    several = Context.create_multi(Context.create("ada"), organisation)
    tracker = await side.tracker(context=several)
    await side.call(tracker.track_success)


@same()
async def runs_of_every_kind_of_config(side: Side) -> None:
    for method, key in (
        (side.ai.completion_config, "chat"),
        (side.ai.completion_config, "bare"),
        (side.ai.completion_config, "disabled"),
        (side.ai.completion_config, "no-such-flag"),
        (side.ai.agent_config, "agent"),
        (side.ai.judge_config, "judge"),
    ):
        config = await side.call(method, key, Context.create("bob"))
        await side.call(config.create_tracker().track_success)


@same()
async def two_runs_of_one_config(side: Side) -> None:
    config = await side.call(side.ai.completion_config, "chat", Context.create("bob"))
    for _ in range(2):
        await side.call(config.create_tracker().track_success)


# The same metric twice


@same()
async def everything_twice(side: Side) -> None:
    tracker = await side.tracker()
    for _ in range(2):
        await side.call(tracker.track_duration, 12)
        await side.call(tracker.track_time_to_first_token, 7)
        await side.call(tracker.track_tokens, side.types.TokenUsage(12, 5, 7))
        await side.call(tracker.track_success)
        await side.call(tracker.track_feedback, side.feedback("positive"))


@same()
async def a_verdict_reversed(side: Side) -> bool:
    tracker = await side.tracker()
    await side.call(tracker.track_success)
    await side.call(tracker.track_error)
    return side.summary(tracker).success


@same()
async def an_opinion_reversed(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_feedback, side.feedback("negative"))
    await side.call(tracker.track_feedback, side.feedback("positive"))


@differs(
    "returns",
    official=["duration:total=12", "-> [null, null]"],
    ours=["duration:total=12", "-> [true, false]"],
)
async def what_a_call_returns(side: Side) -> list[Any]:
    tracker = await side.tracker()
    return [await side.call(tracker.track_duration, 12) for _ in range(2)]


@differs(
    "duplicate-log",
    official=["generation:success=1", "-> [3, true]"],
    ours=["generation:success=1", "-> [1, false]"],
)
async def how_duplicates_are_logged(side: Side) -> list[Any]:
    tracker = await side.tracker()
    for _ in range(4):
        await side.call(tracker.track_success)
    return [len(side.logged), any("'variationKey': 'warm'" in line for line in side.logged)]


@differs(
    "summary-snapshot",
    official=["duration:total=12", "-> 12"],
    ours=["duration:total=12"],
)
async def a_summary_taken_before(side: Side) -> Any:
    tracker = await side.tracker()
    summary = side.summary(tracker)
    await side.call(tracker.track_duration, 12)
    return summary.duration_ms


@differs(
    "single-tool-call-in-summary",
    official=["tool_call=1", "-> []"],
    ours=["tool_call=1", '-> ["search"]'],
)
async def a_single_tool_call_in_the_summary(side: Side) -> list[str]:
    tracker = await side.tracker()
    await side.call(tracker.track_tool_call, "search")
    return list(side.summary(tracker).tool_calls)


# Bad values

GOOD_USAGE = ["tokens:total=12", "tokens:input=5", "tokens:output=7"]


@differs("empty-usage", official=[], ours=GOOD_USAGE)
async def tokens_after_none_at_all(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_tokens, side.types.TokenUsage(0, 0, 0))
    await side.call(tracker.track_tokens, side.types.TokenUsage(12, 5, 7))


@differs("total-left-out", official=["-> raises TypeError"], ours=[*GOOD_USAGE, "-> true"])
async def tokens_without_a_total(side: Side) -> Any:
    tracker = await side.tracker()
    usage = side.types.TokenUsage(total=None, input=5, output=7)
    return await side.call(tracker.track_tokens, usage)


@differs(
    "bad-usage",
    official=["tokens:total=2", "-> [null, null]"],
    ours=[*GOOD_USAGE, '-> ["raises ValueError", null]'],
)
async def negative_tokens_and_then_good_ones(side: Side) -> list[Any]:
    tracker = await side.tracker()
    bad = await side.call(lambda: tracker.track_tokens(side.types.TokenUsage(2, -5, -7)))
    await side.call(tracker.track_tokens, side.types.TokenUsage(12, 5, 7))
    return [bad, None]


@differs(
    "bad-duration",
    official=["duration:total=-5", "-> null"],
    ours=["duration:total=12", "-> raises ValueError"],
)
async def a_negative_duration_and_then_a_good_one(side: Side) -> Any:
    tracker = await side.tracker()
    bad = await side.call(tracker.track_duration, -5)
    await side.call(tracker.track_duration, 12)
    return bad or "null"


@differs(
    "bad-duration",
    official=["tokens:ttf='12'", "-> null"],
    ours=["tokens:ttf=12", "-> raises TypeError"],
)
async def a_first_token_as_text_and_then_a_good_one(side: Side) -> Any:
    tracker = await side.tracker()
    bad = await side.call(tracker.track_time_to_first_token, "12")
    await side.call(tracker.track_time_to_first_token, 12)
    return bad or "null"


@differs(
    "bad-duration",
    official=["duration:total=None", "duration:total=12", "-> null"],
    ours=["duration:total=12", "-> raises TypeError"],
)
async def no_duration_and_then_a_good_one(side: Side) -> Any:
    tracker = await side.tracker()
    bad = await side.call(tracker.track_duration, None)
    await side.call(tracker.track_duration, 12)
    return bad or "null"


@differs(
    "bad-duration",
    official=["duration:total=True", "-> null"],
    ours=["-> raises TypeError"],
)
async def a_duration_of_true(side: Side) -> Any:
    tracker = await side.tracker()
    return await side.call(tracker.track_duration, True) or "null"


@differs("whole-milliseconds", official=["duration:total=12.9"], ours=["duration:total=12"])
async def a_fractional_duration(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_duration, 12.9)


@differs(
    "feedback-spellings",
    official=['-> ["raises TypeError", null]'],
    ours=["feedback:user:positive=1", "-> [true, false]"],
)
async def feedback_as_plain_text(side: Side) -> list[Any]:
    tracker = await side.tracker()
    return [
        await side.call(tracker.track_feedback, "positive"),
        await side.call(tracker.track_feedback, side.feedback("negative")),
    ]


@differs(
    "feedback-spellings",
    official=["-> [null, null]"],
    ours=["feedback:user:positive=1", "-> [true, false]"],
)
async def feedback_whose_kind_is_text(side: Side) -> list[Any]:
    tracker = await side.tracker()
    return [
        await side.call(tracker.track_feedback, {"kind": "positive"}),
        await side.call(tracker.track_feedback, side.feedback("negative")),
    ]


@differs(
    "bad-feedback",
    official=["-> [null, null]"],
    ours=["feedback:user:negative=1", '-> ["raises ValueError", true]'],
)
async def unknown_feedback_and_then_known(side: Side) -> list[Any]:
    tracker = await side.tracker()
    return [
        await side.call(tracker.track_feedback, {"kind": "so-so"}),
        await side.call(tracker.track_feedback, side.feedback("negative")),
    ]


@differs(
    "bad-feedback",
    official=['-> ["raises KeyError", null]'],
    ours=["feedback:user:negative=1", '-> ["raises ValueError", true]'],
)
async def feedback_without_a_kind_and_then_with_one(side: Side) -> list[Any]:
    tracker = await side.tracker()
    return [
        await side.call(tracker.track_feedback, {}),
        await side.call(tracker.track_feedback, side.feedback("negative")),
    ]


@differs(
    "tool-keys",
    official=["tool_call=1", "tool_call=1", "tool_call=1", "-> null"],
    ours=["-> raises TypeError"],
)
async def tool_calls_as_one_text(side: Side) -> Any:
    tracker = await side.tracker()
    return await side.call(tracker.track_tool_calls, "abc") or "null"


@differs(
    "tool-keys",
    official=["tool_call=1", "tool_call=1", "-> null"],
    ours=["-> raises TypeError"],
)
async def a_tool_call_that_is_no_text(side: Side) -> Any:
    tracker = await side.tracker()
    return await side.call(tracker.track_tool_calls, ["search", None]) or "null"


@differs("judge-score", official=["judge:relevance=None"], ours=[])
async def a_judge_result_without_a_score(side: Side) -> None:
    tracker = await side.tracker()
    result = side.types.JudgeResult(success=True, sampled=True, metric_key="$ld:ai:judge:relevance")
    await side.call(tracker.track_judge_result, result)


@differs("judge-score", official=["judge:relevance=7"], ours=["-> raises ValueError"])
async def a_judge_score_beyond_one(side: Side) -> Any:
    tracker = await side.tracker()
    new, key = side.types.JudgeResult, "$ld:ai:judge:relevance"
    return await side.call(
        lambda: tracker.track_judge_result(new(success=True, sampled=True, metric_key=key, score=7))
    )


@differs("invalid-context", official=[], ours=["-> raises LedgerError"])
async def a_run_of_an_invalid_context(side: Side) -> Any:
    tracker = await side.tracker(context=Context.create(""))
    return await side.call(tracker.track_success)


@differs(
    "failing-delivery",
    official=['-> ["raises OSError", null]'],
    ours=["generation:success=1", '-> ["raises LedgerError", true]'],
)
async def a_call_repeated_after_the_client_failed(side: Side) -> list[Any]:
    tracker = await side.tracker()
    side.captured.failures.append(OSError("no room"))
    return [await side.call(tracker.track_success) for _ in range(2)]


# Whole operations


class OperationError(Exception):
    """What an operation fails with."""


async def answer_after(side: Side, ms: float) -> str:
    side.clock.advance(ms=ms)
    return "answer"


async def fail_after(side: Side, ms: float) -> str:
    side.clock.advance(ms=ms)
    raise OperationError


def metrics(side: Side, **parts: Any) -> Any:
    """An extractor that reads the same from every answer."""
    found = side.types.LDAIMetrics(**{"success": True, **parts})
    return lambda _answer: found


@same()
async def the_duration_of_a_function(side: Side) -> Any:
    tracker = await side.tracker()

    def operation() -> str:
        side.clock.advance(ms=12.9)
        return "answer"

    return await side.call(tracker.track_duration_of, operation)


@same()
async def the_duration_of_a_failing_function(side: Side) -> Any:
    tracker = await side.tracker()

    def operation() -> str:
        side.clock.advance(ms=12.9)
        raise OperationError

    return await side.call(tracker.track_duration_of, operation)


@differs(
    "duration-of-async",
    official=["duration:total=0", '-> ["answer", 0]'],
    ours=["duration:total=12", '-> ["answer", 12]'],
)
async def the_duration_of_a_coroutine_function(side: Side) -> list[Any]:
    tracker = await side.tracker()
    answer = await side.call(tracker.track_duration_of, lambda: answer_after(side, 12))
    return [answer, side.summary(tracker).duration_ms]


@same()
async def metrics_of_a_success(side: Side) -> Any:
    tracker = await side.tracker()
    extract = metrics(side, tokens=side.types.TokenUsage(12, 5, 7), tool_calls=["search", "lookup"])
    return await side.metrics_of(tracker, extract, lambda: answer_after(side, 40))


@same()
async def metrics_of_a_synchronous_success(side: Side) -> Any:
    tracker = await side.tracker()

    def operation() -> str:
        side.clock.advance(ms=40)
        return "answer"

    return await side.call(tracker.track_metrics_of, metrics(side), operation)


@same()
async def metrics_of_a_synchronous_failure(side: Side) -> Any:
    tracker = await side.tracker()

    def operation() -> str:
        side.clock.advance(ms=40)
        raise OperationError

    return await side.call(tracker.track_metrics_of, metrics(side), operation)


@same()
async def metrics_that_say_nothing_but_success(side: Side) -> Any:
    tracker = await side.tracker()
    return await side.metrics_of(tracker, metrics(side), lambda: answer_after(side, 40))


@same()
async def metrics_that_say_failure(side: Side) -> Any:
    tracker = await side.tracker()
    extract = metrics(side, success=False, tokens=side.types.TokenUsage(12, 5, 7))
    return await side.metrics_of(tracker, extract, lambda: answer_after(side, 40))


@same()
async def metrics_with_no_tokens_and_no_tools(side: Side) -> Any:
    tracker = await side.tracker()
    extract = metrics(side, tokens=side.types.TokenUsage(0, 0, 0), tool_calls=[])
    return await side.metrics_of(tracker, extract, lambda: answer_after(side, 40))


@same()
async def metrics_with_a_duration_of_their_own(side: Side) -> Any:
    tracker = await side.tracker()
    extract = metrics(side, duration_ms=33)
    return await side.metrics_of(tracker, extract, lambda: answer_after(side, 40))


@same()
async def metrics_with_a_duration_of_zero(side: Side) -> Any:
    tracker = await side.tracker()
    extract = metrics(side, duration_ms=0)
    return await side.metrics_of(tracker, extract, lambda: answer_after(side, 40))


@same()
async def metrics_of_a_failure(side: Side) -> Any:
    tracker = await side.tracker()
    return await side.metrics_of(tracker, metrics(side), lambda: fail_after(side, 40))


@same()
async def metrics_after_explicit_ones(side: Side) -> Any:
    tracker = await side.tracker()
    await side.call(tracker.track_duration, 1)
    await side.call(tracker.track_error)
    extract = metrics(side, tokens=side.types.TokenUsage(12, 5, 7))
    return await side.metrics_of(tracker, extract, lambda: answer_after(side, 40))


@same()
async def metrics_of_a_retry_after_a_failure(side: Side) -> Any:
    tracker = await side.tracker()
    extract = metrics(side, tokens=side.types.TokenUsage(12, 5, 7), tool_calls=["search"])
    await side.metrics_of(tracker, extract, lambda: fail_after(side, 40))
    return await side.metrics_of(tracker, extract, lambda: answer_after(side, 50))


@differs(
    "repeated-tool-calls",
    official=["duration:total=40", "generation:success=1", "tool_call=1", "tool_call=1"],
    ours=["duration:total=40", "generation:success=1", "tool_call=1"],
)
async def metrics_of_two_successes(side: Side) -> None:
    tracker = await side.tracker()
    for _ in range(2):
        await side.metrics_of(tracker, metrics(side, tool_calls=["search"]), lambda: answer_after(side, 40))


@differs(
    "repeated-tool-calls",
    official=["tool_call=1", "duration:total=40", "generation:success=1", "tool_call=1"],
    ours=["tool_call=1", "duration:total=40", "generation:success=1"],
)
async def metrics_after_an_explicit_tool_call(side: Side) -> None:
    tracker = await side.tracker()
    await side.call(tracker.track_tool_call, "search")
    await side.metrics_of(tracker, metrics(side, tool_calls=["search"]), lambda: answer_after(side, 40))


@differs(
    "silent-extractor",
    official=["duration:total=40", "-> answer"],
    ours=["duration:total=40", "generation:success=1", "-> answer"],
)
async def metrics_of_an_extractor_that_finds_none(side: Side) -> Any:
    tracker = await side.tracker()
    return await side.metrics_of(tracker, lambda _: None, lambda: answer_after(side, 40))


@differs(
    "silent-extractor",
    official=["duration:total=40", "-> answer"],
    ours=["duration:total=40", "generation:success=1", "-> answer"],
)
async def metrics_of_an_extractor_that_fails(side: Side) -> Any:
    tracker = await side.tracker()
    return await side.metrics_of(tracker, lambda _: 1 / 0, lambda: answer_after(side, 40))


@differs(
    "wrong-extractor",
    official=["-> raises AttributeError"],
    ours=["duration:total=40", "generation:success=1", "-> answer"],
)
async def metrics_of_an_extractor_of_another_type(side: Side) -> Any:
    tracker = await side.tracker()
    return await side.metrics_of(tracker, lambda _: {"success": True}, lambda: answer_after(side, 40))


@differs("cancelled", official=["-> cancelled"], ours=["duration:total=40", "-> cancelled"])
async def metrics_of_a_cancelled_operation(side: Side) -> str:
    tracker = await side.tracker()

    async def cancelled_operation() -> None:
        side.clock.advance(ms=40)
        raise asyncio.CancelledError

    try:
        await side.metrics_of(tracker, metrics(side), cancelled_operation)
    except asyncio.CancelledError:
        return "cancelled"
    return "passed"


@differs(
    "failing-delivery",
    official=["-> raises OSError"],
    ours=["generation:success=1", "-> answer"],
)
async def metrics_while_the_client_fails(side: Side) -> Any:
    tracker = await side.tracker()
    side.captured.failures.append(OSError("no room"))
    return await side.metrics_of(tracker, metrics(side), lambda: answer_after(side, 40))
