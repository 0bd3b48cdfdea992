"""What a user gets from `pip install ldtrack`, and whether its description is true."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import ldtrack

CHECKOUT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
CHANGELOG = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
DISTRIBUTION = importlib.metadata.distribution("ldtrack")
REQUIREMENTS = [
    pytest.param(Requirement(line), id=f"{extra}: {line}")
    for extra, lines in {"core": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items()
    for line in lines
]


def test_one_version_everywhere() -> None:
    """The package, its metadata, the project file and the newest changelog entry name the same version."""
    newest, *_ = re.findall(r"^## \[(\d[^\]]*)\]", CHANGELOG, re.MULTILINE)
    assert {ldtrack.__version__, DISTRIBUTION.version, PROJECT["version"], newest} == {ldtrack.__version__}


def test_changelog_has_a_place_for_the_next_change() -> None:
    """The first section of the changelog is for what is not released yet."""
    first, *_ = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert first == "[Unreleased]"


def test_type_checkers_may_read_us() -> None:
    """The marker of a typed package is shipped, and said."""
    assert importlib.resources.files("ldtrack").joinpath("py.typed").is_file()
    assert "Typing :: Typed" in DISTRIBUTION.metadata.get_all("Classifier", [])


def test_everything_of_the_package_is_shipped() -> None:
    """No module or data file of the checkout is missing from what is installed."""
    written = {
        path.relative_to(CHECKOUT / "ldtrack")
        for path in (CHECKOUT / "ldtrack").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = Path(ldtrack.__file__).parent
    assert written
    assert sorted(str(path) for path in written if not (shipped / path).is_file()) == []


def test_nothing_but_the_package_is_shipped() -> None:
    """Tests, benchmarks and examples stay out of other people's environments."""
    top = {path.parts[0] for path in DISTRIBUTION.files or []}
    assert top
    assert top.isdisjoint({"tests", "benchmarks", "docs", "examples", "noxfile.py", ".ci"})


def test_license_is_shipped() -> None:
    """The licence named in the metadata lies beside it."""
    assert DISTRIBUTION.metadata["License-Expression"] == "Apache-2.0"
    (text,) = [
        path.read_text(encoding="utf-8") for path in DISTRIBUTION.files or [] if path.name == "LICENSE"
    ]
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_pythons_promised_are_pythons_allowed() -> None:
    """Every Python in the classifiers may install the package, and the one before the first may not."""
    classified = re.findall(r":: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    allowed = SpecifierSet(DISTRIBUTION.metadata["Requires-Python"])
    assert classified
    assert all(version in allowed for version in classified)
    first_minor = min(int(version.split(".")[1]) for version in classified)
    assert f"3.{first_minor - 1}" not in allowed


def test_the_core_needs_three_packages() -> None:
    """Whoever installs ldtrack without extras gets anyio, attrs and the LaunchDarkly SDK, nothing more."""
    needed = {
        requirement.name
        for requirement in map(Requirement, DISTRIBUTION.requires or [])
        if not requirement.marker
    }
    assert needed == {"anyio", "attrs", "launchdarkly-server-sdk"}


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_dependencies_have_a_floor_and_no_ceiling(requirement: Requirement) -> None:
    """A library says what it needs at least, which `lowest` proves, and leaves the newest to its user."""
    assert [specifier.operator for specifier in requirement.specifier] == [">="]


def test_an_extra_adds_something() -> None:
    """An extra names a core dependency only to ask for more of it."""
    core = {each.name: each for each in map(Requirement, PROJECT["dependencies"])}
    for extra, lines in PROJECT["optional-dependencies"].items():
        for requirement in map(Requirement, lines):
            known = core.get(requirement.name)
            is_more = known is None or requirement.extras or requirement.specifier != known.specifier
            assert is_more, f"{extra} repeats {requirement.name}"


@pytest.mark.parametrize(
    "target",
    [*PROJECT["scripts"].values(), *PROJECT["entry-points"]["pytest11"].values()],
)
def test_entry_points_lead_somewhere(target: str) -> None:
    """The command and the pytest plugin named in the metadata exist."""
    entry = importlib.metadata.EntryPoint(name="any", value=target, group="any")
    assert importlib.util.find_spec(entry.module) is not None
    assert entry.load()


def test_every_lint_exception_has_a_reason() -> None:
    """A rule is switched off in the project file only with a reason on the same line."""
    lines = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    start = lines.index("[tool.ruff.lint]")
    end = lines.index("[tool.ruff.lint.isort]")
    exceptions = [line for line in lines[start:end] if re.match(r'\s+"[A-Z]+\d*",|"[^"]+" = \[.*\]', line)]
    assert len(exceptions) > 10
    assert [line for line in exceptions if not re.search(r"#\s+\S", line)] == []
