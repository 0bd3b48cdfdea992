"""The page for those who move over: every name on it exists, and no name of theirs is missing from it."""

from __future__ import annotations

import inspect
import re
from typing import Any

import ldai
import ldai.providers.types
import ldai.tracker
import pytest
from pages import CHECKOUT, rows_of

import ldtrack

PAGE = CHECKOUT / "docs" / "migrating.md"
ROWS = rows_of(PAGE, "`ldai`")
CLASSES: tuple[type, ...] = (ldai.LDAIClient, ldai.tracker.LDAIConfigTracker, ldai.LDAIMetricSummary)
NO_TYPES = {"log"}


def find(name: str, *modules: Any) -> Any:
    """What a dotted name stands for in the first module that knows its beginning."""
    first, *rest = name.split(".")
    found: Any = next(getattr(module, first) for module in modules if hasattr(module, first))
    for part in rest:
        fields = getattr(found, "__attrs_attrs__", ())
        found = getattr(found, part) if hasattr(found, part) else {f.name: f for f in fields}[part]
    return found


def name_in(cell: str) -> str:
    return cell.strip("`")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: name_in(row[0]))
def test_both_names_exist(row: list[str]) -> None:
    """What is said to be called so there, and so here, is; a name without a counterpart says so."""
    theirs, ours, remark = row
    assert find(name_in(theirs), ldai, ldai.tracker, ldai.providers.types) is not None
    assert find(name_in(ours), ldtrack) is not None if ours else remark


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_no_method_of_theirs_is_missing(owner: type) -> None:
    """Every public method and property of their client, tracker and summary has a row."""
    listed = {name_in(row[0]) for row in ROWS}
    public = {f"{owner.__name__}.{name}" for name in vars(owner) if not name.startswith("_")}
    assert public
    assert public - listed == set()


def test_no_type_of_theirs_is_missing() -> None:
    """Whatever their package exports is named on the page, if only as one that is not here."""
    text = PAGE.read_text(encoding="utf-8")
    kept_back = {name for name in ldai.__all__ if "Graph" in name or "Runner" in name or "Managed" in name}
    kept_back |= {"Edge", "ToolRegistry"} | NO_TYPES
    assert [name for name in ldai.__all__ if f"`{name}`" not in text and name not in kept_back] == []


def test_awaited_methods_are_awaited() -> None:
    """A method of the client that the page calls awaited is a coroutine, and no other one is."""
    for _theirs, ours, remark in ROWS:
        if ours.startswith("`AIClient."):
            is_awaited = inspect.iscoroutinefunction(find(name_in(ours), ldtrack))
            assert is_awaited == remark.startswith("awaited"), ours


def test_new_names_are_there() -> None:
    """What the page calls new exists here, and not there."""
    for name in re.findall(r"`(Tracker\.\w+)`", PAGE.read_text(encoding="utf-8").partition("New: ")[2]):
        assert find(name, ldtrack) is not None
    assert not hasattr(ldai.tracker.LDAIConfigTracker, "stream")
