"""A keeper lends its store to one errand at a time, and to nobody while the process forks."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from plain_store import PATIENCE, PlainStore, Shelf

from ldtrack.ledgers import keeper as keepers
from ldtrack.ledgers.keeper import Keeper


@pytest.fixture
def shelf() -> Shelf:
    """What is kept."""
    return Shelf()


@pytest.fixture
def keeper(shelf: Shelf) -> Keeper[PlainStore]:
    """Who keeps it."""
    return Keeper(shelf.open, patience=PATIENCE)


def test_a_store_is_opened_when_it_is_needed(keeper: Keeper[PlainStore], shelf: Shelf) -> None:
    """Once, and again after it was closed."""
    assert shelf.opened == 0
    for _ in range(2):
        assert keeper.ask(PlainStore.standing) == keeper.ask(PlainStore.standing)
        keeper.close()
        keeper.close()
    assert (shelf.opened, shelf.closed) == (2, 2)


def test_a_fork_waits_for_an_errand_and_finds_nothing_open(keeper: Keeper[PlainStore], shelf: Shelf) -> None:
    """And an errand that comes during the fork waits for its end."""
    begun, end = threading.Event(), threading.Event()

    def errand(_: PlainStore) -> bool:
        begun.set()
        return end.wait(PATIENCE)

    working = threading.Thread(target=keeper.ask, args=(errand,))
    working.start()
    assert begun.wait(PATIENCE)
    held = threading.Event()
    forking = threading.Thread(target=lambda: (keeper.hold(), held.set(), end.wait(PATIENCE)))
    forking.start()
    assert not held.is_set()
    end.set()
    assert held.wait(PATIENCE)
    assert (shelf.opened, shelf.closed) == (1, 1)
    for thread in (working, forking):
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_after_a_fork_both_open_their_own(keeper: Keeper[PlainStore], shelf: Shelf) -> None:
    """The parent goes on, the child begins afresh; nothing had to be abandoned."""
    keeper.ask(PlainStore.standing)
    for after in (keeper.go_on, keeper.forked):
        keeper.hold()
        keeper.hold()  # as often as there are kinds of stores
        after()
        keeper.go_on()
        asking = threading.Thread(target=keeper.ask, args=(PlainStore.standing,), daemon=True)
        asking.start()
        asking.join(PATIENCE)
        assert not asking.is_alive()
    assert (shelf.opened, shelf.closed, shelf.abandoned) == (3, 2, 0)


def test_a_fork_in_the_middle_of_an_errand_that_hangs(shelf: Shelf) -> None:
    """It does not wait for ever. The child abandons the store, and touches nothing; the parent goes on."""
    keeper = Keeper(shelf.open, patience=0.0)
    begun, end = threading.Event(), threading.Event()

    def errand(_: PlainStore) -> bool:
        begun.set()
        return end.wait(PATIENCE)

    working = threading.Thread(target=keeper.ask, args=(errand,))
    working.start()
    assert begun.wait(PATIENCE)
    keeper.hold()
    keeper.go_on()
    assert shelf.closed == 0
    end.set()
    working.join(PATIENCE)
    child = Keeper(shelf.open, patience=0.0)
    child._store, child._lock = keeper._store, _Taken()
    child.hold()
    child.forked()
    assert (shelf.abandoned, shelf.closed) == (1, 0)
    child.ask(PlainStore.standing)
    assert shelf.opened == 2


class _Taken:
    """A lock that a thread holds which is no more."""

    def acquire(self, **_: object) -> bool:
        return False


def test_a_store_that_cannot_be_closed_does_not_stop_a_fork(
    keeper: Keeper[PlainStore], shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next errand opens another one."""

    def fail(_: PlainStore) -> None:
        raise OSError("no")

    keeper.ask(PlainStore.standing)
    monkeypatch.setattr(PlainStore, "close", fail)
    keeper.hold()
    keeper.go_on()
    keeper.ask(PlainStore.standing)
    assert shelf.opened == 2


def test_keepers_are_known_and_forgotten(keeper: Keeper[PlainStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """All that live are asked before a fork; none lives for that alone."""
    seen: list[Any] = []
    other = Keeper(Shelf().open, patience=0.0)
    keepers._all(seen.append)
    assert {keeper, other} <= set(seen)
    number = id(other)
    del other
    seen.clear()
    gc.collect()
    assert number not in keepers._KEEPERS
