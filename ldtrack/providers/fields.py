"""Looking into other people's objects without trusting them.

Rule for this file: nothing here raises, whatever it is given. What is missing or of the wrong type is
``None``, or empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["comes_from", "count", "field", "is_error", "is_filled", "items", "name"]


_LISTS: Final = (list, tuple)
_FILLABLE: Final = (str, bytes, list, tuple)
# Tuples, since `list | tuple` would be put together again at every call.


def field(thing: object, key: str) -> Any:
    """The key of a mapping or the attribute of an object; ``None`` if there is none.

    A dict with attributes of its own is asked for those first: they may know more than its keys.
    """
    try:
        if type(thing) is dict:
            return thing.get(key)
        found = getattr(thing, key, None)
        return thing.get(key) if found is None and isinstance(thing, Mapping) else found
    except Exception:  # noqa: BLE001 - a property of somebody else's object may raise anything
        return None


def items(thing: object) -> Sequence[Any]:
    """What is in a list or tuple; nothing for anything else."""
    return thing if isinstance(thing, _LISTS) else ()


def name(thing: object) -> str | None:
    """Text that is not empty, as plain text; ``None`` for anything else."""
    if type(thing) is str:
        return thing or None
    # A member of an enumeration, or a type of the SDK's own: what is recorded is nobody's but ours.
    return str.__str__(thing) if isinstance(thing, str) and thing else None


def count(thing: object) -> int | None:
    """A number of tokens: whole and not negative, and no bool; ``None`` for anything else."""
    return thing if isinstance(thing, int) and not isinstance(thing, bool) and thing >= 0 else None


def is_filled(thing: object) -> bool:
    """Whether this is text, bytes or a list, and not empty."""
    return isinstance(thing, _FILLABLE) and len(thing) > 0


def is_error(thing: object) -> bool:
    """Whether this describes an error: text, or something with a message, a code or a type."""
    return is_filled(thing) or any(field(thing, key) is not None for key in ("message", "code", "type"))


def comes_from(kind: type, modules: tuple[str, ...]) -> bool:
    """Whether a type, or one that it derives from, is defined in one of these modules or packages."""
    for base in kind.__mro__:
        home = base.__dict__.get("__module__")
        if isinstance(home, str) and any(home == at or home.startswith(f"{at}.") for at in modules):
            return True
    return False
