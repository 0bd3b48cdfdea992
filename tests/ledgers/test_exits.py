"""Every way out of a process: 200 events were awaited, 200 are there when the next one starts, none twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import ldtrack
from ldtrack.ledgers.sqlite import SQLiteStore

LEAVER = Path(__file__).parent / "exits" / "leaver.py"
EVENTS = 200
PATIENCE = 120.0
"""Seconds until a process that hangs is given up; no test waits for it."""

EXPECTED = {
    "return": 0,
    "close": 0,
    "exception": 1,
    "sys.exit": 0,
    "os._exit": 0,
    "SIGTERM": -signal.SIGTERM,
    "SIGKILL": -signal.SIGKILL,
    "at once": 0,
    "a thread": 0,
    "atexit": 0,
    "fork": 0,
    "fork after use": 0,
    "fork all the time": 0,
    "child exits": 0,
    "multiprocessing fork": 0,
    "multiprocessing forkserver": 0,
    "multiprocessing spawn": 0,
    "frozen": 0,
}
"""The ways, and how each ends."""


def leave(way: str, path: Path) -> subprocess.Popen[str]:
    """Start a process that leaves in that way."""
    return subprocess.Popen(
        [sys.executable, str(LEAVER), way, str(path)],
        env={**os.environ, "PYTHONPATH": str(Path(ldtrack.__file__).parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    """What it complained of."""
    try:
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return "\n".join(
        line for line in errors.splitlines() if "multi-threaded" not in line and "os.fork()" not in line
    )


def assert_all_there(path: Path) -> None:
    """As the next process finds it."""
    store = SQLiteStore(path)
    batch = store.lease("test", 10_000, 100_000_000, 60)
    assert batch is not None
    assert batch.events == EVENTS
    assert set(Counter(batch.bodies).values()) == {1}
    assert store.standing().pending == len(batch.bodies)
    store.close()


@pytest.mark.parametrize("way", sorted(EXPECTED))
def test_all_that_was_awaited_is_there(way: str, tmp_path: Path) -> None:
    """Whichever way it leaves: nothing lost, nothing twice, and no hang."""
    path = tmp_path / "events.db"
    process = leave(way, path)
    if way == "frozen":
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        for _ in range(20):
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            process.send_signal(signal.SIGCONT)
    errors = ended(process)
    assert process.returncode == EXPECTED[way], errors
    if way == "exception":
        assert errors.endswith("ZeroDivisionError")
    else:
        assert errors == ""
    assert_all_there(path)
    assert path.stat().st_mode & 0o777 == 0o600
