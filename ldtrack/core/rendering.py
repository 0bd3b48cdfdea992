"""From the templates of a variation to the texts of a config.

Rule for this file: which texts are rendered with which variables, what is reserved among them, and what
becomes of a template that cannot be read. How a template is read, `template` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs

from ldtrack.core.models import LDMessage
from ldtrack.core.privacy import Privacy
from ldtrack.core.template import TemplateSyntaxError, compile_template
from ldtrack.core.variation import Mode, Variation

__all__ = ["Interpolation", "Rendered", "render_variation"]

_CONTEXT: Final = "ldctx"
_JUDGED: Final = {name: f"{{{{{name}}}}}" for name in ("message_history", "response_to_evaluate")}
"""What a judge's prompt says in place of what is judged: rendering leaves it as it is."""


def _named(variables: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if variables is None:
        return {}
    if not isinstance(variables, Mapping):
        raise TypeError(f"variables must be a mapping of names to values, not {type(variables).__name__}")
    return variables


@attrs.frozen(kw_only=True)
class Interpolation:
    """What to fill templates with, and how."""

    variables: Mapping[str, Any] = attrs.field(default=None, converter=_named)
    context: Callable[[], Mapping[str, Any]] = dict
    """The evaluation context as plain data. A function, since most prompts never ask for it."""
    privacy: Privacy = Privacy()  # noqa: RUF009 - frozen, so it may be shared
    escape_html: bool = False

    def scope_of(self, mode: Mode) -> dict[str, Any]:
        """Every name a template of that mode may use; the reserved ones win."""
        scope = {**self.variables, _CONTEXT: self.privacy.readable(self.context())}
        return {**scope, **_JUDGED} if mode == "judge" else scope

    def problems_of(self, mode: Mode) -> Iterator[str]:
        """The sentences about variables whose names are reserved."""
        if self.variables.get(_CONTEXT) is not None:
            yield f"The variable {_CONTEXT!r} is reserved for the context; the value passed is ignored."
        for name in _JUDGED if mode == "judge" else ():
            if self.variables.get(name) is not None:
                yield f"The variable {name!r} is reserved for the judge; the value passed is ignored."


@attrs.frozen
class Rendered:
    """The texts of a config, and what went wrong with them."""

    messages: tuple[LDMessage, ...] | None
    instructions: str | None
    problems: tuple[str, ...] = ()


def render_variation(variation: Variation, interpolation: Interpolation) -> Rendered:
    """Render the messages and the instructions; a template that cannot be read is kept as it is.

    Of a judge's messages those are left out that show where older SDKs put in what is judged: today it is
    sent as the judge's input. System messages stay, whatever they say.
    """
    problems = list(interpolation.problems_of(variation.mode))
    templates = _Renderer(variation.mode, interpolation, problems)
    messages = variation.messages
    if messages is not None:
        messages = tuple(
            LDMessage(message.role, templates.text(message.content, f"messages[{index}].content"))
            for index, message in enumerate(messages)
        )
        if variation.mode == "judge":
            messages = tuple(message for message in messages if not _shows_what_is_judged(message))
    instructions = variation.instructions
    if instructions is not None:
        instructions = templates.text(instructions, "instructions")
    return Rendered(messages, instructions, tuple(problems))


def _shows_what_is_judged(message: LDMessage) -> bool:
    return message.role != "system" and any(place in message.content for place in _JUDGED.values())


class _Renderer:
    """One config's rendering: reads the context when a template first needs it, and notes what fails."""

    __slots__ = ("_interpolation", "_mode", "_problems", "_scope")

    def __init__(self, mode: Mode, interpolation: Interpolation, problems: list[str]) -> None:
        self._mode: Mode = mode
        self._interpolation = interpolation
        self._problems = problems
        self._scope: dict[str, Any] | None = None

    def text(self, template: str, path: str) -> str:
        if "{{" not in template:
            return template
        try:
            compiled = compile_template(template)
        except TemplateSyntaxError as error:
            self._problems.append(f"{path} is kept as it is, unrendered. {error}")
            return template
        if self._scope is None:
            self._scope = self._interpolation.scope_of(self._mode)
        return compiled.render(self._scope, escape_html=self._interpolation.escape_html)
