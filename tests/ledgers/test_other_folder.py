"""A process that goes to another folder, as a daemon does, takes none of its files along."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_kits import a_claim
from plain_store import a_row

from ldtrack.core.slots import DURATION
from ldtrack.delivery import JSONLines
from ldtrack.ids import SystemClock
from ldtrack.ledgers import SQLiteLedger
from ldtrack.ledgers.spool import Spool
from ldtrack.typing import Batch, Receipt, Verdict


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folder where the process is, and another one."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    return here, there


async def test_a_ledger_stays_where_it_was(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who delivers opens the file later than who records, and finds the same one."""
    _, there = folders
    ledger = SQLiteLedger("ledger.db")
    assert await ledger.submit(a_claim(DURATION, 1, "run-1"))
    monkeypatch.chdir(there)
    assert (await ledger.standing()).pending == 1
    assert not list(there.iterdir())
    await ledger.aclose()


def test_a_spool_stays_where_it_was(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened in the first outage, which may be long after it was named."""
    here, there = folders
    spool = Spool(Path("ledger.spool"), clock=SystemClock())
    monkeypatch.chdir(there)
    assert spool.keep([a_row()])
    spool.close()
    assert [path.name for path in here.iterdir()] == ["ledger.spool"]
    assert not list(there.iterdir())


async def test_json_lines_stay_where_they_were(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All batches come into one file."""
    here, there = folders
    lines = JSONLines("events.jsonl")
    monkeypatch.chdir(there)
    batch = Batch(id="1", payload_id="p", bodies=('{"key":"x"}',), events=1)
    assert await lines.deliver(batch) == Receipt(Verdict.DELIVERED)
    assert [path.name for path in here.iterdir()] == ["events.jsonl"]


def test_json_lines_need_a_path() -> None:
    """An empty one is no file, and an error right away."""
    with pytest.raises(ValueError, match="path of a file"):
        JSONLines("")
