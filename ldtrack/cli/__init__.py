"""The command line: ``ldtrack``, or ``python -m ldtrack``.

Rule for this package: a command is a line in ``COMMANDS`` and a module with ``add_arguments(parser)`` and
``run(arguments)``, which returns the exit code. A command's module is imported only when it is called, so it
may need what the others do not.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, Protocol, cast

import attrs

from ldtrack.cli.errors import CommandError
from ldtrack.ids import SDK_NAME, VERSION

__all__ = ["COMMANDS", "Command", "main"]

INTERRUPTED: Final = 130
"""What shells expect of a program that Ctrl-C has stopped."""


@attrs.frozen
class Command:
    """One subcommand: its name, what it does in half a sentence, and the module that does it."""

    name: str
    summary: str
    module: str


COMMANDS: Final = (
    Command(
        "demo", "see it work, offline: users, two models, and what LaunchDarkly received", "ldtrack.cli.demo"
    ),
    Command("relay", "deliver what a durable ledger has recorded, until told to stop", "ldtrack.cli.relay"),
    Command("ledger", "look at a durable ledger, and deal with what was refused", "ldtrack.cli.ledger"),
)


class _CommandModule(Protocol):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, arguments: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code; without a command, say what there is."""
    parser, by_name = _parsers()
    words = list(sys.argv[1:] if argv is None else argv)
    called = next((command for command in COMMANDS if words[:1] == [command.name]), None)
    if called is None:
        parser.parse_args(words)  # --help, --version, or a complaint
        parser.print_help()
        return 2
    try:
        module = cast("_CommandModule", importlib.import_module(called.module))
        module.add_arguments(by_name[called.name])
        code = module.run(parser.parse_args(words))
        sys.stdout.flush()
    except CommandError as error:
        print(f"{SDK_NAME} {called.name}: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone. Python flushes once more on its way out: let that succeed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(prog=SDK_NAME, description="Knows what an LLM run did, exactly once.")
    parser.add_argument("--version", action="version", version=f"{SDK_NAME} {VERSION}")
    subparsers = parser.add_subparsers(title="commands", metavar="<command>")
    by_name = {
        command.name: subparsers.add_parser(command.name, help=command.summary, description=command.summary)
        for command in COMMANDS
    }
    return parser, by_name
