"""What a server's answer means for a batch.

Rule for this file: plain functions that decide; the table of statuses is the core's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from ldtrack.core.receipts import Receipt, Verdict, verdict_of
from ldtrack.delivery.http import Reply

__all__ = ["date_of", "in_short", "receipt_of", "wait_asked_for"]

_LONGEST_WAIT: Final = 3600.0
"""Seconds. Who asks for more is asked again after an hour all the same."""
_SHORT: Final = 200
_UNPRINTABLE: Final = re.compile(r"[^\x21-\U0010ffff]+")


def receipt_of(reply: Reply, host: str, now: float, secret: str) -> Receipt:
    """The verdict on a batch that was answered so; ``secret`` is kept out of the reason.

    An acknowledgement that breaks off is none: the batch is repeated, and recognised by its payload id.
    """
    verdict = verdict_of(reply.status)
    if verdict is Verdict.DELIVERED:
        if reply.is_whole:
            return Receipt(verdict)
        return Receipt(Verdict.LATER, f"{host} answered {reply.status}, and the answer broke off")
    said = in_short(reply.text, secret)
    reason = f"{host} answered {reply.status}" + (f": {said}" if said else "")
    return Receipt(verdict, reason, wait_asked_for(reply.headers, now))


def in_short(text: str, secret: str) -> str:
    """The beginning of a text on one line, without the secret."""
    return _UNPRINTABLE.sub(" ", text.replace(secret, "<SDK key>")).strip()[:_SHORT]


def date_of(headers: Mapping[str, str]) -> float | None:
    """What the server's clock shows, in seconds since the epoch, if it says so."""
    date = _read_date(headers.get("Date", ""))
    return None if date is None else date.timestamp()


def wait_asked_for(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds to wait that ``Retry-After`` asks for, as a number or as a date.

    A date is one of the server's clock, and is compared with it where the server says what it shows.
    """
    asked = headers.get("Retry-After", "").strip()
    if not asked:
        return None
    if asked.isascii() and asked.isdigit():
        wait = float(asked)
    else:
        date = _read_date(asked)
        if date is None:
            return None
        its_now = date_of(headers)
        wait = date.timestamp() - (now if its_now is None else its_now)
    return min(max(wait, 0.0), _LONGEST_WAIT)


def _read_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
