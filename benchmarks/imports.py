"""What importing ldtrack adds to importing LaunchDarkly's SDK, and what it adds to a process's memory.

Each measurement is a fresh interpreter; they take turns. The package imports what it offers when it is
asked for it, so what is measured is what an app asks for.
"""

from __future__ import annotations

import subprocess
import sys

from common import arguments, interleaved, report

PROBE = """
import resource, sys, time
started = time.perf_counter_ns()
{statement}
print(time.perf_counter_ns() - started)
"""


def importing(statement: str) -> float:
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROBE.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def main() -> None:
    options = arguments(__doc__ or "")
    series = interleaved(
        {
            "ldclient": lambda: importing("import ldclient"),
            "ldclient, then ldtrack's client": lambda: importing(
                "import ldclient; from ldtrack import AIClient"
            ),
            "the same, and what is managed": lambda: importing("import ldclient; from ldtrack import *"),
            "ldclient, then the official AI SDK": lambda: importing("import ldclient, ldai"),
        },
        3 if options.quick else 15,
    )
    base = series["ldclient"]
    rows = [
        [
            name,
            f"{one.minimum / 1e6:.0f}",
            f"{one.median / 1e6:.0f}",
            f"{(one.median - base.median) / 1e6:+.0f}",
            f"{(one.minimum - base.minimum) / 1e6:+.0f}",
        ]
        for name, one in series.items()
    ]
    figures = {name: {"median_ns": one.median, "min_ns": one.minimum} for name, one in series.items()}
    report("Import", ["import", "min ms", "median ms", "added ms", "of minima"], rows, figures, options.json)


if __name__ == "__main__":
    main()
