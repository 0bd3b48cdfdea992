"""Where the crash test keeps its ledgers, and how often it kills."""

from __future__ import annotations

import os
import secrets

import pytest
from crashtest.places import Place, place_on


@pytest.fixture(scope="session")
def kills() -> int:
    """A few wherever the tests run; the nox session `crash` asks for hundreds."""
    return int(os.environ.get("LDTRACK_KILLS", "12"))


@pytest.fixture(scope="session")
def seed() -> int:
    """Another one each time; a failure prints it."""
    return int(os.environ.get("LDTRACK_SEED", secrets.randbelow(10**6)))


@pytest.fixture
def sqlite(tmp_path) -> Place:
    """A file that nobody has used."""
    return Place("sqlite", str(tmp_path / "ledger.db"))


@pytest.fixture
def place(request) -> Place:
    """A ledger's place by the ledger's name, which is the parameter."""
    server = {"postgres": "postgres", "redis": "redis_server"}.get(request.param)
    return request.getfixturevalue("sqlite") if server is None else place_on(request.getfixturevalue(server))
