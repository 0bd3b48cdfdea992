"""LaunchDarkly's event endpoint on the loopback interface, for tests with real clients.

Rule for this file: it keeps what arrives exactly as it arrived, headers and key order included, and judges
nothing. Wait for a client to close (or to have flushed) before reading: then everything has arrived.
"""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import attrs

__all__ = ["EventSink", "Inbox", "Post"]


@attrs.frozen
class Post:
    """One request, its body decoded."""

    path: str
    headers: dict[str, str]
    body: Any
    was_gzipped: bool


@attrs.frozen
class Inbox:
    """What one client posts: a path of its own below the sink's address."""

    uri: str
    """Goes into ``Config(events_uri=...)``."""
    posts: list[Post] = attrs.field(factory=list, eq=False)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event that has arrived, in order."""
        return [event for post in self.posts for event in post.body]

    @property
    def customs(self) -> list[dict[str, Any]]:
        """The custom events among them."""
        return [event for event in self.events if event["kind"] == "custom"]


class EventSink:
    """A server in a thread; use it in a ``with`` block."""

    def __init__(self) -> None:
        self._inboxes: dict[str, Inbox] = {}
        self.status = 202
        """With which status posts are answered."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def inbox(self) -> Inbox:
        """A place for one more client."""
        name = f"/inbox-{len(self._inboxes)}"
        inbox = self._inboxes[name] = Inbox(f"http://127.0.0.1:{self._server.server_port}{name}")
        return inbox

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Keep one request; returns the status to answer with."""
        name, _, rest = path.rpartition("/")
        was_gzipped = headers.get("content-encoding") == "gzip"
        decoded = json.loads(gzip.decompress(body) if was_gzipped else body)
        self._inboxes[name].posts.append(Post(f"/{rest}", headers, decoded, was_gzipped))
        return self.status


def _handler_of(sink: EventSink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        # HTTP/1.0: the connection ends with the answer, so that no thread lingers.
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(sink.take(self.path, headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
