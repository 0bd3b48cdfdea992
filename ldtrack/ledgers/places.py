"""Where a spool is kept unless somebody says where.

Rule for this file: one ledger has one spool per user of a machine, whichever process asks, and whatever the
password is this month.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from ldtrack.core.options import require_path

__all__ = ["SpoolPlace", "spool_path"]

SpoolPlace = str | os.PathLike[str] | bool
"""The path of a spool; or ``True`` for the usual place, ``False`` for none."""

_PASSWORDS: Final = (
    re.compile(r"(?<=://)([^/@]*?):[^/]*@"),  # user:password@ of a URL
    re.compile(r"(?i)\b(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)"),  # password=... of a connection string
)


def spool_path(place: SpoolPlace, address: str, name: str) -> Path | None:
    """The path of the spool for the ledger of that name at that address, or ``None`` for no spool."""
    if place is False:
        return None
    if place is not True:
        require_path(spool=place)
        return Path(place)
    for password in _PASSWORDS:
        address = password.sub(r"\1", address)
    digest = hashlib.sha256(f"{address}\n{name}".encode()).hexdigest()
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 - never raises
    if not os.path.isabs(state):  # noqa: PTH117 - a text; and relative ones are to be ignored
        raise ValueError(
            "there is no place for the spool, since XDG_STATE_HOME is no whole path and the user has no home "
            "directory: give spool='/var/lib/app/ledger.spool', or spool=False for none"
        )
    return Path(state) / "ldtrack" / f"{digest[:16]}.spool"
