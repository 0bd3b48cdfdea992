"""Agent graphs, on both SDKs: which are enabled, in which order they are walked, and what trackers send.

Rule for this file: as for the other scenarios. What the two call differently is bridged in the first lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .flags import FLAGS
from .harness import differs, same
from .sides import ADA, Side

AGENT = {
    "_ldMeta": {"enabled": True, "variationKey": "v1", "version": 2},
    "model": {"name": "gpt-4o"},
    "provider": {"name": "openai"},
    "instructions": "Help.",
}


def served(root: Any, links: Mapping[str, str], **parts: Any) -> dict[str, Any]:
    """Flags with a graph of agents whose names are single letters."""
    edges = {source: [{"key": target} for target in targets] for source, targets in links.items()}
    graph = {"_ldMeta": {"enabled": True, "variationKey": "warm", "version": 3}, "root": root, "edges": edges}
    return {**FLAGS, **dict.fromkeys("RABCDXYTU", AGENT), "trip": {**graph, **parts}}


EVEN = served("R", {"R": "AB", "A": "C", "B": "D"})


async def the_graph(side: Side) -> Any:
    """The graph; the scenario begins after this."""
    graph = await side.call(side.ai.agent_graph, "trip", ADA)
    side.from_here()
    return graph


async def is_enabled(side: Side) -> Any:
    graph = await the_graph(side)
    return graph if isinstance(graph, str) else graph.enabled


async def walked(side: Side, *methods: str) -> list[Any]:
    """The keys of the nodes in the order in which a function is called with them."""
    graph = await the_graph(side)
    orders = []
    for method in methods:
        seen: list[str] = []

        def visit(node: Any, _: Any, seen: list[str] = seen) -> str:
            seen.append(node.key if side.is_ours else node.get_key())
            return "done"

        orders.append([*seen] if await side.call(getattr(graph, method), visit) is None else seen)
    return orders


@same(flags=EVEN)
async def an_even_graph_is_walked(side: Side) -> list[Any]:
    return await walked(side, "traverse", "reverse_traverse")


@same(flags=served("R", {"R": "AB", "A": "B"}))
async def a_shortcut_is_walked_down(side: Side) -> list[Any]:
    return await walked(side, "traverse")


@same(flags=served("R", {"R": "A", "A": "BR"}))
async def a_cycle_is_walked_up(side: Side) -> list[Any]:
    return await walked(side, "reverse_traverse")


@differs(
    "graph-top-down",
    official=['-> [["A", "R", "B"]]'],
    ours=['-> [["R", "A", "B"]]'],
    flags=served("R", {"R": "A", "A": "BR"}),
)
async def a_cycle_is_walked_down(side: Side) -> list[Any]:
    return await walked(side, "traverse")


@same(flags=served("R", {}))
async def a_graph_of_one_node(side: Side) -> list[Any]:
    return await walked(side, "traverse", "reverse_traverse")


@same(flags=EVEN)
async def the_neighbours_of_a_node(side: Side) -> list[Any]:
    graph = await the_graph(side)
    if side.is_ours:
        found = (graph.children("R"), graph.parents("C"), graph.terminal_nodes)
        return [[node.key for node in nodes] for nodes in found]
    found = (graph.get_child_nodes("R"), graph.get_parent_nodes("C"), graph.terminal_nodes())
    return [[node.get_key() for node in nodes] for nodes in found]


@same(flags=EVEN)
async def a_run_of_a_node(side: Side) -> None:
    graph = await the_graph(side)
    node = graph.get_node("A")
    tracker = (node.config if side.is_ours else node.get_config()).create_tracker()
    await side.call(tracker.track_duration, 12)
    await side.call(tracker.track_tokens, side.types.TokenUsage(12, 5, 7))
    await side.call(tracker.track_success)


@same(flags=served("R", {"R": "Z"}))
async def a_node_without_a_flag(side: Side) -> Any:
    return await is_enabled(side)


@same(flags=served(None, {"R": "A"}))
async def a_graph_without_a_root(side: Side) -> Any:
    return await is_enabled(side)


@same(flags=FLAGS)
async def a_graph_without_a_flag(side: Side) -> Any:
    return await is_enabled(side)


@differs(
    "graph-switched-off",
    official=["-> true"],
    ours=["-> false"],
    flags=served("R", {"R": "A"}, _ldMeta={"enabled": False}),
)
async def a_graph_that_is_switched_off(side: Side) -> Any:
    return await is_enabled(side)


@differs(
    "graph-unreachable", official=["-> true"], ours=["-> false"], flags=served("R", {"R": "A", "B": "C"})
)
async def a_node_that_nothing_leads_to(side: Side) -> Any:
    return await is_enabled(side)


@differs(
    "graph-malformed",
    official=["-> raises AttributeError"],
    ours=["-> false"],
    flags=served("R", {}, edges=None),
)
async def null_edges(side: Side) -> Any:
    return await is_enabled(side)


@differs(
    "graph-malformed",
    official=["-> raises AttributeError"],
    ours=["-> false"],
    flags={**FLAGS, "trip": ["R"]},
)
async def a_graph_that_is_a_list(side: Side) -> Any:
    return await is_enabled(side)


@differs(
    "graph-bottom-up",
    official=['-> [["T", "U", "X", "Y", "R"]]'],
    ours=['-> [["T", "U", "Y", "X", "R"]]'],
    flags=served("R", {"R": "X", "X": "TY", "Y": "U"}),
)
async def an_uneven_graph_is_walked_up(side: Side) -> list[Any]:
    return await walked(side, "reverse_traverse")


@differs(
    "graph-bottom-up",
    official=["-> [[]]"],
    ours=['-> [["B", "A", "R"]]'],
    flags=served("R", {"R": "A", "A": "B", "B": "R"}),
)
async def a_graph_without_an_end_is_walked_up(side: Side) -> list[Any]:
    return await walked(side, "reverse_traverse")


@differs(
    "graph-run-id",
    official=["graph:invocation_success=1", "graph:duration:total=12", "-> false"],
    ours=["graph:invocation_success=1", "graph:duration:total=12", "-> true"],
    flags=EVEN,
    changes_data=True,
)
async def a_run_of_a_graph(side: Side) -> bool:
    tracker = (await the_graph(side)).create_tracker()
    await side.call(tracker.track_invocation_success)
    await side.call(tracker.track_duration, 12)
    return side.summary(tracker).resumption_token is not None


@differs(
    "graph-path",
    official=["graph:path=1", "graph:path=1"],
    ours=["graph:path=1"],
    flags=EVEN,
    changes_data=True,
)
async def a_path_is_tracked_twice(side: Side) -> None:
    tracker = (await the_graph(side)).create_tracker()
    await side.call(tracker.track_path, ["R", "A"])
    await side.call(tracker.track_path, ["C"])


@differs(
    "graph-keys",
    official=["graph:path=1", "graph:handoff_success=1"],
    ours=[],
    flags=EVEN,
)
async def keys_that_are_none(side: Side) -> None:
    tracker = (await the_graph(side)).create_tracker()
    await side.call(tracker.track_path, "RA")
    await side.call(tracker.track_handoff_success, "R", "")


@differs("graph-usage-event", official=[], ours=["usage:agent-graph=1"], flags=EVEN)
async def asking_for_a_graph(side: Side) -> None:
    side.from_here()
    await side.call(side.ai.agent_graph, "trip", ADA)
