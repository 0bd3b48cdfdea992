"""Python values as a JavaScript template sees them.

Rule for this file: what a value is worth in a condition, how it reads as text, and what can be looked up
inside it, live here and nowhere else. It knows nothing of tags, and no code of a caller's class runs
while a type is recognised: types are compared, attributes are never read.

Only `Mapping`, `list` and `tuple` are walked. Text, numbers, booleans and `None` are themselves. `Decimal`,
`date`, `datetime`, `time`, `timedelta` and `UUID` read as `str` writes them, and an `Enum` member stands
for its value. Everything else (callables, objects, bytes, sets, iterators) stands for `None`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final, TypeGuard
from uuid import UUID

__all__ = ["MISSING", "elements", "is_list", "is_truthy", "member", "plain", "to_text"]


class _Missing(enum.Enum):
    MISSING = enum.auto()


MISSING: Final = _Missing.MISSING
"""The answer for a name that is not there, unlike one that is there and is ``None``."""

_EXACT: Final = frozenset({type(None), bool, int, float, str, dict, list, tuple})
_PRINTABLE: Final = (Decimal, date, time, timedelta, UUID)
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def _itself(value: Any) -> Any:
    return value


def _enum_value(value: Any) -> object:
    return plain(object.__getattribute__(value, "_value_"))


# The first row whose type fits decides. Scalars lose their subclass, and with it any method it overrides.
_REDUCTIONS: Final[Mapping[Any, Callable[[Any], object]]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    (list, tuple): _itself,
    _PRINTABLE: _itself,
    enum.Enum: _enum_value,
    Mapping: _itself,
}


def plain(value: Any) -> object:
    """Reduce any object to one of the kinds that the other functions here take, `None` if it is opaque."""
    kind = type(value)
    try:
        if kind in _EXACT:
            return value
        for base, reduction in _REDUCTIONS.items():
            if issubclass(kind, base):
                return reduction(value)
    except Exception:  # noqa: BLE001 - a metaclass may break even the question for the type
        return None
    return None


def is_list(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Whether the value is what JavaScript would have as an array."""
    return issubclass(type(value), (list, tuple))


def elements(value: list[object] | tuple[object, ...]) -> Iterator[object]:
    """Iterate over what the list or tuple holds, whatever its class made of ``__iter__``."""
    return map(plain, _storage(value).__iter__(value))


def is_truthy(value: object) -> bool:
    """JavaScript's truth of a plain value, with empty lists false, as Mustache has it."""
    kind = type(value)
    if kind is float:
        return value == value and value != 0  # noqa: PLR0124 - not a number is not itself
    if is_list(value):
        return _length(value) > 0
    if issubclass(kind, Decimal):
        number: Any = value
        return not Decimal.is_nan(number) and Decimal.__bool__(number)
    return kind not in _EXACT or kind is dict or bool(value)


def member(value: Any, name: str, *, of_text: bool) -> object:
    """What a plain value has under a name: a key, an index, or its `length`; `MISSING` if it has none.

    Text has an index and a length only where the caller says so.
    """
    kind = type(value)
    if kind is dict:
        return _mapping_member(value, name)
    if kind is str:
        return _text_member(value, name) if of_text else MISSING
    if is_list(value):
        return _list_member(value, name)
    return _mapping_member(value, name) if issubclass(kind, Mapping) else MISSING


def _mapping_member(value: Any, name: str) -> object:
    try:
        # Asked first: a defaultdict must not grow by being read.
        return plain(value[name]) if name in value else MISSING
    except Exception:  # noqa: BLE001 - a caller's Mapping may do anything; a prompt is still wanted
        return MISSING


def _list_member(value: Any, name: str) -> object:
    if name == "length":
        return _length(value)
    if not _INDEX.fullmatch(name) or int(name) >= _length(value):
        return MISSING
    return plain(_storage(value).__getitem__(value, int(name)))


def _length(value: Any) -> int:
    length: int = _storage(value).__len__(value)
    return length


def _storage(value: Any) -> Any:
    """The class whose methods read what the value really holds: a subclass may have its own."""
    return list if issubclass(type(value), list) else tuple


def _text_member(value: str, name: str) -> object:
    """Count UTF-16 units, as JavaScript does; half of a character is U+FFFD, so that text stays encodable."""
    if name != "length" and not _INDEX.fullmatch(name):
        return MISSING
    units = value.encode("utf-16-le", "surrogatepass")
    if name == "length":
        return len(units) // 2
    start = int(name) * 2
    return units[start : start + 2].decode("utf-16-le", "replace") if start < len(units) else MISSING


def to_text(value: object) -> str:
    """A plain value as JavaScript's ``String(value)`` writes it, with `None` empty."""
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    if is_list(value):
        return _joined(value)
    if not issubclass(type(value), _PRINTABLE):
        return "[object Object]"
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a subclass may bring a __str__ of its own
        return ""


def _int_text(value: int) -> str:
    """All digits, where JavaScript would round: a user's int is an id more often than a measurement."""
    try:
        return str(value)
    except ValueError:
        # Longer than the interpreter converts, so also far beyond JavaScript's largest number.
        return "Infinity" if value > 0 else "-Infinity"


def _float_text(value: float) -> str:
    """Python and JavaScript choose the same shortest digits; they differ in when the exponent appears."""
    if not -float("inf") < value < float("inf"):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]
    mantissa, _, exponent = repr(value or 0.0).partition("e")
    if not exponent:
        return mantissa.removesuffix(".0")
    power = int(exponent)
    if not -7 < power < 21:  # noqa: PLR2004 - the bounds of JavaScript's Number::toString
        return f"{mantissa}e{power:+d}"
    sign, digits = "-" if value < 0 else "", mantissa.replace(".", "").removeprefix("-")
    if power > 0:
        return sign + digits.ljust(power + 1, "0")
    return f"{sign}0.{'0' * (-power - 1)}{digits}"


_WRITERS: Final[Mapping[type, Callable[[Any], str]]] = {
    str: str.__str__,
    type(None): lambda _: "",
    bool: lambda value: "true" if value else "false",
    int: _int_text,
    float: _float_text,
    dict: lambda _: "[object Object]",
}


def _joined(value: list[object] | tuple[object, ...]) -> str:
    """Leaves of nested lists with commas between them; a list inside itself is empty there.

    A loop, not a recursion: data from outside may be nested deeper than the stack is.
    """
    leaves: list[str] = []
    unfinished = [(id(value), elements(value))]
    open_lists = {id(value)}
    while unfinished:
        identity, rest = unfinished[-1]
        for item in rest:
            if not is_list(item):
                leaves.append(to_text(item))
            elif _length(item) == 0 or id(item) in open_lists:
                leaves.append("")
            else:
                unfinished.append((id(item), elements(item)))
                open_lists.add(id(item))
                break
        else:
            unfinished.pop()
            open_lists.discard(identity)
    return ",".join(leaves)
