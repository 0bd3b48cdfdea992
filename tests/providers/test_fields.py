"""Looking into other people's objects: what is found, and what is not."""

from __future__ import annotations

import enum
from collections import UserDict
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from ldtrack.providers.fields import comes_from, count, field, is_error, is_filled, items, name


class Both(UserDict[str, Any]):
    """A mapping with attributes of its own."""

    text = "attribute"


class Slotted:
    __slots__ = ("text",)


@pytest.mark.parametrize(
    ("thing", "found"),
    [
        pytest.param({"text": "Hi"}, "Hi", id="dict"),
        pytest.param(MappingProxyType({"text": "Hi"}), "Hi", id="view"),
        pytest.param(UserDict(text="Hi"), "Hi", id="other mapping"),
        pytest.param(Both(text="Hi"), "attribute", id="attribute before key"),
        pytest.param(SimpleNamespace(text="Hi"), "Hi", id="object"),
        pytest.param({}, None, id="missing key"),
        pytest.param(MappingProxyType({}), None, id="missing key of a view"),
        pytest.param(SimpleNamespace(), None, id="missing attribute"),
        pytest.param(Slotted(), None, id="unset slot"),
        pytest.param(None, None, id="nothing"),
        pytest.param(5, None, id="number"),
    ],
)
def test_field(thing: Any, found: Any) -> None:
    """Key or attribute, whichever the thing has."""
    assert field(thing, "text") == found


@pytest.mark.parametrize("number", [0, 1, 10**30])
def test_counts(number: int) -> None:
    """Whole numbers from 0 upwards."""
    assert count(number) == number


@pytest.mark.parametrize("odd", [-1, 1.0, float("nan"), True, False, "1", None, [1]])
def test_no_counts(odd: Any) -> None:
    """Everything else is unknown, bools too."""
    assert count(odd) is None


def test_names_and_items() -> None:
    """Text that is not empty; lists and tuples; nothing else, however similar."""
    assert (name("x"), name(""), name(b"x"), name(None), name(5)) == ("x", None, None, None, None)
    assert ([*items([1])], [*items((1,))], [*items("ab")], [*items({"a": 1})], [*items(None)]) == (
        [1],
        [1],
        [],
        [],
        [],
    )


class Own(str):
    """As an SDK has for values that it does not know."""

    __slots__ = ()


class Reason(enum.StrEnum):
    """As an SDK has for those that it does."""

    STOP = "stop"


@pytest.mark.parametrize("thing", [Own("stop"), Reason.STOP], ids=["a subclass", "an enumeration"])
def test_text_of_a_type_of_its_own_is_made_plain(thing: Any) -> None:
    """What a summary says is pickled, compared and shown without the SDK."""
    said = name(thing)
    assert said == "stop"
    assert type(said) is str
    assert name(Own("")) is None


@pytest.mark.parametrize("thing", ["x", b"y", [0], (0,)])
def test_what_is_filled(thing: Any) -> None:
    """Text and lists with something in them."""
    assert is_filled(thing)


@pytest.mark.parametrize("thing", ["", [], (), {"a": 1}, 5, None])
def test_what_is_not_filled(thing: Any) -> None:
    """Empty ones, and everything else."""
    assert not is_filled(thing)


@pytest.mark.parametrize("thing", ["no", {"message": "no"}, {"code": 5}, {"type": "x"}])
def test_what_is_an_error(thing: Any) -> None:
    """Text, or something that says what went wrong."""
    assert is_error(thing)


@pytest.mark.parametrize("thing", ["", {}, {"ok": 1}, None, False])
def test_what_is_no_error(thing: Any) -> None:
    """Where an error might have been, nothing is said."""
    assert not is_error(thing)


def test_where_types_come_from() -> None:
    """A package holds its modules, not its neighbours; a type that hides its module comes from nowhere."""
    kind = type("Kind", (), {"__module__": "sdk.types.chat"})
    assert comes_from(kind, ("other", "sdk.types"))
    assert comes_from(type("Heir", (kind,), {}), ("sdk.types.chat",))
    assert not comes_from(kind, ("sdk.type", "dk.types", "sdk.types.chat.more"))
    assert not comes_from(type("Odd", (), {"__module__": 5}), ("sdk",))
