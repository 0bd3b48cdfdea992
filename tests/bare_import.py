"""Imports every public module that needs no extra, and says what an import drags in.

A script, run by `nox -s bare_import` and `nox -s lowest` in environments that have no pytest.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import ldtrack

HEAVY = {
    "agents",
    "aiohttp",
    "anthropic",
    "fastapi",
    "hypothesis",
    "langchain",
    "langchain_core",
    "langgraph",
    "openai",
    "opentelemetry",
    "psycopg",
    "pytest",
    "redis",
    "starlette",
}
NEEDS_EXTRA = (
    "ldtrack.pytest_plugin",
    "ldtrack.ledgers.postgres.",
    "ldtrack.ledgers.redis.",
    "ldtrack.providers.langchain_callbacks",
)
"""What their names begin with. Both packages import without their drivers, and so can be looked through."""


def heavy() -> set[str]:
    """What has been imported that only extras may import."""
    return HEAVY & set(sys.modules)


def public_modules() -> list[str]:
    """Every module of the package a user may import, by name."""

    def refuse(name: str) -> None:
        raise ImportError(f"{name} cannot be imported")

    names = [found.name for found in pkgutil.walk_packages(ldtrack.__path__, "ldtrack.", onerror=refuse)]
    return [
        name
        for name in names
        if not name.startswith(NEEDS_EXTRA) and not name.rpartition(".")[2].startswith("_")
    ]


if dragged := heavy():
    raise SystemExit(f"`import ldtrack` imports {', '.join(sorted(dragged))}, which only extras may need.")
modules = public_modules()
for module in modules:
    importlib.import_module(module)
if dragged := heavy():
    raise SystemExit(f"A module of ldtrack imports {', '.join(sorted(dragged))} although it needs no extra.")
print(f"{len(modules)} modules of {ldtrack.__file__} imported on Python {sys.version.split()[0]}.")
