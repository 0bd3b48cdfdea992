"""Mustache, as LaunchDarkly's JavaScript SDK renders it: mustache.js 4 without HTML escaping.

Rule for this file: the tree of a compiled template, and the walk over it. What is a tag, `template_lexer`
says; what a value is worth, `template_values`. No partial is read, and no rendering leaves a trace.

By hand, because chevron (the official package's choice) is unmaintained, reads partials from the working
directory, walks attributes and calls what is callable, and pystache does the same. A prompt's author could
so read files and objects that nobody meant to show.

Where it knowingly differs from mustache.js: names that JavaScript inherits (`constructor`, `items.map`) are
missing; a `None` among the scopes is passed over instead of failing; integers keep all their digits;
sections nest at most 100 deep. Partials are empty, as they are there when none are given.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Final

from ldtrack.core.template_lexer import Tag, TemplateSyntaxError, Token, read_tokens
from ldtrack.core.template_values import MISSING, elements, is_list, is_truthy, member, to_text

__all__ = ["Template", "TemplateSyntaxError", "compile_template"]

_MAX_DEPTH: Final = 100
_CACHED_TEMPLATES: Final = 1024

Scopes = tuple[object, ...]
"""What names are looked up in, innermost first."""


@dataclass(frozen=True, slots=True)
class _Name:
    """What a tag asks for: no steps for ``.``, several for a dotted name."""

    steps: tuple[str, ...]

    def value(self, scopes: Scopes) -> object:
        if not self.steps:
            return scopes[0]
        for scope in scopes:
            found = self._within(scope)
            if found is not MISSING:
                return found
        return None

    def _within(self, scope: object) -> object:
        # mustache.js hides a text's own length from a name without dots, so that {{#length}}{{length}} works.
        dotted = len(self.steps) > 1
        for step in self.steps:
            scope = member(scope, step, of_text=dotted)
            if scope is MISSING:
                return MISSING
        return scope


@dataclass(frozen=True, slots=True)
class _Variable:
    name: _Name
    raw: bool


@dataclass(frozen=True, slots=True)
class _Section:
    name: _Name
    inverted: bool
    body: tuple[_Node, ...]

    def visits(self, scopes: Scopes) -> Iterable[Scopes]:
        """The scopes to render the body in: none to leave it out, one for each element of a list."""
        value = self.name.value(scopes)
        if is_truthy(value) == self.inverted:
            return ()
        if self.inverted or value is True:
            return (scopes,)
        if is_list(value):
            return ((element, *scopes) for element in elements(value))
        return ((value, *scopes),)


_Node = str | _Variable | _Section


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template: immutable, equal to any other of the same text, safe to share."""

    text: str
    _nodes: tuple[_Node, ...] = field(repr=False, compare=False)

    def render(self, variables: Mapping[str, object], *, escape_html: bool = False) -> str:
        """Fill in the variables; what they hold is never read as a template.

        Args:
            variables: What names are looked up in. A missing name is empty.
            escape_html: Replace ``& " < >`` by entities, as the official Python package does, except in
                ``{{{name}}}`` and ``{{&name}}``.
        """
        if not issubclass(type(variables), Mapping):
            raise TypeError(f"A template's variables are a mapping of names, not {type(variables).__name__}.")
        written: list[str] = []
        _write(self._nodes, (variables,), written, escape_html=escape_html)
        return "".join(written)


def _write(nodes: tuple[_Node, ...], scopes: Scopes, written: list[str], *, escape_html: bool) -> None:
    for node in nodes:
        if isinstance(node, str):
            written.append(node)
        elif isinstance(node, _Variable):
            text = to_text(node.name.value(scopes))
            written.append(_escaped(text) if escape_html and not node.raw else text)
        else:
            for inner in node.visits(scopes):
                _write(node.body, inner, written, escape_html=escape_html)


def _escaped(text: str) -> str:
    # The apostrophe stays, as it does in the official package.
    return html.escape(text, quote=False).replace('"', "&quot;")


def compile_template(text: str) -> Template:
    """Read a template; the same text gives the same `Template` while it is among the last thousand used.

    Raises:
        TemplateSyntaxError: A tag or section is not closed, not open, or nested too deeply.
    """
    if not isinstance(text, str):
        raise TypeError(f"A template is text, not {type(text).__name__}.")
    return _compiled(text)


@lru_cache(maxsize=_CACHED_TEMPLATES)
def _compiled(text: str) -> Template:
    return Template(text, _nested(text, read_tokens(text)))


def _nested(text: str, tokens: list[Token]) -> tuple[_Node, ...]:
    """Build the tree: every section tag opens a level that its closing tag turns into one node."""
    opened: list[Tag] = []
    levels: list[list[_Node]] = [[]]
    for token in tokens:
        if isinstance(token, str):
            levels[-1].append(token)
        elif token.sigil in {"#", "^"}:
            if len(opened) == _MAX_DEPTH:
                raise token.error(text, f"is nested deeper than {_MAX_DEPTH} sections")
            opened.append(token)
            levels.append([])
        elif token.sigil == "/":
            section = _closed_by(token, opened, text)
            body = _merged(levels.pop())
            levels[-1].append(_Section(_name(section), section.sigil == "^", body))
        elif token.sigil in {"", "&"}:
            levels[-1].append(_Variable(_name(token), raw=token.sigil == "&"))
    if opened:
        raise opened[-1].error(text, "opens a section that is never closed")
    return _merged(levels.pop())


def _closed_by(tag: Tag, opened: list[Tag], text: str) -> Tag:
    if not opened:
        raise tag.error(text, "closes a section that was never opened")
    section = opened.pop()
    if section.name != tag.name:
        where = f"{section.shown} of line {section.line(text)}"
        raise tag.error(text, f"closes another section than the one that is open, {where}")
    return section


def _name(tag: Tag) -> _Name:
    if tag.name == ".":
        return _Name(())
    # As in mustache.js, a name that begins with a dot is not a dotted one.
    return _Name(tuple(tag.name.split(".")) if tag.name.find(".") > 0 else (tag.name,))


def _merged(nodes: list[_Node]) -> tuple[_Node, ...]:
    """Join neighbouring texts, and drop the blanked ones."""
    merged: list[_Node] = []
    for is_text, run in groupby(nodes, key=lambda node: isinstance(node, str)):
        if is_text:
            merged.append("".join(node for node in run if isinstance(node, str)))
        else:
            merged.extend(run)
    return tuple(node for node in merged if node != "")
