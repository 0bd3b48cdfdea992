"""Reading one object of a flag: what is there, what is missing, and what is not what it should be.

Rule for this file: it knows JSON, its types and how to complain about them; which members an AI Config has,
`variation_parts` says. Everything read here is frozen already, so every type is exact.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

import attrs

from ldtrack.core.frozen import FrozenMapping
from ldtrack.core.token import is_unicode

__all__ = [
    "COUNT",
    "LABEL",
    "LIST",
    "NAME",
    "OBJECT",
    "RATE",
    "SWITCH",
    "TEXT",
    "FlagPart",
    "Kind",
    "Problems",
    "shown",
]

T = TypeVar("T")
_LONGEST_SHOWN: Final = 40
_MOST_PROBLEMS: Final = 20
_LONGEST_LABEL: Final = 500
_LARGEST_COUNT: Final = 2**63 - 1

Complain = Callable[[str], None]


@attrs.define
class Problems:
    """The sentences that say what is wrong with a flag, as many as somebody would read."""

    _sentences: list[str] = attrs.field(factory=list, init=False)
    _unsaid: int = attrs.field(default=0, init=False)

    def add(self, sentence: str) -> None:
        """Note a problem."""
        if len(self._sentences) < _MOST_PROBLEMS:
            self._sentences.append(sentence)
        else:
            self._unsaid += 1

    def __bool__(self) -> bool:
        return bool(self._sentences)

    def __iter__(self) -> Iterator[str]:
        yield from self._sentences
        if self._unsaid:
            yield f"There are {self._unsaid} more problems of this kind."


@attrs.frozen
class Kind(Generic[T]):
    """A kind of JSON value: how a sentence names it, and how it is read; what does not fit reads as None."""

    words: str
    read: Callable[[Any], T | None]


def _text(value: object) -> str | None:
    return value if type(value) is str else None


def _name(value: object) -> str | None:
    return value if type(value) is str and value else None


def _label(value: object) -> str | None:
    return value if type(value) is str and len(value) <= _LONGEST_LABEL and is_unicode(value) else None


def _switch(value: object) -> bool | None:
    return value if type(value) is bool else None


def _count(value: object) -> int | None:
    # JSON has one kind of number: 3 and 3.0 are the same, and some writers prefer the latter.
    if type(value) is int or (type(value) is float and value.is_integer()):
        return int(value) if 0 <= value <= _LARGEST_COUNT else None
    return None


def _rate(value: object) -> float | None:
    return value if (type(value) is int or type(value) is float) and 0 <= value <= 1 else None


def _object(value: object) -> FrozenMapping[Any] | None:
    return value if type(value) is FrozenMapping else None


def _list(value: object) -> tuple[Any, ...] | None:
    return value if type(value) is tuple else None


TEXT: Final = Kind("text", _text)
NAME: Final = Kind("text that is not empty", _name)
SWITCH: Final = Kind("true or false", _switch)
LABEL: Final = Kind(f"Unicode text of at most {_LONGEST_LABEL} characters", _label)
"""Text that goes into tokens, and must fit there."""
COUNT: Final = Kind("a whole number, 0 or more, of at most 64 bits", _count)
RATE: Final = Kind("a number from 0 to 1", _rate)
OBJECT: Final = Kind("an object", _object)
LIST: Final = Kind("a list", _list)


def shown(value: object) -> str:
    """A JSON value as a sentence quotes it: on one line, not at any length, and always printable."""
    if isinstance(value, FrozenMapping):
        return "an object" if value else "an empty object"
    if isinstance(value, tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        value = value[: _LONGEST_SHOWN - 1] + "…"
    text = json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()
    return text if isinstance(value, str) or len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


@attrs.frozen
class FlagPart:
    """One object of a flag, where it is, and whom to tell when a member is not what it should be."""

    members: FrozenMapping[Any]
    path: str
    complain: Complain

    def path_of(self, name: str) -> str:
        """The path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def read(self, name: str, kind: Kind[T], *, null_is_absent: bool = True) -> T | None:
        """A member that may be absent; one of another kind is complained about, and counts as absent."""
        if name not in self.members:
            return None
        value = self.members[name]
        if value is None and null_is_absent:
            return None
        return self.check(value, self.path_of(name), kind)

    def check(self, value: object, path: str, kind: Kind[T]) -> T | None:
        """A value of this kind; another one is complained about."""
        found = kind.read(value)
        if found is None:
            self.complain(f"{path} must be {kind.words}, not {shown(value)}.")
        return found

    def require(self, name: str, kind: Kind[T]) -> T | None:
        """A member that must be there."""
        if name not in self.members:
            self.complain(f"{self.path_of(name)} is missing.")
        return self.read(name, kind, null_is_absent=False)

    def part(self, name: str, *, null_is_absent: bool = True) -> FlagPart | None:
        """A member that is an object, and may be absent."""
        members = self.read(name, OBJECT, null_is_absent=null_is_absent)
        return None if members is None else FlagPart(members, self.path_of(name), self.complain)

    def entry(self, value: object, path: str) -> FlagPart | None:
        """An entry of a list or map below this part, which must be an object."""
        members = self.check(value, path, OBJECT)
        return None if members is None else FlagPart(members, path, self.complain)

    def complaining_to(self, complain: Complain) -> FlagPart:
        """The same part, whose complaints go elsewhere."""
        return FlagPart(self.members, self.path, complain)
