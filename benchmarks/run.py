"""Runs every benchmark, one after the other: ``python benchmarks/run.py [--quick]``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ALL = (
    *("per_chunk", "per_run", "instrumentation", "evaluation", "imports", "memory"),
    *("ledgers", "relay", "burst", "growth", "exits"),
)


def main() -> int:
    here = Path(__file__).parent
    return max(
        subprocess.run([sys.executable, str(here / f"{name}.py"), *sys.argv[1:]], check=False).returncode
        for name in ALL
    )


if __name__ == "__main__":
    sys.exit(main())
