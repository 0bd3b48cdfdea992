"""Frozen JSON: a copy that shares nothing, cannot change, and thaws to what it was made from."""

from __future__ import annotations

import copy
import enum
import json
import pickle
from collections import OrderedDict, namedtuple
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from immutability import holes

from ldtrack.core.frozen import FrozenMapping, freeze, freeze_object, thaw
from tests.strategies import (
    HostileMapping,
    UnspeakableError,
    containing_itself,
    json_values,
    nested,
    repeated,
)

Pair = namedtuple("Pair", "one two")  # noqa: PYI024 - a tuple's subclass of the oldest kind


class Level(enum.IntEnum):
    """A number that is more than a number."""

    HIGH = 3


class Size(str, enum.Enum):  # noqa: UP042 - the older kind, whose str() is another text
    """Text that is more than text, and prints as something else."""

    BIG = "big"


@given(json_values)
def test_frozen_json_thaws_to_what_it_was(value: Any) -> None:
    """Freezing and thawing loses nothing, types included."""
    thawed = thaw(freeze(value))
    assert json.dumps(thawed) == json.dumps(value)


@given(json_values)
def test_frozen_json_has_no_hole(value: Any) -> None:
    """Nothing in it can be changed, by any downcast."""
    assert holes(freeze(value)) == []


@given(json_values)
def test_frozen_json_survives_pickling_copying_and_hashing(value: Any) -> None:
    """Equal values come out of a pickle, are their own copies, and have equal hashes."""
    frozen = freeze(value)
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    assert copy.deepcopy(frozen) == frozen
    assert hash(frozen) == hash(freeze(value))


def test_a_changed_source_leaves_the_frozen_value_alone() -> None:
    """The copy shares nothing with its source, however deep."""
    source = {"list": [{"a": 1}]}
    frozen = freeze(source)
    source["list"][0]["a"] = 2
    source["list"].append({})
    assert thaw(frozen) == {"list": [{"a": 1}]}


def test_a_changed_thawed_value_leaves_the_frozen_one_alone() -> None:
    """What is thawed is fresh each time."""
    frozen = freeze({"list": [{}]})
    thaw(frozen)["list"][0]["a"] = 1
    assert thaw(frozen) == {"list": [{}]}


def test_subclasses_become_the_plain_type() -> None:
    """Enums, named tuples and foreign mappings are reduced to JSON, keys included."""
    frozen = freeze(
        {Size.BIG: [Size.BIG, Level.HIGH, True], "pair": Pair(1, 2.5), "map": OrderedDict(a=None)}
    )
    assert thaw(frozen) == {"big": ["big", 3, True], "pair": [1, 2.5], "map": {"a": None}}
    assert [type(item) for item in frozen["big"]] == [str, int, bool]
    assert type(next(iter(frozen))) is str
    assert thaw(freeze(MappingProxyType({"a": 1}))) == {"a": 1}


def test_a_frozen_value_may_be_part_of_another() -> None:
    """What is frozen already is taken for JSON, too."""
    assert thaw(freeze({"again": [freeze({"a": [1]})]})) == {"again": [{"a": [1]}]}


@pytest.mark.parametrize(
    ("value", "error", "sentence"),
    [
        (b"x", TypeError, "it must hold JSON values only, not bytes"),
        ({"a": {1}}, TypeError, "it must hold JSON values only, not set"),
        ({1: "a"}, TypeError, "it must have text for keys, not int"),
        (float("nan"), ValueError, "it must not hold nan, which JSON cannot express"),
        ([float("-inf")], ValueError, "it must not hold -inf, which JSON cannot express"),
        (10**5000, ValueError, "it must not hold a number of more than 1024 bits"),
        (-(2**1024), ValueError, "it must not hold a number of more than 1024 bits"),
        (nested(101), ValueError, "it must not nest deeper than 100 levels"),
        (containing_itself(), ValueError, "it must not nest deeper than 100 levels"),
    ],
    ids=["bytes", "set", "key", "nan", "infinity", "long", "long negative", "deep", "loop"],
)
def test_what_is_no_json_is_refused(value: Any, error: type[Exception], sentence: str) -> None:
    """The error names what is in the way."""
    with pytest.raises(error, match=f"^{sentence}$"):
        freeze(value, "it")


def test_the_limits_themselves_are_within() -> None:
    """A hundred levels, and the longest number, can be frozen, compared, hashed, printed and pickled."""
    deepest = freeze(nested(100))
    assert pickle.loads(pickle.dumps(deepest)) == deepest
    assert hash(deepest) == hash(freeze(nested(100)))
    assert "bottom" in repr(deepest)
    assert freeze(2**1024 - 1) == 2**1024 - 1


def test_a_value_that_would_be_huge_once_copied_is_refused() -> None:
    """Parts that are shared count as often as they occur, and the copying stops in time."""
    with pytest.raises(ValueError, match=r"^it must not hold more than 1,000,000 values$"):
        freeze(repeated(60), "it")


def test_a_foreign_mapping_may_fail_with_its_own_error() -> None:
    """Errors of other people's code are not covered up."""
    with pytest.raises(UnspeakableError):
        freeze(HostileMapping())


def test_an_object_may_be_left_out_but_not_be_something_else() -> None:
    """`freeze_object` takes a mapping or nothing."""
    assert freeze_object(None, "parameters") is None
    assert freeze_object({"a": [1]}, "parameters") == {"a": (1,)}
    with pytest.raises(TypeError, match=r"^parameters must be a mapping, not list$"):
        freeze_object([], "parameters")  # type: ignore[arg-type]  # the wrong type is the test


def test_a_frozen_mapping_reads_like_any_mapping() -> None:
    """Order, membership, length, comparison with dicts and printing work; writing has its reason."""
    frozen = FrozenMapping({"b": 1, "a": 2})
    assert list(frozen) == ["b", "a"]
    assert "a" in frozen
    assert len(frozen) == 2
    assert frozen == {"a": 2, "b": 1}
    assert frozen != {"a": 2}
    assert not isinstance(frozen, dict)
    assert repr(frozen) == "FrozenMapping({'b': 1, 'a': 2})"
    assert copy.copy(frozen) is frozen
    with pytest.raises(AttributeError, match="cannot change, so '_entries' cannot be set"):
        frozen._entries = {}  # type: ignore[misc]  # writing is the test
    with pytest.raises(AttributeError, match="cannot change, so '_entries' cannot be deleted"):
        del frozen._entries
    with pytest.raises(TypeError):
        frozen._entries["a"] = 3  # type: ignore[index]  # writing is the test
