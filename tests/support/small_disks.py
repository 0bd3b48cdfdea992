"""File systems that are full soon.

Rule for this file: a real one, mounted for one test. That takes a root that may mount; a laptop's user, and
root in most containers, may not, and no other disk is small enough to fill: there the test is skipped.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["small_file_system"]


@contextlib.contextmanager
def small_file_system(folder: Path, *options: str) -> Iterator[Path]:
    """Mount one at a folder that it makes; ``options`` are those of a tmpfs, such as ``size=6m``."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system takes a root that may mount: {mounted.stderr!r}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
