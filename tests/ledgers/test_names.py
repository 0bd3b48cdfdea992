"""The names of the package, with and without the drivers that are extras."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
for driver in sys.argv[1:]:
    sys.modules[driver] = None  # as if it were not installed
from ldtrack.ledgers import *
print(sorted(name for name in globals() if name.endswith("Ledger")))
"""


@pytest.mark.parametrize(
    ("missing", "there"),
    [
        ([], ["MemoryLedger", "PostgresLedger", "RedisLedger", "SQLiteLedger"]),
        (["psycopg"], ["MemoryLedger", "RedisLedger", "SQLiteLedger"]),
        (["redis"], ["MemoryLedger", "PostgresLedger", "SQLiteLedger"]),
        (["psycopg", "redis"], ["MemoryLedger", "SQLiteLedger"]),
    ],
)
def test_all_names_can_be_imported_without_the_extras(missing: list[str], there: list[str]) -> None:
    """Those that are there; a ledger whose driver is missing is told of when it is asked for by its name."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *missing], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stderr, done.stdout) == ("", f"{there}\n")
