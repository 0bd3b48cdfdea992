"""A stage with a graph on it: nodes that answer, stream and fail as they are told.

Rule for this file: what a graph's framework does, in a few lines each; what should come of it is for the
tests to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from fake_provider import Chunk, tick
from stage import ADA, Stage

from ldtrack.core.events import Attribution, GraphAttribution
from ldtrack.tracking.graph_tracker import GraphTracker
from ldtrack.tracking.sub_run import tracker_of
from ldtrack.tracking.tracker import Tracker

__all__ = ["GraphStage", "answering", "streaming"]

NODES = ("router", "writer", "critic")
TRIP = GraphAttribution("trip", 3, "warm")


class GraphStage(Stage):
    """A stage whose trackers are those of a graph of three nodes."""

    def new_graph_tracker(self, *nodes: str, parent_run_id: str | None = None) -> GraphTracker:
        """A tracker of another run of the graph."""
        return GraphTracker(
            self.recorder,
            TRIP,
            ADA,
            nodes={key: partial(self._new_node_tracker, key) for key in nodes or NODES},
            parent_run_id=parent_run_id,
        )

    def _new_node_tracker(self, key: str, parent_run_id: str) -> Tracker:
        attribution = Attribution(key, 1, "", "gpt", "openai", graph_key="trip")
        return tracker_of(self.recorder, attribution, ADA, parent_run_id=parent_run_id)

    def of(self, run_id: str) -> list[tuple[str, Any]]:
        """Name and value of the events of one run, in their order."""
        return [
            (event.key.removeprefix("$ld:ai:"), event.metric_value)
            for event in self.ledger.events
            if event.data["runId"] == run_id
        ]


async def answering(
    stage: Stage, text: str = "ok", ms: float = 10, usage: tuple[int, int] | None = (3, 4), **chunk: Any
) -> Chunk:
    """An answer that takes some time."""
    await tick()
    stage.clock.advance(ms / 1000)
    return Chunk(text, usage=usage, **chunk)


async def streaming(stage: Stage, *chunks: Chunk, ms: float = 5) -> AsyncIterator[Chunk]:
    """A stream each of whose chunks takes some time."""
    for chunk in chunks:
        await asyncio.sleep(0)
        stage.clock.advance(ms / 1000)
        yield chunk
