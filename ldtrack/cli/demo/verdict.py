"""The last word: what arrived, and whether every metric of every run arrived once.

Rule for this file: it judges events that arrived. The two numbers that no receiver can know, how much was
sent and how much was suppressed, are given to it, and are named for what they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ldtrack.cli.demo.received import arrivals, by_variation, figures_of, once_only, repeats
from ldtrack.cli.demo.screen import Style
from ldtrack.cli.demo.table import table_of

__all__ = ["Account", "Sent", "account_of"]


@attrs.frozen(kw_only=True)
class Sent:
    """What the senders say of themselves."""

    tracked: int | None
    """Events that they handed to LaunchDarkly's SDK; ``None`` if one was ended before it could say."""
    duplicates: int
    """Calls whose metric was recorded already."""


@attrs.frozen
class Account:
    """What there is to say, and whether it is good."""

    lines: tuple[str, ...]
    is_good: bool


def account_of(
    events: Sequence[Mapping[str, Any]], sent: Sent, style: Style, *, posts: int, refused: int
) -> Account:
    """Put the events that arrived into a table, and judge them."""
    arrived = arrivals(events)
    columns = {name: figures_of(those) for name, those in by_variation(arrived).items()}
    columns["all"] = figures_of(arrived)
    pairs, repeated = len(once_only(arrived)), repeats(arrived)
    is_once = pairs > 0 and not repeated
    is_complete = sent.tracked in {len(events), None} and not refused
    lines = [
        *table_of(columns, style),
        "",
        f"{len(events):,} events received, {len(arrived):,} of them about runs; HTTP posts: {posts:,}",
        f"{sent.duplicates:,} duplicates suppressed before they were sent (counted where they were)",
        f"{style.mark(is_good=is_complete)} {_said_of_all(len(events), sent.tracked, refused)}",
        f"{style.mark(is_good=is_once)} {_said_of_once(pairs, len(repeated))}",
        *(f"    run {repeat.run_id}: {repeat.metric}, {repeat.times} times" for repeat in repeated),
    ]
    return Account(tuple(lines), is_complete and is_once)


def _said_of_all(arrived: int, tracked: int | None, refused: int) -> str:
    handed = "an unknown number of" if tracked is None else f"{tracked:,}"
    said = f"{handed} events were handed to LaunchDarkly's SDK, {arrived:,} arrived"
    return said + (f"; posts that could not be read: {refused:,}" if refused else "")


def _said_of_once(pairs: int, repeated: int) -> str:
    if repeated:
        return f"{repeated:,} of {pairs:,} (runId, metric) pairs arrived more than once:"
    return (
        f"each of {pairs:,} (runId, metric) pairs arrived once" if pairs else "nothing about any run arrived"
    )
