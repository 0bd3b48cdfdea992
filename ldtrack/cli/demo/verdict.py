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

    tracked: int
    """Events that they handed to LaunchDarkly's SDK."""
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
    repeated = repeats(arrived)
    is_complete = len(events) == sent.tracked and not refused
    lines = [
        *table_of(columns, style),
        "",
        f"{len(events):,} events received in {posts:,} posts, {len(arrived):,} of them about runs",
        f"{sent.duplicates:,} duplicates suppressed before they were sent (counted where they were)",
        f"{style.mark(is_good=is_complete)} {sent.tracked:,} events were handed to LaunchDarkly's SDK, "
        f"{len(events):,} arrived" + (f", {refused:,} posts could not be read" if refused else ""),
        f"{style.mark(is_good=not repeated)} {_said_of_once(len(once_only(arrived)), len(repeated))}",
        *(f"    run {repeat.run_id}: {repeat.metric}, {repeat.times} times" for repeat in repeated),
    ]
    return Account(tuple(lines), is_complete and not repeated)


def _said_of_once(pairs: int, repeated: int) -> str:
    if repeated:
        return f"{repeated:,} of {pairs:,} (runId, metric) arrived more than once:"
    return f"each of {pairs:,} (runId, metric) arrived once"
