"""The command line: which command runs, what is said without one, and how it ends."""

from __future__ import annotations

import argparse
import sys
from types import ModuleType

import pytest

import ldtrack
from ldtrack import cli
from ldtrack.cli import COMMANDS, Command, main


@pytest.fixture
def install(monkeypatch):
    """Install a command named `greet` that does what it is given."""

    def install(do):
        module = ModuleType("greeting")
        module.add_arguments = lambda parser: parser.add_argument("--name")
        module.run = do
        monkeypatch.setitem(sys.modules, "greeting", module)
        monkeypatch.setattr(cli, "COMMANDS", (*COMMANDS, Command("greet", "say hello", "greeting")))

    return install


def test_version(capsys) -> None:
    """`--version` says which ldtrack this is, and is no failure."""
    with pytest.raises(SystemExit) as exited:
        main(["--version"])
    assert exited.value.code == 0
    assert capsys.readouterr().out == f"ldtrack {ldtrack.__version__}\n"


def test_without_a_command(capsys) -> None:
    """Without a command it says what there is, and is a failure to scripts."""
    assert main([]) == 2
    out = capsys.readouterr().out
    assert all(command.name in out for command in COMMANDS)


def test_an_unknown_command_is_refused(capsys) -> None:
    """A command that does not exist is named in the complaint."""
    with pytest.raises(SystemExit) as exited:
        main(["dema"])
    assert exited.value.code == 2
    assert "'dema'" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["0", "-3", "many", "1.5"])
def test_a_number_of_runs_that_is_none_is_refused(wrong, capsys) -> None:
    """The demo makes at least one run."""
    with pytest.raises(SystemExit):
        main(["demo", f"--runs={wrong}"])
    assert f"at least 1, got '{wrong}'" in capsys.readouterr().err


def test_a_command_gets_its_arguments_and_gives_the_exit_code(install) -> None:
    """A line in the table is all that a new command takes."""
    seen: list[argparse.Namespace] = []

    def run(arguments):
        seen.append(arguments)
        return 7

    install(run)
    assert main(["greet", "--name", "Ada"]) == 7
    assert seen[0].name == "Ada"


def test_ctrl_c_is_no_traceback(install, capsys) -> None:
    """An interrupted command ends with the code that shells expect."""

    def run(arguments):
        raise KeyboardInterrupt

    install(run)
    assert main(["greet"]) == 130
    assert capsys.readouterr() == ("", "")


def test_commands_are_imported_only_when_called(install, monkeypatch) -> None:
    """A command that lacks its extra stands in nobody's way."""
    install(lambda arguments: 0)
    monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, Command("other", "not there", "no.such.module")))
    assert main(["greet"]) == 0
