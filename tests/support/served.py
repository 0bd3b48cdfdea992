"""An ASGI application on a real socket, for as long as a test needs it.

Rule for this file: nothing is polled; what happens in the server is waited for as an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import uvicorn

__all__ = ["serving"]


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The tests' own signals stay theirs."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve on a free port of the loopback interface, and hand out a client that talks to it."""
    config = uvicorn.Config(app, loop="asyncio", http="h11", ws="none", lifespan="on", log_level="warning")
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            up = asyncio.create_task(server.is_up.wait())
            await asyncio.wait([running, up], return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
            if running.done():
                await running
                raise RuntimeError("the server stopped before it was up")
            async with httpx.AsyncClient(
                base_url=f"http://{host}:{port}", trust_env=False, timeout=None
            ) as client:
                yield client
        finally:
            server.should_exit = True
            await running
