"""Kill, deliver, judge: ``python tests/crash/run.py --kills 5000 --ledger sqlite``.

Servers of its own are started for the ledgers that need one. Ends with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from crashtest.frauds import FRAUDS
from crashtest.places import a_place_for
from crashtest.plan import LEDGERS
from crashtest.trial import table_of, try_it


def main() -> int:
    """Run what the command line asks for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", choices=LEDGERS, action="append", help="may be repeated; default: all")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--fraud", choices=FRAUDS, default="", help="break a promise on purpose")
    parser.add_argument("--writers", type=int, default=3)
    parser.add_argument("--carriers", type=int, default=2)
    given = parser.parse_args()
    reports = []
    for ledger in given.ledger or LEDGERS:
        with _folder() as folder, a_place_for(ledger, folder) as place:
            report = try_it(
                place,
                folder / "children",
                seed=given.seed,
                kills=given.kills,
                fraud=given.fraud,
                writers=given.writers,
                carriers=given.carriers,
            )
        reports.append(report)
        if report.complaints:
            sys.stderr.write(report.explained() + "\n")
    sys.stdout.write(table_of(reports) + "\n")
    return int(any(report.complaints for report in reports))


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ldtrack-crash-") as folder:
        yield Path(folder)


if __name__ == "__main__":
    sys.exit(main())
