"""What all benchmarks share: rivals measured in turns, and a table of the result.

The machines this runs on are shared and noisy, so a figure means little and a ratio something: every
repetition measures all rivals one after the other, and the ratio compares medians (and, beside them, minima)
of the same repetitions.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs


@attrs.frozen
class Series:
    """The measurements of one rival, in nanoseconds per item."""

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def minimum(self) -> float:
        return min(self.values)


class ForgetfulClient:
    """Stands in for an ``LDClient`` that takes no time and keeps nothing."""

    def __init__(self, flags: dict[str, Any] | None = None) -> None:
        self._flags = flags or {}

    def track(self, *_: Any) -> None: ...

    def variation(self, key: str, _context: Any, default: Any) -> Any:
        return self._flags.get(key, default)

    def flush(self) -> None: ...


def interleaved(rivals: dict[str, Callable[[], float]], repetitions: int) -> dict[str, Series]:
    """Measure every rival once per repetition, so that a slow moment of the machine hits them all."""
    values: dict[str, list[float]] = {name: [] for name in rivals}
    for measure in rivals.values():
        measure()  # warm up
    for _ in range(repetitions):
        for name, measure in rivals.items():
            values[name].append(measure())
    return {name: Series(name, tuple(series)) for name, series in values.items()}


def arguments(description: str) -> argparse.Namespace:
    """The options that every benchmark has."""
    return parser_of(description).parse_args()


def parser_of(description: str) -> argparse.ArgumentParser:
    """Reads the options that every benchmark has, and those that are added to it."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="few repetitions: does it run, and roughly how fast"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    return parser


def report(
    title: str, header: list[str], rows: list[list[str]], figures: dict[str, Any], path: Path | None
) -> None:
    """Print a table, and write the figures as JSON where that was asked for."""
    versions = ", ".join(
        f"{name} {metadata.version(name)}"
        for name in ("ldtrack", "launchdarkly-server-sdk", "launchdarkly-server-sdk-ai")
        if _is_installed(name)
    )
    print(f"\n{title}\n{platform.python_implementation()} {platform.python_version()}, {versions}\n")
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    if path is not None:
        document = {"title": title, "python": sys.version, "versions": versions, "figures": figures}
        path.write_text(json.dumps(document, indent=2) + "\n")


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
