"""``ldtrack ledger``: what operators ask of a ledger, and tell it.

Rule for this file: the actions, one function each, from a ledger to what is said. Those that only look open
a file for reading only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from ldtrack.cli.address import LEDGER_FORMS, Address
from ldtrack.cli.check import checked
from ldtrack.cli.errors import DONE, NO_LEDGER, PENDING, WRONG_USAGE, CommandError
from ldtrack.cli.opening import add_ledger_options, address_of, open_for_viewing, open_ledger, require_ledger
from ldtrack.core.batch import Aside
from ldtrack.exceptions import LedgerError
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.sqlite import SQLiteStore
from ldtrack.ledgers.store import UnavailableError

__all__ = ["ACTIONS", "add_arguments", "run"]

EPILOG: Final = """\
examples:
  ldtrack ledger ledger.db status             how much waits, and since when
  ldtrack ledger env:LEDGER_URL status --json
  ldtrack ledger ledger.db aside --limit 20   what the destination refused, and why
  ldtrack ledger ledger.db retry              let relays bring that to the destination again
  ldtrack ledger ledger.db discard --yes      or delete it for good
  ldtrack ledger ledger.db check              whether the file is what it should be
  ldtrack ledger ledger.db vacuum             give unused room back to the disk, while others write

exit codes:
  0  done
  1  check found something wrong
  2  wrong usage
  3  the ledger cannot be opened
"""


@attrs.frozen
class Said:
    """What an action found or did, for programs and for people."""

    figures: dict[str, Any]
    sentences: tuple[str, ...]
    code: int = DONE


@attrs.frozen
class Action:
    """One thing to ask of a ledger or to tell it."""

    do: Callable[[Address, argparse.Namespace], Said]
    summary: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what an operator can ask and tell."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("ledger", metavar="LEDGER", help=LEDGER_FORMS)
    add_ledger_options(parser)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON object, for programs")
    actions = parser.add_subparsers(dest="action", metavar="<action>", title="actions", required=True)
    by_name = {
        name: actions.add_parser(name, parents=[common], help=action.summary, description=action.summary)
        for name, action in ACTIONS.items()
    }
    by_name["aside"].add_argument("--limit", type=int, default=100, help="how many at most (%(default)s)")
    by_name["aside"].add_argument("--bodies", action="store_true", help="show the events, too")
    by_name["discard"].add_argument("--yes", action="store_true", help="without which nothing is deleted")
    by_name["check"].add_argument("--full", action="store_true", help="compare indexes with tables; slower")


def run(arguments: argparse.Namespace) -> int:
    """Do what the operator says and return the exit code."""
    address = address_of(arguments.ledger, arguments)
    try:
        said = ACTIONS[arguments.action].do(address, arguments)
    except (LedgerError, UnavailableError) as error:
        raise CommandError(NO_LEDGER, address.hide(str(error))) from error
    if arguments.json:
        print(json.dumps(said.figures))
    else:
        for sentence in said.sentences:
            print(sentence)
    return said.code


def _asked(ledger: DurableLedger, *questions: Callable[[], Awaitable[Any]]) -> list[Any]:
    """The answers to questions, in order; then the ledger is let go."""

    async def ask() -> list[Any]:
        try:
            return [await question() for question in questions]
        finally:
            await ledger.aclose()

    asking: Coroutine[Any, Any, list[Any]] = ask()
    return asyncio.run(asking)


def _told(address: Address) -> DurableLedger:
    """The ledger for changing it; a file that is not there is not made."""
    require_ledger(address)
    return open_ledger(address)


# Looking


def _status(address: Address, _: argparse.Namespace) -> Said:
    ledger = open_for_viewing(address)
    [standing] = _asked(ledger, ledger.standing)
    oldest = standing.oldest_ms
    age = None if oldest is None else max(0.0, round(time.time() - oldest / 1000, 3))
    figures = {
        "ledger": address.shown,
        "pending": standing.pending,
        "oldest_at": None if oldest is None else _moment(oldest),
        "oldest_age_seconds": age,
        "delivered": standing.delivered,
        "set_aside": standing.set_aside,
    }
    since = "" if age is None else f", the oldest since {duration(age)}"
    return Said(
        figures,
        (
            f"ledger     {address.shown}",
            f"pending    {standing.pending:,}{since}",
            f"delivered  {standing.delivered:,}",
            f"set aside  {standing.set_aside:,}",
        ),
    )


def _aside(address: Address, arguments: argparse.Namespace) -> Said:
    if arguments.limit < 1:
        raise CommandError(WRONG_USAGE, f"--limit must be at least 1, got {arguments.limit}")
    ledger = open_for_viewing(address)
    standing, found = _asked(ledger, ledger.standing, lambda: ledger.aside(arguments.limit))
    with_body = arguments.bodies
    claims = [
        {
            "run_id": claim.run_id,
            "recorded_at": _moment(claim.at_ms),
            "set_aside_at": _moment(claim.aside_ms),
            "reason": claim.reason,
            **({"events": json.loads(f"[{claim.body}]")} if with_body else {}),
        }
        for claim in found
    ]
    sentences = [line for claim in found for line in _lines_of(claim, with_body=with_body)]
    rest = standing.set_aside - len(found)
    if not found:
        sentences.append("nothing is set aside")
    elif rest > 0:
        sentences.append(f"and {rest:,} more: see --limit")
    return Said({"set_aside": standing.set_aside, "claims": claims}, tuple(sentences))


def _lines_of(claim: Aside, *, with_body: bool) -> list[str]:
    # The reason is what the destination said: on one line, whatever is in it.
    reason = claim.reason if claim.reason.isprintable() else repr(claim.reason)
    line = f"{_moment(claim.aside_ms)}  run {claim.run_id}, recorded {_moment(claim.at_ms)}: {reason}"
    return [line, f"    {claim.body}"] if with_body else [line]


def _check(address: Address, arguments: argparse.Namespace) -> Said:
    ledger = open_for_viewing(address)
    _asked(ledger, ledger.standing)  # what cannot be opened at all says why
    problems = checked(address.target, is_full=arguments.full) if address.is_file else []
    figures = {"ledger": address.shown, "is_well": not problems, "problems": problems}
    if problems:
        return Said(figures, (f"{address.shown} is damaged:", *(f"  {each}" for each in problems)), PENDING)
    return Said(figures, (f"{address.shown} is as it should be",))


# Changing


def _retry(address: Address, _: argparse.Namespace) -> Said:
    ledger = _told(address)
    [count] = _asked(ledger, ledger.retry_aside)
    return Said({"retried": count}, (f"{_claims(count)} pending again",))


def _discard(address: Address, arguments: argparse.Namespace) -> Said:
    if not arguments.yes:
        ledger = open_for_viewing(address)
        [standing] = _asked(ledger, ledger.standing)
        raise CommandError(
            WRONG_USAGE,
            f"this would delete the events of {standing.set_aside:,} claims for good; say --yes to do it",
        )
    ledger = _told(address)
    [count] = _asked(ledger, ledger.discard_aside)
    return Said({"discarded": count}, (f"{_claims(count)} deleted",))


def _vacuum(address: Address, _: argparse.Namespace) -> Said:
    if not address.is_file:
        sentence = "a server gives room back by itself: nothing was done"
        return Said({"freed_bytes": None}, (sentence,))
    require_ledger(address)
    before = _size_of(address)
    store = SQLiteStore(address.target)
    try:
        store.standing()  # makes sure that it is a ledger
        store.vacuum()
    finally:
        store.close()
    freed = max(0, before - _size_of(address))
    return Said({"freed_bytes": freed}, (f"{freed:,} bytes were given back to the disk",))


def _size_of(address: Address) -> int:
    return sum(path.stat().st_size for path in address.files())


ACTIONS: Final = {
    "status": Action(_status, "how much waits to be delivered, and since when"),
    "aside": Action(_aside, "what the destination refused, and why"),
    "retry": Action(_retry, "make what was refused pending again"),
    "discard": Action(_discard, "delete what was refused; it stays recorded, and is not counted again"),
    "vacuum": Action(_vacuum, "give the room that a file does not use back to the disk, while others write"),
    "check": Action(_check, "whether the ledger can be read, and a file is undamaged"),
}


def _claims(count: int) -> str:
    return f"{count:,} {'claim is' if count == 1 else 'claims are'}"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """A time span in its two largest units: ``3 d 4 h``."""
    left = int(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "less than 1 s"
