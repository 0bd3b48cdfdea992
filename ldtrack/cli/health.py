"""A relay's health over HTTP: ``/health`` for people and orchestrators, ``/metrics`` for Prometheus.

Rule for this file: a server for a few short questions, which nobody can keep busy: requests are bounded in
size, time and number, and each connection answers one. What is answered is in ``report``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, Self

import attrs

from ldtrack.cli.errors import ADDRESS_TAKEN, WRONG_USAGE, CommandError

__all__ = ["Answer", "HealthServer", "Pages", "endpoint_of"]

_LOOPBACK: Final = "127.0.0.1"
_MOST_BYTES: Final = 8192
_MOST_SECONDS: Final = 5.0
_MOST_AT_ONCE: Final = 32
_LAST_PORT: Final = 65535


@attrs.frozen
class Answer:
    """What is said to one request."""

    status: HTTPStatus
    text: str = ""
    content_type: str = "text/plain; charset=utf-8"


Pages = Mapping[str, Callable[[], Awaitable[Answer]]]
"""What is there, by path."""


def endpoint_of(text: str) -> tuple[str, int]:
    """The host and the port of ``host:port``; a port alone is one of the loopback interface."""
    host, _, port = text.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() else -1
    if not 0 <= number <= _LAST_PORT:
        raise CommandError(WRONG_USAGE, f"--health takes an address like 127.0.0.1:8321, not {text!r}")
    return host.removeprefix("[").removesuffix("]") or _LOOPBACK, number


class HealthServer:
    """Listens while its block lasts, on one address."""

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        self._host = host
        self._port = port
        self._pages = pages
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Where it listens."""
        if self._server is None or not self._server.sockets:
            return f"{self._host}:{self._port}"
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def __aenter__(self) -> Self:
        """Listen; cancelling it leaves nothing open."""
        try:
            self._server = await asyncio.start_server(
                self._accept, self._host, self._port, limit=_MOST_BYTES, backlog=_MOST_AT_ONCE
            )
        except OSError as error:
            raise CommandError(
                ADDRESS_TAKEN, f"nobody can listen on {self.address} for --health: {error.strerror or error}"
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        """Listen no more, and cut off who is still asking; cancelling it leaves them to their time limit."""
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= _MOST_AT_ONCE:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_MOST_SECONDS):
                    method, answer = await self._answer(reader)
                    writer.write(_bytes_of(answer, has_body=method != "HEAD"))
                    await writer.drain()
                    if writer.can_write_eof():
                        writer.write_eof()
                    # Who closes on unread input takes the answer away from whoever reads slowly.
                    while await reader.read(_MOST_BYTES):
                        pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[str, Answer]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return "", Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, path, version
            return "", Answer(HTTPStatus.BAD_REQUEST)
        method, path, _ = words
        page = self._pages.get(path.partition("?")[0])
        if page is None:
            return method, Answer(HTTPStatus.NOT_FOUND)
        if method not in {"GET", "HEAD"}:
            return method, Answer(HTTPStatus.METHOD_NOT_ALLOWED)
        return method, await page()


def _bytes_of(answer: Answer, *, has_body: bool) -> bytes:
    body = (answer.text or f"{answer.status.phrase}\n").encode()
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body if has_body else b"")
