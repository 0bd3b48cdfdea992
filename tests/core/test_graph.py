"""Agent graphs: what a flag's value comes to, and in which order a graph is walked."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ldtrack.core.frozen import FrozenMapping
from ldtrack.core.graph import Edge, GraphFlag, Structure, parse_graph

NAMES = st.sampled_from([f"n{at}" for at in range(8)])
Links = dict[str, list[str]]


def flag_of(root: Any, links: Mapping[str, Any], **meta: Any) -> dict[str, Any]:
    """A graph's flag, from the keys that lead to one another."""
    edges = {source: [{"key": target} for target in targets] for source, targets in links.items()}
    return {"_ldMeta": {"enabled": True, **meta}, "root": root, "edges": edges}


def structure_of(root: str, links: Mapping[str, Any]) -> Structure:
    """The structure of a graph with which nothing is wrong."""
    flag = parse_graph(flag_of(root, links))
    assert flag.problems == ()
    assert flag.structure is not None
    return flag.structure


def reachable(root: str, links: Mapping[str, Any]) -> set[str]:
    """Every key that some way leads to from the root."""
    found, todo = {root}, [root]
    while todo:
        new = set(links.get(todo.pop(), ())) - found
        found |= new
        todo += new
    return found


@st.composite
def acyclic(draw: st.DrawFn) -> tuple[str, Links]:
    """A graph without cycles all of whose nodes can be reached, its edges listed in any order."""
    keys = draw(st.permutations([f"n{at}" for at in range(draw(st.integers(1, 8)))]))
    links: Links = {}
    for at, key in enumerate(keys[1:], start=1):
        parents = draw(st.sets(st.sampled_from(keys[:at]), min_size=1))
        for parent in sorted(parents):
            links.setdefault(parent, []).append(key)
    sources = draw(st.permutations(list(links)))
    return keys[0], {source: draw(st.permutations(links[source])) for source in sources}


@st.composite
def any_graph(draw: st.DrawFn) -> tuple[str, Links]:
    """A graph with whatever cycles, and nodes that nothing leads to."""
    links = draw(st.dictionaries(NAMES, st.lists(NAMES, unique=True, max_size=4), max_size=6))
    return draw(NAMES), links


# Orders


@given(acyclic())
def test_parents_come_before_children_and_the_root_first(graph: tuple[str, Links]) -> None:
    """On every graph without cycles, however long the ways to a node are."""
    root, links = graph
    order = structure_of(root, links).downward
    assert order[0] == root
    for source, targets in links.items():
        assert all(order.index(source) < order.index(target) for target in targets)


@given(acyclic())
def test_children_come_before_parents_and_the_root_last(graph: tuple[str, Links]) -> None:
    """On every graph without cycles, however uneven its paths are."""
    root, links = graph
    order = structure_of(root, links).upward
    assert order[-1] == root
    for source, targets in links.items():
        assert all(order.index(target) < order.index(source) for target in targets)


@given(acyclic())
def test_terminal_nodes_come_first_on_the_way_up(graph: tuple[str, Links]) -> None:
    """What has no children waits for nothing."""
    root, links = graph
    structure = structure_of(root, links)
    terminal = {key for key in structure.downward if key not in links}
    assert set(structure.upward[: len(terminal)]) == terminal


@given(any_graph())
@example(("n0", {"n0": ["n0"]}))
@example(("n0", {"n0": ["n1"], "n1": ["n0"]}))
def test_both_orders_have_every_node_once(graph: tuple[str, Links]) -> None:
    """Whatever cycles there are, and with no terminal node at all; the root is first, and last."""
    root, links = graph
    whole = {source: targets for source, targets in links.items() if source in reachable(root, links)}
    structure = structure_of(root, whole)
    assert set(structure.downward) == set(structure.upward) == reachable(root, whole)
    assert len(structure.downward) == len(structure.upward) == len(set(structure.downward))
    assert structure.downward[0] == root
    assert structure.upward[-1] == root


@given(any_graph())
def test_on_cycles_only_back_edges_are_against_the_order(graph: tuple[str, Links]) -> None:
    """As stated: those that lead back to a node that the depth-first walk is inside of, and no others."""
    root, links = graph
    whole = {source: targets for source, targets in links.items() if source in reachable(root, links)}
    back: set[tuple[str, str]] = set()

    def walk(key: str, inside: tuple[str, ...], seen: set[str]) -> None:
        seen.add(key)
        for child in whole.get(key, ()):
            if child in (*inside, key):
                back.add((key, child))
            elif child not in seen:
                walk(child, (*inside, key), seen)

    walk(root, (), set())
    structure = structure_of(root, whole)
    down, up = structure.downward.index, structure.upward.index
    for edge in structure.edges:
        ends = (edge.source_config, edge.target_config)
        if ends not in back:
            assert down(ends[0]) < down(ends[1])
            assert up(ends[1]) < up(ends[0])


@pytest.mark.parametrize("sources", [*itertools.permutations("RXY")], ids="".join)
@pytest.mark.parametrize("swapped", [False, True])
def test_row_43_a_node_with_one_terminal_and_one_deeper_child_waits_for_both(
    sources: tuple[str, ...], swapped: bool
) -> None:
    """R->X, X->T1, X->Y, Y->T2, in whatever order its edges are listed: the official SDK gets X before Y."""
    links = {"R": ["X"], "X": ["Y", "T1"] if swapped else ["T1", "Y"], "Y": ["T2"]}
    order = structure_of("R", {source: links[source] for source in sources}).upward
    assert order.index("T2") < order.index("Y") < order.index("X") < order.index("R")
    assert order.index("T1") < order.index("X")


@pytest.mark.parametrize("names", [*itertools.permutations("abcde")], ids="".join)
def test_row_43_the_names_of_the_nodes_play_no_part(names: tuple[str, ...]) -> None:
    """The same graph under all 120 assignments of names."""
    root, x, y, one, two = names
    structure = structure_of(root, {root: [x], x: [one, y], y: [two]})
    assert structure.upward == (one, two, y, x, root)
    assert structure.downward == (root, x, one, y, two)


def test_nodes_that_are_equally_far_come_as_they_are_listed() -> None:
    """The order is not only lawful but always the same one."""
    assert structure_of("r", {"r": ["b", "a", "c"]}).downward == ("r", "b", "a", "c")
    assert structure_of("r", {"r": ["b", "a", "c"]}).upward == ("b", "a", "c", "r")


def test_section_4_5_a_graph_without_a_terminal_node_is_walked_up_too() -> None:
    """The official SDK visits nothing at all."""
    assert structure_of("a", {"a": ["b"], "b": ["c"], "c": ["a"]}).upward == ("c", "b", "a")


def test_section_4_5_there_is_no_limit_to_the_depth() -> None:
    """The official SDK sorts what is deeper than ten levels to the end; Python's own stack ends at 1000."""
    chain = [f"n{at}" for at in range(5_000)]
    structure = structure_of("n0", {one: [other] for one, other in itertools.pairwise(chain)})
    assert structure.downward == tuple(chain)
    assert structure.upward == tuple(reversed(chain))


# Validation


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
nearly_flags = st.fixed_dictionaries(
    {},
    optional={
        "_ldMeta": json_values
        | st.fixed_dictionaries(
            {}, optional={"enabled": json_values, "variationKey": json_values, "version": json_values}
        ),
        "root": NAMES | json_values,
        "edges": json_values
        | st.dictionaries(
            NAMES | st.text(max_size=3),
            json_values
            | st.lists(
                json_values
                | st.fixed_dictionaries({}, optional={"key": NAMES | json_values, "handoff": json_values}),
                max_size=3,
            ),
            max_size=4,
        ),
    },
)


@given(json_values | nearly_flags)
def test_nothing_that_is_served_raises(value: Any) -> None:
    """Whatever it is, it becomes a sound graph, or a disabled one that says why; nothing is shared."""
    before = copy.deepcopy(value)
    flag = parse_graph(value)
    assert repr(value) == repr(before)
    assert all(problem.endswith(".") and "\n" not in problem for problem in flag.problems)
    "".join(flag.problems).encode()
    if flag.structure is None:
        meta = value.get("_ldMeta") if isinstance(value, dict) else None
        assert flag.problems or (isinstance(meta, dict) and meta["enabled"] is False)
    else:
        assert flag.structure.root == value["root"]
        hash(flag)


@given(any_graph())
def test_a_graph_is_enabled_if_every_node_can_be_reached(graph: tuple[str, Links]) -> None:
    """Cycles are fine; each node that nothing leads to is a problem of its own."""
    root, links = graph
    named = {key for source, targets in links.items() if targets for key in (source, *targets)}
    lost = named - reachable(root, links)
    flag = parse_graph(flag_of(root, links))
    assert (flag.structure is None) == bool(lost)
    assert len(flag.problems) == len(lost)
    assert all(any(f'"{key}"' in problem for problem in flag.problems) for key in lost)


R = flag_of("a", {})
DISABLED: dict[str, tuple[Any, str]] = {
    "no object": ([], "The flag's value must be an object, not an empty list."),
    "no JSON": ({"root": object()}, "The flag's value cannot be read (TypeError)."),
    "a missing flag": ({}, "root is missing."),
    "a null root": ({"root": None}, "not null."),
    "an empty root": ({"root": ""}, "root must be a key, "),
    "a root of another type": ({"root": 3}, "root must be a key, "),
    "a root that is too long": ({"root": "x" * 501}, "root must be a key, "),
    "null edges": ({**R, "edges": None}, "edges must be an object, not null."),
    "a list of edges": ({**R, "edges": [{"key": "b"}]}, "edges must be an object, not a list."),
    "no list of a node's edges": (
        {**R, "edges": {"a": {"key": "b"}}},
        'edges["a"] must be a list, not an object.',
    ),
    "null for a node's edges": ({**R, "edges": {"a": None}}, 'edges["a"] must be a list, not null.'),
    "a node without a name": ({**R, "edges": {"": []}}, "The key of edges must be a key, "),
    "an edge that is no object": ({**R, "edges": {"a": ["b"]}}, 'edges["a"][0] must be an object, not "b".'),
    "an edge without a key": ({**R, "edges": {"a": [{}]}}, 'edges["a"][0].key is missing.'),
    "an edge with an empty key": ({**R, "edges": {"a": [{"key": ""}]}}, 'edges["a"][0].key must be a key, '),
    "a handoff that is no object": (
        {**R, "edges": {"a": [{"key": "b", "handoff": "go"}]}},
        'edges["a"][0].handoff must be an object, not "go".',
    ),
    "an unreachable node": (
        flag_of("a", {"a": ["b"], "c": ["d"]}),
        'Node "c" cannot be reached from the root, "a".',
    ),
    "a null _ldMeta": ({**R, "_ldMeta": None}, "_ldMeta must be an object, not null."),
    "enabled of another type": (flag_of("a", {}, enabled="false"), "_ldMeta.enabled must be true or false"),
    "a version of another type": (flag_of("a", {}, version="3"), "_ldMeta.version must be a whole number"),
    "a variationKey of another type": (
        flag_of("a", {}, variationKey=3),
        "_ldMeta.variationKey must be Unicode",
    ),
}


@pytest.mark.parametrize("case", DISABLED.values(), ids=DISABLED)
def test_a_malformed_graph_is_disabled_and_says_why(case: tuple[Any, str]) -> None:
    """The official SDK raises for several of these, and runs others."""
    value, problem = case
    flag = parse_graph(value)
    assert flag.structure is None
    assert problem in " ".join(flag.problems)


def test_row_28_a_graph_that_is_switched_off_is_disabled_without_a_problem() -> None:
    """However broken it is beneath; the official SDK does not look."""
    assert parse_graph({"_ldMeta": {"enabled": False}, "root": 3}) == GraphFlag()


@pytest.mark.parametrize("value", [{"root": "a"}, {"root": "a", "_ldMeta": {}}, {"root": "a", "edges": {}}])
def test_a_graph_of_one_node(value: Any) -> None:
    """Edges may be missing, and so may `_ldMeta`, or what it says of `enabled`."""
    assert parse_graph(value) == GraphFlag(structure=Structure("a", (), ("a",), ("a",)))


def test_a_leftover_without_edges_is_no_node() -> None:
    """A source whose last edge was removed leads nowhere and is reached by nothing: it is not there."""
    assert structure_of("a", {"a": ["b"], "gone": []}).downward == ("a", "b")


def test_what_the_flag_says_of_its_variation_and_edges_is_kept() -> None:
    """Frozen, also where the graph is disabled."""
    value = flag_of("a", {}, variationKey="warm", version=3.0)
    value["edges"] = {"a": [{"key": "b", "handoff": {"description": ["go"]}}, {"key": "c", "handoff": None}]}
    flag = parse_graph(value)
    assert (flag.variation_key, flag.version) == ("warm", 3)
    assert flag.structure is not None
    assert flag.structure.edges == (
        Edge("a-b", "a", "b", FrozenMapping({"description": ("go",)})),
        Edge("a-c", "a", "c"),
    )
    off = parse_graph({**value, "root": None})
    assert (off.structure, off.variation_key, off.version) == (None, "warm", 3)


def test_a_second_edge_between_two_nodes_is_left_out_with_a_problem() -> None:
    """The first one counts, and the graph is enabled."""
    flag = parse_graph(flag_of("a", {"a": ["b", "b"]}))
    assert flag.problems == ('edges["a"][1] is a second edge from "a" to "b"; it is left out.',)
    assert flag.structure is not None
    assert len(flag.structure.edges) == 1


def test_nothing_of_a_graph_can_be_changed() -> None:
    """Its parts are frozen, and share nothing with the value."""
    value = flag_of("a", {"a": ["b"]})
    structure = parse_graph(value).structure
    assert structure is not None
    value["edges"]["a"].clear()
    assert structure.downward == ("a", "b")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        structure.root = "b"  # type: ignore[misc]  # the point
