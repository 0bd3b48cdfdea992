"""The ``track_*`` methods, which a graph's tracker and its run have in common.

Rule for this file: validate what was given, name the metric, and leave the rest to ``_track``. Nothing is
claimed before its value is known to be good, and an empty value claims nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ldtrack.core.graph_metrics import path_of
from ldtrack.core.slots import (
    GRAPH_DURATION,
    GRAPH_OUTCOME,
    GRAPH_PATH,
    GRAPH_TOKENS,
    HANDOFF_FAILURE,
    HANDOFF_SUCCESS,
    REDIRECT,
    Metric,
)
from ldtrack.core.values import TokenUsage, key_of, whole_ms
from ldtrack.tracking.track_methods import no_usage

__all__ = ["GraphTrackMethods", "ends_of"]


def ends_of(source_key: object, target_key: object, *, target: str = "target_key") -> tuple[str, str]:
    """Check the two node keys that something went between."""
    return key_of(source_key, "source_key"), key_of(target_key, target)


class GraphTrackMethods:
    """Records one metric of a graph's run each. Returns whether this very call recorded it."""

    __slots__ = ()

    async def _track(self, metric: Metric, value: Any) -> bool:
        """Claim and hand over before the first wait; says whether this was the first."""
        raise NotImplementedError  # pragma: no cover - every subclass says how

    async def track_invocation_success(self) -> bool:
        """Record that the graph's run succeeded; ``False`` if its outcome was recorded already.

        Cancelling the wait neither loses nor repeats the metric.
        """
        return await self._track(GRAPH_OUTCOME, True)

    async def track_invocation_failure(self) -> bool:
        """Record that the graph's run failed; ``False`` if its outcome was recorded already.

        Cancelling the wait neither loses nor repeats the metric.
        """
        return await self._track(GRAPH_OUTCOME, False)

    async def track_duration(self, duration: float) -> bool:
        """Record how long the graph's run took, in milliseconds; ``False`` if that was recorded already.

        Cancelling the wait neither loses nor repeats the metric.
        """
        return await self._track(GRAPH_DURATION, whole_ms(duration, "duration"))

    async def track_total_tokens(self, tokens: TokenUsage | None = None) -> bool:
        """Record the tokens of all nodes together; ``False`` if that was done already, or there are none.

        Cancelling the wait neither loses nor repeats the metric.
        """
        if tokens is None:
            return False
        if not isinstance(tokens, TokenUsage):
            raise no_usage(tokens)
        return False if tokens.is_empty else await self._track(GRAPH_TOKENS, tokens)

    async def track_path(self, path: Iterable[str]) -> bool:
        """Record the keys of all nodes that were visited, in their order; once, with the whole path.

        An empty path records nothing. Cancelling the wait neither loses nor repeats the metric.
        """
        keys = path_of(path)
        return await self._track(GRAPH_PATH, keys) if keys else False

    async def track_redirect(self, source_key: str, redirected_target: str) -> bool:
        """Record that a node sent the work somewhere else than was planned; every call is recorded.

        Cancelling the wait neither loses nor repeats the metric.
        """
        ends = ends_of(source_key, redirected_target, target="redirected_target")
        return await self._track(REDIRECT, ends)

    async def track_handoff_success(self, source_key: str, target_key: str) -> bool:
        """Record that one node handed the work to another; every call is recorded.

        Cancelling the wait neither loses nor repeats the metric.
        """
        return await self._track(HANDOFF_SUCCESS, ends_of(source_key, target_key))

    async def track_handoff_failure(self, source_key: str, target_key: str) -> bool:
        """Record that one node could not hand the work to another; every call is recorded.

        Cancelling the wait neither loses nor repeats the metric.
        """
        return await self._track(HANDOFF_FAILURE, ends_of(source_key, target_key))
