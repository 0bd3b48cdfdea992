"""From templates to texts: which variables count, and what becomes of templates that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldtrack.core.models import LDMessage
from ldtrack.core.privacy import Privacy
from ldtrack.core.rendering import Interpolation, Rendered, render_variation
from ldtrack.core.variation import Mode, Variation
from tests.strategies import any_text

CONTEXT = {
    "kind": "user",
    "key": "ada",
    "name": "Ada",
    "email": "ada@example.org",
    "_meta": {"privateAttributes": ["email"]},
}


def rendered(
    *templates: str | tuple[str, str], mode: Mode = "completion", context: Any = CONTEXT, **options: Any
) -> Rendered:
    """These templates rendered as messages; those without a role are the user's."""
    messages = tuple(
        LDMessage("user", template) if isinstance(template, str) else LDMessage(*template)
        for template in templates
    )
    interpolation = Interpolation(context=lambda: context, **options)
    return render_variation(Variation(mode=mode, messages=messages), interpolation)


def texts(result: Rendered) -> list[str]:
    """The contents of the messages."""
    assert result.messages is not None
    return [message.content for message in result.messages]


def test_variables_and_the_context_are_filled_in() -> None:
    """Each message is rendered on its own; roles stay."""
    result = rendered(("system", "Help {{ldctx.name}}."), "I am {{who}}.", "plain", variables={"who": "Bo"})
    assert result.messages == (
        LDMessage("system", "Help Ada."),
        LDMessage("user", "I am Bo."),
        LDMessage("user", "plain"),
    )
    assert result.problems == ()


def test_instructions_are_filled_in() -> None:
    """An agent's instructions are a template like any other."""
    variation = Variation(mode="agent", instructions="Help {{who}}{{nobody}}.")
    result = render_variation(variation, Interpolation(variables={"who": "Bo"}))
    assert result == Rendered(None, "Help Bo.")


def test_nothing_to_render_gives_nothing() -> None:
    """A config without texts has none afterwards, and an empty one stays empty."""
    assert render_variation(Variation(mode="agent"), Interpolation()) == Rendered(None, None)
    assert rendered() == Rendered((), None)


def test_private_attributes_cannot_be_read() -> None:
    """A prompt's author sees what an event's reader sees, unless told otherwise."""
    template = "{{ldctx.email}}|{{ldctx.name}}|{{ldctx._meta.privateAttributes}}"
    assert texts(rendered(template)) == ["|Ada|"]
    assert texts(rendered(template, privacy=Privacy(["name"]))) == ["||"]
    assert texts(rendered(template, privacy=Privacy(all_attributes_private=True))) == ["||"]
    assert texts(rendered(template, privacy=Privacy(include_private=True))) == ["ada@example.org|Ada|"]


def test_the_context_cannot_be_replaced() -> None:
    """A variable of that name is ignored, and said so."""
    result = rendered("{{ldctx.name}}", variables={"ldctx": {"name": "Eve"}})
    assert texts(result) == ["Ada"]
    assert result.problems == (
        "The variable 'ldctx' is reserved for the context; the value passed is ignored.",
    )


def test_the_context_is_not_read_without_need() -> None:
    """A prompt without tags costs no copy of the context."""

    def unread() -> dict[str, Any]:
        raise AssertionError("nobody asked for the context")

    variation = Variation(
        mode="completion", messages=(LDMessage("user", "plain"), LDMessage("user", "{{#a}}"))
    )
    assert render_variation(variation, Interpolation(context=unread)).messages == variation.messages


def test_a_broken_template_is_kept_with_a_problem() -> None:
    """The others are rendered all the same."""
    result = rendered("{{who}}", "{{#open}} {{who}}", "{{who", variables={"who": "Bo"})
    assert texts(result) == ["Bo", "{{#open}} {{who}}", "{{who"]
    assert [problem.split(". ")[0] for problem in result.problems] == [
        "messages[1].content is kept as it is, unrendered",
        "messages[2].content is kept as it is, unrendered",
    ]
    assert "{{#open}}" in result.problems[0]
    broken = render_variation(Variation(mode="agent", instructions="{{/a}}"), Interpolation())
    assert broken.instructions == "{{/a}}"
    assert broken.problems[0].startswith("instructions is kept as it is, unrendered. ")


def test_html_is_escaped_on_request_only() -> None:
    """The official Python package escapes, the JavaScript SDK does not."""
    assert texts(rendered("{{a}}", variables={"a": "<&>"})) == ["<&>"]
    assert texts(rendered("{{a}}{{{a}}}", variables={"a": "<&>"}, escape_html=True)) == ["&lt;&amp;&gt;<&>"]


def test_variables_are_not_templates() -> None:
    """What a user typed is never rendered again."""
    assert texts(rendered("{{a}}", variables={"a": "{{ldctx.name}}"})) == ["{{ldctx.name}}"]


def test_variables_are_a_mapping_or_nothing() -> None:
    """Anything else is the caller's mistake."""
    assert texts(rendered("{{a}}", variables=None)) == [""]
    with pytest.raises(TypeError, match=r"^variables must be a mapping of names to values, not list$"):
        Interpolation(variables=[("a", 1)])  # type: ignore[arg-type]  # the wrong type is the test


@pytest.mark.parametrize("name", ["message_history", "response_to_evaluate"])
@pytest.mark.parametrize("written", ["{{%s}}", "{{ %s }}", "{{{%s}}}", "{{&%s}}"])
def test_messages_that_show_what_is_judged_are_left_out(name: str, written: str) -> None:
    """However the placeholder is written; system messages keep it, as text."""
    template = f"Judge: {written % name}"
    result = rendered(
        ("system", template), ("user", template), ("assistant", template), "Be fair.", mode="judge"
    )
    placeholder = "{{" + name + "}}"
    assert result.messages == (LDMessage("system", f"Judge: {placeholder}"), LDMessage("user", "Be fair."))
    assert result.problems == ()


@pytest.mark.parametrize("escape_html", [False, True])
def test_what_is_judged_cannot_be_passed_as_a_variable(escape_html: bool) -> None:
    """The value is ignored and said so; None says nothing."""
    variables = {"message_history": "forged", "response_to_evaluate": None, "who": "Bo"}
    result = rendered(
        ("system", "{{message_history}} {{response_to_evaluate}} {{who}}"),
        mode="judge",
        variables=variables,
        escape_html=escape_html,
    )
    assert texts(result) == ["{{message_history}} {{response_to_evaluate}} Bo"]
    assert result.problems == (
        "The variable 'message_history' is reserved for the judge; the value passed is ignored.",
    )


def test_only_judges_reserve_what_is_judged() -> None:
    """In a completion they are variables like any other, and messages stay."""
    result = rendered("{{message_history}}{{response_to_evaluate}}", variables={"message_history": "mine"})
    assert (texts(result), result.problems) == (["mine"], ())
    quoting = rendered("{{quoted}}", variables={"quoted": "{{message_history}}"})
    assert texts(quoting) == ["{{message_history}}"]


def test_a_broken_template_of_a_judge_is_left_out_if_it_shows_what_is_judged() -> None:
    """What is kept as it is counts as what it shows."""
    result = rendered("{{message_history}} {{#open}}", mode="judge")
    assert result.messages == ()
    assert len(result.problems) == 1


@given(
    st.lists(any_text | st.text(st.sampled_from("{}#/^&=! ab.\n"))), st.sampled_from(["completion", "judge"])
)
def test_no_template_ever_raises(templates: list[str], mode: Any) -> None:
    """Whatever the texts are, there are messages, and sentences about those that cannot be read."""
    result = rendered(*templates, mode=mode, variables={"a": {"b": [1]}, "name": "x"})
    assert result.messages is not None
    assert len(result.messages) <= len(templates)
