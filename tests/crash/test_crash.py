"""What was acknowledged arrives, once, whoever is killed and whatever the endpoint does.

A few kills per ledger wherever the tests run, hundreds in the nox session `crash`, and as many as wanted by
`python tests/crash/run.py --kills 5000`.
"""

from __future__ import annotations

import sys

import pytest
from crashtest.plan import LEDGERS
from crashtest.trial import table_of, try_it


@pytest.mark.parametrize("place", LEDGERS, indirect=True)
def test_what_was_acknowledged_arrives_once(place, tmp_path, seed, kills, capsys) -> None:
    """Writers and relays die at random instants, the endpoint misbehaves, and nothing is lost or doubled."""
    report = try_it(place, tmp_path / "children", seed=seed, kills=kills)

    with capsys.disabled():
        sys.stdout.write("\n" + table_of([report]) + "\n")
    assert not report.complaints, report.explained()
    # The test tested something.
    assert report.kills >= kills
    assert report.verdict.acknowledged
    assert place.ledger != "sqlite" or not report.verdict.failed


@pytest.mark.parametrize(
    ("fraud", "found"),
    [
        pytest.param("hasty ledger", "lost", id="a ledger that acknowledges before it commits"),
        pytest.param("forgetful ledger", "doubled", id="a ledger that fills no slots"),
        pytest.param("hasty relay", "lost", id="a relay that forgets before it delivers"),
        pytest.param("inventive relay", "doubled", id="a relay that makes a new payload id for a retry"),
    ],
)
def test_broken_promises_are_found_out(fraud, found, sqlite, tmp_path, seed) -> None:
    """Negative control: each is found within a few kills."""
    report = try_it(sqlite, tmp_path / "children", seed=seed, kills=15, fraud=fraud, writers=2, tasks=3)

    assert getattr(report.verdict, found), f"seed {seed}"
