"""`ldtrack ledger`: what operators ask of a ledger and tell it, and that looking changes nothing."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from relay_process import body_of, ldtrack, rows
from servers import PostgresServer, RedisServer

from ldtrack.cli import main
from ldtrack.cli.ledger import ACTIONS, duration
from ldtrack.ledgers.sqlite import SQLiteStore
from ldtrack.ledgers.store import Store


@attrs.frozen
class Place:
    """A ledger: how a command line names it, and a store on it."""

    arguments: list[str]
    store: Store


@pytest.fixture
def in_file(tmp_path) -> Place:
    path = tmp_path / "ledger.db"
    return Place([str(path)], SQLiteStore(path))


@pytest.fixture
def on_postgres(postgres: PostgresServer) -> Place:
    from ldtrack.ledgers.postgres.store import PostgresStore

    schema = postgres.unique()
    return Place(["--schema", schema, postgres.dsn()], PostgresStore(postgres.dsn(), schema=schema))


@pytest.fixture
def on_redis(redis_server: RedisServer) -> Place:
    from ldtrack.ledgers.redis.store import RedisStore

    name = redis_server.unique()
    return Place(["--name", name, redis_server.url], RedisStore(redis_server.url, name=name))


@pytest.fixture(params=["in_file", "on_postgres", "on_redis"])
def place(request):
    """Each of the ledgers, with two claims delivered, three refused and four pending."""
    place: Place = request.getfixturevalue(request.param)
    store = place.store
    store.record(rows(5))
    store.delivered(taken(store, 2))
    store.set_aside(taken(store, 3), "the endpoint answered 400")
    store.record(rows(4, first=5))
    yield place
    store.close()


def taken(store: Store, count: int) -> Any:
    batch = store.lease("a relay", count, 1_000_000, 60)
    assert batch is not None
    assert len(batch.bodies) == count
    return batch


@pytest.fixture
def said(capsys) -> Callable[..., Any]:
    """What an action answers as JSON."""

    def said(place: Place, *action: str) -> Any:
        code = main(["ledger", *place.arguments, *action, "--json"])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        return json.loads(out)

    return said


def test_how_it_stands(place, said) -> None:
    """Pending, delivered, set aside, and since when the oldest has been waiting."""
    status = said(place, "status")
    assert (status["pending"], status["delivered"], status["set_aside"]) == (4, 2, 3)
    assert status["oldest_at"] == "2023-11-14T22:13:20.000Z"
    assert status["oldest_age_seconds"] > 86_400


def test_what_was_refused(place, said) -> None:
    """Run, times and reason of each claim, oldest first; what it holds only when asked for."""
    aside = said(place, "aside")
    assert aside["set_aside"] == 3
    assert [claim["run_id"] for claim in aside["claims"]] == ["run-2", "run-3", "run-4"]
    first = aside["claims"][0]
    assert (first["reason"], first["recorded_at"]) == (
        "the endpoint answered 400",
        "2023-11-14T22:13:20.000Z",
    )
    assert "events" not in first
    (only,) = said(place, "aside", "--limit=1", "--bodies")["claims"]
    assert only["events"] == [json.loads(body_of(2))]


def test_what_was_refused_is_tried_again(place, said) -> None:
    """It is pending once more."""
    assert said(place, "retry") == {"retried": 3}
    standing = place.store.standing()
    assert (standing.pending, standing.set_aside) == (7, 0)


def test_what_was_refused_is_deleted(place, said) -> None:
    """With --yes, and the claims stay: recorded again, they are duplicates."""
    assert said(place, "discard", "--yes") == {"discarded": 3}
    assert place.store.standing().set_aside == 0
    again = [row._replace(claimant=row.claimant + 1_000) for row in rows(5)]
    assert place.store.record(again) == [False] * 5


def test_nothing_is_deleted_by_mistake(place, capsys) -> None:
    """Without --yes it says what it would do, and does not."""
    assert main(["ledger", *place.arguments, "discard"]) == 2
    assert "3 claims for good; say --yes" in capsys.readouterr().err
    assert place.store.standing().set_aside == 3


def test_a_ledger_that_is_well(place, said) -> None:
    """A check finds nothing."""
    assert said(place, "check")["problems"] == []


def test_room_is_given_back(place, said) -> None:
    """A file shrinks while it is open elsewhere; a server needs nobody for that."""
    assert set(said(place, "vacuum")) == {"freed_bytes"}


# For people


def test_sentences_for_people(in_file, capsys) -> None:
    """Without --json, what a person reads."""
    store = in_file.store
    store.record(rows(1_200))
    store.delivered(taken(store, 1_000))
    store.set_aside(taken(store, 150), "no\nlines")
    expected = {
        "status": ["pending    50, the oldest since ", "delivered  1,000", "set aside  150"],
        "aside": [
            "run run-1000, recorded 2023-11-14T22:13:20.000Z: 'no\\nlines'",
            "and 50 more: see --limit",
        ],
        "aside --bodies": ['    {"kind": "custom", "key": "event-1000"'],
        "check": [" is as it should be"],
        "check --full": [" is as it should be"],
        "vacuum": ["bytes were given back to the disk"],
        "retry": ["150 claims are pending again"],
        "discard --yes": ["0 claims are deleted"],
    }
    for action, parts in expected.items():
        assert main(["ledger", *in_file.arguments, *action.split()]) == 0
        out = capsys.readouterr().out
        assert [part for part in parts if part not in out] == []
    store.close()


def test_a_ledger_that_has_nothing(in_file, capsys) -> None:
    """An empty one says so."""
    in_file.store.standing()
    assert main(["ledger", *in_file.arguments, "status"]) == 0
    assert main(["ledger", *in_file.arguments, "aside"]) == 0
    out = capsys.readouterr().out
    assert "pending    0\n" in out
    assert "nothing is set aside\n" in out
    in_file.store.close()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "less than 1 s"), (59, "59 s"), (184, "3 min 4 s"), (7200, "2 h 0 min"), (273_600, "3 d 4 h")],
)
def test_time_spans_for_people(seconds, text) -> None:
    """Two units are enough."""
    assert duration(seconds) == text


# Files


def traces(path: Path) -> dict[str, str]:
    """What is on the disk, but for what SQLite shares between processes."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.parent.iterdir()
        if not file.name.endswith("-shm")
    }


@pytest.mark.parametrize("action", [["status"], ["aside"], ["check"], ["check", "--full"], ["discard"]])
def test_looking_changes_nothing(action, in_file) -> None:
    """Not a byte of the file, while others have it open."""
    in_file.store.record(rows(3))
    path = Path(in_file.arguments[0])
    before = traces(path)
    main(["ledger", str(path), *action])
    assert traces(path) == before
    in_file.store.close()


@pytest.mark.parametrize("action", ACTIONS)
def test_a_file_that_is_not_there(action, tmp_path, capsys) -> None:
    """A name that was mistyped makes no new ledger: 3."""
    assert (
        main(["ledger", str(tmp_path / "ledgr.db"), action, *(["--yes"] if action == "discard" else [])]) == 3
    )
    assert "there is no ledger at " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("action", ACTIONS)
def test_a_file_that_is_something_else(action, tmp_path, capsys) -> None:
    """It is left alone, and named: 3."""
    path = tmp_path / "notes.txt"
    path.write_text("These are notes, not a ledger.\n" * 100)
    assert main(["ledger", str(path), action, *(["--yes"] if action == "discard" else [])]) == 3
    assert str(path) in capsys.readouterr().err
    assert path.read_text().startswith("These are notes")


def damage(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE tally SET gone = 7", "pending claims is not what the tally says: -4 expected, 3 counted"),
        ("UPDATE tally SET set_aside = 2", "set aside is not what the tally says: 2 expected, 0 counted"),
        ("UPDATE batches SET size = 9", "some batch does not have the rows that it should"),
    ],
)
def test_figures_that_do_not_fit(statement, problem, in_file, capsys) -> None:
    """A file whose parts contradict each other is damaged: 1."""
    in_file.store.record(rows(3))
    taken(in_file.store, 3)
    in_file.store.close()
    damage(Path(in_file.arguments[0]), statement)
    assert main(["ledger", *in_file.arguments, "check"]) == 1
    assert problem in capsys.readouterr().out


def test_a_page_that_is_overwritten(in_file, capsys) -> None:
    """What SQLite finds wrong is passed on: 1; what it cannot even open: 3."""
    in_file.store.record(rows(2_000))
    in_file.store.close()
    path = Path(in_file.arguments[0])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 8192 * 8192
    content[middle : middle + 8192] = b"\xa5" * 8192
    path.write_bytes(content)
    assert main(["ledger", str(path), "check"]) == 1
    out = capsys.readouterr().out
    assert "is damaged:" in out
    assert len(out.splitlines()) > 1


# As a process


def test_a_process_of_its_own(in_file) -> None:
    """The command works as a user starts it, and leaves nothing behind on standard error."""
    in_file.store.record(rows(3))
    done = ldtrack("ledger", *in_file.arguments, "status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["pending"] == 3
    in_file.store.close()


@pytest.mark.parametrize("arguments", [["--help"], ["l.db", "status", "--help"], ["l.db", "aside", "--help"]])
def test_each_action_documents_itself(arguments, capsys) -> None:
    """--help is no failure."""
    with pytest.raises(SystemExit) as exited:
        main(["ledger", *arguments])
    assert exited.value.code == 0
    assert "usage: ldtrack ledger" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["l.db"], ["l.db", "explode"], ["l.db", "aside", "--limit=0"]])
def test_wrong_usage(arguments, tmp_path, monkeypatch, capsys) -> None:
    """An action is needed, one that there is, with numbers that make sense: 2."""
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["ledger", *arguments])
    except SystemExit as exited:
        code = exited.code
    assert code == 2
    assert "ldtrack ledger" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "url"), [("postgres", "postgresql://a:pass-word@h/d"), ("redis", "redis://:pass-word@h/0")]
)
def test_a_driver_that_is_not_installed(kind, url, monkeypatch, capsys) -> None:
    """It says what to install, without the password: 3."""
    monkeypatch.setitem(sys.modules, f"ldtrack.ledgers.{kind}.ledger", None)
    assert main(["ledger", url, "status"]) == 3
    err = capsys.readouterr().err
    assert f"pip install 'ldtrack[{kind}]'" in err
    assert "pass-word" not in err
