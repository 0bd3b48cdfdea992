"""Looking for something to write to.

Rule for this file: it trusts no annotation and no base class, only what happens when one tries.
"""

from __future__ import annotations

import copy
from collections.abc import MutableMapping, MutableSequence, MutableSet
from typing import Any

import attrs

from ldtrack.core.frozen import FrozenMapping

ATOMS = (str, int, float, bool, type(None))


def holes(value: Any, path: str = "it") -> list[str]:
    """Every place in a value, however deep, that can be changed; private state that is callable aside."""
    if type(value) in ATOMS:
        return []
    found = (
        [f"{path} is mutable"]
        if isinstance(value, dict | MutableMapping | MutableSequence | MutableSet)
        else []
    )
    found += [f"{path}: {how}" for how in _writes(value)]
    if type(value) is tuple:
        inner = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    elif type(value) is FrozenMapping:
        inner = [(f"{path}[{key!r}]", item) for key, item in value.items()]
    elif attrs.has(type(value)):
        inner = [
            (f"{path}.{field.name}", getattr(value, field.name))
            for field in attrs.fields(type(value))
            if not callable(getattr(value, field.name))
        ]
    else:
        return [*found, f"{path} is a {type(value).__name__}, of which nobody knows"]
    return found + [hole for inner_path, item in inner for hole in holes(item, inner_path)]


def _writes(value: Any) -> list[str]:
    attempts = {
        "takes attributes": lambda: setattr(value, "added", 1),
        "takes items": lambda: value.__setitem__("added", 1),
        "takes items by downcast": lambda: dict.__setitem__(value, "added", 1),
        "takes elements by downcast": lambda: list.append(value, 1),
        "grows": lambda: value.append(1),
        "updates": lambda: value.update(added=1),
        "loses items": lambda: value.pop("added", None),
        "has a dict of attributes": lambda: vars(value),
    }
    if attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            attempts[f"loses {field.name}"] = lambda name=field.name: delattr(value, name)
            attempts[f"takes {field.name}"] = lambda name=field.name: setattr(value, name, None)
    return [how for how, attempt in attempts.items() if _succeeds(attempt)] + _leaks(value)


def _succeeds(attempt: Any) -> bool:
    try:
        attempt()
    except (AttributeError, TypeError):
        return False
    return True


class Thief:
    """Keeps whatever the other side of an operator hands over."""

    def __init__(self) -> None:
        self.stolen: list[Any] = []

    def __eq__(self, other: object) -> bool:
        self.stolen.append(other)
        return True

    __hash__ = None  # type: ignore[assignment]  # a thief is no key

    def __ror__(self, other: object) -> Thief:
        self.stolen.append(other)
        return self


def _leaks(value: Any) -> list[str]:
    thief = Thief()
    _succeeds(lambda: value == thief)
    _succeeds(lambda: value | thief)
    return ["hands its dict to operators" for loot in thief.stolen if type(loot) is dict] + [
        "has a copy that is not itself"
        for copied in (copy.copy(value), copy.deepcopy(value))
        if type(value) is FrozenMapping and copied is not value
    ]
