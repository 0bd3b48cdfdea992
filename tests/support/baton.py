"""Threads that run one at a time, and change over where they are told to.

Rule for this file: real threads, real code, no chance. A thread may lose the baton before any line of the
files that are watched, and wherever these call a Python function; with ``finely``, before any instruction.
CPython switches threads in fewer places than that, so what holds here holds there. The collector is off
meanwhile: what it calls, and when, would be counted as points, and no schedule would play twice the same.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Baton", "CooperativeLock", "Turn"]

Turn = tuple[int, int]
"""After how many more points the baton changes hands, and to whom among the others."""

PATIENCE = 60.0
"""Seconds until a test that hangs is given up; no test waits for it."""


class Baton:
    """Passed between threads; who holds it runs."""

    def __init__(self, files: Iterable[str], turns: Sequence[Turn], *, finely: bool = False) -> None:
        self._files = frozenset(files)
        self._turns: Iterator[Turn] = iter(turns)
        self._finely = finely
        self._gates: list[threading.Semaphore] = []
        self._alive: list[int] = []
        self._me = 0
        self._left, self._next = next(self._turns, (sys.maxsize, 0))
        self.errors: list[BaseException] = []
        self.changes = 0
        self.points = 0

    def run(self, works: Sequence[Callable[[], None]]) -> None:
        """Run each in a thread of its own, to the end of all of them."""
        self._gates = [threading.Semaphore(0) for _ in works]
        self._alive = list(range(len(works)))
        threads = [
            threading.Thread(target=self._attend, args=(number, work), daemon=True)
            for number, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        with _without_collector():
            self._gates[0].release()
            for thread in threads:
                thread.join(PATIENCE)
                assert not thread.is_alive(), "the threads wait for each other"
        if self.errors:
            raise self.errors[0]

    @property
    def me(self) -> int:
        """The thread that runs."""
        return self._me

    def give_way(self, to: int) -> None:
        """Let that thread run until the baton comes back."""
        mine = self._me
        self.changes += 1
        self._me = to
        self._gates[to].release()
        assert self._gates[mine].acquire(timeout=PATIENCE), "the baton never came back"

    def _attend(self, number: int, work: Callable[[], None]) -> None:
        assert self._gates[number].acquire(timeout=PATIENCE), "it was never this thread's turn"
        before = sys.gettrace()
        sys.settrace(self._watch)
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again where the test can see it
            self.errors.append(error)
        finally:
            sys.settrace(before)
            self._alive.remove(number)
            if self._alive:
                self._me = self._alive[0]
                self._gates[self._me].release()

    def _watch(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename in self._files:
            frame.f_trace_opcodes = self._finely
            self._point()
            return self._watch_inside
        if frame.f_back is not None and frame.f_back.f_code.co_filename in self._files:
            self._point()
        return None

    def _watch_inside(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event in {"line", "opcode"}:
            self._point()
        return self._watch_inside

    def _point(self) -> None:
        self.points += 1
        if self._left > 0:
            self._left -= 1
            return
        who = self._next
        self._left, self._next = next(self._turns, (sys.maxsize, 0))
        others = [number for number in self._alive if number != self._me]
        if others:
            self.give_way(others[who % len(others)])


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class CooperativeLock:
    """A re-entrant lock for threads with a baton: who finds it taken lets its owner run."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        while self._owner is not None and self._owner != self._baton.me:
            self._baton.give_way(self._owner)
        self._owner = self._baton.me
        self._depth += 1

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
