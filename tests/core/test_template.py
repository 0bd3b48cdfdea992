"""The Mustache renderer, against what mustache.js itself wrote."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import MappingProxyType

import chevron
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldtrack.core.template import Template, TemplateSyntaxError, compile_template

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "mustache.json").read_text("utf-8"))
CASES = VECTORS["cases"]
GROUPS = sorted({case["group"] for case in CASES})


def render(text, variables=None, **options):
    """What a template makes of variables."""
    return compile_template(text).render({} if variables is None else variables, **options)


def outcome(case):
    """What we make of a vector, in the words of the file."""
    try:
        return {"expected": render(case["template"], case["data"])}
    except TemplateSyntaxError:
        return {"error": "syntax"}


class TestAsMustacheJs:
    @pytest.mark.parametrize("group", GROUPS)
    def test_same_text_and_same_refusals(self, group):
        """Every template of the group renders, or is refused, as mustache.js does it."""
        cases = [case for case in CASES if case["group"] == group and case.get("error") != "rendering"]
        assert cases
        for case in cases:
            wanted = {key: case[key] for key in ("expected", "error") if key in case}
            assert outcome(case) == wanted, case

    def test_where_mustache_js_fails_on_the_data_we_render(self):
        """Data never breaks a rendering, even where JavaScript throws."""
        cases = [case for case in CASES if case.get("error") == "rendering"]
        assert cases
        for case in cases:
            assert "expected" in outcome(case), case

    def test_the_vectors_hold_refusals_and_renderings_of_the_current_major_version(self):
        """The file has not been emptied or made with another mustache.js."""
        assert VECTORS["mustache"].startswith("4.")
        assert len([case for case in CASES if case["group"] != "generated"]) > 250
        assert len([case for case in CASES if case["group"] == "generated"]) >= 600
        assert len([case for case in CASES if case.get("error") == "syntax"]) > 50


class TestKnownDifferences:
    @pytest.mark.parametrize(
        "name",
        [
            "constructor",
            "toString",
            "__proto__",
            "items.map",
            "items.join",
            "s.toUpperCase",
            "hasOwnProperty",
        ],
    )
    def test_a_name_that_javascript_inherits_is_missing(self, name):
        """Nothing is found that the caller did not put there."""
        assert render(f"[{{{{{name}}}}}]", {"items": [1], "s": "text"}) == "[]"

    def test_a_null_scope_is_passed_over(self):
        """An element that is `None` leaves the names of the outer scopes readable."""
        assert render("{{#items}}{{a}};{{/items}}", {"items": [None, {"a": 1}], "a": "outer"}) == "outer;1;"

    def test_an_integer_keeps_every_digit(self):
        """An id beyond JavaScript's exact integers is not rounded."""
        assert render("{{x}}", {"x": 12345678901234567890123}) == "12345678901234567890123"

    def test_half_a_surrogate_pair_is_a_replacement_character(self):
        """Indexing into a character outside the basic plane leaves text that can be sent."""
        assert render("{{x.0}}{{x.1}}{{x.2}}|{{x.3}}", {"x": "😀z"}) == "\ufffd\ufffdz|"
        assert render("{{x.0}}{{x.1}}{{x.length}}", {"x": "\ud83dz"}) == "\ufffdz2"


class TestDepth:
    def test_sections_nest_a_hundred_deep(self):
        """The last depth that is allowed renders."""
        assert render("{{#a}}" * 100 + "x" + "{{/a}}" * 100, {"a": True}) == "x"

    def test_deeper_sections_are_refused_when_compiled(self):
        """One more is an error of the template, not of the stack."""
        with pytest.raises(
            TemplateSyntaxError, match=r"{{#a}} on line 1 is nested deeper than 100 sections\."
        ):
            compile_template("{{#a}}" * 101 + "{{/a}}" * 101)

    def test_sections_side_by_side_are_not_nested(self):
        """Depth is counted, not sections."""
        assert render("{{#a}}x{{/a}}" * 300, {"a": True}) == "x" * 300

    def test_deep_data_does_not_end_the_stack(self):
        """Lists nested beyond any stack are written, and long dotted names walk as deep as they go."""
        nested = ["core"]
        for _ in range(100_000):
            nested = [nested, 1]
        assert render("{{x}}", {"x": nested}) == "core" + ",1" * 100_000
        deep = {"a": "end"}
        for _ in range(5_000):
            deep = {"a": deep}
        assert render("{{" + ".".join("a" * 5_001) + "}}", deep) == "end"

    def test_a_list_inside_itself_is_empty_there(self):
        """A circle ends where JavaScript ends it, and a list met twice side by side is no circle."""
        circle = [1]
        circle.append(circle)
        circle.append([circle, 2])
        assert render("{{x}}", {"x": circle}) == "1,,,2"
        shared = [1, 2]
        assert render("{{x}}", {"x": [shared, shared, [shared]]}) == "1,2,1,2,1,2"


class TestSyntaxErrors:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("one\ntwo {{name\nthree", 'Template tag {{name on line 2 is never closed; add "}}".'),
            ("{{{name}} x", 'Template tag {{{name}} x on line 1 is never closed; add "}}}".'),
            ("{{=<% %>", 'Template tag {{=<% %> on line 1 is never closed; add "=}}".'),
            ("{{=<% %>=}}\n<%x", 'Template tag <%x on line 2 is never closed; add "%>".'),
            ("\n\n{{#a}}\n", "Template tag {{#a}} on line 3 opens a section that is never closed."),
            ("{{#a}}\n{{^b}}{{/b}}", "Template tag {{#a}} on line 1 opens a section that is never closed."),
            ("\n{{ / a }}", "Template tag {{ / a }} on line 2 closes a section that was never opened."),
            (
                "{{#a}}\n{{# b}}\n{{/a}}",
                (
                    "Template tag {{/a}} on line 3 closes another section "
                    "than the one that is open, {{# b}} of line 2."
                ),
            ),
            (
                "{{=x=}}",
                (
                    "Template tag {{=x=}} on line 1 sets no pair of delimiters; "
                    "write two with a space between them."
                ),
            ),
            ("{{#a\n  b}}", "Template tag {{#a b}} on line 1 opens a section that is never closed."),
            (
                "{{#" + "long" * 20 + "}}",
                "Template tag {{#" + "long" * 9 + "… on line 1 opens a section that is never closed.",
            ),
        ],
    )
    def test_the_message_is_a_sentence_with_the_tag_and_its_line(self, text, message):
        """Whoever edits the prompt learns what is wrong, with which tag, and where."""
        with pytest.raises(TemplateSyntaxError, match=f"^{re.escape(message)}$") as caught:
            compile_template(text)
        assert isinstance(caught.value, ValueError)

    def test_an_error_is_told_every_time(self):
        """A broken text is not remembered as anything else."""
        for _ in range(2):
            with pytest.raises(TemplateSyntaxError, match="never closed"):
                compile_template("{{broken")

    @given(st.text())
    def test_any_text_compiles_or_is_a_syntax_error(self, text):
        """No other exception ever comes from a template."""
        try:
            template = compile_template(text)
        except TemplateSyntaxError:
            return
        assert isinstance(template.render({}), str)

    @given(
        st.lists(
            st.sampled_from(
                [
                    "{{",
                    "}}",
                    "{{{",
                    "}}}",
                    "{{#a}}",
                    "{{^a}}",
                    "{{/a}}",
                    "{{=",
                    "=}}",
                    "{{!",
                    "a",
                    ".",
                    " ",
                    "\n",
                    "<",
                    "{{>",
                    "&",
                ]
            ),
            max_size=30,
        ).map("".join)
    )
    def test_any_heap_of_tags_compiles_or_is_a_syntax_error(self, text):
        """As above, with texts that are nearly templates."""
        try:
            template = compile_template(text)
        except TemplateSyntaxError:
            return
        assert isinstance(template.render({"a": [{"a": 1}, "x"]}), str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class TestAnyText:
    @given(st.text().filter(lambda text: "{{" not in text), JSON)
    def test_a_template_without_tags_is_itself(self, text, value):
        """Nothing is changed but tags."""
        assert render(text, {"x": value}) == text

    @given(st.text())
    def test_a_variable_is_never_read_as_a_template(self, value):
        """Whatever text a variable holds comes out as it is, alone, in a section and among text."""
        assert render("{{x}}", {"x": value}) == value
        assert render("<{{{x}}}>{{#l}}{{.}}{{/l}}", {"x": value, "l": [value]}) == f"<{value}>{value}"

    @pytest.mark.parametrize(
        "value", ["{{secret}}", "{{{secret}}}", "{{#secret}}x{{/secret}}", "{{=<% %>=}}", "{{broken"]
    )
    def test_tags_in_a_variable_are_text(self, value):
        """One pass, however often the text goes through."""
        assert render("{{x}}{{secret}}", {"x": value, "secret": "s"}) == f"{value}s"

    @given(JSON)
    def test_any_data_renders_however_a_template_asks(self, value):
        """No value breaks a rendering."""
        text = "{{x}}{{x.a}}{{x.0}}{{x.length}}{{#x}}{{.}}{{a}}{{#.}}{{.}}{{/.}}{{/x}}{{^x}}{{.}}{{/x}}"
        assert isinstance(render(text, {"x": value}), str)


class TestEscaping:
    VARIABLES = MappingProxyType({"x": "<a href=\"x\">'&amp;'/`=</a>", "n": 5, "l": ["<", "&"]})

    @pytest.mark.parametrize(
        "text",
        [
            "{{x}}",
            "{{{x}}}",
            "{{&x}}",
            '<&">{{x}}',
            "{{#l}}{{.}}{{{.}}}{{&.}}{{/l}}",
            "{{n}}{{#n}}{{x}}{{/n}}",
            "{{^m}}{{x}}{{/m}}",
        ],
    )
    def test_the_same_entities_as_the_official_package(self, text):
        """With `escape_html`, what chevron escapes is escaped, and nothing else."""
        expected = chevron.render(text, dict(self.VARIABLES), partials_path=None)
        assert render(text, self.VARIABLES, escape_html=True) == expected

    @given(st.text(min_size=1))
    def test_any_text_is_escaped_as_chevron_does(self, value):
        """As above, for any value."""
        assert render("{{x}}", {"x": value}, escape_html=True) == chevron.render("{{x}}", {"x": value})

    def test_off_unless_asked_for(self):
        """One template serves both; the default is the JavaScript SDK's."""
        template = compile_template("{{x}}{{l}}")
        assert template.render({"x": "<", "l": ["<", '"']}) == '<<,"'
        assert template.render({"x": "<", "l": ["<", '"']}, escape_html=True) == "&lt;&lt;,&quot;"


class TestTemplates:
    def test_the_same_text_is_compiled_once(self):
        """A compiled template is kept by its text."""
        assert compile_template("once {{x}}") is compile_template("once {{x}}")

    def test_the_cache_is_bounded(self):
        """Texts that are not used again do not stay."""
        first = compile_template("first of many")
        for number in range(1_100):
            compile_template(f"one of many {number}")
        assert compile_template("first of many") is not first

    def test_templates_are_values(self):
        """Equal by text, hashable, and the same after a trip through pickle."""
        template = compile_template("{{#x}}{{y}}{{/x}}")
        copy = pickle.loads(pickle.dumps(template))
        assert copy == template
        assert hash(copy) == hash(template)
        assert copy.render({"x": {"y": 1}}) == "1"
        assert template != compile_template("{{#x}}{{z}}{{/x}}")
        assert isinstance(template, Template)

    def test_templates_are_frozen(self):
        """No part of a compiled template can be set."""
        template = compile_template("{{x}}")
        for part in (template, template._nodes[0]):
            with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
                part.name = "other"
        with pytest.raises(FrozenInstanceError):
            template.text = "other"

    def test_rendering_changes_nothing(self):
        """The variables are as before, and the next rendering knows nothing of the last."""
        variables = {"x": [1, {"y": [2]}], "d": {"a": None}}
        before = json.dumps(variables)
        template = compile_template("{{#x}}{{y}}{{=<% %>=}}<%.%><%/x%>{{x}}")
        assert template.render(variables) == template.render(variables)
        assert json.dumps(variables) == before
        assert template.render({}) == "{{x}}"

    @pytest.mark.parametrize("variables", [None, [("a", 1)], "a", 5, object()])
    def test_variables_that_are_no_mapping_are_refused(self, variables):
        """A programmer's error is told at once, with the type."""
        with pytest.raises(TypeError, match=f"mapping of names, not {type(variables).__name__}"):
            compile_template("x").render(variables)

    @pytest.mark.parametrize("text", [None, b"{{x}}", 5, ["x"]])
    def test_a_template_that_is_no_text_is_refused(self, text):
        """As above, for the template."""
        with pytest.raises(TypeError, match=f"text, not {type(text).__name__}"):
            compile_template(text)
