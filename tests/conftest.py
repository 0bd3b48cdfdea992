"""What all tests share: how hard hypothesis tries, and which ldtrack is under test."""

from __future__ import annotations

import importlib.metadata
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import servers

import ldtrack

# No deadlines: a test that depends on how fast a machine is does not tell about the code.
hypothesis.settings.register_profile("fast", max_examples=50, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=500, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

# Before anything imports them: assertions in what tests share are explained as well as the tests' own.
SHARED = {path.stem for path in Path(__file__).parent.glob("support/*.py")}
pytest.register_assert_rewrite(*sorted(SHARED - {servers.__name__}))

REPORTED = ("anyio", "attrs", "launchdarkly-server-sdk", "launchdarkly-server-sdk-ai", "openai", "anthropic")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test the checkout where the built wheel is meant; measure tests, and not what they start."""
    if not getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    installed = Path(sysconfig.get_path("purelib"))
    if os.environ.get("LDTRACK_EXPECT_WHEEL") and not Path(ldtrack.__file__).is_relative_to(installed):
        raise pytest.UsageError(
            f"LDTRACK_EXPECT_WHEEL is set, but ldtrack was imported from {ldtrack.__file__}, "
            f"not from {installed}; install the wheel and run `python -Im pytest`."
        )


def pytest_report_header() -> list[str]:
    """Name what decides the outcome besides our own code."""
    return [
        f"ldtrack: {ldtrack.__version__} from {Path(ldtrack.__file__).parent}",
        "on: " + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in REPORTED),
    ]


def need(missing: str | None) -> None:
    """Skip where a server is not there to test with; in CI that is a failure."""
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)


@pytest.fixture(scope="session")
def postgres_of_session() -> Iterator[servers.PostgresServer]:
    """One PostgreSQL server for all tests, started by the first that asks."""
    need(servers.missing_postgres())
    with servers.postgres_server() as server:
        yield server


@pytest.fixture
def postgres(postgres_of_session: servers.PostgresServer) -> servers.PostgresServer:
    """A PostgreSQL server that runs, whatever the last test did to it."""
    postgres_of_session.ensure()
    return postgres_of_session


@pytest.fixture(scope="session")
def redis_of_session() -> Iterator[servers.RedisServer]:
    """One Redis server for all tests, started by the first that asks."""
    need(servers.missing_redis())
    with servers.redis_server() as server:
        yield server


@pytest.fixture
def redis_server(redis_of_session: servers.RedisServer) -> servers.RedisServer:
    """A Redis server that runs, whatever the last test did to it."""
    redis_of_session.ensure()
    return redis_of_session
