"""An endpoint in a process of its own that takes whatever is posted, and counts.

Rule for this file: it does as little as it can, so that what sends is what is measured: it reads, unpacks and
counts how often a marker occurs, and parses nothing. ``python loopback.py MARKER`` prints its port.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

CUSTOM_EVENT = '"kind":"custom"'


@attrs.frozen
class Loopback:
    """The endpoint as its parent sees it."""

    port: int

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tally(self) -> dict[str, Any]:
        """What has arrived so far, and what counting it cost."""
        with urllib.request.urlopen(f"{self.uri}/tally") as answer:
            return dict(json.load(answer))


@contextlib.contextmanager
def loopback(marker: str = CUSTOM_EVENT) -> Iterator[Loopback]:
    """The endpoint, for as long as the block lasts."""
    with subprocess.Popen([sys.executable, __file__, marker], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Loopback(int(process.stdout.readline()))
        process.kill()


class _Server:
    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        # json.dumps may put a blank behind the colon.
        self._spaced = marker.replace(b":", b": ")
        self._lock = threading.Lock()
        self.posts = self.events = self.bytes = self.unpacked = 0
        self._payloads: set[str] = set()
        self.repeats = 0

    def serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            while True:
                first = lines.readline()
                if not first:
                    return
                headers = self._headers_of(lines)
                body = lines.read(int(headers.get("content-length", "0")))
                if first.startswith(b"GET"):
                    text = self._tally()
                    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
                    connection.sendall(head % len(text) + text)
                    return
                self._count(headers, body)
                connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    @staticmethod
    def _headers_of(lines: Any) -> dict[str, str]:
        headers = {}
        while line := lines.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _count(self, headers: dict[str, str], body: bytes) -> None:
        unpacked = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        events = unpacked.count(self._marker) or unpacked.count(self._spaced)
        payload = headers.get("x-launchdarkly-payload-id", "")
        with self._lock:
            if payload and payload in self._payloads:
                self.repeats += 1
                return
            self._payloads.add(payload)
            self.posts += 1
            self.events += events
            self.bytes += len(body)
            self.unpacked += len(unpacked)

    def _tally(self) -> bytes:
        tally = {
            "posts": self.posts,
            "events": self.events,
            "repeats": self.repeats,
            "bytes": self.bytes,
            "unpacked": self.unpacked,
            "cpu": time.process_time(),
        }
        return json.dumps(tally).encode()


def main() -> None:
    server = _Server(sys.argv[1].encode())
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    parent = os.getppid()
    listener.settimeout(1)
    while os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            connection.settimeout(None)
            threading.Thread(target=server.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(f"{Path(__file__).name} is started by the other benchmarks, with a marker to count")
    main()
