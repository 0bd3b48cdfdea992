"""LaunchDarkly without LaunchDarkly: its own SDK, fed from here, sending its events to where it is told.

Rule for this file: the flag, and how the SDK is set up. Beyond that everything is the SDK as it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import attrs
from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations.test_data import TestData

__all__ = ["CONFIG_KEY", "CountingClient", "Person", "connected"]

CONFIG_KEY: Final = "support-chat"

_MESSAGES: Final = [
    {
        "role": "system",
        "content": "You help the customers of a bookshop. Be brief, and say {{name}} to them.",
    },
]
_VARIATIONS: Final[tuple[dict[str, Any], ...]] = (
    {
        "_ldMeta": {"enabled": True, "variationKey": "steady", "version": 3, "mode": "completion"},
        "model": {"name": "simulated-large", "parameters": {"temperature": 0.2}},
        "provider": {"name": "openai"},
        "messages": _MESSAGES,
    },
    {
        "_ldMeta": {"enabled": True, "variationKey": "swift", "version": 1, "mode": "completion"},
        "model": {"name": "simulated-small", "parameters": {"temperature": 0.2}},
        "provider": {"name": "anthropic"},
        "messages": _MESSAGES,
    },
)


@attrs.frozen
class Person:
    """Somebody who uses the service."""

    key: str
    name: str
    cohort: str

    @property
    def context(self) -> Context:
        """This person as LaunchDarkly's SDK wants to be told of them."""
        return Context.builder(self.key).name(self.name).set("cohort", self.cohort).build()


def flags() -> TestData:
    """One AI Config with two variations; the cohort decides who gets which."""
    data = TestData.data_source()
    flag = data.flag(CONFIG_KEY).variations(*_VARIATIONS)
    data.update(flag.fallthrough_variation(0).if_match("cohort", "B").then_return(1))
    return data


class CountingClient(LDClient):
    """The SDK's own client, counting what is handed to it: so much has to arrive."""

    def __init__(self, config: Config) -> None:
        self.tracked = 0
        self._counting = threading.Lock()
        super().__init__(config)

    def track(
        self,
        event_name: str,
        context: Context,
        data: Any = None,
        metric_value: Any = None,
    ) -> None:
        """Count the event and pass it on."""
        with self._counting:
            self.tracked += 1
        super().track(event_name, context, data, metric_value)


@contextlib.asynccontextmanager
async def connected(events_uri: str) -> AsyncIterator[CountingClient]:
    """A client of the SDK whose events go there; it is closed, and has sent what it has, at the end.

    Cancelling the wait for that leaves it to a thread.
    """
    config = Config(
        "sdk-00000000-0000-4000-8000-000000000000",
        update_processor_class=flags(),
        events_uri=events_uri,
        send_events=True,
        events_max_pending=1_000_000,
        flush_interval=0.25,
        diagnostic_opt_out=True,
    )
    with _no_proxy():
        client = CountingClient(config)
    try:
        yield client
    finally:
        # Closing waits for the last events to be sent.
        await asyncio.to_thread(client.close)


@contextlib.contextmanager
def _no_proxy() -> Iterator[None]:
    """Keep the SDK, while it is set up, from sending what is meant for this machine through a proxy."""
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "*"
    try:
        yield
    finally:
        if before is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = before
