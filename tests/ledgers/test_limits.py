"""Options of another kind are refused when a ledger is made, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ldtrack.ledgers import SQLiteLedger
from ldtrack.ledgers.durable import DurableLedger


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., DurableLedger]:
    """Makes a ledger, which connects to nothing yet."""
    if request.param == "sqlite":
        return partial(SQLiteLedger, tmp_path / "ledger.db")
    if request.param == "postgres":
        pytest.importorskip("psycopg", reason="the extra is not installed")
        from ldtrack.ledgers import PostgresLedger

        return partial(PostgresLedger, "postgresql://127.0.0.1:1/x", spool=False)
    pytest.importorskip("redis", reason="the extra is not installed")
    from ldtrack.ledgers import RedisLedger

    return partial(RedisLedger, "redis://127.0.0.1:1/0", spool=False)


@pytest.mark.parametrize("name", ["deadline", "keep_claims"])
@pytest.mark.parametrize(
    ("limit", "error"),
    [
        ("15", TypeError),
        (None, TypeError),
        (True, TypeError),
        (0, ValueError),
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (1e30, ValueError),
    ],
    ids=str,
)
def test_limits_that_nobody_can_wait_for(
    make: Callable[..., DurableLedger], name: str, limit: Any, error: type[Exception]
) -> None:
    """What is wrong is said at once, and with which option."""
    with pytest.raises(error, match=f"^{name} must be"):
        make(**{name: limit})


def test_privacy_of_another_kind(make: Callable[..., DurableLedger]) -> None:
    """Names of attributes are no ``Privacy``: taken silently, they would hide nothing."""
    with pytest.raises(TypeError, match="privacy must be a Privacy, not tuple"):
        make(privacy=("email",))
