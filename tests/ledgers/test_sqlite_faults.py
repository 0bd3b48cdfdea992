"""A SQLite store whose disk, file or process is taken away says so, hangs never and loses nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from small_disks import small_file_system
from store_kits import SQLiteKit, a_row, rows_of_run

import ldtrack
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.sqlite import SQLiteStore, forks
from ldtrack.ledgers.store import UnavailableError

ROOT = Path(ldtrack.__file__).parents[1]
FOREVER = 10**9
is_root = hasattr(os, "getuid") and os.getuid() == 0
needs_mount = pytest.mark.skipif(not is_root, reason="only root may mount a small file system")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def kit(request):
    """A file, and the stores that are opened on it."""
    kit = SQLiteKit(request)
    yield kit
    kit.destroy()


@pytest.fixture
def store(kit):
    """The store under test."""
    return kit.open()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte and a half."""
    with small_file_system(tmp_path / "small", "size=1536k") as folder:
        yield folder


def start_script(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python process of its own, with the imports that all of these need."""
    imports = (
        "import os, sys, sqlite3, threading\n"
        "from ldtrack.core.row import Row\n"
        "from ldtrack.exceptions import LedgerError\n"
        "from ldtrack.ledgers.sqlite import SQLiteStore\n"
        "def a_row(run, place=0, claimant=0): return Row(run, place, claimant or os.getpid(), 5, 1, '{}')\n"
    )
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", imports + script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def end_of(process: subprocess.Popen[str]) -> str:
    """What the script has printed, once it is done."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def runs_in(path: Path) -> list[str]:
    """The runs that have a row, in a file that is whole."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [run for (run,) in connection.execute("SELECT run_id FROM pending ORDER BY id")]


# The disk


@needs_mount
def test_a_full_disk_is_said_and_passes(small_disk):
    """What was acknowledged is there; room made, the same store goes on with the very rows that failed."""
    store = SQLiteStore(small_disk / "ledger.db")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 700_000)
    acknowledged, failed, message = [], None, ""
    for at in range(1000):
        row = a_row(f"run-{at}", body="x" * 5000)
        try:
            assert store.record([row]) == [True]
        except LedgerError as error:
            failed, message = row, str(error)
            break
        acknowledged.append(row.run_id)
    assert failed is not None
    assert "the disk is full; make room" in message or "or is full" in message
    with pytest.raises(LedgerError, match="full"):
        store.record([failed._replace(body="x" * 100_000)])
    assert store.standing().pending == len(acknowledged)
    filler.unlink()
    assert store.record([failed]) == [True]
    store.close()
    assert runs_in(small_disk / "ledger.db") == [*acknowledged, failed.run_id]


@needs_mount
def test_a_disk_that_is_full_from_the_start_is_said(small_disk):
    """No ledger can be made, until there is room."""
    filler = small_disk / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        file.write(b"x" * 2_000_000)
        file.flush()
    store = SQLiteStore(small_disk / "ledger.db")
    with pytest.raises(LedgerError, match="full"):
        store.record([a_row()])
    filler.unlink()
    assert store.record([a_row()]) == [True]
    store.close()


def test_a_file_that_may_not_grow_is_a_full_disk(kit, store):
    """The same without a small disk: the call fails as a whole, deliveries still work and make room."""
    store.record(rows_of_run(10))
    pages = store._file.run(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    store._file.run(lambda c: c.execute(f"PRAGMA max_page_count = {pages + 4}").fetchall())
    rows = [a_row("more", at, body="x" * 5000) for at in range(50)]
    for _ in range(2):  # to open the file anew, too, takes room
        with pytest.raises(LedgerError, match="disk is full; make room, then repeat the call"):
            store.record(rows)
    assert store.standing().pending == 10
    store.delivered(store.lease("ada", 10, FOREVER, 60))
    store._file.run(lambda c: c.execute(f"PRAGMA max_page_count = {pages + 400}").fetchall())
    assert store.record(rows) == [True] * 50


@needs_mount
def test_a_disk_that_becomes_read_only_is_said(small_disk):
    """And passes, too."""
    store = SQLiteStore(small_disk / "ledger.db")
    store.record([a_row("before")])
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(LedgerError, match=r"can only be read|cannot be opened"):
        store.record([a_row("during")])
    viewer = SQLiteStore(small_disk / "ledger.db", read_only=True)
    assert viewer.standing().pending == 1
    new = SQLiteStore(small_disk / "new.db")
    with pytest.raises(LedgerError, match="cannot be made: Read-only file system"):
        new.record([a_row()])
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert store.record([a_row("after")]) == [True]
    store.close()


def test_permissions_that_forbid_are_said(tmp_path):
    """Of the folder and of the file, by one who is not root; given back, the same store goes on."""
    folder = Path(tempfile.gettempdir()) / f"ldtrack-test-{os.getpid()}-{tmp_path.name}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    script = """
folder = sys.argv[1]
__import__("pathlib").Path("/").as_uri()  # imports what it needs, as long as Python's own files may be read
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
path = folder + "/ledger.db"
store = SQLiteStore(path)
def attempt(run):
    try:
        return store.record([a_row(run)])
    except LedgerError as error:
        return str(error).replace(folder, "")
os.mkdir(folder + "/own")
own = SQLiteStore(folder + "/own/ledger.db")
os.chmod(folder + "/own", 0o500)
try:
    own.record([a_row("a")])
except LedgerError as error:
    print(str(error).replace(folder, ""))
os.chmod(folder + "/own", 0o700)
print(own.record([a_row("a")]))
own.close()
os.chmod(folder + "/own", 0o500)
viewer = SQLiteStore(folder + "/own/ledger.db", read_only=True)
print(viewer.standing().pending)
print(attempt("a"))
store.close()
os.chmod(path, 0o400)
print(attempt("b"))
store.close()
os.chmod(path, 0)
print(attempt("c"))
os.chmod(path, 0o600)
print(attempt("d"), store.standing().pending)
store.close()
os.chmod(folder + "/own", 0o700)
"""
    try:
        lines = end_of(start_script(script, folder)).splitlines()
    finally:
        shutil.rmtree(folder)
    assert "/own/ledger.db cannot be made: Permission denied; see the permissions of its folder" in lines[0]
    assert lines[1:4] == ["[True]", "1", "[True]"]
    assert "it can only be read: see the permissions" in lines[4]
    assert "cannot be opened for writing: it can only be read" in lines[5]
    assert lines[6] == "[True] 2"


def test_a_folder_that_does_not_exist_is_said(tmp_path):
    """It is not made: a typing error would go unnoticed until somebody looks for the data."""
    store = SQLiteStore(tmp_path / "missing" / "ledger.db")
    with pytest.raises(LedgerError, match=r"there is no folder .*missing; make it first"):
        store.record([a_row()])
    (tmp_path / "missing").mkdir()
    assert store.record([a_row()]) == [True]
    store.close()


def test_a_folder_in_its_place_is_said(tmp_path):
    """A path that leads to a folder cannot be opened."""
    with pytest.raises(LedgerError, match="cannot be opened"):
        SQLiteStore(tmp_path).record([a_row()])


# The file


@pytest.mark.parametrize("content", [b"hello, world\n" * 1000, b"\0" * 5000], ids=["text", "zeros"])
def test_a_file_that_is_no_database_is_said(kit, store, content):
    """And left as it is."""
    kit.path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"not a SQLite database|damaged"):
        store.record([a_row()])
    assert kit.path.read_bytes() == content


def test_a_damaged_page_is_said(kit, store):
    """By whatever call comes upon it, and the file is not used as if nothing were."""
    store.record([a_row(f"run-{at}", place) for at in range(2000) for place in range(5)])
    store.close()
    content = bytearray(kit.path.read_bytes())
    for page in range(4, len(content) // 8192):
        content[page * 8192 : page * 8192 + 64] = b"\xa5" * 64
    kit.path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"it is damaged; move it out of the way"):
            store.record([a_row("run-77")])
    kit.path.unlink()
    assert store.record([a_row("run-77")]) == [True]


def test_a_deleted_file_is_noticed_before_anything_is_acknowledged(kit, store):
    """SQLite would go on writing into a file that has no name; the next call begins a new one."""
    store.record([a_row("before")])
    for path in kit.path.parent.glob(f"{kit.path.name}*"):
        path.unlink()
    row = a_row("during")
    with pytest.raises(LedgerError, match="was deleted or replaced while the ledger had it open"):
        store.record([row])
    assert store.record([row]) == [True]
    assert runs_in(kit.path) == ["during"]


def test_a_replaced_file_is_noticed(kit, store, tmp_path):
    """The next call goes on with the one that is there, which takes no harm."""
    other = SQLiteStore(tmp_path / "other.db")
    other.record([a_row("other")])
    other.close()
    store.record([a_row("before")])
    (tmp_path / "other.db").rename(kit.path)
    with pytest.raises(LedgerError, match="deleted or replaced"):
        store.record([a_row("during")])
    store.close()
    for path in (Path(f"{kit.path}-wal"), Path(f"{kit.path}-shm")):
        path.unlink(missing_ok=True)  # they were the old file's
    assert store.record([a_row("after")]) == [True]
    assert runs_in(kit.path) == ["other", "after"]


def test_a_deleted_log_is_noticed(kit, store):
    """It holds what is not in the file yet."""
    store.record([a_row("before")])
    Path(f"{kit.path}-wal").unlink()
    with pytest.raises(LedgerError, match="deleted or replaced"):
        store.record([a_row("during")])
    assert store.record([a_row("after")]) == [True]
    assert runs_in(kit.path)[-1] == "after"


def test_a_stale_store_does_no_harm_to_the_new_file(kit, store):
    """It still has the old file open when others have begun a new one, and then lets go."""
    store.record([a_row("before")])
    for path in kit.path.parent.glob(f"{kit.path.name}*"):
        path.unlink()
    new = kit.open()
    new.record([a_row("new")])
    store.close()
    assert new.record([a_row("newer")]) == [True]
    assert runs_in(kit.path) == ["new", "newer"]


def test_a_call_that_fails_in_an_unknown_way_says_what_sqlite_said(store):
    """With the name of the error, for those who report it."""
    with pytest.raises(LedgerError, match=r"no such table: nowhere \(SQLITE_ERROR\)"):
        store._file.run(lambda connection: connection.execute("SELECT * FROM nowhere"))


def test_an_error_that_is_not_sqlites_passes_unchanged(store):
    """And leaves no transaction open."""

    def fails(connection):
        connection.execute("BEGIN IMMEDIATE")
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        store._file.run(fails)
    assert store.record([a_row()]) == [True]


# Others


def test_a_writer_that_never_ends_is_waited_for_so_long(kit):
    """Then the call may be repeated; reading does not wait at all."""
    store = kit.open(busy_timeout=0.05)
    store.standing()
    other = sqlite3.connect(kit.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnavailableError, match=r"written by others all the time \(SQLITE_BUSY\)"):
        store.record([a_row()])
    assert store.standing().pending == 0
    other.execute("COMMIT")
    other.close()
    assert store.record([a_row()]) == [True]


def test_eight_processes_may_open_a_new_file_at_once(kit):
    """One makes it, none fails, and every row is there."""
    script = """
sys.stdin.read(1)
store = SQLiteStore(sys.argv[1])
for at in range(20):
    assert store.record([a_row(f"{os.getpid()}-{at}"), a_row(f"run-{at}")])[0]
store.close()
"""
    processes = [start_script(script, kit.path) for _ in range(8)]
    for process in processes:
        end_of(process)
    runs = runs_in(kit.path)
    assert len(runs) == len(set(runs)) == 8 * 20 + 20


# Forks

FORKED = """
path = sys.argv[1]
store = SQLiteStore(path)
store.record([a_row("parent")])
to_parent, to_child = os.pipe(), os.pipe()
def tell(pipe): os.write(pipe[1], b"x")
def wait(pipe): os.read(pipe[0], 1)
def other(run):
    import subprocess
    script = ("import sys; from ldtrack.core.row import Row; from ldtrack.ledgers.sqlite import SQLiteStore;"
              "s = SQLiteStore(sys.argv[1]); s.record([Row(sys.argv[2], 0, 1, 5, 1, '{}')]); s.close()")
    subprocess.run([sys.executable, "-c", script, path, run], check=True)
child = os.fork()
"""


@needs_fork
def test_parent_and_child_go_on_independently(kit):
    """The parent closes first, as the last one by the locks that it can see; others come and go."""
    script = (
        FORKED
        + """
if not child:
    print(store.record([a_row("child-1")]))
    tell(to_parent); wait(to_child)
    print(store.record([a_row("child-2"), a_row("parent", claimant=77)]))
    store.close()
    mine = SQLiteStore(path)
    print(mine.record([a_row("child-3")]))
    mine.close()
    print(store.record([a_row("child-4")]), flush=True)
    sys.exit()
wait(to_parent)
print(store.record([a_row("parent-2")]))
store.close()
other("other-1")
tell(to_child)
assert os.wait()[1] == 0
other("other-2")
"""
    )
    out = end_of(start_script(script, kit.path))
    assert sorted(out.split("\n")) == sorted(["", "[True]", "[True, False]", "[True]", "[True]", "[True]"])
    assert sorted(runs_in(kit.path)) == sorted(
        ["parent", "child-1", "parent-2", "other-1", "child-2", "child-3", "child-4", "other-2"]
    )


@needs_fork
def test_a_child_that_only_ends_does_no_harm(kit):
    """However it ends: the parent's connection is not closed by it."""
    script = (
        FORKED
        + """
if not child:
    sys.exit()
assert os.wait()[1] == 0
print(store.record([a_row("parent-2")]))
child = os.fork()
if not child:
    store.abandon()
    os._exit(0)
assert os.wait()[1] == 0
other("other")
print(store.record([a_row("parent-3")]))
store.close()
"""
    )
    assert end_of(start_script(script, kit.path)).split() == ["[True]", "[True]"]
    assert runs_in(kit.path) == ["parent", "parent-2", "other", "parent-3"]


@needs_fork
def test_a_fork_waits_for_who_is_at_work(kit):
    """Threads record all the while, and no child finds SQLite in the middle of something."""
    script = """
path = sys.argv[1]
stop = threading.Event()
def work(number):
    store, at = SQLiteStore(path, synchronous="NORMAL"), 0
    while not stop.is_set():
        at += 1
        store.record([a_row(f"{number}-{at}", place) for place in range(5)])
    store.close()
threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads: thread.start()
for at in range(25):
    child = os.fork()
    if not child:
        store = SQLiteStore(path)
        assert store.record([a_row(f"child-{at}")]) == [True]
        store.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
"""
    end_of(start_script(script, kit.path))
    runs = runs_in(kit.path)
    assert {f"child-{at}" for at in range(25)} <= set(runs)


@needs_fork
def test_a_child_of_a_parent_that_was_closing_is_told_to_start_again(kit, store, monkeypatch):
    """Where the locks cannot be had, or the shared memory is another, using the file would not be safe."""
    store.record([a_row()])
    monkeypatch.setattr(forks, "_abandoned", [])
    monkeypatch.setattr(forks, "_stranded", set())
    now = store._file._opened
    forks.abandon(now.connection, kit.path, now.memory)
    assert not forks.is_stranded(kit.path)
    forks.abandon(now.connection, kit.path, now.memory + 1)
    with pytest.raises(LedgerError, match=r"cannot be used in this forked child.*start the child again"):
        kit.open().record([a_row()])
    forks._stranded.clear()
    missing = kit.path.with_name("gone.db")
    forks.abandon(now.connection, missing, now.memory)
    assert forks.is_stranded(missing)
    forks._stranded.clear()


def test_a_fork_that_waits_too_long_goes_on(store, monkeypatch):
    """Better a child that cannot use the ledger than an application that hangs."""
    monkeypatch.setattr("ldtrack.ledgers.sqlite.file.FORK_PATIENCE", 0.01)
    at_work, is_done = threading.Event(), threading.Event()

    def work(connection):
        at_work.set()
        assert is_done.wait(30)

    thread = threading.Thread(target=store._file.run, args=(work,))
    thread.start()
    assert at_work.wait(30)
    store._file.hold()
    store._file.go_on()
    is_done.set()
    thread.join(30)
    assert store.record([a_row()]) == [True]
