"""How answers are judged: who is sampled, what a judge is asked, and what its answer is worth.

Rule for this file: decisions only. Nothing here knows what a judge is or waits for one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from ldtrack.core.models import LDMessage

__all__ = ["VERDICT_SCHEMA", "Verdict", "history_of", "is_sampled", "question_of", "read_verdict"]

VERDICT_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "score": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "description": "How good the response is, from 0.0 to 1.0.",
        },
        "reasoning": {"type": "string", "description": "Why the response deserves this score."},
    },
    "required": ["score", "reasoning"],
    "additionalProperties": False,
}
"""The shape of a judge's answer."""

_SCALE: Final = 2**64


def is_sampled(run_id: str, judge_key: str, rate: float) -> bool:
    """Whether a judge looks at a run: a rate of 0 means never, 1 always.

    The draw is a hash of the run's id and the judge's key, so that a retry or a replay of the run decides the
    same, and two judges decide independently.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise TypeError(f"a sampling rate must be a number from 0 to 1, not {rate!r} ({type(rate).__name__})")
    if not 0 <= rate <= 1:  # which is not so of NaN either
        raise ValueError(f"a sampling rate must lie between 0 and 1, got {rate!r}")
    digest = hashlib.sha256(f"{run_id}\0{judge_key}".encode("utf-8", "surrogatepass")).digest()
    # Compared as whole numbers: as a float, the largest draws would be rounded up to 1, and escape rate 1.
    return int.from_bytes(digest[:8]) < math.ceil(rate * _SCALE)


def history_of(messages: Sequence[LDMessage]) -> str:
    """Messages as text for a judge: a single question as it is, several with who said what."""
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in messages)


def question_of(history: str, response: str) -> str:
    """What a judge is asked; the same labels as in LaunchDarkly's SDKs, since prompts refer to them."""
    return f"MESSAGE HISTORY:\n{history}\n\nRESPONSE TO EVALUATE:\n{response}"


class Verdict(NamedTuple):
    """A judge's answer that can be used."""

    score: float
    reasoning: str


def read_verdict(parsed: object) -> Verdict | str:
    """The verdict in a judge's structured answer, or the sentence that says why there is none."""
    if not isinstance(parsed, Mapping):
        return "The judge gave no structured answer."
    score, reasoning = parsed.get("score"), parsed.get("reasoning")
    if isinstance(score, bool) or not isinstance(score, int | float):
        return f"The judge's score is no number, but {score!r:.80} ({type(score).__name__})."
    if not 0 <= score <= 1:  # nor is NaN
        return f"The judge's score must lie between 0 and 1, and is {score!r:.80}."
    if not isinstance(reasoning, str):
        return f"The judge's reasoning is no text, but {reasoning!r:.80} ({type(reasoning).__name__})."
    return Verdict(float(score), reasoning)
