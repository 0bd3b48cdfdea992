"""From a flag's value to the agent graph it describes, and the orders in which a graph is walked.

Rule for this file: structure only, it knows keys and nothing of agents; it never raises, whatever the value
is, and what it returns shares nothing with it.

==================================================  ==================================================
the flag's value                                    what comes of it
==================================================  ==================================================
no object, no JSON, nested too deep, or too large   disabled
`_ldMeta.enabled` is false                          disabled, without a problem; missing, it is true
`_ldMeta`, or a member of it, of another type       disabled: what is wrong there was meant for us
`root` is missing, empty, or not a key              disabled
`edges` is missing                                  a graph of one node
`edges`, the edges of a node, or an edge, of        disabled
another type, or null; an edge without a `key`
`handoff` is missing or null                        empty
`handoff` of another type                           disabled
a second edge from one node to another              left out, with a problem
a node that cannot be reached from the root         disabled
cycles, edges of a node to itself                   fine
==================================================  ==================================================

Every reason to be disabled but the first is a problem, as a sentence.

*Orders.* One depth-first walk from the root, which follows edges as they are listed, finds all nodes. An edge
that leads back to a node whose walk is not over is a back edge; without them there are no cycles. Then
`downward` sorts nodes by the longest way from the root and `upward` by the longest way to a node without
edges, both without back edges, and nodes that are equally far as the walk finds them. So downward has parents
before children and the root first, upward has children before parents and the root last, except that back
edges count for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from ldtrack.core.flag_part import COUNT, LABEL, LIST, OBJECT, SWITCH, FlagPart, Kind, Problems, shown
from ldtrack.core.frozen import FrozenMapping, freeze

__all__ = ["Edge", "GraphFlag", "Structure", "parse_graph"]


def _key(value: object) -> str | None:
    return LABEL.read(value) or None


_KEY: Final = Kind(f"a key, which is {LABEL.words} and not empty", _key)
_NO_HANDOFF: Final[FrozenMapping[Any]] = FrozenMapping({})


@attrs.frozen
class Edge:
    """A way from one node of a graph to another."""

    key: str
    """Source and target, joined by a hyphen."""
    source_config: str
    target_config: str
    handoff: FrozenMapping[Any] = _NO_HANDOFF
    """What the flag says about this way; ours to pass on."""


@attrs.frozen
class Structure:
    """The nodes and edges of a graph, as keys, all of them reachable from the root, with both orders."""

    root: str
    edges: tuple[Edge, ...]
    downward: tuple[str, ...]
    upward: tuple[str, ...]


@attrs.frozen(kw_only=True)
class GraphFlag:
    """What a graph's flag says."""

    structure: Structure | None = None
    """``None`` for a graph that is disabled."""
    variation_key: str = ""
    version: int = 1
    problems: tuple[str, ...] = ()


def parse_graph(value: object) -> GraphFlag:
    """Read a flag's value as an agent graph."""
    try:
        root = freeze(value, "it")
    except Exception as error:  # noqa: BLE001 - a foreign Mapping may do anything when it is read
        return GraphFlag(problems=(f"The flag's value cannot be read ({type(error).__name__}).",))
    if not isinstance(root, FrozenMapping):
        return GraphFlag(problems=(f"The flag's value must be an object, not {shown(root)}.",))
    malformed, minor = Problems(), Problems()
    flag = FlagPart(root, "", malformed.add)
    is_enabled, variation_key, version = _read_meta(flag)
    structure = None
    # What is switched off on purpose may well be half finished.
    if is_enabled:
        structure = _read_structure(flag, malformed, minor)
    return GraphFlag(
        structure=None if malformed else structure,
        variation_key=variation_key,
        version=version,
        problems=(*malformed, *minor),
    )


def _read_meta(flag: FlagPart) -> tuple[bool, str, int]:
    meta = flag.part("_ldMeta", null_is_absent=False)
    if meta is None:
        return True, "", 1
    is_enabled = meta.read("enabled", SWITCH, null_is_absent=False)
    variation_key = meta.read("variationKey", LABEL, null_is_absent=False)
    version = meta.read("version", COUNT, null_is_absent=False)
    return is_enabled is not False, variation_key or "", 1 if version is None else version


def _read_structure(flag: FlagPart, malformed: Problems, minor: Problems) -> Structure | None:
    root = flag.require("root", _KEY)
    edges = tuple(_read_edges(flag, minor))
    if root is None or malformed:
        return None
    walk = Walk.over(root, edges)
    named = dict.fromkeys(key for edge in edges for key in (edge.source_config, edge.target_config))
    for key in named:
        if key not in walk.place:
            malformed.add(f"Node {shown(key)} cannot be reached from the root, {shown(root)}.")
    return Structure(root, edges, walk.sorted_by(walk.depths()), walk.sorted_by(walk.heights()))


def _read_edges(flag: FlagPart, minor: Problems) -> Iterator[Edge]:
    sources = flag.part("edges", null_is_absent=False)
    if sources is None:
        return
    known: set[tuple[str, str]] = set()
    for source, entries in sources.members.items():
        path = f"{sources.path}[{shown(source)}]"
        if sources.check(source, f"The key of {sources.path}", _KEY) is None:
            continue
        listed = sources.check(entries, path, LIST)
        for index, entry in enumerate(listed or ()):
            part = sources.entry(entry, f"{path}[{index}]")
            target = None if part is None else part.require("key", _KEY)
            if part is None or target is None:
                continue
            handoff = part.read("handoff", OBJECT)
            if (source, target) in known:
                minor.add(
                    f"{part.path} is a second edge from {shown(source)} to {shown(target)}; it is left out."
                )
                continue
            known.add((source, target))
            yield Edge(f"{source}-{target}", source, target, handoff or _NO_HANDOFF)


@attrs.frozen
class Walk:
    """What one depth-first walk from the root finds."""

    place: dict[str, int]
    """Of each node, as the how manieth it was found; in that order."""
    finished: tuple[str, ...]
    """The nodes in the order in which their walks were over: without back edges, children before parents."""
    onward: Mapping[str, tuple[str, ...]]
    """The children of each node, without back edges."""

    @classmethod
    def over(cls, root: str, edges: tuple[Edge, ...]) -> Walk:
        """Walk; with a list of our own for a stack, since a graph may be deeper than Python's."""
        children: dict[str, list[str]] = {}
        for edge in edges:
            children.setdefault(edge.source_config, []).append(edge.target_config)
        place, finished, onward = {root: 0}, dict[str, None](), dict[str, list[str]]()
        way = [(root, iter(children.get(root, ())))]
        while way:
            key, rest = way[-1]
            for child in rest:
                if child not in place:
                    place[child] = len(place)
                    onward.setdefault(key, []).append(child)
                    way.append((child, iter(children.get(child, ()))))
                    break
                if child in finished:
                    onward.setdefault(key, []).append(child)
            else:
                finished[key] = None
                way.pop()
        return cls(place, tuple(finished), {key: tuple(onward.get(key, ())) for key in place})

    def depths(self) -> dict[str, int]:
        """Of each node the length of the longest way from the root."""
        depths = dict.fromkeys(self.place, 0)
        for key in reversed(self.finished):
            for child in self.onward[key]:
                depths[child] = max(depths[child], depths[key] + 1)
        return depths

    def heights(self) -> dict[str, int]:
        """Of each node the length of the longest way to one that leads nowhere."""
        heights: dict[str, int] = {}
        for key in self.finished:
            heights[key] = max((heights[child] + 1 for child in self.onward[key]), default=0)
        return heights

    def sorted_by(self, distance: Mapping[str, int]) -> tuple[str, ...]:
        """The nodes, near ones first."""
        return tuple(sorted(self.place, key=distance.__getitem__))
