"""What docs/relay.md says of the command line is what the command line does."""

from __future__ import annotations

import argparse
import json
import re

import pytest
from pages import CHECKOUT, rows_of

from ldtrack.cli import ledger, relay
from ldtrack.cli.report import Report, health_of, metrics_of
from ldtrack.core.batch import Standing
from ldtrack.delivery import RelayStats

PAGE = CHECKOUT / "docs" / "relay.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    relay.add_arguments(parser)
    return parser


def test_every_option_is_in_the_table(parser) -> None:
    """In the table, and with its default."""
    options = {cells[0].strip("`"): cells[1] for cells in rows_of(PAGE, "option")}
    actions = {action.option_strings[-1]: action.default for action in parser._actions[1:]}
    assert set(options) == set(actions)
    for name, default in options.items():
        if re.fullmatch(r"`[\d.]+`|`json`|`launchdarkly`", default) and actions[name] is not None:
            assert float_or_text(default.strip("`")) == float_or_text(str(actions[name]))


def float_or_text(text: str) -> float | str:
    return float(text) if re.fullmatch(r"[\d.]+", text) else text


def meanings(epilog: str) -> dict[str, str]:
    """The exit codes of a command's help."""
    _, _, codes = epilog.partition("exit codes:\n")
    found = re.findall(r"^  (\d|128 \+ n)  (.*)$", codes, re.MULTILINE)
    return {
        code: meaning.replace("the second signal, n", "the second signal, number n")
        for code, meaning in found
    }


@pytest.mark.parametrize(
    ("column", "epilog"), [("exit code", relay.EPILOG), ("exit code of `ledger`", ledger.EPILOG)]
)
def test_exit_codes_are_those_of_the_help(column, epilog) -> None:
    """The same codes with the same words."""
    said = {code.strip("`"): meaning.replace("`", "") for code, meaning in rows_of(PAGE, column)}
    assert said == meanings(epilog)


def test_every_action_is_in_the_table() -> None:
    """Each with what it does."""
    assert [cells[0].strip("`") for cells in rows_of(PAGE, "action")] == list(ledger.ACTIONS)


def test_the_example_of_health_is_one() -> None:
    """It has the members that an answer has, in their order."""
    report = Report(ledger="l.db", stats=RelayStats(), standing=Standing(), now=0, uptime=0)
    (example,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    assert list(json.loads(example)) == list(json.loads(health_of(report).text))


def test_the_alerts_are_about_metrics_that_there_are() -> None:
    """A metric by another name would never raise an alarm."""
    report = Report(ledger="l.db", stats=RelayStats(), standing=Standing(), spooled=0, now=0, uptime=0)
    samples = {line.split()[0] for line in metrics_of(report).text.splitlines() if not line.startswith("#")}
    named = set(re.findall(r"`?(ldtrack_(?:ledger|relay)_\w+)", TEXT))
    assert named
    assert named <= samples


def test_every_event_is_in_the_table() -> None:
    """What the code says, the page explains, and the other way round."""
    sources = [path.read_text(encoding="utf-8") for path in (CHECKOUT / "ldtrack" / "cli").glob("*.py")]
    said = {
        event
        for source in sources
        for event in re.findall(r"lines\.(?:info|warning|error|write)\(\s*(?:level, )?\"(\w+)\"", source)
    }
    assert said == {cells[0].strip("`") for cells in rows_of(PAGE, "event")}
