"""The pages that users read: their code, their tables and their links.

Rule for this file: it reads Markdown and runs what it finds. What should come out is for the tests to say.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import attrs

__all__ = ["CHECKOUT", "PAGES", "Block", "blocks_of", "links_of", "rows_of"]

CHECKOUT = Path(__file__).parents[2]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]

_FENCE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})\s*(?P<language>[\w-]*)[^\n]*\n(?P<code>.*?)^(?P=fence)\s*$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@attrs.frozen
class Block:
    """One fenced block of Python, and where it stands."""

    page: Path
    line: int
    """The line of its first statement, counted from 1."""
    code: str

    async def run(self, namespace: dict[str, Any]) -> None:
        """Run it as if its page were a program; ``await`` may stand anywhere."""
        text = "\n" * (self.line - 1) + self.code
        code = compile(text, str(self.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        pending = eval(code, namespace)
        if inspect.isawaitable(pending):
            await pending


def blocks_of(page: Path) -> list[Block]:
    """All blocks of Python on a page, whatever they are called there."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("code")) + 1, found["code"])
        for found in _FENCE.finditer(text)
        if found["language"].lower() in {"python", "python3", "py", "pycon"}
    ]


def links_of(page: Path) -> list[str]:
    """The targets of all links on a page, as they are written, leaving out code."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", prose))


def rows_of(page: Path, first_column: str) -> list[list[str]]:
    """The cells of every table on a page whose first column has this name, without the heads."""
    rows: list[list[str]] = []
    is_inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            is_inside = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if is_inside:
            rows.append(cells)
        is_inside = is_inside or cells[0] == first_column
    return [row for row in rows if not set("".join(row)) <= set("-: ")]
