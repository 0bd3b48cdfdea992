"""Log lines, kept for the end: in the middle they would tear the live line apart.

Rule for this file: nothing is dropped, and the loggers are left as they were found.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Final

__all__ = ["kept_logs"]

LOGGERS: Final = ("ldtrack", "ldclient")


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


@contextlib.contextmanager
def kept_logs() -> Iterator[list[str]]:
    """The warnings and errors that are logged inside the block, in a list that grows."""
    keeper = _Keeper()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addHandler(keeper)
    try:
        yield keeper.lines
    finally:
        for logger in loggers:
            logger.removeHandler(keeper)
