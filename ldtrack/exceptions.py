"""Every error this package raises on purpose.

    LdtrackError
    ├── InvalidTokenError  (also a ValueError)    a resumption token cannot be read or trusted
    ├── LedgerError                               the ledger could not record a claim
    ├── NoRunnerError                             no runner fits a config
    ├── CutShortError                             a model's answer ended while it asked for tools
    ├── RoundLimitError                           a model wanted tools called again and again
    ├── DuplicateError                            a metric was tracked twice, and duplicates were made strict
    └── MisuseError        (also a RuntimeError)  a run or stream was used against its contract

A wrong type or value is a plain ``TypeError`` or ``ValueError``: the caller's code is what has to change.
Rule for this file: classes only, and it imports nothing, so that every other module may import it.
"""

from __future__ import annotations

__all__ = [
    "CutShortError",
    "DuplicateError",
    "InvalidTokenError",
    "LdtrackError",
    "LedgerError",
    "MisuseError",
    "NoRunnerError",
    "RoundLimitError",
]


class LdtrackError(Exception):
    """The base of every error that ldtrack raises on purpose."""


class InvalidTokenError(LdtrackError, ValueError):
    """Raised when a resumption token cannot be read, or must not be trusted.

    The message never repeats the token: tokens end up in logs.
    """


class LedgerError(LdtrackError):
    """Raised by an explicit ``await track_*`` when the ledger could not record the claim.

    The slot is free again: the same call may be repeated.
    """


class NoRunnerError(LdtrackError):
    """Raised when no runner fits a config; the message says of each candidate why not."""


class CutShortError(LdtrackError):
    """Raised instead of calling tools whose arguments may be incomplete, since the answer was cut short."""


class RoundLimitError(LdtrackError):
    """Raised when a model has been asked too often in one run, and still wants tools called."""


class DuplicateError(LdtrackError):
    """Raised instead of returning ``False`` inside ``ldtrack.testing.strict()``."""


class MisuseError(LdtrackError, RuntimeError):
    """Raised when a run or a stream is used against its contract, such as entering a run twice."""
