"""What limits in seconds may be.

Rule for this file: what is wrong with a limit is said when a ledger is made, and not by whatever waits
for so long later.
"""

from __future__ import annotations

from threading import TIMEOUT_MAX

__all__ = ["require_limits"]


def require_limits(**limits: object) -> None:
    """Refuse what is no number of seconds that one can wait for."""
    for name, limit in limits.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float):
            raise TypeError(f"{name} must be a number of seconds, not {limit!r} ({type(limit).__name__})")
        if not 0 < limit <= TIMEOUT_MAX:
            raise ValueError(f"{name} must be positive and at most {TIMEOUT_MAX:g} seconds, got {limit!r}")
