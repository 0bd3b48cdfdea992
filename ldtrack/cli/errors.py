"""How a command ends that cannot do what it was told.

Rule for this file: the exit codes of all commands, each in one place, and the error that carries one. What a
user sees of it is a sentence, never a traceback.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ADDRESS_TAKEN",
    "DONE",
    "NO_LEDGER",
    "PENDING",
    "REFUSED",
    "SET_ASIDE",
    "WRONG_USAGE",
    "CommandError",
]

DONE: Final = 0
PENDING: Final = 1
"""Something is left: undelivered when it was to be delivered, or damaged when it was checked."""
WRONG_USAGE: Final = 2
NO_LEDGER: Final = 3
"""The ledger cannot be opened, or stopped answering."""
REFUSED: Final = 4
"""The destination accepts nothing from us."""
SET_ASIDE: Final = 5
"""All was brought to the destination, and it refused some of it."""
ADDRESS_TAKEN: Final = 6
"""Nobody can listen on the address for health."""


class CommandError(Exception):
    """Ends the command with a sentence and an exit code."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
