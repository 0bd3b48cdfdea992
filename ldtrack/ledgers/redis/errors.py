"""What an error of the driver means for a ledger.

Rule for this file: tables from codes to consequences. A sentence names what to do, and never a password.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from typing import Final

import redis.exceptions as driver
from redis.sentinel import MasterNotFoundError

from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.store import UnavailableError

__all__ = ["DRIVER_ERRORS", "understood"]

DRIVER_ERRORS: Final = (driver.RedisError, driver.RedisClusterException)
"""All that the driver raises for what servers and networks do."""

_CODES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (driver.AuthenticationError, "AUTH"),
    (driver.AuthenticationWrongNumberOfArgsError, "AUTH"),
    (driver.NoPermissionError, "NOPERM"),
    (driver.OutOfMemoryError, "OOM"),
    (driver.MovedError, "MOVED"),
    (driver.ReadOnlyError, "READONLY"),
    (driver.ClusterError, "CLUSTERDOWN"),
    (driver.RedisClusterException, "CLUSTERDOWN"),
    (driver.TryAgainError, "TRYAGAIN"),
    (driver.ConnectionError, "AWAY"),
    (driver.TimeoutError, "AWAY"),
)
"""From the driver's types, special ones first: where it has a type, the driver cuts the code off."""

_CODE_IN_TEXT: Final = re.compile(r"(?:^|[ :]-|@user_script:\d+: )([A-Z]{3,})\b")
"""Where a code stands in an error without a type, and where Redis 6 quotes one that a script ran into."""

# What passes: a server that starts, a failover, a slot on the move, somebody's endless script.
_PASSING: Final = frozenset(
    {
        "AWAY",
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "NOREPLICAS",
        "READONLY",
        "TRYAGAIN",
        "UNBLOCKED",
    }
)

_LASTING: Final = {
    "AUTH": "Redis refused the user name or the password; correct those in the ledger's URL",
    "NOPERM": (
        "the Redis user may not do what a ledger has to; allow it `+@read +@write +@scripting +time` on the "
        "ledger's keys"
    ),
    "OOM": (
        "Redis has used up its maxmemory; raise it, or let a relay deliver what is pending so that it shrinks"
    ),
    "MISCONF": "Redis accepts no writes because it cannot save them (MISCONF); look at its disk and its log",
    "WRONGTYPE": "a key of this ledger holds something of another type; give the ledger a `name` of its own",
    "MOVED": (
        "this server is one of a Redis Cluster and did not say so; allow the ledger's user the INFO command"
    ),
}

_KIND: Final = re.compile(r" - (?:\w+:)?(\w+Error)\b")
"""Where the driver says what went wrong with one of the Sentinels."""
_ALERT: Final = re.compile(r"\[SSL: \w+_ALERT_")
_OF_A_FILE: Final = re.compile(r"\[(?:PEM|X509)[:\]]")
_UNTRUSTED: Final = (
    "the certificate that Redis showed is not to be trusted; give the authority that signed it, such as "
    "'rediss://host:6379/0?ssl_ca_certs=/etc/ssl/redis-ca.pem', and the name that it was made for"
)
_REFUSED: Final = (
    "Redis refused the TLS handshake; the certificate that it wants to see is given as ssl_certfile and"
    " ssl_keyfile"
)


def understood(error: Exception) -> UnavailableError | LedgerError:
    """The error that the ledger's caller should see."""
    for cause in _causes_of(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return LedgerError(f"{_UNTRUSTED} ({cause.verify_message})")
        if isinstance(cause, ssl.SSLError) and _ALERT.search(str(cause)):
            return LedgerError(f"{_REFUSED} ({cause})")
        if isinstance(cause, ssl.SSLError) and _OF_A_FILE.search(str(cause)):
            return LedgerError(f"a file that TLS needs cannot be used ({cause})")
    if isinstance(error, MasterNotFoundError):
        # The driver's words for it are those of its own objects, and those may hold a password.
        kinds = ", ".join(dict.fromkeys(_KIND.findall(str(error)))) or "no such service, or it has none"
        return UnavailableError(f"Redis cannot be used right now: no Sentinel names its master ({kinds})")
    code = _code_of(error)
    if code in _PASSING:
        return UnavailableError(f"Redis cannot be used right now ({type(error).__name__}: {error})")
    return LedgerError(_LASTING.get(code, f"Redis answered with an error: {error}"))


def _causes_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _code_of(error: Exception) -> str:
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    found = _CODE_IN_TEXT.search(str(error))
    return found[1] if found else ""
