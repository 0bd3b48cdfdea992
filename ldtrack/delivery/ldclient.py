"""Events straight into the LaunchDarkly SDK's own queue.

Rule for this file: it is the only one that calls ``track`` on an ``LDClient`` or ``AsyncLDClient``.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections import deque
from collections.abc import Awaitable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from ldclient import Context

from ldtrack.core.batch import Batch
from ldtrack.core.options import require_methods
from ldtrack.core.receipts import Receipt, Verdict
from ldtrack.core.slots import Claim
from ldtrack.loops import running_loop
from ldtrack.typing import FlushResult, LaunchDarklyClient

if TYPE_CHECKING:
    from ldtrack.core.events import Event

__all__ = ["LDClientDestination"]

_MAKING_ROOM: Final = 10.0
"""Seconds to wait for the SDK to send what it holds, before it is given more."""


class LDClientDestination:
    """Hands events to an ``LDClient`` or an ``AsyncLDClient``.

    What happens to them then is the SDK's affair: a bounded queue in memory, one retry. It never says
    what it delivered, so a flush counts them as unconfirmed.

    As a relay's destination it is for clients that must stay the only way out. A batch counts as delivered
    when the SDK has been given it, and loses what ``track`` has no word for: its payload id, so that repeats
    are counted twice; when its events were recorded, so that they happen when they are sent; the names of
    redacted attributes.
    """

    def __init__(self, client: LaunchDarklyClient) -> None:
        require_methods("client", client, ("track", "flush"), "an LDClient or an AsyncLDClient")
        self._client = client
        self.is_async = inspect.iscoroutinefunction(getattr(client, "variation", None))
        self._home: asyncio.AbstractEventLoop | None = running_loop() if self.is_async else None
        self._left_over: deque[tuple[Any, ...]] = deque()
        """Later events of a claim whose first one went out before the SDK failed: all or none."""

    def send(self, claim: Claim) -> None:
        """Queue the claim's events, or raise before the first of them."""
        _, _, events, context = claim
        if self.is_async or self._left_over:
            self._hand_over([(key, context, data.copy(), value) for key, data, value in events])
            return
        # What that does, without the list: this is done five times per run.
        track = self._client.track
        sent = 0
        try:
            for key, data, value in events:
                track(
                    key, context, data.copy(), value
                )  # a fresh dict each: the SDK keeps it until it is sent
                sent += 1
        except Exception:
            if not sent:
                raise
            self._left_over.extend((key, context, data.copy(), value) for key, data, value in events[sent:])

    async def deliver(self, batch: Batch) -> Receipt:
        """Queue a batch's events, once there is room for them; cancelling it queues none."""
        try:
            events = json.loads(f"[{','.join(batch.bodies)}]")
            # The client introduces contexts by itself.
            calls = [_call_of(event) for event in events if not _is_index(event)]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return Receipt(Verdict.REFUSED, f"no custom event can be read: {type(error).__name__}: {error}")
        try:
            await self.flush(_MAKING_ROOM)
            self._hand_over(calls)
            if not self.is_async:  # the asynchronous one sends by its timer, or when more is to come
                self._client.flush()
        except Exception as error:  # noqa: BLE001 - what a client does is a verdict
            return Receipt(Verdict.LATER, f"the client failed: {type(error).__name__}: {error}")
        return Receipt(Verdict.DELIVERED)

    async def aclose(self) -> None:
        """Leave the client to its owner; there is nothing to wait for and nothing to cancel."""

    def _hand_over(self, calls: Sequence[tuple[Any, ...]]) -> None:
        """Queue all of them, or raise before the first."""
        track = self._track_at_home() if self.is_async else self._client.track
        if self._left_over:
            self._send_left_over(track)
        sent = 0
        try:
            for arguments in calls:
                track(*arguments)
                sent += 1
        except Exception:
            if not sent:
                raise
            # All or none: the first one is out, so the others are kept for the next occasion.
            self._left_over.extend(calls[sent:])

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


def _is_index(event: object) -> bool:
    return isinstance(event, dict) and event.get("kind") == "index"


def _call_of(event: dict[str, Any]) -> tuple[Any, ...]:
    """The call of ``track`` that comes closest to a custom event."""
    context = Context.from_dict(event["context"])
    if not context.valid:
        raise ValueError(f"its context is invalid ({context.error})")
    return event["key"], context, event.get("data"), event.get("metricValue")
