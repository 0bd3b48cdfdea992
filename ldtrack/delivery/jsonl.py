"""A file of JSON lines as a destination.

Rule for this file: a line is one event, and what a batch leaves in the file is whole lines.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ldtrack.core.batch import Batch
from ldtrack.core.options import require_path
from ldtrack.core.receipts import Receipt, Verdict
from ldtrack.delivery.daemon import in_daemon

__all__ = ["JSONLines"]

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
_LOOKED_AT: Final = 1 << 16
"""How much of the file is read at a time in search of its last line's beginning."""
_BEGINNING: Final = b'{"payloadId":'
_SOMEBODY_MUST_LOOK: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
)
"""What waiting does not cure. A disk that is full may be emptied."""


class JSONLines:
    """Appends events to a file, one per line, and on the disk before a batch counts as delivered.

    A line is the event as LaunchDarkly would get it, with two members in front: ``payloadId``, and
    ``number``, its place in the payload. Delivery is at least once: after a crash a batch may be written
    again, under the same payload id and numbers, so that repeats are equal lines (``sort -u`` drops them).

    The file is its owner's alone to read. It is opened for each batch, so it may be moved away at any time.
    Several processes may share one on a local disk, except on Windows.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        require_path(path=path)
        # The process may go to another folder between two batches.
        self.path = Path(path).absolute()

    def __repr__(self) -> str:
        return f"JSONLines({str(self.path)!r})"

    async def deliver(self, batch: Batch) -> Receipt:
        """Append one batch; cancelling it leaves open whether it was written, but no half line."""
        try:
            text = "".join(_lines_of(batch)).encode("utf-8", "backslashreplace")
        except ValueError as error:
            return Receipt(Verdict.REFUSED, f"a body is no row of JSON objects: {error}")
        try:
            await in_daemon(functools.partial(_append, self.path, text))
        except OSError as error:
            verdict = Verdict.LOCKED if error.errno in _SOMEBODY_MUST_LOOK else Verdict.LATER
            return Receipt(verdict, f"{self.path} was not written: {error.strerror or error}")
        return Receipt(Verdict.DELIVERED)

    async def aclose(self) -> None:
        """Nothing stays open between batches; there is nothing to wait for and nothing to cancel."""


_decode: Final = json.JSONDecoder().raw_decode


def _lines_of(batch: Batch) -> Iterator[str]:
    number = 0
    for body in batch.bodies:
        for event in _events_in(body):
            yield f'{{"payloadId":{json.dumps(batch.payload_id)},"number":{number},{event[1:]}\n'
            number += 1


def _events_in(body: str) -> Iterable[str]:
    """The objects of a body, each as it is spelled there."""
    start = 0
    while True:
        event, end = _decode(body, start)
        if not isinstance(event, dict) or not event:
            raise ValueError(f"no event begins at character {start}")
        yield body[start:end]
        if end == len(body):
            return
        if body[end] != ",":
            raise ValueError(f"no comma follows the event that ends at character {end}")
        start = end + 1


def _append(path: Path, text: bytes) -> None:
    """Write all of it or nothing, and wait until the disk has it."""
    file = os.open(path, _FLAGS, 0o600)
    try:
        with _alone(file):
            end = _without_half_line(file)
            try:
                _write(file, text)
                os.fsync(file)
                if not end:  # a new file is only kept with its folder's entry of it
                    _sync_folder(path.parent)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(file, end)
                raise
    finally:
        os.close(file)


def _write(file: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(file, rest) :]


def _without_half_line(file: int) -> int:
    """Take back what a crash has left of a line; returns where the file ends then."""
    size = end = os.fstat(file).st_size
    tail = b""
    while end and b"\n" not in tail:
        start = max(0, end - _LOOKED_AT)
        os.lseek(file, start, os.SEEK_SET)
        tail = os.read(file, end - start) + tail
        end = start
    half = tail[tail.rfind(b"\n") + 1 :]
    if half:
        written = half.rstrip(b"\0")  # after a loss of power, a file may be longer than what was written
        if written[: len(_BEGINNING)] != _BEGINNING[: len(written)]:
            raise OSError(errno.EPERM, "its last line is not ours and has no end; choose another file")
        os.ftruncate(file, size - len(half))
    return size - len(half)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(PermissionError):  # Windows opens no folders
        entries = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entries)
        finally:
            os.close(entries)


try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    _turn = threading.Lock()

    @contextlib.contextmanager
    def _alone(_: int, /) -> Iterator[None]:
        with _turn:
            yield
else:

    @contextlib.contextmanager
    def _alone(file: int, /) -> Iterator[None]:
        """Keep other threads and processes out, until the file is closed."""
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
