"""Posts over connections that are kept, and that can be cut off from outside.

Rule for this file: HTTP and nothing of events. It is the only one that imports urllib3, and does with it
what LaunchDarkly's SDK does: the same proxies, certificates and timeouts.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import attrs
import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import make_headers, parse_url

__all__ = ["Attempt", "Connections", "Reply", "Route"]

_KEPT: Final = 8
"""Connections that are kept open; more may be in use."""
_MAX_TEXT: Final = 1 << 16
"""What is read of an answer. Who says more loses the connection."""


@attrs.frozen(kw_only=True)
class Route:
    """How to get to a server."""

    uri: str = attrs.field(repr=False)
    """May hold a password."""
    connect_timeout: float = 10
    read_timeout: float = 15
    http_proxy: str | None = attrs.field(default=None, repr=False)
    """May hold a password. Without one the environment is asked."""
    ca_certs: str | None = None
    cert_file: str | None = None
    disable_ssl_verification: bool = False

    @property
    def host(self) -> str:
        """Whom one talks to, for people to read: without a password."""
        return urlsplit(self.uri).netloc.rpartition("@")[2]

    def proxy(self) -> str | None:
        """The proxy on the way: the one that was given, else the environment's."""
        if self.http_proxy:
            return self.http_proxy
        parts = urlsplit(self.uri)
        address = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        return None if proxy_bypass(address) else getproxies().get(parts.scheme)


@attrs.frozen
class Reply:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    text: str
    is_whole: bool = True
    """Whether the connection lasted until its end."""


class Attempt:
    """One post under way in some thread, which any other thread can cut off.

    A server that sends a byte now and then satisfies every timeout of a socket. Shutting the socket down
    ends it, and the thread with it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: HTTPConnection | None = None
        self._is_cut = False

    def __enter__(self) -> Self:
        _here.attempt = self
        return self

    def __exit__(self, *_: object) -> None:
        del _here.attempt
        with self._lock:
            self._connection = None

    def uses(self, connection: HTTPConnection) -> None:
        """Called as a connection is opened, and again as something is sent over it."""
        with self._lock:
            if self._is_cut:
                raise ConnectionAbortedError("nobody waits for this post any more")
            self._connection = connection

    def cut(self) -> None:
        """End it, if it has not ended."""
        with self._lock:
            self._is_cut = True
            line = getattr(self._connection, "sock", None)
        if isinstance(line, socket.socket):
            with contextlib.suppress(OSError):
                # Not the method of a TLS socket, which would drop what the other thread is reading with.
                socket.socket.shutdown(line, socket.SHUT_RDWR)


_here = threading.local()


def _notice(connection: HTTPConnection) -> None:
    """Connections open and send only in a post, which is an attempt of its own thread."""
    attempt: Attempt = _here.attempt
    attempt.uses(connection)


class _PlainConnection(HTTPConnection):
    def connect(self) -> None:
        _notice(self)
        super().connect()

    def request(self, *arguments: Any, **options: Any) -> None:
        _notice(self)
        super().request(*arguments, **options)


class _SafeConnection(_PlainConnection, HTTPSConnection):
    """The same over TLS."""


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PlainConnection  # pyright: ignore[reportAssignmentType] - its own classes fail its protocols


class _SafePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SafeConnection  # pyright: ignore[reportAssignmentType] - its own classes fail its protocols


class Connections:
    """The connections to one server; those of a parent process are left to it."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self._made: tuple[int, urllib3.PoolManager] | None = None

    def post(self, attempt: Attempt, headers: Mapping[str, str], body: bytes) -> Reply:
        """Post once, blocking; raises whatever keeps the server's answer from us. Redirects are answers."""
        timeout = urllib3.Timeout(connect=self.route.connect_timeout, read=self.route.read_timeout)
        with attempt:
            response = self._pool().urlopen(
                "POST",
                self.route.uri,
                body=body,
                headers=headers,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                enforce_content_length=True,
            )
            return _reply(response)

    def close(self) -> None:
        """Let go of the connections that are open; the next post opens new ones."""
        made, self._made = self._made, None
        if made is not None and made[0] == os.getpid():
            made[1].clear()

    def _pool(self) -> urllib3.PoolManager:
        pid = os.getpid()
        if self._made is None or self._made[0] != pid:
            self._made = (pid, _pool_of(self.route))
        return self._made[1]


def _reply(response: urllib3.BaseHTTPResponse) -> Reply:
    is_whole = True
    text = b""
    try:
        text = response.read(_MAX_TEXT)
        ended = not response.read(1)
    except (urllib3.exceptions.HTTPError, OSError):
        is_whole = ended = False
    if not ended:  # what is read to its end gives its connection back by itself
        response.close()
    return Reply(response.status, response.headers, text.decode("utf-8", "replace"), is_whole)


def _pool_of(route: Route) -> urllib3.PoolManager:
    options: dict[str, Any] = {"num_pools": 1, "maxsize": _KEPT, "cert_file": route.cert_file}
    if route.disable_ssl_verification:
        options["cert_reqs"] = "CERT_NONE"
    else:
        options |= {"cert_reqs": "CERT_REQUIRED", "ca_certs": route.ca_certs or certifi.where()}
    proxy = route.proxy()
    pool: urllib3.PoolManager
    if proxy is None:
        pool = urllib3.PoolManager(**options)
    else:
        auth = parse_url(proxy).auth
        headers = make_headers(proxy_basic_auth=auth) if auth else None
        pool = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
    pool.pool_classes_by_scheme = {"http": _PlainPool, "https": _SafePool}
    return pool
