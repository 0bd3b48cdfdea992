"""The SDK key, which may change while a relay runs.

Rule for this file: what the key is right now. It is never part of a message.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from ldtrack.cli.errors import WRONG_USAGE, CommandError

__all__ = ["FixedKey", "Key", "KeyFile"]

_LONGEST: Final = 1 << 14


class FixedKey:
    """A key that stays what it is: from the environment, which nobody changes from outside."""

    def __init__(self, key: str = "") -> None:
        self._key = key
        self.changes = 0
        self.problem: str | None = None

    def __call__(self) -> str:
        """The key."""
        return self._key

    def look(self) -> None:
        """There is nowhere to look."""

    @property
    def known(self) -> tuple[str, ...]:
        """All keys that were seen so far, for hiding them."""
        return (self._key,) if self._key else ()


class KeyFile:
    """A key in a file, which is read again before each post: it is small, and so nothing is missed.

    A file that cannot be read, or is empty while it is replaced, leaves the key as it was. It may be asked
    from any thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._lock = threading.Lock()
        self._key = ""
        self._known: tuple[str, ...] = ()
        self.changes = 0
        """How often it was found to be another one."""
        self.problem: str | None = None
        """Why it could not be read the last time."""
        self.look()
        if self.problem is not None:
            raise CommandError(WRONG_USAGE, self.problem)
        self.changes = 0

    def __call__(self) -> str:
        """The key that is right now."""
        self.look()
        return self._key

    def look(self) -> None:
        """Read the file."""
        with self._lock:
            key, self.problem = self._read()
            if key and key != self._key:
                self._key = key
                # A post under way may still fail with the one before it.
                self._known = (key, *self._known[:3])
                self.changes += 1

    @property
    def known(self) -> tuple[str, ...]:
        """The last keys that were seen, for hiding them."""
        return self._known

    def _read(self) -> tuple[str, str | None]:
        try:
            with self._path.open("rb") as file:
                key = file.read(_LONGEST).decode().strip()
        except OSError as error:
            return (
                "",
                f"the SDK key cannot be read from {self._path}: {error.strerror or type(error).__name__}",
            )
        except UnicodeDecodeError:
            return "", f"the file {self._path} holds no SDK key: it is no text"
        return key, None if key else f"the file {self._path} holds no SDK key: it is empty"


Key = FixedKey | KeyFile
