"""What may go wrong with a server, and what it means for whoever claims.

Rule for this file: tables and plain functions from an error to ours. A sentence never repeats what the
connection string says beyond what the server itself says, and never a password.
"""

from __future__ import annotations

import re
from typing import Final

import psycopg

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.store import UnavailableError

__all__ = ["meaning_of"]

# SQLSTATE, or its first two characters: https://www.postgresql.org/docs/current/errcodes-appendix.html
PASSING: Final = {
    "08": "the connection to the server failed",
    "57": "the server stopped the statement",
    "40": "the server asks for another try",
    "53": "the server is out of resources",
    "55": "what is needed is in use",
    "25": "the server takes no writes now; it may be a standby",
    "26": "the server forgot a statement",
    "0A000": "the tables were changed",
}
LASTING: Final = {
    "53100": "the server's disk is full",
    "55000": "the server refuses",
    "57P04": "the database was dropped",
    "58": "the server's disk or operating system failed",
    "XX": "the server's data is damaged",
    "42501": "permission is denied; grant it to the role, or have its owner create the tables",
    "42P01": "a table is missing; if the schema was dropped, the next call makes it anew",
    "3D000": "there is no such database",
    "3F000": "there is no such schema",
    "28": "the server does not let this role in",
    "22": "the server cannot store such a value",
}
# A connection that was refused has no SQLSTATE; the server's language is what decides what is recognised.
REFUSALS: Final = {
    "the certificate that PostgreSQL showed is not to be trusted; give the authority that signed it as "
    "sslrootcert, and connect by the name that it was made for": re.compile(
        r"certificate verify failed|server certificate for \".*\" does not match host name"
    ),
    "a file that TLS needs cannot be used": re.compile(r"(?:certificate|private key) file \""),
    "PostgreSQL refused the connection": re.compile(
        r"password authentication failed|no password supplied|no pg_hba\.conf entry|authentication failed"
        r"|(?:database|role) \".*\" does not exist|permission denied for database|not permitted to log in"
        r"|does not support SSL|requires a valid client certificate|alert (?:unknown ca|certificate required)"
    ),
}


def meaning_of(error: psycopg.Error, secret: str | None) -> UnavailableError | LedgerError:
    """Whether it is worth trying again, as a sentence."""
    state = error.sqlstate
    if state is None:
        text = _without(str(error), secret)
        for sentence, words in REFUSALS.items():
            if words.search(text):
                return LedgerError(f"{sentence}: {text}")
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return UnavailableError(f"PostgreSQL cannot be reached: {text}")
        return LedgerError(f"PostgreSQL's driver failed: {text}")
    said = _without(error.diag.message_primary or type(error).__name__, secret)
    for code in (state, state[:2]):
        if code in LASTING:
            return LedgerError(f"PostgreSQL: {LASTING[code]} ({said}, SQLSTATE {state})")
        if code in PASSING:
            return UnavailableError(f"PostgreSQL: {PASSING[code]} ({said}, SQLSTATE {state})")
    return LedgerError(f"PostgreSQL failed: {said} (SQLSTATE {state})")


def _without(text: str, secret: str | None) -> str:
    line = " ".join(text.split())
    return line.replace(secret, "***") if secret else line
