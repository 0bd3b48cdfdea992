"""LaunchDarkly's event endpoint on the loopback interface, answering as a test says: also badly, or never.

Rule for this file: it speaks HTTP/1.1 over plain sockets, so that it can break every promise of it. It keeps
what arrived as it arrived, and knows nothing of batches and ledgers.

    with Endpoint() as endpoint:
        endpoint.script.append(Answer(503, headers={"Retry-After": "7"}))   # the next posts, one each
        endpoint.script.append(Answer(202, manner=Manner.CUT_AFTER))        # took it, the answer never came
        ...                                                                 # then 202, or what `judge` says
        endpoint.arrivals        # every post that was read, refused ones too
        endpoint.events          # what counts: all that was answered with 2xx, each payload id once
        endpoint.connections     # how many connections were opened

A post counts as accepted if its answer's status is 2xx, whether or not the answer got through, except if the
connection was cut before. ``judge`` may answer by chance, in a crash test: it is called with the arrival,
under a lock, when ``script`` is empty. Requests to other hosts arrive with the whole address as their path,
so that it can stand in for a proxy. Given an ``ssl.SSLContext`` it speaks TLS.
"""

from __future__ import annotations

import contextlib
import enum
import gzip
import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Self

import attrs

__all__ = ["Answer", "Arrival", "Endpoint", "Manner"]


class Manner(enum.Enum):
    """How an answer is given."""

    WHOLE = enum.auto()
    CUT_BEFORE = enum.auto()
    """The connection ends before the post is read."""
    CUT_AFTER = enum.auto()
    """The post is read, then the connection ends without an answer."""
    CUT_INSIDE = enum.auto()
    """The connection ends in the middle of the answer, after its status and headers."""
    DRIP = enum.auto()
    """A byte at a time, without end, each soon enough for any read timeout."""
    SILENCE = enum.auto()
    """The post is read, the connection stays open, and nothing comes."""


@attrs.frozen
class Answer:
    """What one post is answered with."""

    status: int = 202
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    manner: Manner = Manner.WHOLE

    @property
    def accepts(self) -> bool:
        return self.status // 100 == 2 and self.manner is not Manner.CUT_BEFORE

    def __bytes__(self) -> bytes:
        missing = 100 if self.manner is Manner.CUT_INSIDE else 0
        lines = [f"HTTP/1.1 {self.status} So It Is", f"Content-Length: {len(self.body) + missing}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@attrs.frozen
class Arrival:
    """One post as it came."""

    path: str
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes
    connection: int
    """The number of the connection that it came over, from 0."""

    @property
    def payload_id(self) -> str:
        return self.headers.get("x-launchdarkly-payload-id", "")

    @property
    def events(self) -> list[dict[str, Any]]:
        is_gzipped = self.headers.get("content-encoding") == "gzip"
        decoded: list[dict[str, Any]] = json.loads(gzip.decompress(self.body) if is_gzipped else self.body)
        return decoded


class Endpoint:
    """A server in threads; use it in a ``with`` block."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.script: deque[Answer] = deque()
        self.judge: Callable[[Arrival], Answer] = lambda _: Answer()
        self.arrivals: list[Arrival] = []
        self.accepted: dict[str, Arrival] = {}
        """The first accepted post of each payload id; LaunchDarkly drops the others."""
        self.repeats = 0
        """How many accepted posts were dropped because their payload id had been accepted before."""
        self.connections = 0
        self._tls = tls
        self._changed = threading.Condition()
        self._connected = threading.Event()
        self._ending = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.uri = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event that was accepted, those of one payload id once."""
        with self._changed:
            accepted = list(self.accepted.values())
        return [event for arrival in accepted for event in arrival.events]

    @property
    def customs(self) -> list[dict[str, Any]]:
        """The custom events among them, without those that introduce a context."""
        return [event for event in self.events if event["kind"] == "custom"]

    def wait_for(self, arrivals: int, timeout: float = 30) -> None:
        """Block until so many posts were read; a test that would wait longer has failed."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.arrivals) >= arrivals, timeout)
        assert arrived, f"{len(self.arrivals)} of {arrivals} posts arrived within {timeout} s"

    def wait_for_connection(self, timeout: float = 30) -> None:
        """Block until somebody has connected. Needs no lock, which a judge may hold for long."""
        assert self._connected.wait(timeout), f"nobody connected within {timeout} s"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            still_open = list(self._open)
        for connection in still_open:
            _shut(connection)
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                number, self.connections = self.connections, self.connections + 1
                self._open.add(connection)
            self._connected.set()
            self._start(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        plain = connection
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as lines:
                while self._serve_one(connection, lines, number):
                    pass
        except OSError:
            pass  # the client left, as clients do
        finally:
            plain.close()
            with self._changed:
                self._open.discard(plain)

    def _serve_one(self, connection: socket.socket, lines: Any, number: int) -> bool:
        """Read one post and answer it; returns whether the connection goes on."""
        first = lines.readline()
        if not first:
            return False
        with self._changed:
            if self.script and self.script[0].manner is Manner.CUT_BEFORE:
                self.script.popleft()
                return False
        headers = _headers_of(lines)
        body = lines.read(int(headers.get("content-length", "0")))
        arrival = Arrival(first.split()[1].decode(), headers, body, number)
        answer = self._take(arrival)
        return self._give(answer, connection)

    def _take(self, arrival: Arrival) -> Answer:
        with self._changed:
            answer = self.script.popleft() if self.script else self.judge(arrival)
            self.arrivals.append(arrival)
            if answer.accepts:
                if arrival.payload_id in self.accepted:
                    self.repeats += 1
                self.accepted.setdefault(arrival.payload_id, arrival)
            self._changed.notify_all()
        return answer

    def _give(self, answer: Answer, connection: socket.socket) -> bool:
        match answer.manner:
            case Manner.WHOLE:
                connection.sendall(bytes(answer))
                return answer.headers.get("Connection") != "close"
            case Manner.CUT_INSIDE:
                connection.sendall(bytes(answer))
            case Manner.DRIP:
                connection.sendall(b"HTTP/1.1 202 So It Is\r\nX-Drip: ")
                while not self._ending.wait(0.01):
                    connection.sendall(b".")
            case Manner.SILENCE:
                connection.recv(1)  # until the client, or the end of the test, closes it
            case Manner.CUT_BEFORE | Manner.CUT_AFTER:
                pass
        return False


def _headers_of(lines: Any) -> dict[str, str]:
    headers = {}
    while (line := lines.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
