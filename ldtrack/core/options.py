"""What is wrong with an option is said when something is made with it, and not by what fails later.

Rule for this file: plain checks that raise. Each says what was given and what is wanted, and quotes no text
that may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = [
    "require_callables",
    "require_counts",
    "require_flags",
    "require_kinds",
    "require_methods",
    "require_positive",
    "require_seconds",
    "require_several",
    "require_texts",
]

Kind = type | tuple[type, ...]


def require_kinds(**options: tuple[object, Kind]) -> None:
    """Refuse what is no instance of its kind, or has not its methods; ``None`` is fine."""
    for name, (given, kind) in options.items():
        # A class has the methods of its instances; given in place of one, it would fail when it is used.
        if given is not None and (isinstance(given, type) or not isinstance(given, kind)):
            wanted = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
            raise TypeError(f"{name} must be a {wanted}, not {_shown(given)}")


def require_methods(**options: tuple[object, tuple[str, ...], str]) -> None:
    """Refuse what has not these methods, and say what would do."""
    for name, (given, methods, wanted) in options.items():
        missing = [f"{one}()" for one in methods if not callable(getattr(given, one, None))]
        if missing or isinstance(given, type):
            what = "" if isinstance(given, type) else f", which has no {' and no '.join(missing)}"
            raise TypeError(f"{name} must be {wanted}, not {_shown(given)}{what}")


def require_callables(**options: object) -> None:
    """Refuse what is no function; ``None`` is fine."""
    for name, given in options.items():
        if given is not None and not callable(given):
            raise TypeError(f"{name} must be a function, not {given!r} ({type(given).__name__})")


def require_flags(**options: object) -> None:
    """Refuse what is neither ``True`` nor ``False``."""
    for name, given in options.items():
        if not isinstance(given, bool):
            raise TypeError(f"{name} must be True or False, not {_shown(given)}")


def require_texts(**options: object) -> None:
    """Refuse what is no text; ``None`` is fine."""
    for name, given in options.items():
        if given is not None and not isinstance(given, str):
            raise TypeError(f"{name} must be a str, not {_shown(given)}")


def require_several(**options: object) -> None:
    """Refuse what is not several things in a row: one text is not."""
    for name, given in options.items():
        if isinstance(given, str | bytes | Mapping | type) or not isinstance(given, Iterable):
            raise TypeError(f"{name} must be several: a list or a tuple, not {_shown(given)}")


def require_counts(**numbers: object) -> None:
    """Refuse what is no whole number from 1 on."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"{name} must be a whole number, not {number!r} ({type(number).__name__})")
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number!r}")


def require_seconds(**limits: object) -> None:
    """Refuse what is no number of seconds from 0 on."""
    for name, limit in limits.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float):
            raise TypeError(f"{name} must be a number of seconds, not {limit!r} ({type(limit).__name__})")
        if not limit >= 0:
            raise ValueError(f"{name} must be a positive number of seconds, got {limit!r}")


def require_positive(**limits: object) -> None:
    """Refuse what is no number of seconds above 0."""
    for name, limit in limits.items():
        require_seconds(**{name: limit})
        if limit == 0:
            raise ValueError(f"{name} must be a positive number of seconds, got {limit!r}")


def _shown(given: object) -> str:
    """By its type: in place of an option somebody may have given a key."""
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
