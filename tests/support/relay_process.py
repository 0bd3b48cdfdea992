"""The command line in processes of its own: as a user, a supervisor and an orchestrator see it.

Rule for this file: what can be done to such a process, and what it says. Nothing waits but for something that
the process does.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import attrs

from ldtrack.core.row import Row

__all__ = ["KEY", "RelayProcess", "body_of", "ldtrack", "rows", "until"]

KEY = "sdk-00000000-key-of-the-tests"
PATIENCE = 60.0
"""Seconds after which a test that still waits has failed."""
# Isolated where the tests are, so that the same ldtrack runs here and there.
_COMMAND = [sys.executable, *(["-I"] if sys.flags.isolated else []), "-W", "error", "-m", "ldtrack"]


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until this is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)


def rows(count: int, *, first: int = 0, secret: str = "") -> list[Row]:
    """So many rows, each of a run of its own, as they are stored."""
    return [
        Row(f"run-{number}", 0, (1 << 40) + number, 1_700_000_000_000, 1, body_of(number, secret))
        for number in range(first, first + count)
    ]


def body_of(number: int, secret: str = "") -> str:
    """The event of one of these rows."""
    return json.dumps({"kind": "custom", "key": f"event-{number}", "secret": secret})


def ldtrack(
    *arguments: str | Path, stderr: int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What a command says and how it ends."""
    return subprocess.run(
        [*_COMMAND, *map(str, arguments)],
        env=_environment(environment),
        stdout=subprocess.PIPE,
        stderr=stderr,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


def _environment(more: dict[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**ours, "PYTHONUTF8": "1", "LAUNCHDARKLY_SDK_KEY": KEY} | more


@attrs.frozen
class Reply:
    """What was answered to a question about health."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.text)
        return decoded


class RelayProcess:
    """A relay that runs while its block lasts; its lines are kept as they came."""

    def __init__(self, *arguments: str | Path, **environment: str) -> None:
        self._process = subprocess.Popen(
            [*_COMMAND, "relay", *map(str, arguments)],
            env=_environment(environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.said: list[dict[str, Any]] = []
        """All lines that were waited for, or passed over."""
        self._incoming: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._incoming.put(line)
        self._incoming.put(None)

    def until(self, event: str) -> dict[str, Any]:
        """The next line that tells of this."""
        while True:
            line = self._next()
            assert line is not None, f"it ended without {event}: {self.said}"
            if line["event"] == event:
                return line

    def _next(self) -> dict[str, Any] | None:
        try:
            text = self._incoming.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"nothing more is said after {self.said}") from None
        if text is None:
            return None
        line: dict[str, Any] = json.loads(text)
        self.said.append(line)
        return line

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        while self._next() is not None:
            pass
        return self._process.wait(PATIENCE)

    def ask(self, path: str, *, method: str = "GET") -> Reply:
        """What is answered at the address that it said it listens on."""
        listening = next((line for line in self.said if line["event"] == "listening"), None)
        host, _, port = (listening or self.until("listening"))["address"].rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path)
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read().decode())

    def ask_until(self, **expected: object) -> Reply:
        """The first answer about its health in which this is so."""
        pause = threading.Event()
        for _ in range(int(PATIENCE / 0.05)):
            reply = self.ask("/health")
            if expected.items() <= {**reply.json, "http": reply.status}.items():
                return reply
            pause.wait(0.05)
        raise AssertionError(f"{expected} does not come; the last answer was {reply}")
