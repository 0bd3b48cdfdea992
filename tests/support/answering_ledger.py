"""A ledger that answers from a thread of its own, as one on disk does.

Rule for this file: the order in which claims arrive decides; which of them fail is said beforehand.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterable
from typing import Any

from ldtrack.core.slots import Claim
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers import MemoryLedger
from ldtrack.typing import FlushResult

__all__ = ["AnsweringLedger"]

_Question = tuple[Claim, "asyncio.Future[bool]"]


class AnsweringLedger:
    """Takes claims over at once, answers each a little later in its own loop, and fails some."""

    def __init__(self, ledger: MemoryLedger, failures: Iterable[bool] = ()) -> None:
        self.given_up: list[Claim] = []
        self.excuses = 0
        """How often it was made to fail, and did."""
        self._ledger = ledger
        self._failures = iter(failures)
        self._futures: list[asyncio.Future[bool]] = []
        self._questions: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._answer_all, daemon=True)
        self._thread.start()

    @property
    def recorded(self) -> int:
        return self._ledger.recorded

    def submit(self, claim: Claim) -> bool | asyncio.Future[bool]:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._ledger.submit(claim)
        future: asyncio.Future[bool] = loop.create_future()
        self._futures.append(future)
        self._questions.put((claim, future))
        return future

    async def answered(self) -> None:
        """Wait until all that was asked in this loop is answered."""
        here = asyncio.get_running_loop()
        while pending := [one for one in self._futures if one.get_loop() is here and not one.done()]:
            await asyncio.wait(pending)

    def _answer_all(self) -> None:
        while (question := self._questions.get()) is not None:
            claim, future = question
            answer: bool | LedgerError
            if next(self._failures, False):
                self.excuses += 1
                answer = LedgerError("failed, as it was told to")
            else:
                try:
                    answer = self._ledger.submit(claim)
                except LedgerError as error:
                    answer = error
            with contextlib.suppress(RuntimeError):  # a loop that is closed has nobody left to tell
                future.get_loop().call_soon_threadsafe(_tell, future, answer)

    async def flush(self, timeout: float) -> FlushResult:
        return await self._ledger.flush(timeout)

    async def aclose(self) -> None:
        """Answer what is still asked, and stop."""
        self._questions.put(None)
        self._thread.join()


def _tell(future: asyncio.Future[bool], answer: Any) -> None:
    if isinstance(answer, LedgerError):
        future.set_exception(answer)
    else:
        future.set_result(answer)
