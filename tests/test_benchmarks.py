"""The benchmark beside other people's instrumentation runs where none of it is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_instrumentation_without_peers(tmp_path: Path) -> None:
    """It measures ldtrack, says what it left out, and writes a figure for each column."""
    path = tmp_path / "figures.json"
    script = [str(BENCHMARKS / "instrumentation.py"), "--quick", "--only", "Langfuse", "--json", str(path)]
    done = subprocess.run([sys.executable, *script], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(path.read_text())["figures"]
    ours = figures["ldtrack"]
    assert {"version", "openai", "rounds"} < set(ours)
    for way in ("same", "fresh", "served", "answers"):
        # What is added lies within the noise of two calls; that two calls take time does not.
        assert ours[f"{way}_bare_ns"] > 0
        assert isinstance(ours[f"{way}_added_ns"], float)
        assert isinstance(ours[f"{way}_added_cpu_ns"], float)
    assert ("Langfuse" in figures) != ("Langfuse" in figures["left out"])
    for name, why in figures["left out"].items():
        assert f"left out: {name}: {why}" in done.stdout
