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
import asyncio, os, sys, traceback, warnings
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

async def record_and_flush():
    await record()
    assert await ai.flush(30), ai.stats
    async with ai:
        await record()
    await ai.aclose()

def child():
    try:
        asyncio.run(record_and_flush())
        os._exit(0)
    finally:
        traceback.print_exc()
        os._exit(1)

def fork():
    pid = os.fork()
    if pid == 0:
        child()
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

async def enter():
    await ai.__aenter__()
    await ai.flush(30)
    if way == "fork in a loop":
        fork()

asyncio.run(enter())
if way == "fork after a loop":
    fork()
child()
"""


@pytest.mark.parametrize("way", ["no fork", "fork after a loop", "fork in a loop"])
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
        assert len(endpoint.customs) == 2
