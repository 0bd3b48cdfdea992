"""A stage on which a scene is played: a recorder over fakes, an event loop of its own, and witnesses.

Rule for this file: it plays scenes and writes down what went wrong behind their backs. What should have
happened is for the tests to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fake_provider import Provider, tick
from ldclient import Context

from ldtrack.core.events import Attribution
from ldtrack.core.reading import CONTENT, Reading, ToolCall, UsageReport, Wants
from ldtrack.ids import new_run_id
from ldtrack.testing import ManualClock, RecordingLedger
from ldtrack.tracking.recorder import Recorder
from ldtrack.tracking.tracker import Tracker

ADA = Context.create("ada")
ROUNDS = 50
"""How many rounds of the loop clean-up may take before a test gives up on it."""


class FakeReader:
    """Reads ``fake_provider.Chunk``."""

    usage_hint = ""

    def __init__(self, wants: Wants = Wants.EVERY, *, marks_end: bool = False, usage_hint: str = "") -> None:
        self.wants = wants
        self.marks_end = marks_end
        self.usage_hint = usage_hint
        self.seen: list[str] = []

    def recognises(self, item: object) -> bool:
        return type(item).__name__ == "Chunk"

    def read(self, item: Any) -> Reading | None:
        self.seen.append(item.text)
        if not (item.usage or item.tools or item.finish):
            return CONTENT if item.text else None
        return Reading(
            content=bool(item.text or item.tools),
            usage=None if item.usage is None else UsageReport(*item.usage),
            tool_calls=tuple(ToolCall(name, name) for name in item.tools),
            finished=item.finish,
        )


class Stage:
    """One recorder and what it records, with a fresh tracker in hand."""

    def __init__(self, reader: FakeReader | None = None, **options: Any) -> None:
        self.clock = ManualClock()
        self.ledger = RecordingLedger()
        self.reader = reader or FakeReader()
        self.recorder = Recorder(
            ledger=self.ledger,
            clock=self.clock,
            new_run_id=new_run_id,
            find_reader=lambda item: self.reader if self.reader.recognises(item) else None,
            encode_token=lambda run_id, *_: run_id,
            **{"settle_timeout": 0, "close_timeout": 60.0, **options},
        )
        self.tracker = self.new_tracker()
        self.provider = self.new_provider()
        self.problems: list[str] = []
        self.kept: list[Any] = []
        """Where a scene leaves what has to outlive it."""

    def new_tracker(self) -> Tracker:
        """A tracker of another run."""
        return Tracker(self.recorder, Attribution("chat", 3, "v1", "gpt", "openai"), ADA)

    def new_provider(self, **options: Any) -> Provider:
        """A provider whose work takes time on this stage's clock."""
        self.provider = Provider(self.clock.advance, **options)
        return self.provider

    @property
    def events(self) -> list[tuple[str, Any]]:
        """Name and value of every event, in order, without LaunchDarkly's prefix."""
        return [(event.key.removeprefix("$ld:ai:"), event.metric_value) for event in self.ledger.events]

    async def quiet(self) -> None:
        """Wait until what is dropped has been cleaned up."""
        for _ in range(ROUNDS):
            await tick()
            if not self.recorder.open_calls and not self.recorder._tasks:
                return

    def play(self, scene: Callable[[Stage], Awaitable[Any]]) -> Any:
        """Play a scene in an event loop of its own, up to the end of that loop."""
        with self.watched():
            with asyncio.Runner() as runner:
                loop = runner.get_loop()
                loop.set_exception_handler(lambda _, trouble: self.problems.append(f"loop: {trouble}"))
                result = runner.run(scene(self))
            self.problems.extend(f"left over: {task}" for task in asyncio.all_tasks(loop))
        return result

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Collect every warning, log line and exception that nobody could catch."""
        before = sys.unraisablehook
        witness = _Witness(self.problems)
        loggers = [logging.getLogger("asyncio"), logging.getLogger("ldtrack")]
        sys.unraisablehook = lambda trouble: self.problems.append(f"unraisable: {trouble!r}")
        for logger in loggers:
            logger.addHandler(witness)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
                gc.collect()
            self.problems.extend(f"warning: {warning.message}" for warning in caught)
        finally:
            sys.unraisablehook = before
            for logger in loggers:
                logger.removeHandler(witness)

    def assert_clean(self) -> None:
        """Nothing went wrong unseen, and nothing is left."""
        assert self.problems == []
        assert dict(self.recorder.failures) == {}
        assert self.recorder.open_calls == set()
        assert self.recorder._tasks == set()
        assert self.recorder._unclosed == set()
        assert self.recorder.vigils._held == {}
        assert self.recorder.vigils._vigils == {}


class _Witness(logging.Handler):
    def __init__(self, problems: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._problems = problems

    def emit(self, record: logging.LogRecord) -> None:
        self._problems.append(f"log: {record.getMessage()}")
