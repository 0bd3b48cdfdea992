"""The grammar of a Mustache template: where its tags are, and which white space belongs to them.

Rule for this file: text goes in, a flat list of texts and tags comes out. Which section a tag closes and
what its name means is for `template` to say.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["Tag", "TemplateSyntaxError", "Token", "read_tokens"]

# JavaScript's \s: Python's has five control characters more, and lacks the byte order mark.
_SPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_SPACES: Final = re.compile(f"[{_SPACE}]+")
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_SIGILS: Final = frozenset("#^/>{&=!")
_CLOSING_SIGILS: Final = {"{": "}", "=": "="}
_LONGEST_SHOWN: Final = 40


class TemplateSyntaxError(ValueError):
    """A template that cannot be read; the message names the tag, its line, and what is wrong with it."""


class Tag(NamedTuple):
    """One tag as it is written."""

    sigil: str
    """Empty for an ordinary variable, ``&`` for both ways to write a raw one."""
    name: str
    start: int
    source: str

    @property
    def shown(self) -> str:
        """The tag as an error message quotes it: on one line, and not at any length."""
        source = " ".join(self.source.split())
        return source if len(source) <= _LONGEST_SHOWN else f"{source[: _LONGEST_SHOWN - 1]}…"

    def line(self, text: str) -> int:
        """The number of the line on which the tag starts, counted from one."""
        return text.count("\n", 0, self.start) + 1

    def error(self, text: str, problem: str) -> TemplateSyntaxError:
        """The sentence about this tag."""
        return TemplateSyntaxError(f"Template tag {self.shown} on line {self.line(text)} {problem}.")


Token = str | Tag


def read_tokens(text: str) -> list[Token]:
    """Cut a template into texts and tags, and blank the lines on which tags stand alone.

    Raises:
        TemplateSyntaxError: A tag is not closed, or sets no pair of delimiters.
    """
    return _Lexer(text).tokens()


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[Token] = []
        self._opening, self._closing = "{{", "}}"
        # Of the current line: where its blank texts are, whether it has a tag, and anything to show.
        self._blanks: list[int] = []
        self._tagged = False
        self._shows = False

    def tokens(self) -> list[Token]:
        end = 0
        while (start := self._text.find(self._opening, end)) >= 0:
            self._take_text(self._text[end:start])
            end = self._take_tag(start)
        self._take_text(self._text[end:])
        self._end_line()
        return self._tokens

    def _take_text(self, text: str) -> None:
        for piece in _LINE.findall(text):
            if piece.strip(_SPACE):
                self._shows = True
            else:
                self._blanks.append(len(self._tokens))
            self._tokens.append(piece)
            if piece.endswith("\n"):
                self._end_line()

    def _end_line(self) -> None:
        if self._tagged and not self._shows:
            for index in self._blanks:
                self._tokens[index] = ""
        self._blanks.clear()
        self._tagged = self._shows = False

    def _take_tag(self, start: int) -> int:
        """Read the tag that starts here, and return where it ends."""
        text = self._text
        begin = self._past_space(start + len(self._opening))
        sigil = text[begin : begin + 1]
        sigil = sigil if sigil in _SIGILS else ""
        begin += len(sigil)
        closing_sigil = _CLOSING_SIGILS.get(sigil, "")
        name_end, closing = self._ends(closing_sigil, begin)
        if name_end < 0 or closing < 0:
            unclosed = Tag(sigil, "", start, text[start:].partition("\n")[0])
            raise unclosed.error(text, f'is never closed; add "{closing_sigil}{self._closing}"')
        end = closing + len(self._closing)
        name = text[begin:name_end].strip(_SPACE)
        tag = Tag("&" if sigil == "{" else sigil, name, start, text[start:end])
        self._tokens.append(tag)
        self._tagged = True
        self._shows |= tag.sigil in {"", "&"}
        if sigil == "=":
            self._set_delimiters(tag)
        return end

    def _past_space(self, position: int) -> int:
        spaces = _SPACES.match(self._text, position)
        return spaces.end() if spaces else position

    def _ends(self, closing_sigil: str, begin: int) -> tuple[int, int]:
        """Where the name ends and where the closing delimiter starts; negative for what is not there."""
        if closing_sigil == "=":
            # Between its second sign and the closing delimiter, mustache.js passes over anything.
            name_end = self._text.find("=", begin)
            return name_end, self._text.find(self._closing, name_end + 1)
        name_end = self._text.find(closing_sigil + self._closing, begin)
        return name_end, name_end + len(closing_sigil)

    def _set_delimiters(self, tag: Tag) -> None:
        # mustache.js passes over a third word and whatever follows it.
        words = _SPACES.split(tag.name)[:2]
        if len(words) < 2:  # noqa: PLR2004 - an opening and a closing one
            raise tag.error(self._text, "sets no pair of delimiters; write two with a space between them")
        self._opening, self._closing = words
