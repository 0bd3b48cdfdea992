"""LaunchDarkly's event endpoint, on the loopback interface.

Rule for this file: it takes what an SDK posts, as it comes over the wire, and keeps it. It knows HTTP and the
envelope of a post; what the events mean is not its affair.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["EventSink"]


class EventSink:
    """A server for the events of ``LDClient``s, in threads of its own; use it in a ``with`` block.

    Like LaunchDarkly's, it takes a payload once: an SDK that got no answer posts it again under the same id.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: list[Mapping[str, Any]] = []
        self._payload_ids: set[str] = set()
        self._posts = 0
        self._refused = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        # The default of half a second is how long `shutdown` may take.
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="event sink", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def uri(self) -> str:
        """Where it listens: what goes into ``Config(events_uri=...)``."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def events(self) -> tuple[Mapping[str, Any], ...]:
        """Every custom event that has arrived, in order."""
        with self._changed:
            return tuple(self._events)

    @property
    def count(self) -> int:
        """How many custom events have arrived."""
        return len(self._events)

    @property
    def posts(self) -> int:
        """In how many payloads they arrived."""
        return self._posts

    @property
    def refused(self) -> int:
        """How many posts could not be read."""
        return self._refused

    def wait_for(self, count: int, timeout: float) -> bool:
        """Block until that many events have arrived, or the timeout is over; whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._events) >= count, timeout)

    def take(
        self, path: str, body: bytes, *, encoding: str | None = None, payload_id: str | None = None
    ) -> HTTPStatus:
        """Take one post, and say with which status to answer it."""
        if path == "/diagnostic":
            return HTTPStatus.ACCEPTED
        if path != "/bulk":
            return HTTPStatus.NOT_FOUND
        try:
            payload = json.loads(gzip.decompress(body) if encoding == "gzip" else body)
            customs = [event for event in payload if event["kind"] == "custom"]
        except (OSError, EOFError, ValueError, TypeError, KeyError):
            with self._changed:
                self._refused += 1
            return HTTPStatus.BAD_REQUEST
        self._keep(payload_id, customs)
        return HTTPStatus.ACCEPTED

    def _keep(self, payload_id: str | None, customs: list[Mapping[str, Any]]) -> None:
        with self._changed:
            if payload_id is not None:
                if payload_id in self._payload_ids:
                    return
                self._payload_ids.add(payload_id)
            self._posts += 1
            self._events.extend(customs)
            self._changed.notify_all()


def _handler_for(sink: EventSink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status = sink.take(
                self.path,
                body,
                encoding=self.headers.get("Content-Encoding"),
                payload_id=self.headers.get("X-LaunchDarkly-Payload-ID"),
            )
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the terminal is somebody else's."""

    return Handler
