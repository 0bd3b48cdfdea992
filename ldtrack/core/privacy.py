"""What of a context a template may read: everything but its private attributes.

Rule for this file: contexts are plain data, as an SDK's ``to_dict`` writes them, and are never changed.
Private is what LaunchDarkly's own events would redact: by the context's own list, by the client's, or all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import attrs

__all__ = ["Privacy"]

_ALWAYS_PUBLIC: Final = frozenset({"kind", "key", "anonymous"})
_BROKEN_ESCAPE: Final = re.compile("~(?![01])")


class _Reference(NamedTuple):
    """An attribute reference: where to start, and which member of which object is meant."""

    parents: tuple[str, ...]
    name: str


def _references(texts: Iterable[object]) -> list[_Reference]:
    """Read attribute references: a name, or a path such as ``/address/street``, with ``~1`` for a slash.

    One that cannot be read names nothing, as everywhere in LaunchDarkly's SDKs.
    """
    references = []
    for text in texts:
        if not isinstance(text, str) or text in {"", "/"}:
            continue
        if not text.startswith("/"):
            references.append(_Reference((), text))
            continue
        steps = text[1:].split("/")
        if all(steps) and not _BROKEN_ESCAPE.search(text):
            *parents, name = [step.replace("~1", "/").replace("~0", "~") for step in steps]
            references.append(_Reference(tuple(parents), name))
    return references


def _several(references: Iterable[str]) -> tuple[str, ...]:
    if isinstance(references, str | bytes):
        raise TypeError(f"private_attributes must be several references: write [{references!r}]")
    return tuple(references)


@attrs.frozen
class Privacy:
    """Which attributes of a context are private besides those that the context itself says are.

    ``include_private`` lets templates read them all the same.
    """

    private_attributes: tuple[str, ...] = attrs.field(default=(), converter=_several)
    all_attributes_private: bool = False
    include_private: bool = False

    def readable(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """A context as a template sees it, under ``ldctx``: without ``_meta``, without what is private."""
        if context.get("kind") != "multi":
            return self._readable_kind(context)
        return {
            kind: self._readable_kind(single) if isinstance(single, Mapping) else single
            for kind, single in context.items()
        }

    def _readable_kind(self, context: Mapping[str, Any]) -> dict[str, Any]:
        attributes = {name: value for name, value in context.items() if name != "_meta"}
        if self.include_private:
            return attributes
        if self.all_attributes_private:
            return {name: value for name, value in attributes.items() if name in _ALWAYS_PUBLIC}
        for reference in _references((*self.private_attributes, *_own_references(context))):
            _remove(attributes, reference)
        return attributes


def _own_references(context: Mapping[str, Any]) -> Iterable[object]:
    meta = context.get("_meta")
    listed = meta.get("privateAttributes") if isinstance(meta, Mapping) else None
    return listed if isinstance(listed, Iterable) else ()


def _remove(attributes: dict[str, Any], reference: _Reference) -> None:
    """Take out what is referred to; objects on the way to it are replaced by copies, not changed."""
    if not reference.parents:
        if reference.name not in _ALWAYS_PUBLIC:
            attributes.pop(reference.name, None)
        return
    for parent in reference.parents:
        inner = attributes.get(parent)
        if not isinstance(inner, Mapping):
            return
        attributes[parent] = attributes = dict(inner)
    attributes.pop(reference.name, None)
