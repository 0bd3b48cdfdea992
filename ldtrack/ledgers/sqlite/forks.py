"""What becomes of a connection in a forked child.

Rule for this file: nothing in it talks to SQLite.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

__all__ = ["abandon"]

_abandoned: Final[list[sqlite3.Connection]] = []


def abandon(connection: sqlite3.Connection, path: Path) -> None:
    """Keep the parent's connection for good: closing it would let go of what the parent still uses."""
    _abandoned.append(connection)
