"""Readers that other packages bring along, found by their entry points.

Rule for this file: whatever such a package does wrong is logged once, and the package is left out. Looking
for them reads files, so it happens once in a process, when the first client is made. They are imported when
a client is entered, or at the latest when nobody else knows a chunk: whoever makes a client may not be
imported itself to its end.
"""

from __future__ import annotations

import functools
import logging
from importlib.metadata import EntryPoint, distributions
from typing import Final, cast

from ldtrack.typing import Reader

__all__ = ["GROUP", "entries", "installed_readers"]

GROUP: Final = "ldtrack.readers"
"""The group of entry points that name a reader, or a class of readers."""

log: Final = logging.getLogger("ldtrack")


@functools.cache
def installed_readers() -> tuple[Reader, ...]:
    """The readers of all installed packages that bring one, in the order of their entry points' names."""
    found = [_reader_of(entry) for entry in sorted(entries(), key=lambda entry: entry.name)]
    return tuple(reader for reader in found if reader is not None)


@functools.cache
def entries() -> tuple[EntryPoint, ...]:
    """The entry points of our group, of each package on its own: one that cannot be read hides no other."""
    found: list[EntryPoint] = []
    for package in distributions():
        try:
            # Hardly any package names our group, and to make entry points of all the others takes five
            # times as long as to read their files.
            if GROUP in (package.read_text("entry_points.txt") or ""):
                found += package.entry_points.select(group=GROUP)
        except Exception as error:  # noqa: BLE001 - whoever packaged it may have written anything
            log.warning("The entry points of a package cannot be read, and are left out: %r", error)
    return tuple(dict.fromkeys(found))  # a package may be found by several paths


def _reader_of(entry: EntryPoint) -> Reader | None:
    try:
        loaded = entry.load()
        reader = loaded() if isinstance(loaded, type) else loaded
        is_reader = isinstance(reader, Reader)  # which may ask its properties
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's module may raise anything
        log.warning(
            "The reader %r (%s) could not be loaded, and is left out: %r", entry.name, entry.value, error
        )
        return None
    if not is_reader:
        log.warning(
            "The entry point %r (%s) gives no reader but %r, and is left out: a reader has recognises(item), "
            "read(item), wants, marks_end and usage_hint.",
            *(entry.name, entry.value, reader),
        )
        return None
    return cast("Reader", reader)
