"""JSON that cannot change: the shape in which foreign data is kept and handed out.

Rule for this file: it knows JSON and nothing of AI Configs. `freeze` takes a copy that shares nothing with
what it was made from; `thaw` gives a fresh plain copy back.

A frozen object is a `FrozenMapping` and a frozen list a `tuple`, so that no downcast to `dict` or `list`
finds anything to write to. `types.MappingProxyType` alone would not do: it hands the dict behind it to the
other side of `==` and `|`, and it can be neither hashed nor pickled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, Self, TypeVar, final

__all__ = ["FrozenMapping", "freeze", "freeze_object", "thaw"]

T_co = TypeVar("T_co", covariant=True)

# As deep as mappings and lists may nest, so that comparing, hashing, printing and pickling, which all
# recurse, never meet the interpreter's limit. Also what ends the copying of a value that contains itself.
_MAX_DEPTH: Final = 100
# As many values as a whole may hold. A value that refers to its parts many times over (YAML's aliases make
# them) is small in memory, and would be huge once copied.
_MAX_VALUES: Final = 1_000_000
# Beyond this an int is infinite to every reader that has doubles, and too long for Python to print.
_MAX_INT_BITS: Final = 1024


@final
class FrozenMapping(Mapping[str, T_co]):
    """A read-only mapping that is no `dict` and shares nothing with the one it was made from.

    The values are kept as they are: `freeze` makes one whose values are frozen too.
    """

    __slots__ = ("_entries",)

    _entries: Mapping[str, T_co]

    def __init__(self, entries: Mapping[str, T_co]) -> None:
        object.__setattr__(self, "_entries", MappingProxyType(dict(entries)))

    def __getitem__(self, key: str) -> T_co:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __repr__(self) -> str:
        return f"FrozenMapping({self._entries})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a FrozenMapping cannot change, so {name!r} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a FrozenMapping cannot change, so {name!r} cannot be deleted")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[FrozenMapping[Any]], tuple[dict[str, Any]]]:
        return FrozenMapping, (dict(self._entries),)


def freeze(value: object, what: str = "a JSON value") -> Any:
    """Copy a JSON value into one that cannot change.

    Subclasses of the JSON types, such as text enums and numpy's floats, become the plain type. Any
    `Mapping` is taken for an object, lists and tuples for a list.

    Raises:
        TypeError: Something in it is not JSON, or a key is not text.
        ValueError: A number is not finite or too long for JSON, or the value is nested too deep or too large.
    """
    return _Freezer(what).frozen(value, 0)


def freeze_object(value: Mapping[str, object] | None, what: str) -> FrozenMapping[Any] | None:
    """`freeze`, for what must be a mapping or left out."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be a mapping, not {type(value).__name__}")
    frozen: FrozenMapping[Any] = freeze(value, what)
    return frozen


def thaw(value: Any) -> Any:
    """A fresh copy of a frozen value, made of plain dicts and lists."""
    if type(value) is FrozenMapping:
        return {key: thaw(item) for key, item in value.items()}
    if type(value) is tuple:
        return [thaw(item) for item in value]
    return value


class _Freezer:
    """One `freeze`: what it is about, for its errors, and how many more values it may copy."""

    __slots__ = ("_room", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._room = _MAX_VALUES

    def frozen(self, value: Any, depth: int) -> Any:
        # By the type alone: `isinstance` would ask a foreign object for its `__class__`.
        kind = type(value)
        if kind is str or kind is bool or value is None:
            return value
        if issubclass(kind, (str, int, float)):
            return self._scalar(value)
        if kind is dict or issubclass(kind, Mapping):
            self._enter(value, depth)
            depth += 1
            return FrozenMapping({self._key(key): self.frozen(item, depth) for key, item in value.items()})
        if issubclass(kind, (list, tuple)):
            self._enter(value, depth)
            return tuple([self.frozen(item, depth + 1) for item in value])
        raise TypeError(f"{self._what} must hold JSON values only, not {kind.__name__}")

    def _enter(self, value: Any, depth: int) -> None:
        if depth >= _MAX_DEPTH:
            raise ValueError(f"{self._what} must not nest deeper than {_MAX_DEPTH} levels")
        self._room -= len(value)
        if self._room < 0:
            raise ValueError(f"{self._what} must not hold more than {_MAX_VALUES:,} values")

    def _key(self, key: Any) -> str:
        if issubclass(type(key), str):
            return str.__str__(key)
        raise TypeError(f"{self._what} must have text for keys, not {type(key).__name__}")

    def _scalar(self, value: str | float) -> str | float:
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            whole = int.__int__(value)
            if whole.bit_length() > _MAX_INT_BITS:
                raise ValueError(f"{self._what} must not hold a number of more than {_MAX_INT_BITS} bits")
            return whole
        number = float.__float__(value)
        if not math.isfinite(number):
            raise ValueError(f"{self._what} must not hold {number}, which JSON cannot express")
        return number
