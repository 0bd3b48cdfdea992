"""``ldtrack relay``: delivers what a ledger has recorded, until it is told to stop.

Rule for this file: the command's arguments, and what they mean. The process is run by ``service``.
"""

from __future__ import annotations

import argparse
import asyncio
import math
from functools import partial
from pathlib import Path
from typing import Final

from ldtrack.cli.address import LEDGER_FORMS, Address
from ldtrack.cli.errors import CommandError
from ldtrack.cli.health import endpoint_of
from ldtrack.cli.key import FixedKey, Key, KeyFile
from ldtrack.cli.lines import FORMATS, Lines
from ldtrack.cli.opening import (
    LAUNCHDARKLY,
    add_ledger_options,
    address_of,
    destination_of,
    key_from_environment,
    open_ledger,
)
from ldtrack.cli.service import Plan, Service
from ldtrack.delivery import Relay
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.typing import Destination

__all__ = ["add_arguments", "run"]

KEY_VARIABLE: Final = "LAUNCHDARKLY_SDK_KEY"

EPILOG: Final = """\
examples:
  ldtrack relay --ledger /var/lib/app/ledger.db
      deliver to LaunchDarkly for ever, with the key in LAUNCHDARKLY_SDK_KEY
  ldtrack relay --ledger env:LEDGER_URL --sdk-key-file /run/secrets/sdk-key --health 8321
      a ledger whose URL holds a password, a key that may change, http://127.0.0.1:8321/health
  ldtrack relay --ledger ledger.db --drain --timeout 60
      deliver what is there, then end
  ldtrack relay --ledger ledger.db --to jsonl:events.jsonl --drain
      write it to a file instead

signals:
  SIGTERM, SIGINT  finish the batches under way, give back the others, end; the second one ends at once
  SIGHUP           read the key file again, and do not wait for a destination that failed

exit codes:
  0  it was told to end, and did; with --drain: all was delivered
  1  with --drain: something is left to deliver
  2  wrong usage, or no SDK key
  3  the ledger cannot be opened, or stopped answering
  4  with --drain: the destination accepts nothing from us: the key, the address
  5  with --drain: all was brought there, and some of it was refused and set aside
  6  nobody can listen on the address for --health
  128 + n  ended at once by the second signal, n
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what a relay can be told."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--ledger", required=True, metavar="LEDGER", help=LEDGER_FORMS)
    add(
        "--spool",
        metavar="FILE",
        help="another place of what a server could not take, as given to its ledger",
    )
    add("--to", default=LAUNCHDARKLY, metavar="WHERE", help="launchdarkly (the default), or jsonl:path")
    _add_launchdarkly(
        parser.add_argument_group("LaunchDarkly", "The key is never an argument: those are public.")
    )
    add_ledger_options(parser)
    _add_process(parser.add_argument_group("the process"))
    pace = parser.add_argument_group("pace")
    for name, kind, value, text in _PACE:
        pace.add_argument(name, type=kind, default=value, metavar="N", help=f"{text} (%(default)s)")


def _add_launchdarkly(group: argparse._ArgumentGroup) -> None:
    key = group.add_mutually_exclusive_group()
    key.add_argument("--sdk-key-env", metavar="NAME", help=f"the variable with the SDK key ({KEY_VARIABLE})")
    key.add_argument("--sdk-key-file", metavar="FILE", help="a file with the SDK key; it may change any time")
    group.add_argument("--events-uri", metavar="URL", help="another endpoint: a Relay Proxy, federal")
    group.add_argument("--ca-certs", metavar="FILE", help="the certificates to trust, instead of certifi's")


def _add_process(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--drain", action="store_true", help="deliver what is there, then end")
    for name, value, text in (
        ("--timeout", 300.0, "how long --drain may take, in seconds"),
        ("--grace", 10.0, "how long batches under way may take after a signal to end, in seconds"),
    ):
        group.add_argument(
            name, type=_seconds, default=value, metavar="SECONDS", help=f"{text} (%(default)g)"
        )
    group.add_argument(
        "--health", metavar="HOST:PORT", help="answer /health and /metrics there; a port alone: 127.0.0.1"
    )
    group.add_argument("--log-format", choices=FORMATS, default="json", help="of the lines (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run the relay and return its exit code."""
    key: Key = FixedKey()
    address: Address | None = None

    def secrets() -> list[str]:
        return [*key.known, *(address.secrets if address is not None else ())]

    lines = Lines(arguments.log_format, secrets=secrets)
    try:
        address = address_of(arguments.ledger, arguments)
        key = _key_of(arguments)
        plan = _plan_of(arguments, address)
        ledger = open_ledger(address, spool=arguments.spool or True)
        destination = destination_of(
            arguments.to, key, events_uri=arguments.events_uri, ca_certs=arguments.ca_certs
        )
        with lines.taking_logs():
            return asyncio.run(_serve(plan, ledger, destination, key, lines))
    except CommandError as error:
        lines.error("failed", message=str(error), code=error.code)
        return error.code


async def _serve(plan: Plan, ledger: DurableLedger, destination: Destination, key: Key, lines: Lines) -> int:
    return await Service(plan, ledger, destination, key, lines).run()


def _key_of(arguments: argparse.Namespace) -> Key:
    """The key, from where it is; a file of JSON lines needs none."""
    if arguments.to != LAUNCHDARKLY:
        return FixedKey()
    if arguments.sdk_key_file is not None:
        return KeyFile(Path(arguments.sdk_key_file))
    return FixedKey(key_from_environment(arguments.sdk_key_env or KEY_VARIABLE))


def _plan_of(arguments: argparse.Namespace, address: Address) -> Plan:
    return Plan(
        ledger=address.shown,
        new_relay=partial(
            Relay,
            batch_rows=arguments.batch_rows,
            batch_chars=arguments.batch_chars,
            concurrency=arguments.concurrency,
            interval=arguments.interval,
            loan=arguments.loan,
        ),
        health=None if arguments.health is None else endpoint_of(arguments.health),
        drains=arguments.drain,
        timeout=arguments.timeout,
        grace=arguments.grace,
    )


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise argparse.ArgumentTypeError(f"must be a number of seconds, got {text!r}")
    return seconds


def _positive_seconds(text: str) -> float:
    seconds = _seconds(text)
    if not seconds:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return seconds


_PACE: Final = (
    ("--batch-rows", _count, 1000, "how many claims a batch holds at most"),
    ("--batch-chars", _count, 1_000_000, "how many characters a batch holds at most"),
    ("--concurrency", _count, 2, "how many batches are under way at once, at most"),
    ("--interval", _positive_seconds, 1.0, "how long to wait when there is nothing to do, in seconds"),
    ("--loan", _positive_seconds, 60.0, "after how many seconds another relay takes a dead one's batch"),
)
