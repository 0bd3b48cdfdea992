"""Starting the second process, and hearing from it.

Rule for this file: the process is ours from start to end; on every exit it is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import ldtrack
from ldtrack.cli.demo.votes import Ballot, Count

__all__ = ["SecondProcessError", "count_elsewhere"]

MODULE: Final = "ldtrack.cli.demo.late_feedback"


class SecondProcessError(Exception):
    """The second process failed; the message is what it said."""


async def count_elsewhere(ballot: Ballot) -> Count:
    """Have the votes posted by a process of its own; cancelling the wait ends that process."""
    process = await asyncio.create_subprocess_exec(
        *_command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
    )
    try:
        answer, complaint = await process.communicate(ballot.to_json().encode())
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise SecondProcessError(
            f"The process for late feedback ended with code {process.returncode} and said:\n"
            f"{complaint.decode(errors='replace').strip() or 'nothing'}"
        )
    return Count.from_json(answer.decode())


def _command() -> list[str]:
    # The same interpreter, as closed to its surroundings as this one, and never a module from the folder
    # that the demo happens to be started in.
    return [sys.executable, "-I" if sys.flags.isolated else "-P", "-m", MODULE]


def _environment() -> dict[str, str]:
    """Ours, and where this very ldtrack is: it may be a checkout that is not installed."""
    home = str(Path(ldtrack.__file__).parent.parent)
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
