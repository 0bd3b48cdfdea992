"""The end of the interpreter, with a stream still held: in processes of their own, since it ends them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ldtrack

PROGRAM = """
import asyncio, sys, threading
from ldclient import Context
from ldtrack import AIClient
from ldtrack.testing import RecordingClient

class Telling(RecordingClient):
    def track(self, key, *_):
        print(key.split(":", 2)[2], flush=True)

async def generator():
    try:
        yield "a"
        yield "b"
    finally:
        print("closed", flush=True)

class Closable:
    def __aiter__(self):
        return self
    async def __anext__(self):
        return "a"
    async def aclose(self):
        print("closed", flush=True)

how, shape = sys.argv[1:]
ai = AIClient(Telling(), usage_events=False)

async def main():
    global held
    config = await ai.completion_config("chat", Context.create("ada"))
    held = config.create_tracker().stream(generator() if shape == "generator" else Closable())
    await anext(held)
    if how == "sys.exit":
        sys.exit()

if how == "closed loop":
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
elif how == "thread":
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join()
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("shape", ["generator", "object"])
@pytest.mark.parametrize("how", ["return", "sys.exit", "thread", "closed loop"])
def test_a_stream_is_held_to_the_very_end(how: str, shape: str, tmp_path: Path) -> None:
    """It is recorded once; its source is closed while there is a loop to close it in; nobody complains."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, how, shape],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(ldtrack.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    expected = ["duration:total", "tokens:ttf"] + ([] if how == "closed loop" else ["closed"])
    assert sorted(done.stdout.split()) == sorted(expected)
