"""What is wrong with an option is said when something is made with it, and not by what fails later.

Rule for this file: plain checks that raise. Each says what was given and what is wanted, and quotes no text
that may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "given",
    "require_callables",
    "require_clock",
    "require_counts",
    "require_flags",
    "require_kinds",
    "require_methods",
    "require_path",
    "require_positive",
    "require_seconds",
    "require_several",
    "require_texts",
]


def given(**options: Any) -> dict[str, Any]:
    """Those of the options that were given: none that is ``None``."""
    return {name: option for name, option in options.items() if option is not None}


def require_kinds(kinds: Mapping[str, type], options: Mapping[str, object]) -> None:
    """Refuse what is no instance of its kind, or has not its methods."""
    for name, option in options.items():
        # A class has the methods of its instances; given in place of one, it would fail when it is used.
        if isinstance(option, type) or not isinstance(option, kinds[name]):
            raise TypeError(f"{name} must be a {kinds[name].__name__}, not {_shown(option)}")


def require_clock(clock: object) -> None:
    """Refuse what does not tell the time; ``None`` is fine."""
    if clock is not None:
        require_methods("clock", clock, ("time", "monotonic_ns"), "a Clock")


def require_methods(name: str, option: object, methods: Iterable[str], wanted: str) -> None:
    """Refuse what has not these methods, and say what would do."""
    missing = [f"{one}()" for one in methods if not callable(getattr(option, one, None))]
    if missing or isinstance(option, type):
        which = f", which has no {' and no '.join(missing)}" if missing else ""
        raise TypeError(f"{name} must be {wanted}, not {_shown(option)}{which}")


def require_callables(**options: object) -> None:
    """Refuse what is no function."""
    for name, option in options.items():
        if not callable(option):
            raise TypeError(f"{name} must be a function, not {option!r} ({type(option).__name__})")


def require_flags(**options: object) -> None:
    """Refuse what is neither ``True`` nor ``False``."""
    for name, option in options.items():
        if not isinstance(option, bool):
            raise TypeError(f"{name} must be True or False, not {option!r} ({type(option).__name__})")


def require_texts(**options: object) -> None:
    """Refuse what is no text."""
    for name, option in options.items():
        if not isinstance(option, str):
            raise TypeError(f"{name} must be a str, not {_shown(option)}")


def require_path(**options: object) -> None:
    """Refuse what is no path of a file."""
    for name, option in options.items():
        as_path = getattr(option, "__fspath__", None)
        path = option if as_path is None else as_path()
        if not isinstance(path, str):
            raise TypeError(f"{name} must be the path of a file, as a str or a Path, not {_shown(option)}")
        if not path:
            raise ValueError(f"{name} is empty: give the path of a file")


def require_several(**options: object) -> None:
    """Refuse what is not several things in a row: one text is not."""
    for name, option in options.items():
        if isinstance(option, str | bytes | Mapping | type) or not isinstance(option, Iterable):
            raise TypeError(f"{name} must be several: a list or a tuple, not {_shown(option)}")


def require_counts(least: int = 1, /, **numbers: object) -> None:
    """Refuse what is no whole number from the least on."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"{name} must be a whole number, not {number!r} ({type(number).__name__})")
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {number!r}")


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


def _shown(option: object) -> str:
    """By its type: in place of an option somebody may have given a key."""
    if option is None:
        return "None"
    return f"the class {option.__name__}" if isinstance(option, type) else type(option).__name__
