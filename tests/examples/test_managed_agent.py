"""The example of a managed agent runs, offline, and says what it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "managed_agent.py"


def test_the_script_runs() -> None:
    """It streams, counts, and is judged; nothing is left open that would warn."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [
        "It is sunny, Ada.",
        "success, 18 tokens",
        "kindness: 0.9, because: It says her name.",
    ]
    assert ran.stderr == ""
