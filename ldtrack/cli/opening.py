"""From what stands on a command line to ledgers and destinations.

Rule for this file: values in, open-able things out; nothing is opened here.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from ldtrack.cli.address import Address, read_address
from ldtrack.cli.errors import NO_LEDGER, WRONG_USAGE, CommandError
from ldtrack.delivery import LaunchDarklyEvents
from ldtrack.delivery.jsonl import JSONLines
from ldtrack.ledgers.durable import DurableLedger
from ldtrack.ledgers.places import SpoolPlace
from ldtrack.ledgers.sqlite import SQLiteLedger, SQLiteStore

if TYPE_CHECKING:
    from ldtrack.typing import Destination

__all__ = [
    "LAUNCHDARKLY",
    "add_ledger_options",
    "address_of",
    "destination_of",
    "key_from_environment",
    "open_for_viewing",
    "open_ledger",
    "require_ledger",
]

LAUNCHDARKLY: Final = "launchdarkly"
_JSON_LINES: Final = "jsonl:"
_LEDGERS: Final = {
    "postgres": ("ldtrack.ledgers.postgres.ledger", "PostgresLedger"),
    "redis": ("ldtrack.ledgers.redis.ledger", "RedisLedger"),
}
_OPTIONS: Final[Mapping[str, tuple[str, str, Callable[[str], object], str]]] = {
    "schema": ("postgres", "PostgreSQL", str, "the schema of its tables (ldtrack)"),
    "name": ("redis", "Redis", str, "what its keys begin with (ldtrack)"),
    "shards": ("redis", "Redis", int, "how many shards it has (1)"),
    "wait_replicas": ("redis", "Redis", int, "how many replicas must have what is recorded (0)"),
}


def add_ledger_options(parser: argparse.ArgumentParser) -> None:
    """Declare what tells one ledger on a server from another, as whoever records was told it."""
    group = parser.add_argument_group("ledgers on servers", "What the application says of its ledger.")
    for name, (_, server, read, text) in _OPTIONS.items():
        group.add_argument(
            _flag_of(name), type=read, metavar=name.upper().rpartition("_")[2], help=f"{server}: {text}"
        )


def _flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def address_of(text: str, arguments: argparse.Namespace) -> Address:
    """Where the ledger is that a command line names, with its options."""
    address = read_address(text)
    given = {name: getattr(arguments, name) for name in _OPTIONS if getattr(arguments, name) is not None}
    for name in given:
        kind, server, *_ = _OPTIONS[name]
        if kind != address.kind:
            raise CommandError(
                WRONG_USAGE, f"{_flag_of(name)} is for a ledger in {server}, not for {address.shown}"
            )
    return attrs.evolve(address, options=given)


def open_ledger(address: Address, *, spool: SpoolPlace = False) -> DurableLedger:
    """The ledger there; its first use makes it if it is missing."""
    if address.is_file:
        if isinstance(spool, str):
            raise CommandError(WRONG_USAGE, "--spool is for a ledger on a server; a file needs no other file")
        return SQLiteLedger(address.target)
    module, name = _LEDGERS[address.kind]
    try:
        make: Any = getattr(import_module(module), name)
    except ImportError as error:
        raise CommandError(
            NO_LEDGER,
            f"the driver for this ledger is not installed: pip install 'ldtrack[{address.kind}]' ({error})",
        ) from error
    try:
        made: DurableLedger = make(address.target, **address.options, spool=spool)
    except (TypeError, ValueError, RuntimeError) as error:
        said = address.hide(str(error))
        raise CommandError(WRONG_USAGE, f"the ledger {address.shown} cannot be used: {said}") from error
    return made


def open_for_viewing(address: Address) -> DurableLedger:
    """The ledger there, for looking at: a file is neither made nor changed."""
    if not address.is_file:
        return open_ledger(address)
    require_ledger(address)
    return DurableLedger(partial(SQLiteStore, address.target, read_only=True), deadline=15.0)


def require_ledger(address: Address) -> None:
    """Refuse a file that is not there: whoever operates on a ledger does not want a new one."""
    if address.is_file and not address.files():
        raise CommandError(NO_LEDGER, f"there is no ledger at {address.target}")


def key_from_environment(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The SDK key that an environment variable holds."""
    key = environment.get(name, "").strip()
    if not key:
        raise CommandError(
            WRONG_USAGE,
            f"there is no SDK key: set the environment variable {name}, or name a file with --sdk-key-file",
        )
    return key


def destination_of(
    text: str, key: Callable[[], str], *, events_uri: str | None = None, ca_certs: str | None = None
) -> Destination:
    """Where events go: ``launchdarkly``, or ``jsonl:path``. The key is asked for before each post."""
    if text.startswith(_JSON_LINES):
        path = text.removeprefix(_JSON_LINES)
        if not path or events_uri or ca_certs:
            raise CommandError(
                WRONG_USAGE,
                "a file of JSON lines needs a path (--to jsonl:events.jsonl), and nothing of a network",
            )
        return JSONLines(Path(path).absolute())
    if text != LAUNCHDARKLY:
        raise CommandError(WRONG_USAGE, f"events go --to launchdarkly or jsonl:path, not to {text!r}")
    if ca_certs is not None and not Path(ca_certs).is_file():
        raise CommandError(WRONG_USAGE, f"there is no file {ca_certs} with certificates")
    options: dict[str, Any] = {"ca_certs": ca_certs}
    if events_uri is not None:
        options["events_uri"] = events_uri
    try:
        LaunchDarklyEvents(key())  # one that cannot be a key is found now, not after an hour of waiting
        return LaunchDarklyEvents(key, **options)
    except ValueError as error:
        raise CommandError(WRONG_USAGE, str(error)) from error
