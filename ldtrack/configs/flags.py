"""Evaluating a flag without blocking the event loop.

Rule for this file: the only one that calls ``variation``, and the place where it is decided whether that
happens in the loop or in a thread.

Evaluating from memory takes some ten microseconds and a trip through a worker thread ten times that, so a
flag is evaluated in the loop, unless its store may block: a persistent store asks its database whenever its
cache has expired. LaunchDarkly's SDK says of most stores whether they are persistent. One that does not say
so gives itself away by its first slow answer; from then on it is asked in a thread too. The SDK's own store
in memory is never suspected: when that one is slow, the whole process is, and a thread would be slower yet.
(``benchmarks/evaluation.py`` measures all of them.)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ldtrack.configs.ldclient_config import has_store_in_memory

if TYPE_CHECKING:
    from ldclient import Context

    from ldtrack.typing import LaunchDarklyClient

__all__ = ["Flags"]

SLOW_NS = 5_000_000
"""An evaluation that holds up the loop for longer than this is the last one to do so."""


class Flags:
    """Evaluates flags through an ``LDClient`` or an ``AsyncLDClient``."""

    def __init__(
        self,
        client: LaunchDarklyClient,
        *,
        blocking_store: bool | None,
        monotonic_ns: Callable[[], int],
        noticed: Callable[[str, str], None],
    ) -> None:
        self._client = client
        self._monotonic_ns = monotonic_ns
        self._noticed = noticed
        self.is_async = inspect.iscoroutinefunction(client.variation)
        self._may_adapt = blocking_store is None and not has_store_in_memory(client)
        self.uses_thread = not self.is_async and (
            _has_persistent_store(client) if blocking_store is None else blocking_store
        )

    @property
    def may_wait(self) -> bool:
        """Whether an evaluation waits for something, so that several may do so at once."""
        return self.is_async or self.uses_thread

    async def value(self, key: str, context: Context, default: Any) -> Any:
        """The flag's value for a context; a cancelled wait leaves the evaluation to finish by itself."""
        if self.is_async:
            return await self._client.variation(key, context, default)
        if self.uses_thread:
            from anyio import to_thread  # noqa: PLC0415 - everybody would pay for it, and few need it

            return await to_thread.run_sync(
                self._client.variation, key, context, default, abandon_on_cancel=True
            )
        asked = self._monotonic_ns()
        value = self._client.variation(key, context, default)
        took = self._monotonic_ns() - asked
        if took > SLOW_NS and self._may_adapt:
            self.uses_thread = True
            self._noticed(
                "slow flag store",
                f"evaluating flag {key!r} held up the event loop for {took / 1e6:.0f} ms: its store seems to "
                "block, so flags are evaluated in worker threads from now on. Pass blocking_store=True to "
                "AIClient to start that way, or blocking_store=False to keep evaluating in the loop.",
            )
        return value


def _has_persistent_store(client: LaunchDarklyClient) -> bool:
    provider = getattr(client, "data_store_status_provider", None)
    return provider is not None and bool(provider.is_monitoring_enabled())
