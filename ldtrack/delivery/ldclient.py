"""Events straight into the LaunchDarkly SDK's own queue.

Rule for this file: it is the only one that calls ``track`` on an ``LDClient`` or ``AsyncLDClient``.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections import deque
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any

from ldtrack.core.slots import Claim
from ldtrack.loops import running_loop
from ldtrack.typing import FlushResult, LaunchDarklyClient

if TYPE_CHECKING:
    from ldclient import Context

    from ldtrack.core.events import Event

__all__ = ["LDClientDestination"]


class LDClientDestination:
    """Hands events to an ``LDClient`` or an ``AsyncLDClient``.

    What happens to them then is the SDK's affair: a bounded queue in memory, one retry. It never says
    what it delivered, so a flush counts them as unconfirmed.
    """

    def __init__(self, client: LaunchDarklyClient) -> None:
        self._client = client
        self.is_async = inspect.iscoroutinefunction(getattr(client, "variation", None))
        self._home: asyncio.AbstractEventLoop | None = running_loop() if self.is_async else None
        self._left_over: deque[tuple[Any, ...]] = deque()
        """Later events of a claim whose first one went out before the SDK failed: all or none."""

    def send(self, claim: Claim) -> None:
        """Queue the claim's events, or raise before the first of them."""
        _, _, events, context = claim
        track = self._track_at_home() if self.is_async else self._client.track
        if self._left_over:
            self._send_left_over(track)
        sent = 0
        try:
            for key, data, value in events:
                # A fresh dict each: the SDK keeps it until it is sent.
                track(key, context, data.copy(), value)
                sent += 1
        except Exception:
            if not sent:
                raise
            # All or none: the first one is out, so the others are kept for the next occasion.
            self._left_over.extend((key, context, data.copy(), value) for key, data, value in events[sent:])

    def emit(self, event: Event, context: Context) -> None:
        """Queue an event that belongs to no run."""
        key, data, value = event
        track = self._track_at_home() if self.is_async else self._client.track
        track(key, context, data, value)

    def _send_left_over(self, track: Any) -> None:
        while True:
            try:
                arguments = self._left_over.popleft()
            except IndexError:  # asked like this, since another thread may take the last one
                return
            try:
                track(*arguments)
            except BaseException:
                self._left_over.appendleft(arguments)
                raise

    def _track_at_home(self) -> Any:
        """The asynchronous client belongs to one loop: calls from elsewhere are handed over to it."""
        running = running_loop()
        if self._home is None:
            self._home = running
        if self._home is None or self._home is running or self._home.is_closed():
            return self._client.track
        home = self._home
        return lambda *arguments: home.call_soon_threadsafe(self._client.track, *arguments)

    def _at_home(self, work: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
        home = self._home
        if home is None or home is running_loop() or not home.is_running():
            return work
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, home))

    async def flush(self, timeout: float) -> FlushResult:
        """Ask the SDK to deliver soon, waiting where it can be waited for; cancelling loses nothing."""
        if self._left_over:
            with contextlib.suppress(Exception):
                self._send_left_over(self._track_at_home() if self.is_async else self._client.track)
        wait = getattr(self._client, "flush_and_wait", None)
        if wait is not None:
            await self._at_home(wait(timeout))
        else:
            self._client.flush()
        return FlushResult(pending=len(self._left_over))
