"""Hypothesis strategies that several tests share.

Rule for this file: a strategy says in its docstring what it draws; assertions are the tests' own.
"""

from __future__ import annotations

import copy
import enum
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

MODES = ("completion", "agent", "judge")

any_text = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["", " ", "{{name}}", "{{#open}}", "{{message_history}}", "\ud800", "false", "3"]
)
"""Text, templates whole and broken, and half characters."""

finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | finite | any_text
"""What JSON has besides objects and lists."""


def json_of(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects and lists of such leaves."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
        max_leaves=12,
    )


json_values = json_of(scalars)
"""Any JSON value."""
json_objects = st.dictionaries(any_text, json_values, max_size=4)
"""Any JSON object."""


class Shade(enum.StrEnum):
    """Text that is more than text."""

    DARK = "dark"


class HostileMapping(Mapping[str, Any]):
    """A mapping that fails whatever it is asked."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("iter")

    def __len__(self) -> int:
        raise UnspeakableError


class UnspeakableError(Exception):
    """An error that fails to say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("str")


class Shapeless:
    """An object that is of no class when asked."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("class")


def containing_itself() -> list[Any]:
    """A list that holds itself."""
    loop: list[Any] = []
    loop.append(loop)
    return loop


def nested(depth: int) -> Any:
    """Lists and objects in turns, so many deep."""
    value: Any = "bottom"
    for level in range(depth):
        value = [value] if level % 2 else {"inner": value}
    return value


def repeated(depth: int) -> Any:
    """A list of two lists of two lists of ...: small in memory, with two to the power of depth leaves."""
    value: Any = "leaf"
    for _ in range(depth):
        value = [value, value]
    return value


_MAKERS = [
    lambda: float("nan"),
    lambda: float("-inf"),
    lambda: 2**2000,
    lambda: b"bytes",
    lambda: bytearray(b"bytes"),
    lambda: {1, 2},
    lambda: 1j,
    lambda: Ellipsis,
    object,
    HostileMapping,
    lambda: Shade.DARK,
    lambda: OrderedDict(a=1),
    lambda: (1, 2),
    lambda: {1: "number"},
    lambda: {Shade.DARK: "key"},
    containing_itself,
    lambda: nested(150),
    lambda: print,
    lambda: int,
]

# Made anew for each draw: other strategies change what they drew.
objects = st.integers(0, len(_MAKERS) - 1).map(lambda number: _MAKERS[number]())
"""What is no JSON, and what only looks like it; `Shapeless` would break hypothesis itself."""

python_values = json_of(scalars | objects)
"""Any JSON with anything in it."""

_metas = {
    "enabled": st.booleans(),
    "variationKey": st.text(st.characters(codec="utf-8"), max_size=10),
    "version": st.integers(0, 1000),
    "modelKey": any_text,
    "modelVersion": st.integers(0, 1000),
}
_names = st.text(min_size=1, max_size=10)
_models = st.fixed_dictionaries(
    {"name": _names},
    optional={"parameters": json_objects, "custom": json_objects, "region": any_text},
)
_providers = st.fixed_dictionaries({}, optional={"name": any_text})
_messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": any_text}),
    max_size=4,
)
_tools = st.dictionaries(
    _names,
    st.fixed_dictionaries(
        {},
        optional={
            "name": _names,
            "description": any_text,
            "type": any_text,
            "parameters": json_objects,
            "customParameters": json_objects,
        },
    ),
    max_size=3,
)
_judges = st.fixed_dictionaries(
    {"judges": st.lists(st.fixed_dictionaries({"key": _names, "samplingRate": st.floats(0, 1)}), max_size=3)}
)


def flags(mode: str) -> st.SearchStrategy[dict[str, Any]]:
    """Flags with which nothing is wrong."""
    parts: dict[str, st.SearchStrategy[Any]] = {"model": _models, "provider": _providers}
    if mode == "agent":
        parts["instructions"] = any_text
    else:
        parts["messages"] = _messages
    if mode == "judge":
        parts["evaluationMetricKey"] = any_text
        parts["evaluationMetricKeys"] = st.lists(any_text, max_size=3)
    else:
        parts["tools"] = _tools
        parts["judgeConfiguration"] = _judges
    meta = st.fixed_dictionaries({}, optional={**_metas, "mode": st.just(mode)})
    nullable = {name: st.none() | part for name, part in parts.items()}
    return st.fixed_dictionaries({"_ldMeta": meta}, optional=nullable)


@st.composite
def nearly_flags(draw: st.DrawFn, mode: str, values: st.SearchStrategy[Any] = json_values) -> Any:
    """Flags in which up to three members are replaced, missing, or under another name."""
    holder = [copy.deepcopy(draw(flags(mode)))]
    for _ in range(draw(st.integers(1, 3))):
        container, place = draw(st.sampled_from(sorted(_places(holder), key=lambda found: repr(found[1]))))
        change = draw(st.sampled_from(["replace", "drop", "rename"]))
        if change == "replace" or container is holder:
            container[place] = draw(values)
        else:
            value = container.pop(place)
            if change == "rename" and isinstance(container, dict):
                container[draw(any_text)] = value
    return holder[0]


def _places(container: Any, depth: int = 6) -> Iterator[tuple[Any, Any]]:
    """Every container of plain JSON, down to some depth, with every place in it."""
    found = container.items() if type(container) is dict else enumerate(container)
    for place, value in found:
        yield container, place
        if type(value) in {dict, list} and depth:
            yield from _places(value, depth - 1)
