"""What is proved before a change goes in. `nox` alone runs the default sessions; `nox -l` lists all.

Rule for this file: a session is short and named after what it proves. The supported Pythons and the lowest
dependencies are read from pyproject.toml, so that they are written down once.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5.1"
nox.options.sessions = [
    "lint",
    "types",
    "tests",
    "lowest",
    "lowest_frameworks",
    "newest_sdks",
    "bare_import",
    "coverage",
    "crash",
]
nox.options.error_on_missing_interpreters = True
nox.options.download_python = "never"
nox.options.default_venv_backend = "uv|virtualenv"  # with uv an environment takes seconds, not a minute

PROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
FRAMEWORKS = ["langgraph", "openai-agents", "pydantic-ai"]
FRAMEWORK_TESTS = ["langchain", "openai_agents", "pydantic_ai"]
# A file's tests stay together, since they share servers; more processes than files worth it bring no more.
SIDE_BY_SIDE = ["-n", "auto", "--maxprocesses=4", "--dist=loadfile", "--max-worker-restart=0"]
SUPPORTED = nox.project.python_versions(PROJECT)


def interpreter(version: str) -> Path | None:
    """A working interpreter of that version: the running one, one on PATH, or one that pyenv built."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates: list[str | Path | None] = [
        sys.executable,
        shutil.which(f"python{version}"),
        *sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True),
    ]
    question = ["-Ic", "import sys; print('%d.%d' % sys.version_info[:2])"]
    for candidate in candidates:
        if candidate is None:
            continue
        # Asked, not believed: pyenv's shims are on PATH for versions that are not switched on.
        answer = subprocess.run([candidate, *question], capture_output=True, text=True, check=False)
        if answer.stdout.strip() == version:
            return Path(candidate)
    return None


FOUND = {version: path for version in SUPPORTED if (path := interpreter(version))}
if not FOUND:
    raise SystemExit(f"ldtrack needs Python {', '.join(SUPPORTED)}, and none of them was found; install one.")
INSTALLED = list(FOUND)
LOWEST, NEWEST = INSTALLED[0], INSTALLED[-1]
# nox looks for interpreters on PATH only.
os.environ["PATH"] = os.pathsep.join([*(str(path.parent) for path in FOUND.values()), os.environ["PATH"]])


def group(name: str) -> list[str]:
    """The requirements of one dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def floors(*requirements: str) -> list[str]:
    """The same requirements, pinned to their lower bounds."""
    return [requirement.replace(">=", "==") for requirement in requirements]


@functools.cache
def wheel_of_the_checkout() -> str:
    """The wheel as a user would get it, built once, with the pip of the environment that nox is in."""
    target = Path(tempfile.mkdtemp(prefix="ldtrack-wheel-"))
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(target), "."]
    subprocess.run(command, check=True)
    (wheel,) = target.glob("*.whl")
    return str(wheel)


def test_wheel(session: nox.Session) -> None:
    """Run the tests, or what `--` names, on the installed wheel: isolated mode keeps the checkout away."""
    options = [*SIDE_BY_SIDE, *session.posargs]
    session.run("python", "-Im", "pytest", *options, env={"LDTRACK_EXPECT_WHEEL": "1"})


def install_everything(session: nox.Session) -> None:
    """The wheel with all its extras, and all that the tests need."""
    session.install(f"{wheel_of_the_checkout()}[{','.join(EXTRAS)}]", *group("test"), *group("frameworks"))


@nox.session(python=INSTALLED[:-1] or INSTALLED)
def tests(session: nox.Session) -> None:
    """The built wheel passes the tests, on every supported Python; on the newest they run as `coverage`."""
    install_everything(session)
    test_wheel(session)


@nox.session(python=LOWEST)
def lowest(session: nox.Session) -> None:
    """The lower bounds in pyproject.toml are true: alone for the core, then with the extras for the tests."""
    wheel, core = wheel_of_the_checkout(), floors(*PROJECT["project"]["dependencies"])
    session.install(wheel, *core)
    session.run("python", "-I", "tests/bare_import.py")

    # OpenAI's Agents SDK needs a newer openai than the lowest that ours does: its tests skip themselves.
    low = {name: requirements for name, requirements in EXTRAS.items() if name != "openai-agents"}
    extras = floors(*(requirement for extra in low.values() for requirement in extra))
    raised = {Requirement(requirement).name for requirement in extras}
    core = [requirement for requirement in core if Requirement(requirement).name not in raised]
    session.install(f"{wheel}[{','.join(low)}]", *core, *extras, *group("test"))
    test_wheel(session)


@nox.session(python=LOWEST)
def lowest_frameworks(session: nox.Session) -> None:
    """The lower bounds of the agent frameworks are true, on whatever SDKs they ask for."""
    wanted = [*(requirement for extra in FRAMEWORKS for requirement in EXTRAS[extra]), *group("frameworks")]
    session.install(f"{wheel_of_the_checkout()}[{','.join(FRAMEWORKS)}]", *floors(*wanted), *group("test"))
    files = (f"tests/providers/test_real_{name}.py" for name in [*FRAMEWORK_TESTS, "sdks"])
    session.run(
        *("python", "-Im", "pytest", *files, "-k", " or ".join(FRAMEWORK_TESTS)),
        *session.posargs,
        env={"LDTRACK_EXPECT_WHEEL": "1"},
    )


@nox.session(python=NEWEST)
def newest_sdks(session: nox.Session) -> None:
    """What calls providers works with their newest SDKs, which frameworks hold back elsewhere."""
    free = [name for name in EXTRAS if name not in FRAMEWORKS]
    session.install(f"{wheel_of_the_checkout()}[{','.join(free)}]", *group("test"))
    folders = ("tests/providers", "tests/runners", "tests/agents")
    options = [*SIDE_BY_SIDE, *folders, *session.posargs]
    session.run("python", "-Im", "pytest", *options, env={"LDTRACK_EXPECT_WHEEL": "1"})


@nox.session(python=NEWEST)
def types(session: nox.Session) -> None:
    """mypy strict and pyright find nothing in the package, in a typed use of all of it, or here."""
    session.install("-e", f".[{','.join(EXTRAS)}]", *group("test"), *group("types"))
    session.run("mypy", *PROJECT["tool"]["pyright"]["include"])
    session.run("pyright")


@nox.session(python=NEWEST)
def lint(session: nox.Session) -> None:
    """ruff finds nothing to say and nothing to reformat."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=INSTALLED)
def bare_import(session: nox.Session) -> None:
    """The wheel alone imports in an empty environment, without a warning and without an extra."""
    session.install(wheel_of_the_checkout())
    session.run("python", "-I", "-W", "error", "-c", "import ldtrack")
    session.run("python", "-I", "-W", "error", "tests/bare_import.py")


@nox.session(python=NEWEST)
def coverage(session: nox.Session) -> None:
    """The wheel's tests reach every branch of core/ and tracking/, with many more examples than usual."""
    install_everything(session)
    # Not pytest-cov: our own pytest plugin imports the package before pytest-cov would start to look.
    session.run("coverage", "erase")
    session.run(
        *("python", "-Im", "coverage", "run", "-m", "pytest", *SIDE_BY_SIDE, *session.posargs),
        "--ignore=tests/crash/test_crash.py",  # by the clock, and a session of its own
        env={"HYPOTHESIS_PROFILE": "ci", "LDTRACK_EXPECT_WHEEL": "1"},
    )
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report")
    session.run("coverage", "report", "--include=*/ldtrack/core/*,*/ldtrack/tracking/*", "--fail-under=100")


@nox.session(python=NEWEST)
def crash(session: nox.Session) -> None:
    """Hundreds of processes are killed while they record and deliver, and nothing is lost or doubled."""
    session.install(f"{wheel_of_the_checkout()}[{','.join(EXTRAS)}]", *group("test"))
    session.run(
        *("python", "-Im", "pytest", "tests/crash", *session.posargs),
        env={"LDTRACK_EXPECT_WHEEL": "1", "LDTRACK_KILLS": os.environ.get("LDTRACK_KILLS", "300")},
    )


@nox.session(python=NEWEST)
def bench(session: nox.Session) -> None:
    """The benchmarks still run; for figures worth quoting, run them without --quick."""
    session.install(f"{wheel_of_the_checkout()}[{','.join(EXTRAS)}]", *group("test"))
    session.run("python", "benchmarks/run.py", *(session.posargs or ["--quick"]))


@nox.session(python=NEWEST)
def demo(session: nox.Session) -> None:
    """The demo runs to its end from the wheel alone, offline."""
    session.install(wheel_of_the_checkout())
    session.run("python", "-Im", "ldtrack", "demo", *(session.posargs or ["--fast"]))
