"""What the wire shows of a context: LaunchDarkly's redaction for custom events, and for index events.

Rule for this file: contexts are plain data, as an SDK's ``to_dict`` writes them, and are never changed.
What is hidden is named in ``_meta.redactedAttributes``, so that LaunchDarkly knows that it exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ldtrack.core.privacy import Privacy
from ldtrack.core.references import ALWAYS_PUBLIC, literal, own_references, references

__all__ = ["redacted"]

_Path = tuple[str, ...]


def redacted(
    context: Mapping[str, Any], privacy: Privacy, *, shows_anonymous: bool = False
) -> dict[str, Any]:
    """A context as a custom event carries it: private attributes, and all of an anonymous one's, left out.

    An index event ``shows_anonymous`` ones, whose attributes are private only where they are marked so.
    ``privacy.include_private`` is about templates and changes nothing here.
    """
    if context.get("kind") != "multi":
        return _redacted_kind(context, privacy, shows_anonymous=shows_anonymous)
    return {
        kind: _redacted_kind(single, privacy, shows_anonymous=shows_anonymous)
        if isinstance(single, Mapping)
        else single
        for kind, single in context.items()
    }


def _redacted_kind(context: Mapping[str, Any], privacy: Privacy, *, shows_anonymous: bool) -> dict[str, Any]:
    is_hidden = not shows_anonymous and context.get("anonymous") is True
    hides_all = privacy.all_attributes_private or is_hidden
    private: dict[_Path, str] = {}
    if not hides_all:
        listed = references((*privacy.private_attributes, *own_references(context)))
        private = {reference.path: reference.text for reference in listed}
    shown: dict[str, Any] = {}
    hidden: list[str] = []
    for name, value in context.items():
        if name in ALWAYS_PUBLIC:
            shown[name] = value
        elif name == "_meta":
            continue
        elif hides_all or (name,) in private:
            hidden.append(literal(name))
        else:
            shown[name] = _without_private((name,), value, private, hidden) if private else value
    if hidden:
        shown["_meta"] = {"redactedAttributes": hidden}
    return shown


def _without_private(path: _Path, value: Any, private: Mapping[_Path, str], hidden: list[str]) -> Any:
    """The value without its private members, whose references are added to ``hidden``."""
    if not isinstance(value, Mapping):
        return value
    kept = {}
    for name, inner in value.items():
        here = (*path, name)
        if here in private:
            hidden.append(private[here])
        else:
            kept[name] = _without_private(here, inner, private, hidden)
    return kept
