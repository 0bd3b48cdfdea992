"""A claim's events as JSON: whatever can be spelled is, and what cannot raises at once."""

from __future__ import annotations

import json
import math
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldtrack.core.wire import body_of, json_of

CONTEXT = '{"kind":"user","key":"ada"}'
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_events = st.lists(st.tuples(st.text(), _json, _numbers), max_size=4)


def endless() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


def deep() -> list[Any]:
    inside: list[Any] = []
    for _ in range(1_000_000):
        inside = [inside]
    return inside


class Colour(IntEnum):
    RED = 1


@given(_events, st.integers(0, 1 << 45))
def test_what_is_spelled_reads_back(events: list[Any], at_ms: int) -> None:
    """In order, with all members; data that is not there is left out, as the SDK leaves it out."""
    read = json.loads(f"[{body_of(events, CONTEXT, at_ms)}]")
    common = {"kind": "custom", "creationDate": at_ms, "context": {"kind": "user", "key": "ada"}}
    assert read == [
        {**common, "key": key, **({} if data is None else {"data": data}), "metricValue": value}
        for key, data, value in events
    ]


def test_the_bytes_are_the_wire_s() -> None:
    """Compact, in the SDK's order of members."""
    data = {"runId": "r", "version": 3}
    body = body_of([("duration", data, 12), ("score", {**data, "by": "judge"}, 0.5)], CONTEXT, 7)
    assert body == (
        '{"kind":"custom","creationDate":7,"key":"duration","context":{"kind":"user","key":"ada"},'
        '"data":{"runId":"r","version":3},"metricValue":12},'
        '{"kind":"custom","creationDate":7,"key":"score","context":{"kind":"user","key":"ada"},'
        '"data":{"runId":"r","version":3,"by":"judge"},"metricValue":0.5}'
    )


@pytest.mark.parametrize("text", ["half a pair \ud800", "\udfff", "a null \0", 'a "quote"\n', "Zürich 🚀"])
def test_any_text_can_be_stored_and_encoded(text: str) -> None:
    """ASCII only, so that no encoding and no database stumbles over it later; it reads back as it was."""
    body = body_of([(text, {text: text}, 1)], json_of({"key": text}), 7)
    assert body.isascii()
    assert "\0" not in body
    read = json.loads(body)
    assert (read["key"], read["data"], read["context"]) == (text, {text: text}, {"key": text})


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(Colour.RED, "1"), (True, "true"), (1e300, "1e+300"), (10**40, "1" + "0" * 40), (0.1, "0.1")],
)
def test_numbers_are_spelled_as_json(value: float, spelled: str) -> None:
    """Whatever kind of number it is in Python."""
    assert body_of([("key", None, value)], CONTEXT, 7).endswith(f',"metricValue":{spelled}}}')


def test_any_mapping_is_an_object() -> None:
    """Also one that cannot be changed, which Python's own encoder refuses."""
    assert json_of(MappingProxyType({"a": MappingProxyType({})})) == '{"a":{}}'


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        pytest.param(math.nan, ValueError, "not JSON compliant", id="not a number"),
        pytest.param([math.inf], ValueError, "not JSON compliant", id="infinite"),
        pytest.param({"a": {1, 2}}, TypeError, "a set cannot be written as JSON", id="a set"),
        pytest.param({(1, 2): 3}, TypeError, "keys must be", id="a tuple for a key"),
        pytest.param(b"bytes", TypeError, "a bytes cannot be written as JSON", id="bytes"),
        pytest.param(endless(), ValueError, "Circular", id="in itself"),
        pytest.param(deep(), ValueError, "nested too deeply", id="too deep"),
    ],
)
def test_what_json_has_no_form_for_raises(value: Any, error: type[Exception], message: str) -> None:
    """As data, as a value, and alone: with the offending type, before anything is stored."""
    with pytest.raises(error, match=message):
        json_of(value)
    with pytest.raises(error, match=message):
        body_of([("fine", {}, 1), ("key", {"data": value}, 1)], CONTEXT, 7)
    with pytest.raises(error, match=message):
        body_of([("key", {}, value)], CONTEXT, 7)


def test_names_that_are_no_texts_are_spelled_as_python_spells_them() -> None:
    """As the SDK's own events are: numbers and constants become texts."""
    value = {7: "seven", True: 2, None: {0.5: 3}, "a": 4}
    assert json.loads(json_of(value)) == json.loads(json.dumps(value))


def test_texts_and_numbers_of_other_kinds_in_an_object() -> None:
    """What only looks like a text or a whole number is spelled by the encoder, as its own kind."""

    class Text(str):
        __slots__ = ()

    value = {Text("name"): Text("ada"), "plan": Colour.RED, "is": True, "not": None, "of": 0.5}
    assert json_of(value) == '{"name":"ada","plan":1,"is":true,"not":null,"of":0.5}'
