"""A model provider on the loopback interface: it serves what a test says, in the provider's own wire format.

Rule for this file: HTTP/1.1 over plain sockets, so that every SDK can be used with the HTTP library that it
stands on, also the synchronous ones. It knows framing (SSE, NDJSON, AWS event stream), not providers.

    async with serving_model(sse({"id": 1}, {"id": 2}, "[DONE]")) as server:
        client = SomeSDK(base_url=server.url)
        ...
        assert server.requests[0].body["stream"] is True

A body is made of pieces: bytes are one HTTP chunk each, an ``asyncio.Event`` is waited for, ``CUT`` breaks
the connection. Answers are given one after the other, the last one as often as it is asked for.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import enum
import json
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs

__all__ = [
    "CUT",
    "Answer",
    "ModelServer",
    "aws_frame",
    "aws_stream",
    "ndjson",
    "plain",
    "serving_model",
    "sse",
]


class _Cut(enum.Enum):
    CUT = "cut"


CUT = _Cut.CUT
"""Here the connection breaks."""

JSON = Mapping[str, Any]
Piece = bytes | asyncio.Event | _Cut


@attrs.frozen
class Answer:
    """What one request is answered with."""

    content_type: str
    pieces: tuple[Piece, ...]
    status: int = 200


@attrs.frozen
class Request:
    """One request as it came."""

    line: str
    body: Any


def _framed(frame: Any, events: tuple[Any, ...]) -> tuple[Piece, ...]:
    return tuple(
        event if isinstance(event, asyncio.Event | _Cut | bytes) else frame(event) for event in events
    )


def plain(body: JSON, status: int = 200) -> Answer:
    """An answer that does not stream."""
    return Answer("application/json", (json.dumps(body).encode(),), status)


def sse(*events: JSON | str | Piece, named: bool = False) -> Answer:
    """Server-sent events; ``named`` puts their type into the frame."""

    def frame(event: JSON | str) -> bytes:
        if isinstance(event, str):
            return f"data: {event}\n\n".encode()
        head = f"event: {event['type']}\n" if named and "type" in event else ""
        return f"{head}data: {json.dumps(event)}\n\n".encode()

    return Answer("text/event-stream", _framed(frame, events))


def ndjson(*events: JSON | Piece) -> Answer:
    """A line of JSON per event."""
    return Answer("application/x-ndjson", _framed(lambda event: json.dumps(event).encode() + b"\n", events))


def aws_stream(*events: JSON | Piece) -> Answer:
    """AWS's binary event stream; an event is a mapping with one name in it."""
    return Answer("application/vnd.amazon.eventstream", _framed(aws_frame, events))


def aws_frame(event: JSON) -> bytes:
    """One event as a message of AWS's event stream, with both its checksums."""
    ((name, payload),) = event.items()
    kind = "exception" if name.endswith("Exception") else "event"
    headers = b"".join(
        _aws_header(key, value)
        for key, value in (
            (f":{kind}-type", name),
            (":content-type", "application/json"),
            (":message-type", kind),
        )
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", binascii.crc32(prelude)) + headers + body
    return message + struct.pack("!I", binascii.crc32(message))


def _aws_header(name: str, value: str) -> bytes:
    text = 7
    return (
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", text, len(value)) + value.encode()
    )


class ModelServer:
    """Answers requests as it was told to, one connection each."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = [*answers]
        self._open: dict[asyncio.Task[Any], asyncio.Task[None]] = {}
        """What is done for each open connection, by the task that asyncio has for it."""
        self.url = ""
        self.requests: list[Request] = []
        self.sent = 0
        """How many pieces of bytes went out."""
        self.waiting = asyncio.Event()
        """Set when it waits for an event in a body."""
        self.hung_up = asyncio.Event()
        """Set when a client closed the connection before it had all of its answer."""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the request of one connection."""
        handler = asyncio.current_task()
        assert handler is not None
        # Cancelled is what it does, never itself: asyncio complains of connections that are cancelled.
        work = asyncio.create_task(self._serve(reader, writer))
        self._open[handler] = work
        await asyncio.wait([work])
        writer.close()
        del self._open[handler]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone: asyncio.Task[bytes] | None = None
        try:
            self.requests.append(await _request_from(reader))
            gone = asyncio.create_task(reader.read())  # the client says nothing more: its end is its leaving
            await self._answer(writer, gone)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            if gone is not None:
                gone.cancel()

    async def _answer(self, writer: asyncio.StreamWriter, gone: asyncio.Task[bytes]) -> None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        head = f"HTTP/1.1 {answer.status} So It Is\r\nContent-Type: {answer.content_type}\r\n"
        writer.write(f"{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for piece in answer.pieces:
            if isinstance(piece, asyncio.Event):
                self.waiting.set()
                told = asyncio.create_task(piece.wait())
                await asyncio.wait([told, gone], return_when=asyncio.FIRST_COMPLETED)
                told.cancel()
            if gone.done():
                self.hung_up.set()
                return
            if piece is CUT:
                writer.transport.abort()
                return
            if isinstance(piece, bytes):
                self.sent += 1
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def stop(self) -> None:
        """End all connections."""
        for work in self._open.values():
            work.cancel()
        if self._open:
            await asyncio.wait([*self._open])


async def _request_from(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *headers = head.rstrip().split("\r\n")
    known = {name.lower(): value.strip() for name, _, value in (header.partition(":") for header in headers)}
    if "content-length" in known:
        body = await reader.readexactly(int(known["content-length"]))
    elif "chunked" in known.get("transfer-encoding", ""):
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = b""
    return Request(line, json.loads(body or b"{}"))


@contextlib.asynccontextmanager
async def serving_model(*answers: Answer) -> AsyncIterator[ModelServer]:
    """Serve these answers on a free port of the loopback interface."""
    model = ModelServer(*answers)
    server = await asyncio.start_server(model.connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    model.url = f"http://{host}:{port}"
    try:
        yield model
    finally:
        server.close()
        await model.stop()
        await server.wait_closed()
