"""The table: figures as lines of text.

Rule for this file: how it looks. Every number in it comes from the figures it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ldtrack.cli.demo.received import Figures
from ldtrack.cli.demo.screen import Style

__all__ = ["table_of"]

Cell = Callable[[Figures], str]


def _only(models: Sequence[str]) -> str:
    return models[0] if len(models) == 1 else ""


def _count(number: int) -> str:
    return f"{number:,}"


def _share(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.1f} %"


def _ms(length: float | None) -> str:
    return "-" if length is None else f"{length:,.0f} ms"


ROWS: Final[tuple[tuple[str, Cell] | None, ...]] = (
    ("runs", lambda figures: _count(figures.runs)),
    ("succeeded", lambda figures: _count(figures.succeeded)),
    ("errors", lambda figures: _count(figures.errors)),
    ("cancelled *", lambda figures: _count(figures.cancelled)),
    ("success rate **", lambda figures: _share(figures.success_rate)),
    None,
    ("first token, p50", lambda figures: _ms(figures.first_token_p50)),
    ("first token, p95", lambda figures: _ms(figures.first_token_p95)),
    ("duration, p50", lambda figures: _ms(figures.duration_p50)),
    None,
    ("tokens in", lambda figures: _count(figures.tokens_in)),
    ("tokens out", lambda figures: _count(figures.tokens_out)),
    ("tool calls", lambda figures: _count(figures.tool_calls)),
    None,
    ("thumbs up", lambda figures: _count(figures.thumbs_up)),
    ("thumbs down", lambda figures: _count(figures.thumbs_down)),
)
"""What each row is called and shows; ``None`` rules a line."""

NOTES: Final = (
    " * a duration arrived, and neither a success nor an error: the tab was closed, or the answer stopped",
    "** of the runs that had an outcome",
)


def table_of(columns: Mapping[str, Figures], style: Style) -> list[str]:
    """The lines of a table that has a column for each of these."""
    names = ["", *columns]
    models = ["", *(_only(figures.models) for figures in columns.values())]
    body = [row and [row[0], *(row[1](figures) for figures in columns.values())] for row in ROWS]
    filled = [names, models, *(cells for cells in body if cells)]
    widths = [max(len(cells[at]) for cells in filled) for at in range(len(names))]
    rule = style.dim(style.line * (sum(widths) + _GAP * len(columns)))

    lines = [style.bold(_aligned(names, widths)), style.dim(_aligned(models, widths)), rule]
    lines += [rule if cells is None else _aligned(cells, widths) for cells in body]
    return [*lines, rule, *(style.dim(note) for note in NOTES)]


_GAP: Final = 4


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = [cell.rjust(width + _GAP) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "".join([cells[0].ljust(widths[0]), *numbers]).rstrip()
