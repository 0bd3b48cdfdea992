"""What the wire shows of a context: exactly what the base SDK writes for a custom event."""

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
from ldclient.impl.model import AttributeRef

from ldtrack.core.privacy import Privacy
from ldtrack.core.redaction import redacted

ADA: dict[str, Any] = {
    "kind": "user",
    "key": "ada",
    "name": "Ada",
    "email": "ada@example.org",
    "address": {"city": "London", "street": {"name": "St James", "number": 12}},
    "a/b": 1,
    "/c~d": 2,
}


@given(contexts(), st.lists(references, max_size=3), st.booleans())
def test_the_wire_shows_what_the_sdk_shows(context: Context, private: list[str], all_private: bool) -> None:
    """The SDK's own redaction, for any attributes and references, is the model; nothing is changed."""
    data = context.to_dict()
    before = copy.deepcopy(data)
    shown = EventContextFormatter(all_private, private).format_context_redact_anonymous(context)
    assert in_todays_spelling(shown) == redacted(data, Privacy(private, all_private))
    assert data == before


def in_todays_spelling(shown: dict[str, Any]) -> dict[str, Any]:
    """Older SDKs escape slashes and tildes in plain names too, where a reader does not expect it."""
    if AttributeRef.from_literal("a/b").path == "a/b":
        return shown
    for part in [shown, *(single for single in shown.values() if isinstance(single, dict))]:
        if (hidden := part.get("_meta", {}).get("redactedAttributes")) is not None:
            hidden[:] = [_unescaped(name) for name in hidden]
    return shown


def _unescaped(name: str) -> str:
    plain = name.replace("~1", "/").replace("~0", "~")
    return name if name.startswith("/") else f"/{name}" if plain.startswith("/") else plain


@pytest.mark.parametrize(
    ("private", "gone", "named"),
    [
        (["email"], ["email"], ["email"]),
        (["/email"], ["email"], ["email"]),
        (["email", "/email"], ["email"], ["email"]),
        (["name"], ["name"], ["name"]),
        (["address", "/address/city"], ["address"], ["address"]),
        (["a/b"], ["a/b"], ["a/b"]),
        (["/a~1b"], ["a/b"], ["a/b"]),
        (["/~1c~0d"], ["/c~d"], ["/~1c~0d"]),
        (["key", "kind", "anonymous", "/key"], [], []),
        (["", "/", "/a/", "//", "/a~2", "unknown"], [], []),
    ],
)
def test_a_whole_attribute_is_named_by_its_literal(
    private: list[str], gone: list[str], named: list[str]
) -> None:
    """However it was referred to, it is listed once, as a reference that leads back to it."""
    expected = {name: value for name, value in ADA.items() if name not in gone}
    if named:
        expected["_meta"] = {"redactedAttributes": named}
    assert redacted(ADA, Privacy(private)) == expected
    assert redacted({**ADA, "_meta": {"privateAttributes": private}}, Privacy()) == expected


def test_a_member_is_named_as_it_was_referred_to() -> None:
    """What is around it stays, and the context's and the client's lists add up."""
    context = {**ADA, "_meta": {"privateAttributes": ["/address/street/number", "/address/nowhere"]}}
    shown = redacted(context, Privacy(["/address/city", "/name/first"]))
    assert shown["address"] == {"street": {"name": "St James"}}
    assert shown["_meta"] == {"redactedAttributes": ["/address/city", "/address/street/number"]}
    assert shown["name"] == "Ada"


def test_an_anonymous_context_shows_that_it_is_one_and_nothing_else() -> None:
    """Each kind for itself: what comes with it keeps its attributes."""
    context = {
        "kind": "multi",
        "user": {"key": "u", "anonymous": True, "name": "Nobody", "/odd": 1},
        "org": {"key": "o", "name": "Acme"},
    }
    assert redacted(context, Privacy()) == {
        "kind": "multi",
        "user": {"key": "u", "anonymous": True, "_meta": {"redactedAttributes": ["name", "/~1odd"]}},
        "org": {"key": "o", "name": "Acme"},
    }


def test_what_templates_may_read_is_redacted_all_the_same() -> None:
    """``include_private`` is about prompts, not about the wire."""
    assert "email" not in redacted(ADA, Privacy(["email"], include_private=True))


def test_a_path_looks_into_every_kind_of_mapping() -> None:
    """JSON would show any mapping, so none may hide what is private."""
    context = {"kind": "user", "key": "k", "outer": MappingProxyType({"secret": 1, "open": 2})}
    assert redacted(context, Privacy(["/outer/secret"]))["outer"] == {"open": 2}


@pytest.mark.parametrize(
    "meta", [None, {}, {"privateAttributes": None}, {"privateAttributes": [None, 5]}, "text"]
)
def test_odd_meta_data_hides_nothing_and_is_not_shown(meta: Any) -> None:
    """Plain data from elsewhere may say anything there."""
    assert redacted({**ADA, "_meta": meta}, Privacy()) == ADA


def test_what_is_no_context_in_a_multi_context_stays_as_it_is() -> None:
    """It is not ours to judge; nothing in it has a name that could be private."""
    assert redacted({"kind": "multi", "user": 5}, Privacy()) == {"kind": "multi", "user": 5}
