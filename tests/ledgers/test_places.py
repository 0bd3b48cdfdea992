"""Where spools are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from ldtrack.ledgers.places import spool_path


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory that is nobody's."""
    monkeypatch.setenv("XDG_STATE_HOME", "/state")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("postgresql://app:old@db:5432/track", "postgresql://app:new@db:5432/track"),
        ("postgresql://app:o:l%40d@db/track", "postgresql://app:new@db/track"),
        ("host=db user=app password=old dbname=t", "host=db user=app password=new dbname=t"),
        (r"host=db PASSWORD = 'o l\'d' dbname=t", "host=db PASSWORD = 'new' dbname=t"),
        ("postgresql://db/t?password=old&user=app", "postgresql://db/t?password=new&user=app"),
        ("redis://:old@cache:6379/0", "redis://:new@cache:6379/0"),
    ],
)
def test_a_new_password_is_no_new_spool(before: str, after: str) -> None:
    """What was left in the spool is found after the password has changed."""
    assert spool_path(True, before, "n") == spool_path(True, after, "n")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (f"redis://{where}", name)
        for where, name in [("b/0", "n"), ("a/1", "n"), ("a/0", "m"), ("u@a/0", "n")]
    ],
)
def test_another_ledger_has_another_spool(address: str, name: str) -> None:
    """By server, database, user or name."""
    assert spool_path(True, address, name) != spool_path(True, "redis://a/0", "n")


def test_the_usual_place_is_the_users_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the environment says, or the usual one below the home directory."""
    path = spool_path(True, "redis://a/0", "n")
    assert path is not None
    assert path.parent == Path("/state/ldtrack")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    path = spool_path(True, "redis://a/0", "n")
    assert path is not None
    assert path.parent == Path("/home/ada/.local/state/ldtrack")


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in some containers: the error says which option helps."""
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ValueError, match="give spool="):
        spool_path(True, "redis://a/0", "n")
    assert spool_path(False, "redis://a/0", "n") is None


def test_a_place_of_ones_own_or_none() -> None:
    """A path is taken as it is; ``False`` is no spool."""
    assert spool_path("/var/spool/x", "redis://cache/0", "n") == Path("/var/spool/x")
    assert spool_path(False, "redis://cache/0", "n") is None
