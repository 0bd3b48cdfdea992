"""``ldtrack demo``: a small service, its users and its models, and what LaunchDarkly received of them.

Everything is here, nothing is on the network: LaunchDarkly's own SDK with flags from its test data source, an
HTTP server on the loopback interface that takes the SDK's events, and simulated models. The figures at the
end are counted from the events that arrived at that server, and from nothing else.

Rule for this file: the command's arguments. The story is told in ``story``.
"""

from __future__ import annotations

import argparse
from typing import Final

__all__ = ["add_arguments", "run"]

USERS: Final = 40
RUNS: Final = 300
SEED: Final = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the demo can be told."""
    parser.add_argument(
        "--users", type=_positive, default=USERS, help="how many users ask at once (%(default)s)"
    )
    parser.add_argument("--runs", type=_positive, default=RUNS, help="how many runs they make (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="what all chances are drawn from (%(default)s)"
    )
    parser.add_argument("--fast", action="store_true", help="let the models answer eight times faster")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo and return its exit code."""
    from ldtrack.cli.demo.story import Plot, tell  # noqa: PLC0415 - `--help` needs none of it

    return tell(Plot(users=arguments.users, runs=arguments.runs, seed=arguments.seed, is_fast=arguments.fast))


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return number
