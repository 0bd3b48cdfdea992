"""The smallest example runs, offline, and says what it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "plain_script.py"


def test_the_script_runs() -> None:
    """It greets, records the run, counts one vote of two, and leaves no warning behind."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT)], capture_output=True, text=True, check=True
    )
    first, second, third, fourth = ran.stdout.splitlines()
    assert first == "Good morning, from simulated!"
    assert second == "Greet Ada warmly. -> success, positive"
    assert third.startswith("first token after ")
    assert fourth == "second vote counted: False"
    assert len(ran.stderr.splitlines()) == 1, "the hint that the second vote records nothing"
