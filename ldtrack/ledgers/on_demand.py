"""Names of a package that are imported when they are first asked for.

Rule for this file: a ledger brings a driver along, which may be an extra that is not installed. A package
can be looked through without it, and who asks for the ledger is told what to install.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["names_on_demand"]


def names_on_demand(
    package: str, homes: Mapping[str, str], *, driver: str = "", extra: str = "", known_as: str = ""
) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package: each name of ``homes`` is found in the module that it says.

    ``driver`` is the module that may be missing, ``known_as`` its name for people, and ``extra`` brings it.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(import_module(homes[name]), name)
        except ModuleNotFoundError as error:
            if not driver or error.name != driver:
                raise
            raise ImportError(
                f"{name} needs the driver {known_as or driver}: pip install 'ldtrack[{extra}]'"
            ) from error

    return find
