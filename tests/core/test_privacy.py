"""What a template may read of a context: exactly what LaunchDarkly's own events would show."""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import Any

import pytest
from contexts import contexts, references
from hypothesis import given
from hypothesis import strategies as st
from ldclient import Context
from ldclient.impl.events.event_context_formatter import EventContextFormatter

from ldtrack.core.privacy import Privacy

ADA: dict[str, Any] = {
    "kind": "user",
    "key": "ada",
    "name": "Ada",
    "email": "ada@example.org",
    "address": {"city": "London", "street": {"name": "St James", "number": 12}},
    "a/b": 1,
    "c~d": 2,
    "~1": 3,
    "nameless": {"": 4},
    "roles": [{"name": "admin"}],
}


@given(contexts(), st.lists(references, max_size=3), st.booleans())
def test_templates_read_what_events_show(context: Context, private: list[str], all_private: bool) -> None:
    """The SDK's own redaction, for any attributes and references, is the model."""
    shown = EventContextFormatter(all_private, private).format_context(context)
    for part in [shown, *(single for single in shown.values() if isinstance(single, dict))]:
        part.pop("_meta", None)
    data = context.to_dict()
    before = copy.deepcopy(data)
    assert Privacy(private, all_private).readable(data) == shown
    assert data == before


@given(contexts(), st.lists(references, max_size=3), st.booleans())
def test_everything_is_readable_on_request(context: Context, private: list[str], all_private: bool) -> None:
    """With ``include_private`` only ``_meta`` is missing."""
    expected = context.to_dict()
    for part in [expected, *(single for single in expected.values() if isinstance(single, dict))]:
        part.pop("_meta", None)
    readable = Privacy(private, all_private, include_private=True).readable(context.to_dict())
    assert readable == expected


@pytest.mark.parametrize(
    ("reference", "gone"),
    [
        ("email", ["email"]),
        ("/email", ["email"]),
        ("name", ["name"]),
        ("address", ["address"]),
        ("a/b", ["a/b"]),
        ("/a~1b", ["a/b"]),
        ("/c~0d", ["c~d"]),
        ("c~d", ["c~d"]),
        ("/~01", ["~1"]),
        ("/nameless/", []),
        ("kind", []),
        ("key", []),
        ("/key", []),
        ("/a/b", []),
        ("/c~d", []),
        ("/address/", []),
        ("/roles/0/name", []),
        ("unknown", []),
        ("", []),
        ("/", []),
    ],
)
def test_a_reference_hides_what_it_names(reference: str, gone: list[str]) -> None:
    """Names, paths and escapes work; what cannot be read, and what identifies the context, hides nothing."""
    expected = {name: value for name, value in ADA.items() if name not in gone}
    assert Privacy([reference]).readable(ADA) == expected
    assert Privacy().readable({**ADA, "_meta": {"privateAttributes": [reference]}}) == expected


def test_a_path_hides_a_member_and_nothing_else() -> None:
    """The object around it stays, in a copy; several paths into one object add up."""
    before = copy.deepcopy(ADA)
    readable = Privacy(["/address/street/number", "/address/city"]).readable(ADA)
    assert readable["address"] == {"street": {"name": "St James"}}
    assert before == ADA


def test_a_path_looks_into_every_kind_of_mapping() -> None:
    """A template can walk any mapping, so none may hide what is private."""
    context = {"kind": "user", "key": "k", "outer": MappingProxyType({"secret": 1, "open": 2})}
    assert Privacy(["/outer/secret"]).readable(context)["outer"] == {"open": 2}


def test_each_kind_has_its_own_private_attributes() -> None:
    """What one kind keeps to itself another may show; the client's own list counts for all."""
    context = {
        "kind": "multi",
        "user": {"key": "u", "plan": 1, "email": 2, "_meta": {"privateAttributes": ["email"]}},
        "org": {"key": "o", "plan": 1, "email": 2},
    }
    assert Privacy(["plan"]).readable(context) == {
        "kind": "multi",
        "user": {"key": "u"},
        "org": {"key": "o", "email": 2},
    }


def test_an_invalid_context_is_empty() -> None:
    """The SDK writes it as an empty dict, and an empty dict it stays."""
    assert Privacy(["a"]).readable(Context.create("").to_dict()) == {}


@pytest.mark.parametrize(
    "meta", [None, {}, {"privateAttributes": None}, {"privateAttributes": [None, 5]}, "text"]
)
def test_odd_meta_data_hides_nothing(meta: Any) -> None:
    """Plain data from elsewhere may say anything there."""
    assert Privacy().readable({**ADA, "_meta": meta}) == ADA


@pytest.mark.parametrize("mistake", ["email", b"bytes"])
def test_one_reference_instead_of_several(mistake: object) -> None:
    """It is refused: its letters would be taken for references."""
    with pytest.raises(TypeError, match="must be several references"):
        Privacy(mistake)
