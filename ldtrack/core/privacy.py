"""What of a context a template may read: everything but its private attributes.

Rule for this file: contexts are plain data, as an SDK's ``to_dict`` writes them, and are never changed.
Private is what LaunchDarkly's own events would redact: by the context's own list, by the client's, or all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from ldtrack.core.options import require_flags, require_several
from ldtrack.core.references import ALWAYS_PUBLIC, own_references, references

__all__ = ["Privacy"]


def _several(references: Iterable[str]) -> tuple[str, ...]:
    if isinstance(references, str | bytes):
        raise TypeError(f"private_attributes must be several references: write [{references!r}]")
    require_several(private_attributes=references)
    several = tuple(references)
    for reference in several:
        if not isinstance(reference, str):
            raise TypeError(f"private_attributes must be texts such as '/address/city', not {reference!r}")
    return several


def _checked_flag(_privacy: object, field: attrs.Attribute[bool], value: object) -> None:
    require_flags(**{field.name: value})


@attrs.frozen
class Privacy:
    """Which attributes of a context are private besides those that the context itself says are.

    ``include_private`` lets templates read them all the same.
    """

    private_attributes: tuple[str, ...] = attrs.field(default=(), converter=_several)
    all_attributes_private: bool = attrs.field(default=False, validator=_checked_flag)
    include_private: bool = attrs.field(default=False, validator=_checked_flag)

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
            return {name: value for name, value in attributes.items() if name in ALWAYS_PUBLIC}
        for reference in references((*self.private_attributes, *own_references(context))):
            _remove(attributes, reference.path)
        return attributes


def _remove(attributes: dict[str, Any], path: Sequence[str]) -> None:
    """Take out what is referred to; objects on the way to it are replaced by copies, not changed."""
    *parents, name = path
    if not parents and name in ALWAYS_PUBLIC:
        return
    for parent in parents:
        inner = attributes.get(parent)
        if not isinstance(inner, Mapping):
            return
        attributes[parent] = attributes = dict(inner)
    attributes.pop(name, None)
