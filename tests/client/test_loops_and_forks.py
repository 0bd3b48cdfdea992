"""A client whose loop has ended, or whose process was forked, delivers from where it is now."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from endpoint import Endpoint

import ldtrack

PROGRAM = """
import asyncio, os, sys, threading, warnings
from ldclient import Context
from ldtrack import AIClient
from ldtrack.delivery import LaunchDarklyEvents
from ldtrack.ledgers import SQLiteLedger
from ldtrack.testing import RecordingClient

warnings.simplefilter("ignore")  # of forking beside threads: that is the test
path, uri, way = sys.argv[1:]
destination = LaunchDarklyEvents("sdk-key", events_uri=uri)
ai = AIClient(RecordingClient(), ledger=SQLiteLedger(path), destination=destination)

async def record():
    config = await ai.completion_config("chat", Context.create("ada"))
    assert await config.create_tracker().track_success()

async def enter_and_fork():
    await ai.__aenter__()
    await record()
    return os.fork() if way == "in a loop" else 1

async def record_and_flush():
    await record()
    assert await ai.flush(30), ai.stats
    async with ai:
        await record()
    await ai.aclose()

pid = asyncio.run(enter_and_fork()) if way != "in a loop" else None
if way == "after a loop":
    pid = os.fork()
if way == "in a loop":
    loop = asyncio.new_event_loop()
    pid = loop.run_until_complete(enter_and_fork())
if way == "no fork":
    pid = 0
if pid == 0:
    asyncio.run(record_and_flush())
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize("way", ["no fork", "after a loop", "in a loop"])
def test_the_relay_starts_again_where_the_client_is_used_next(way, tmp_path: Path) -> None:
    """Entered in one loop and never left, it flushes in the next one, in a forked child as well."""
    with Endpoint() as endpoint:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "ledger.db"), endpoint.uri, way],
            env={**os.environ, "PYTHONPATH": str(Path(ldtrack.__file__).parent.parent)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        # The parent's relay, if it was cut off in the middle, has the first one on loan for a minute.
        assert len(endpoint.events) >= 2
