"""What a Python value is worth in a template, and that nothing in it is touched."""

from __future__ import annotations

import enum
import uuid
from collections import ChainMap, UserDict, defaultdict, namedtuple
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldtrack.core.template import compile_template

TRUTH = "{{#x}}yes{{/x}}{{^x}}no{{/x}}"


def render(text, variables, **options):
    """What a template makes of variables."""
    return compile_template(text).render(variables, **options)


class TestNumbers:
    @pytest.mark.parametrize(
        ("number", "text"),
        [
            (1.0, "1"),
            (-2.0, "-2"),
            (0.0, "0"),
            (-0.0, "0"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (-1.5e16, "-15000000000000000"),
            (1.2345678901234567e20, "123456789012345670000"),
            (1e21, "1e+21"),
            (1e-4, "0.0001"),
            (-1.5e-5, "-0.000015"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (float("nan"), "NaN"),
            (float("inf"), "Infinity"),
            (float("-inf"), "-Infinity"),
            (10**400, "1" + "0" * 400),
        ],
    )
    def test_a_number_reads_as_javascript_writes_it(self, number, text):
        """Integral floats lose their point, and the exponent appears where JavaScript has it."""
        assert render("{{x}}", {"x": number}) == text

    def test_more_digits_than_python_converts_are_infinite(self):
        """An integer far beyond JavaScript's largest number is what it would be there."""
        assert render("{{x}},{{y}}", {"x": 10**5000, "y": -(10**5000)}) == "Infinity,-Infinity"

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_no_digit_of_a_float_is_lost(self, number):
        """What is written reads back as the same number."""
        assert float(render("{{x}}", {"x": number})) == number

    @pytest.mark.parametrize(
        "number", [float("nan"), 0.0, -0.0, 0, Decimal(0), Decimal("NaN"), Decimal("sNaN")]
    )
    def test_zero_and_not_a_number_are_false(self, number):
        """A condition on a number is JavaScript's."""
        assert render(TRUTH, {"x": number}) == "no"

    @pytest.mark.parametrize("number", [float("inf"), 1e-300, -1, Decimal("0.1"), Decimal("Infinity")])
    def test_any_other_number_is_true_and_the_scope_of_its_section(self, number):
        """A section of a number is entered, with the number as its scope."""
        assert render("{{#x}}{{.}}{{/x}}", {"x": number}) == render("{{x}}", {"x": number})
        assert render(TRUTH, {"x": number}) == "yes"


class Plain(enum.Enum):
    RED = "red"
    NONE = None
    EMPTY = ()
    PAIR = ("a", "b")
    NESTED = {"a": {"b": 1}}  # noqa: RUF012 - a member, not a default


class Word(str, enum.Enum):  # noqa: UP042 - the older way to write it is in use
    LOUD = "loud"


class Level(enum.IntEnum):
    LOW = 0
    HIGH = 2


class TestOtherTypes:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (Decimal("1.10"), "1.10"),
            (date(2024, 2, 3), "2024-02-03"),
            (datetime(2024, 2, 3, 4, 5, tzinfo=UTC), "2024-02-03 04:05:00+00:00"),
            (time(4, 5), "04:05:00"),
            (timedelta(days=1, hours=2), "1 day, 2:00:00"),
            (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            (Plain.RED, "red"),
            (Plain.PAIR, "a,b"),
            (Word.LOUD, "loud"),
            (Level.HIGH, "2"),
            ((1, (2, 3)), "1,2,3"),
            (MappingProxyType({"a": 1}), "[object Object]"),
        ],
    )
    def test_a_readable_type_reads_as_text(self, value, text):
        """Types that are text in all but name are written, and are true."""
        assert render("{{x}}|{{#l}}{{.}}{{/l}}", {"x": value, "l": [value]}) == f"{text}|{text}"
        assert render(TRUTH, {"x": value}).startswith("yes")

    @pytest.mark.parametrize("value", [Plain.NONE, Plain.EMPTY, Level.LOW])
    def test_an_enum_member_is_as_true_as_its_value(self, value):
        """A member stands for its value in conditions too."""
        assert render(TRUTH, {"x": value}) == "no"

    def test_an_enum_member_is_walked_as_its_value(self):
        """A member whose value is a mapping is one."""
        assert render("{{x.a.b}}{{#x}}{{a.b}}{{/x}}", {"x": Plain.NESTED}) == "11"

    @pytest.mark.parametrize(
        "value",
        [
            object(),
            len,
            lambda: "called",
            str,
            b"b",
            bytearray(b"b"),
            {1},
            range(3),
            iter([1]),
            1j,
            Path("/etc"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_an_opaque_value_stands_for_none(self, value):
        """Callables, objects and containers of other kinds are empty, false, and have nothing inside."""
        assert render("[{{x}}{{x.a}}{{x.0}}{{x.length}}{{x.__class__}}]", {"x": value}) == "[]"
        assert render(TRUTH, {"x": value}) == "no"
        assert render("{{#l}}[{{.}}{{y}}]{{/l}}", {"l": [value], "y": "outer"}) == "[outer]"
        assert render("{{l}}", {"l": [1, value, 2]}) == "1,,2"

    def test_an_opaque_value_hides_the_outer_one_of_its_name(self):
        """Like `None`, it is found, and nothing."""
        assert render("{{#a}}[{{x}}]{{/a}}", {"a": {"x": object()}, "x": "outer"}) == "[]"

    @pytest.mark.parametrize("kind", [dict, MappingProxyType, UserDict, ChainMap])
    def test_any_mapping_is_walked(self, kind):
        """What promises to be a Mapping is read by its keys, as variables and inside them."""
        inner = kind({"b": 1, "0": "zero"})
        assert render("{{a.b}}{{a.0}}{{#a}}{{b}}{{/a}}{{a}}", kind({"a": inner})) == "1zero1[object Object]"
        assert render(TRUTH, {"x": kind({})}) == "yes"

    def test_reading_does_not_grow_a_defaultdict(self):
        """A name is asked for before it is read."""
        variables = defaultdict(list, a=defaultdict(int))
        assert render("{{x}}{{a.b}}{{a.c.d}}", variables) == ""
        assert variables == {"a": {}}

    def test_a_named_tuple_is_a_list_without_attributes(self):
        """Fields are attributes, and those are not read."""
        pair = namedtuple("pair", "left right")(1, 2)  # noqa: PYI024 - the point is what it is at run time
        assert render("{{p}}|{{p.left}}{{p.0}}{{p.length}}{{#p}}<{{.}}>{{/p}}", {"p": pair}) == "1,2|12<1><2>"

    def test_an_index_of_any_length_is_a_name(self):
        """Digits beyond what Python converts to a number are missing, not an error."""
        assert render("{{x." + "9" * 5_000 + "}}{{y." + "9" * 5_000 + "}}", {"x": [1], "y": "text"}) == ""

    def test_only_text_keys_are_names(self):
        """A number as a key is not found by the digits of a template."""
        assert render("{{1}}{{a.1}}", {1: "no", "a": {1: "no"}}) == ""


def recording(name):
    """A special method that leaves its name in the log."""

    def method(self, *_):
        object.__getattribute__(self, "log").append(name)
        raise AssertionError(name)

    return method


class Witness:
    """An object that remembers whatever is done to it."""

    def __init__(self, log):
        object.__setattr__(self, "log", log)

    def __getattribute__(self, name):
        object.__getattribute__(self, "log").append(name)
        return lambda *_: "secret"

    __call__, __str__, __repr__, __format__ = map(recording, ("call", "str", "repr", "format"))
    __bool__, __len__, __iter__, __getitem__ = map(recording, ("bool", "len", "iter", "getitem"))
    __contains__, __eq__, __hash__ = map(recording, ("contains", "eq", "hash"))


class Unwilling:
    """What every method of a class does that must not matter."""

    def _fail(self, *_):
        raise RuntimeError("touched")

    __str__ = __repr__ = __len__ = __iter__ = __bool__ = __getitem__ = __contains__ = __eq__ = __hash__ = (
        _fail
    )
    __int__ = __float__ = __format__ = isoformat = __lt__ = __gt__ = __getattribute__ = _fail


class TestObjectsAreNotTouched:
    def test_no_attribute_is_read_and_nothing_called(self):
        """An object in the variables is never asked for anything, wherever the template looks."""
        log = []
        witness = Witness(log)
        text = (
            "{{x}}{{{x}}}{{&x}}{{x.name}}{{x.secret.deep}}{{x.0}}{{x.length}}{{#x}}in{{name}}{{.}}{{/x}}{{^x}}out{{/x}}"
            "{{#l}}{{.}}{{name}}{{#.}}in{{/.}}{{/l}}{{l}}{{l.0}}{{l.0.name}}{{m.x}}{{m.x.name}}{{#m}}{{x}}{{/m}}"
        )
        variables = {"x": witness, "l": [witness, (witness,)], "m": {"x": witness}}
        assert render(text, variables) == "outin,"
        assert render(text, variables, escape_html=True) == "outin,"
        assert log == []

    def test_what_a_subclass_overrides_is_not_used(self):
        """Text, numbers and lists of a caller's own class are read as what they hold."""
        text = type("Text", (Unwilling, str), {})("text")
        whole = type("Whole", (Unwilling, int), {})(3)
        real = type("Real", (Unwilling, float), {})(1.0)
        items = type("Items", (Unwilling, list), {})([1, 2])
        pair = type("Pair", (Unwilling, tuple), {})((3, 4))
        variables = {"t": text, "w": whole, "r": real, "l": items, "p": pair}
        assert (
            render("{{t}}{{t.length}}{{w}}{{r}}|{{l}}{{l.1}}|{{p}}{{p.length}}", variables)
            == "text431|1,22|3,42"
        )
        assert (
            render("{{#t}}1{{/t}}{{#w}}2{{/w}}{{#r}}3{{/r}}{{#l}}{{.}}{{/l}}{{#p}}{{.}}{{/p}}", variables)
            == "1231234"
        )

    def test_an_enum_member_is_not_asked_for_its_value(self):
        """The value is read past whatever the caller's class makes of attributes."""

        def fail(self, name):
            raise RuntimeError(name)

        guarded = enum.Enum("Guarded", {"ONE": "one"})
        guarded.__getattribute__ = fail
        assert render("{{x}}", {"x": guarded.ONE}) == "one"

    @pytest.mark.parametrize("base", [Decimal, date, timedelta, uuid.UUID])
    def test_a_str_that_raises_is_empty(self, base):
        """Of the types that read as `str` writes them, a subclass may fail; the prompt is rendered."""

        def fail(self):
            raise RuntimeError("no text")

        arguments = {date: (2024, 1, 1), uuid.UUID: ("0" * 32,)}.get(base, (1,))
        value = type("Mute", (base,), {"__str__": fail})(*arguments)
        assert render("[{{x}}]{{#x}}true{{/x}}", {"x": value}) == "[]true"

    def test_a_mapping_that_raises_has_nothing(self):
        """A Mapping whose lookup fails is as good as empty."""

        class Broken(Mapping):
            def __getitem__(self, name):
                raise RuntimeError(name)

            def __iter__(self) -> Iterator[str]:
                raise RuntimeError

            def __len__(self):
                raise RuntimeError

        assert render("{{a}}{{b.c}}{{b}}{{#b}}{{d}}{{/b}}", {"b": Broken(), "d": 1}) == "[object Object]1"
        assert render("[{{a}}]", Broken()) == "[]"

    def test_a_class_that_cannot_even_be_compared_is_opaque(self):
        """A metaclass that breaks the question for the type does not break the prompt."""

        class Meta(type):
            __hash__ = None

        unhashable = Meta("Unhashable", (), {})()
        assert render("[{{x}}]", {"x": unhashable}) == "[]"

    def test_an_enum_that_holds_itself_is_empty(self):
        """A member tampered with until it is its own value ends as nothing."""
        member = enum.Enum("Loop", ["ONE"]).ONE
        member._value_ = member
        assert render("[{{x}}]", {"x": member}) == "[]"

    def test_no_partial_is_read(self, tmp_path, monkeypatch):
        """A partial is empty text, though a file of its name lies in the working directory."""
        (tmp_path / "secret.mustache").write_text("secret")
        monkeypatch.chdir(tmp_path)
        assert render("[{{>secret}}{{> ../secret }}{{>secret.mustache}}]", {"secret": "no"}) == "[]"
