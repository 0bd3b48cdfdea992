"""Attribute references: how contexts and clients name what is private.

Rule for this file: the notation, and nothing about what is done to what it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

__all__ = ["ALWAYS_PUBLIC", "Reference", "literal", "own_references", "references"]

ALWAYS_PUBLIC: Final = frozenset({"kind", "key", "anonymous"})
"""What identifies a context. No reference hides it."""

_BROKEN_ESCAPE: Final = re.compile("~(?![01])")


class Reference(NamedTuple):
    """One attribute, or one member of an object inside it."""

    text: str
    """As it was written."""
    path: tuple[str, ...]
    """Its steps; a single one names a whole attribute."""


def references(texts: Iterable[object]) -> list[Reference]:
    """Read attribute references: a name, or a path such as ``/address/street``, with ``~1`` for a slash.

    One that cannot be read names nothing, as everywhere in LaunchDarkly's SDKs.
    """
    read = []
    for text in texts:
        if not isinstance(text, str) or text in {"", "/"}:
            continue
        if not text.startswith("/"):
            read.append(Reference(text, (text,)))
            continue
        steps = text[1:].split("/")
        if all(steps) and not _BROKEN_ESCAPE.search(text):
            path = tuple([step.replace("~1", "/").replace("~0", "~") for step in steps])
            read.append(Reference(text, path))
    return read


def literal(name: str) -> str:
    """How an attribute of that name is referred to: by its name, unless that looks like a path."""
    return "/" + name.replace("~", "~0").replace("/", "~1") if name.startswith("/") else name


def own_references(context: Mapping[str, Any]) -> Iterable[object]:
    """What a context of one kind itself lists as private, unread."""
    meta = context.get("_meta")
    listed = meta.get("privateAttributes") if isinstance(meta, Mapping) else None
    return listed if isinstance(listed, Iterable) else ()
