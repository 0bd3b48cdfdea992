"""What "once" means, as a checker: from what was asked, what the ledger saw and what came out, to complaints.

Rule for this file: it knows nothing of loops, threads or of how a tracker works, so that it can judge any of
them. It reads the facts back from the events, not from what anybody says was recorded.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import attrs
from once_asks import Bad, Boom, Empty, Explicit, Implicit

from ldtrack.core import slots
from ldtrack.core.slots import FEEDBACK, JUDGE_SCORE, ONCE, OUTCOME, TOKENS, TOOL_CALL, Claim, Metric
from ldtrack.core.values import Feedback
from ldtrack.exceptions import LedgerError, MisuseError

__all__ = ["CALLER", "Asked", "Attempt", "Evidence", "Violation", "Witness", "perform", "verify"]

CALLER: ContextVar[int | None] = ContextVar("caller", default=None)
"""Which ask is at work; a ledger is called within it."""


class Violation(AssertionError):
    """Once was not once, or never, or somebody was told something else."""


@attrs.define
class Asked:
    """One ask, and what became of it."""

    number: int
    ask: Explicit | Bad | Empty | Implicit
    is_started: bool = False
    is_called_off: bool = False
    """Whether somebody cancelled it."""
    is_cancelled: bool = False
    is_early: bool = False
    """Whether it was told False when nothing was recorded yet."""
    answer: Any = None
    error: Exception | None = None


async def perform(asked: Asked, tracker: Any, recorded: Iterable[Claim] | None = None) -> None:
    """Do what is asked, and note what comes of it; ``recorded`` is what the ledger has recorded so far."""
    CALLER.set(asked.number)
    asked.is_started = True
    try:
        asked.answer = await asked.ask.perform(tracker)
        if recorded is not None and asked.answer is False and isinstance(asked.ask, Explicit):
            asked.is_early = all(claim.metric is not asked.ask.metric for claim in recorded)
    except asyncio.CancelledError:
        asked.is_cancelled = True
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is judged later
        asked.error = error


@attrs.define
class Attempt:
    """One claim that reached the ledger, and what the ledger answered."""

    caller: int | None
    claim: Claim
    fate: str = "pending"


class Witness:
    """A ledger that passes everything on to another one and remembers who asked for what."""

    def __init__(self, ledger: Any) -> None:
        self.ledger = ledger
        self.attempts: list[Attempt] = []

    @property
    def recorded(self) -> int:
        return int(self.ledger.recorded)

    def submit(self, claim: Claim) -> Any:
        attempt = Attempt(CALLER.get(), claim)
        self.attempts.append(attempt)
        try:
            answer = self.ledger.submit(claim)
        except LedgerError:
            attempt.fate = "failed"
            raise
        if isinstance(answer, bool):
            attempt.fate = "recorded" if answer else "duplicate"
        else:
            answer.add_done_callback(lambda flight: self._note_fate(attempt, flight))
        return answer

    def _note_fate(self, attempt: Attempt, flight: asyncio.Future[bool]) -> None:
        if flight.cancelled():
            # The ledger may give a claim up; nobody else may cancel it.
            is_given_up = any(claim is attempt.claim for claim in self.ledger.given_up)
            attempt.fate = "failed" if is_given_up else "cancelled"
        elif flight.exception() is not None:
            attempt.fate = "failed"
        else:
            attempt.fate = "recorded" if flight.result() else "duplicate"

    async def flush(self, timeout: float) -> Any:
        return await self.ledger.flush(timeout)

    async def aclose(self) -> None:
        await self.ledger.aclose()


@attrs.define
class Evidence:
    """All there is to judge by."""

    asked: list[Asked]
    events: Iterable[tuple[str, Any, float]]
    """What came out: key, data and value of each event."""
    summaries: list[Any]
    """What each tracker of the run says was recorded."""
    attempts: list[Attempt] | None = None
    """What the ledger saw, where a witness stood by."""
    excuses: int | None = None
    """How often something was made to fail, where that was counted: no claim fails without a reason."""
    stats: Any = None
    is_last_word: bool = False
    """Whether each slot was asked for on a working ledger at the end, so that all must be filled."""


# Reading events back

_NAMES = {
    "duration:total": slots.DURATION,
    "tokens:ttf": slots.FIRST_TOKEN,
    "tokens:total": TOKENS,
    "tokens:input": TOKENS,
    "tokens:output": TOKENS,
    "generation:success": OUTCOME,
    "generation:error": OUTCOME,
    "feedback:user:positive": FEEDBACK,
    "feedback:user:negative": FEEDBACK,
    "tool_call": TOOL_CALL,
}


def read_back(events: Iterable[tuple[str, Any, float]]) -> tuple[dict[Metric, list[Any]], list[str]]:
    """The values of each metric that events tell of, and what is wrong with the events themselves."""
    found: dict[Metric, list[Any]] = {metric: [] for metric in slots.METRICS}
    tokens: Counter[str] = Counter()
    wrong = []
    for key, data, value in events:
        name = key.removeprefix("$ld:ai:")
        metric = _NAMES.get(name, JUDGE_SCORE)
        if metric is TOKENS:
            if name in tokens:
                wrong.append(f"{key} was emitted twice")
            tokens[name] = int(value)
        elif metric is TOOL_CALL:
            found[metric].append(data["toolKey"])
        elif metric is JUDGE_SCORE:
            found[metric].append(name)
        elif metric is OUTCOME:
            found[metric].append(name == "generation:success")
        elif metric is FEEDBACK:
            found[metric].append(Feedback(name.rpartition(":")[2]))
        else:
            found[metric].append(value)
    if tokens:
        parts = [tokens[f"tokens:{part}"] for part in ("total", "input", "output")]
        if parts[0] != parts[1] + parts[2]:
            wrong.append(f"the three token events do not belong together: {parts}")
        found[TOKENS].append(tuple(parts))
    return found, wrong


# Judging


def verify(evidence: Evidence) -> None:
    """Raise a violation that says everything that is wrong."""
    found, wrong = read_back(evidence.events)
    wrong += _too_often_or_never(evidence, found)
    for asked in evidence.asked:
        wrong += [f"{asked}: {what}" for what in _wrong_with_answer(asked, found)]
        if evidence.attempts is not None:
            wrong += [f"{asked}: {what}" for what in _wrong_with_attempts(asked, evidence.attempts, found)]
    for summary in evidence.summaries:
        wrong += _wrong_with_summary(summary, found)
    failed = [attempt for attempt in evidence.attempts or () if attempt.fate == "failed"]
    if evidence.excuses is not None and len(failed) > evidence.excuses:
        wrong.append(f"{len(failed)} claims failed, though only {evidence.excuses} were made to: {failed}")
    if evidence.stats is not None and evidence.attempts is not None:
        wrong += _wrong_with_stats(evidence.stats, evidence.asked, evidence.attempts)
    if wrong:
        raise Violation("\n".join(wrong))


def _too_often_or_never(evidence: Evidence, found: dict[Metric, list[Any]]) -> list[str]:
    wrong = [f"{metric.name}: emitted {found[metric]}" for metric in ONCE if len(found[metric]) > 1]
    if evidence.is_last_word:
        wrong += [f"{metric.name}: lost for ever" for metric in ONCE if not found[metric]]
    for metric in ONCE:
        winners = [
            asked
            for asked in evidence.asked
            if isinstance(asked.ask, Explicit) and asked.ask.metric is metric and asked.answer is True
        ]
        if len(winners) > 1:
            wrong.append(f"{metric.name}: several were told that they recorded it: {winners}")
    for metric in (TOOL_CALL, JUDGE_SCORE):
        # Each explicit key is unique; what a measured function lists is counted where it is attempted.
        counted = Counter(key for key in found[metric] if key != "measured")
        wrong += [f"{metric.name} {key!r}: emitted {n} times" for key, n in counted.items() if n > 1]
    return wrong


def _wrong_with_answer(asked: Asked, found: dict[Metric, list[Any]]) -> list[str]:
    """What does not fit between what a caller was told and what came out."""
    ask = asked.ask
    if asked.is_cancelled and not asked.is_called_off:
        return ["was cancelled, and by nobody"]
    if asked.is_cancelled or not asked.is_started:
        return []
    if asked.is_early:
        return ["told False before anybody had recorded it"]
    if isinstance(ask, Bad):
        return [] if isinstance(asked.error, TypeError | ValueError) else ["a bad call was not refused"]
    if isinstance(ask, Empty):
        return [] if asked.answer is False else ["an empty call did not say False"]
    if isinstance(ask, Implicit):
        expected = Boom if ask.fails else MisuseError
        is_fine = asked.error is None or isinstance(asked.error, expected | MisuseError)
        return [] if is_fine else ["recording broke the user's own code"]
    if asked.error is not None:
        return [] if isinstance(asked.error, LedgerError) else ["raised something else"]
    if asked.answer is True:
        return [
            f"told True, but {fact} never came out" for metric, fact in ask.facts if fact not in found[metric]
        ]
    if asked.answer is not False or ask.metric.slot is None:
        return ["told neither True nor False, or False of something that is always first"]
    return [] if found[ask.metric] else ["told False, but nobody recorded it"]


def _wrong_with_attempts(asked: Asked, attempts: list[Attempt], found: dict[Metric, list[Any]]) -> list[str]:
    """What does not fit between an ask, its claims at the ledger, and what came out."""
    ask = asked.ask
    mine = [attempt for attempt in attempts if attempt.caller == asked.number]
    fates = [attempt.fate for attempt in mine]
    wrong = []
    if {"pending", "cancelled"} & set(fates):
        wrong.append(f"a claim was never answered, or taken back from the ledger: {fates}")
    if isinstance(ask, Bad | Empty):
        return ["spent something"] if mine else []
    if isinstance(ask, Explicit):
        wrong += _wrong_with_explicit(asked, ask, fates)
    facts = ask.facts if not isinstance(ask, Implicit) or ask.is_over else []
    for metric, _ in facts:
        if metric.slot is None or found[metric] or _was_never_handed_over(asked, mine):
            continue
        if not any(attempt.fate == "failed" for attempt in mine if attempt.claim.metric is metric):
            wrong.append(f"the {metric.name} was lost, though the ledger never failed it")
    return wrong


def _was_never_handed_over(asked: Asked, mine: list[Attempt]) -> bool:
    """Whether a caller gave up while it waited for somebody else's claim; a run's exit never does."""
    return not asked.is_started or (asked.is_cancelled and not mine and isinstance(asked.ask, Explicit))


def _wrong_with_explicit(asked: Asked, ask: Explicit, fates: list[str]) -> list[str]:
    wrong = []
    if len(fates) > len(ask.facts):
        wrong.append(f"claimed more often than asked: {fates}")
    if asked.is_cancelled or not asked.is_started:
        return wrong
    if asked.answer is True and set(fates) != {"recorded"}:
        wrong.append(f"told True, but the ledger said {fates}")
    if asked.answer is False and set(fates) - {"duplicate"}:
        wrong.append(f"told False, but the ledger said {fates}")
    if isinstance(asked.error, LedgerError) and "failed" not in fates:
        wrong.append(f"told of a failure that was not its own: {fates}")
    return wrong


def _wrong_with_summary(summary: Any, found: dict[Metric, list[Any]]) -> list[str]:
    usage = summary.tokens
    said = {
        slots.DURATION: summary.duration_ms,
        slots.FIRST_TOKEN: summary.time_to_first_token,
        TOKENS: None if usage is None else (usage.total, usage.input, usage.output),
        OUTCOME: summary.success,
        FEEDBACK: summary.feedback,
    }
    wrong = [
        f"the summary says {metric.name} is {value}, emitted was {found[metric]}"
        for metric, value in said.items()
        if ([] if value is None else [value]) != found[metric]
    ]
    if Counter(summary.tool_calls) != Counter(found[TOOL_CALL]):
        wrong.append(f"the summary says {summary.tool_calls}, emitted was {found[TOOL_CALL]}")
    return wrong


def _wrong_with_stats(stats: Any, all_asked: list[Asked], attempts: list[Attempt]) -> list[str]:
    fates = Counter(attempt.fate for attempt in attempts)
    refused = [asked for asked in all_asked if isinstance(asked.ask, Explicit) and asked.answer is False]
    quiet = {asked.number for asked in all_asked if isinstance(asked.ask, Implicit)}
    failed_quietly = [one for one in attempts if one.caller in quiet and one.fate == "failed"]
    wrong = []
    if stats.recorded != fates["recorded"]:
        wrong.append(f"stats say {stats.recorded} recorded, the ledger recorded {fates['recorded']}")
    if stats.duplicates != len(refused):
        wrong.append(f"stats say {stats.duplicates} duplicates, {len(refused)} were told False")
    if sum(stats.failures.values()) != len(failed_quietly):
        wrong.append(f"stats say {dict(stats.failures)}, quiet failures were {failed_quietly}")
    if stats.open_calls:
        wrong.append(f"{stats.open_calls} calls are still open")
    return wrong
