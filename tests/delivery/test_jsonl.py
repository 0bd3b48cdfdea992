"""Events in a file: whole lines, on the disk, and none half-written whatever fails."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import resource
import shutil
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from ldtrack.delivery import JSONLines
from ldtrack.delivery import jsonl as module
from ldtrack.typing import Batch, Destination, Receipt, Verdict

FIRST = Batch(id="1", payload_id="p-1", bodies=('{"n":1},{"n": "}\\",{"}', '{"n":[3,{}]}'), events=3)
SECOND = Batch(id="2", payload_id="p-2", bodies=('{"n":4}',), events=1)
FIRST_LINES = [
    '{"payloadId":"p-1","number":0,"n":1}',
    '{"payloadId":"p-1","number":1,"n": "}\\",{"}',
    '{"payloadId":"p-1","number":2,"n":[3,{}]}',
]
SECOND_LINES = ['{"payloadId":"p-2","number":0,"n":4}']
DELIVERED = Receipt(Verdict.DELIVERED)


@pytest.fixture
def readable(tmp_path: Path) -> Path:
    """A file with the rights 0640."""
    made = tmp_path / "readable"
    made.touch()
    made.chmod(0o640)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def lines_of(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return text.splitlines()


async def test_a_line_is_an_event_and_says_which(path: Path) -> None:
    """As it was spelled, with its payload and its number in front; batches follow each other."""
    destination = JSONLines(path)
    assert isinstance(destination, Destination)
    assert await destination.deliver(FIRST) == DELIVERED
    assert await destination.deliver(SECOND) == DELIVERED
    await destination.aclose()
    assert lines_of(path) == FIRST_LINES + SECOND_LINES
    assert [json.loads(line)["n"] for line in lines_of(path)] == [1, '}",{', [3, {}], 4]


async def test_a_repeat_is_the_same_lines(path: Path) -> None:
    """So that whoever reads the file can drop them."""
    destination = JSONLines(str(path))
    await destination.deliver(FIRST)
    await destination.deliver(FIRST)
    assert lines_of(path) == FIRST_LINES * 2


async def test_the_file_is_its_owner_s_alone(path: Path, readable: Path) -> None:
    """Events say who did what; a file that is there already keeps the rights it was given."""
    await JSONLines(path).deliver(FIRST)
    assert mode_of(path) == 0o600
    shutil.copymode(readable, path)
    await JSONLines(path).deliver(SECOND)
    assert mode_of(path) == 0o640


async def test_half_a_surrogate_pair_is_no_reason_to_fail(path: Path) -> None:
    """It is written as JSON's own escape of it."""
    batch = Batch(id="1", payload_id="p", bodies=('{"n":"\ud800 ü"}',), events=1)
    assert await JSONLines(path).deliver(batch) == DELIVERED
    assert [json.loads(line)["n"] for line in lines_of(path)] == ["\ud800 ü"]


async def test_a_file_that_is_moved_away_is_begun_again(path: Path) -> None:
    """As whoever rotates logs expects."""
    destination = JSONLines(path)
    await destination.deliver(FIRST)
    shutil.move(path, path.with_suffix(".1"))
    await destination.deliver(SECOND)
    assert lines_of(path) == SECOND_LINES


@pytest.mark.parametrize(
    "body", ["", "{", "5", "{}", '{"n":1}{"n":2}', '{"n":1},', '{"n":1},5', '{"n":1} '], ids=repr
)
async def test_what_is_no_event_is_refused(path: Path, body: str) -> None:
    """And nothing of its batch is written: a relay then tries the halves."""
    batch = Batch(id="1", payload_id="p", bodies=('{"n":1}', body), events=2)
    receipt = await JSONLines(path).deliver(batch)
    assert receipt.verdict is Verdict.REFUSED
    assert receipt.reason.startswith("a body is no row of JSON objects: ")
    assert content(path) is None


# On the disk


async def test_a_batch_is_on_the_disk_before_it_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's content each time, and the folder's entry of it when it is new."""
    synced: list[Path] = []
    monkeypatch.setattr(
        module.os, "fsync", lambda file: synced.append(Path(f"/proc/self/fd/{file}").readlink())
    )
    await JSONLines(path).deliver(FIRST)
    await JSONLines(path).deliver(SECOND)
    assert synced == [path, path.parent, path]


async def test_a_disk_that_fails_to_keep_it_means_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is taken back, so that the repeat stands alone."""
    destination = JSONLines(path)
    await destination.deliver(SECOND)

    def fail(file: int) -> None:
        raise OSError(errno.EIO, "the disk is dying")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", fail)
        receipt = await destination.deliver(FIRST)
    assert receipt == Receipt(Verdict.LATER, f"{path} was not written: the disk is dying")
    assert lines_of(path) == SECOND_LINES
    await destination.deliver(FIRST)
    assert lines_of(path) == SECOND_LINES + FIRST_LINES


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond it, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


async def test_a_disk_that_is_full_means_later_and_leaves_no_half_line(path: Path) -> None:
    """Also when some of the batch did fit; once there is room, all of it is written."""
    destination = JSONLines(path)
    await destination.deliver(SECOND)
    with room_for(len(content(path) or "") + len(FIRST_LINES[0]) + 5):
        receipt = await destination.deliver(FIRST)
    assert receipt.verdict is Verdict.LATER
    assert lines_of(path) == SECOND_LINES
    assert await destination.deliver(FIRST) == DELIVERED
    assert lines_of(path) == SECOND_LINES + FIRST_LINES


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
async def test_a_device_that_is_full_means_later() -> None:
    """With the system's own words."""
    receipt = await JSONLines("/dev/full").deliver(FIRST)
    assert receipt == Receipt(Verdict.LATER, "/dev/full was not written: No space left on device")


@pytest.mark.parametrize(
    ("place", "reason"),
    [("missing/events.jsonl", "No such file or directory"), (".", "Is a directory")],
)
async def test_a_place_that_cannot_be_written_is_locked(tmp_path: Path, place: str, reason: str) -> None:
    """Waiting does not help; somebody has to look."""
    receipt = await JSONLines(tmp_path / place).deliver(FIRST)
    assert receipt == Receipt(Verdict.LOCKED, f"{tmp_path / place} was not written: {reason}")


# After a crash


@pytest.mark.parametrize(
    "half",
    [
        "{",
        '{"payl',
        '{"payloadId":"p-9","number":0,"n":1',
        '{"payloadId":"' + "x" * 200_000,
        "\0\0",
        '{"pay\0',
    ],
)
@pytest.mark.parametrize(
    "before", [[], SECOND_LINES, ["x" * 70_000]], ids=["alone", "after a line", "after a long one"]
)
async def test_half_a_line_is_taken_back(path: Path, half: str, before: list[str]) -> None:
    """A process that was killed as it wrote had not been told that the batch is delivered."""
    write(path, "".join(f"{line}\n" for line in before) + half)
    assert await JSONLines(path).deliver(FIRST) == DELIVERED
    assert lines_of(path) == before + FIRST_LINES


@pytest.mark.parametrize("text", ["notes", "first\nnotes", '{"other":1}', '{"payloadID"'])
async def test_a_file_that_is_not_ours_is_not_changed(path: Path, text: str) -> None:
    """Its last line has no end, so that it is no crash of ours that left it; somebody has to look."""
    write(path, text)
    receipt = await JSONLines(path).deliver(FIRST)
    assert receipt.verdict is Verdict.LOCKED
    assert receipt.reason.endswith("its last line is not ours and has no end; choose another file")
    assert content(path) == text


# Together


async def test_batches_at_once_do_not_mix(path: Path) -> None:
    """From one destination or several, each batch's lines stay together."""
    destinations = [JSONLines(path), JSONLines(path)]
    batches = [Batch(id=str(n), payload_id=f"p-{n}", bodies=('{"n":1}',) * 50, events=50) for n in range(20)]
    receipts = await asyncio.gather(*(destinations[n % 2].deliver(batch) for n, batch in enumerate(batches)))
    assert receipts == [DELIVERED] * 20
    seen: list[tuple[str, int]] = [
        (line["payloadId"], line["number"]) for line in map(json.loads, lines_of(path))
    ]
    starts = [payload for payload, number in seen if number == 0]
    assert seen == [(payload, number) for payload in starts for number in range(50)]
    assert len(starts) == 20


async def test_a_cancelled_wait_for_the_file_leaves_nothing_half(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that writes is let finish; what is cancelled meanwhile is whole or not there."""
    asked, flock = threading.Event(), fcntl.flock

    def asking(file: int, operation: int) -> None:
        asked.set()
        flock(file, operation)

    with opened(path) as other:
        flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr(fcntl, "flock", asking)
        delivery = asyncio.create_task(JSONLines(path).deliver(FIRST))
        await asyncio.to_thread(asked.wait, 30)
        threads = writing_threads()
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery
        other.write(SECOND_LINES[0] + "\n")
    for thread in threads:
        thread.join(10)
    assert lines_of(path) == SECOND_LINES + FIRST_LINES


def opened(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8")


def writing_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ldtrack-delivery"]


def test_it_says_where_it_writes(path: Path) -> None:
    """For whoever reads a log."""
    assert repr(JSONLines(path)) == f"JSONLines({str(path)!r})"
