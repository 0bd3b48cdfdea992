"""The package imports what it offers when it is asked for it, and offers what type checkers see."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ldtrack

SOURCE = Path(ldtrack.__file__).read_text(encoding="utf-8")


def plain_imports() -> dict[str, tuple[str, str]]:
    """Module and name of everything that type checkers see, by the name that it has here."""
    (only,) = [node for node in ast.parse(SOURCE).body if isinstance(node, ast.If)]
    return {
        (alias.asname or alias.name): (node.module or "", alias.name)
        for node in only.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def imported_by(statement: str) -> set[str]:
    """The modules of ours that a fresh interpreter has imported after this."""
    script = f"import sys\n{statement}\nprint(*[m for m in sys.modules if m.startswith('ldtrack')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {*done.stdout.split()}


def test_what_is_offered_is_what_type_checkers_see() -> None:
    """The names in ``__all__``, each the same object, from the place that the plain import names."""
    seen = plain_imports()
    assert {*seen} == {*ldtrack.__all__}
    for name, (module, original) in seen.items():
        assert getattr(ldtrack, name) is getattr(importlib.import_module(module), original), name
    assert {*ldtrack.__all__} <= {*dir(ldtrack)}


def test_importing_the_package_imports_nothing_else() -> None:
    """Neither the client nor what is managed."""
    assert imported_by("import ldtrack") == {"ldtrack"}


def test_a_client_imports_nothing_that_only_managed_models_need() -> None:
    """Judges, streams, graphs and runners come with the first thing that is managed."""
    heavy = {"evaluator", "graph", "jobs", "judge", "managed", "streams"}
    imported = imported_by("from ldtrack import AIClient")
    assert "ldtrack.client" in imported
    assert not {f"ldtrack.agents.{name}" for name in heavy} & imported
    assert not [
        name for name in imported if name.startswith(("ldtrack.running", "ldtrack.providers.runners"))
    ]


@pytest.mark.parametrize("module", ["delivery", "ledgers", "testing", "typing", "exceptions"])
def test_a_public_module_is_an_attribute_of_the_package(module: str) -> None:
    """As it was while the package imported them all."""
    script = f"import ldtrack; print(ldtrack.{module}.__name__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"ldtrack.{module}"


def test_everything_can_be_imported_with_a_star() -> None:
    """Which asks for all names at once."""
    assert "ldtrack.agents.judge" in imported_by("from ldtrack import *\nassert Judge and AIClient")


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    """As of any module; so that ``hasattr`` and ``from ldtrack import`` say what they always say."""
    with pytest.raises(AttributeError, match="module 'ldtrack' has no attribute 'Nothing'"):
        ldtrack.Nothing  # type: ignore[attr-defined]  # noqa: B018 - that is the point
    with pytest.raises(ImportError, match="Nothing"):
        from ldtrack import Nothing  # type: ignore[attr-defined]  # noqa: F401 - as above
