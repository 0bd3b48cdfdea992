"""The house rules that a machine can check: floors, a pure core, small files, one place for event names.

Rule for this file: a checker is a plain function from one parsed module to a list of complaints, so that it
can be shown to complain.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

import ldtrack

ROOT = Path(ldtrack.__file__).parent

# Lowest first. Names on one line are one floor; a module may import from its own package and from below.
FLOORS = (
    ("ldtrack.exceptions",),
    ("ldtrack.core",),
    ("ldtrack.typing", "ldtrack.ids"),
    ("ldtrack.ledgers", "ldtrack.delivery"),
    ("ldtrack.tracking",),
    ("ldtrack.providers",),
    ("ldtrack.configs", "ldtrack.agents"),
    ("ldtrack.client",),
    ("ldtrack",),
    ("ldtrack.testing", "ldtrack.tracing", "ldtrack.trajectory", "ldtrack.dashboard"),
    ("ldtrack.pytest_plugin", "ldtrack.cli"),
    ("ldtrack.__main__",),
)
FLOOR_OF = {name: number for number, floor in enumerate(FLOORS) for name in floor}

# What would make the core wait, look at a clock, draw a number, or touch the world.
# fmt: off
IMPURE = frozenset({
    "_thread", "aiohttp", "anyio", "asyncio", "concurrent", "contextvars", "datetime", "getpass",
    "glob", "http", "httpx", "ldclient", "locale", "logging", "multiprocessing", "os", "pathlib",
    "platform", "queue", "random", "requests", "sched", "secrets", "select", "selectors", "shutil",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "trio",
    "urllib", "urllib3", "uuid", "warnings",
})
# fmt: on
# The types of values that may come in, made by others: of these only the calls below ask a clock.
PURE_NAMES = frozenset({("datetime", name) for name in ("date", "time", "timedelta")} | {("uuid", "UUID")})
CLOCK_CALLS = frozenset({"now", "today", "utcnow"})
IMPURE_CALLS = frozenset({"__import__", "breakpoint", "eval", "exec", "input", "open", "print"})

MAX_LINES = 330
MAX_FUNCTION_LINES = 50
EVENT_PREFIX = "$ld:" + "ai:"
EVENT_TABLE = "ldtrack.core.events"

PUBLIC_NODES = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Complaints = list[str]


@attrs.frozen
class Module:
    """One parsed file."""

    name: str
    source: str
    tree: ast.Module
    is_package: bool

    @classmethod
    def read(cls, path: Path) -> Module:
        """The module in that file of the package."""
        parts = ("ldtrack", *path.relative_to(ROOT).with_suffix("").parts)
        name = ".".join(parts[:-1] if path.stem == "__init__" else parts)
        return cls.parse(name, path.read_text(encoding="utf-8"), is_package=path.stem == "__init__")

    @classmethod
    def parse(cls, name: str, source: str, *, is_package: bool = False) -> Module:
        """A module made of that text."""
        return cls(name, source, ast.parse(source), is_package)

    def imports(self) -> Iterator[tuple[int, str, str | None]]:
        """Every import, wherever it stands: line, module, and the name taken from it."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = self._absolute(node)
                yield from ((node.lineno, source, alias.name) for alias in node.names)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        return importlib.util.resolve_name("." * node.level + (node.module or ""), package)


def home_of(name: str) -> str | None:
    """The entry of the floor table that a module belongs to: the longest one that it starts with."""
    while name not in FLOOR_OF and "." in name:
        name = name.rpartition(".")[0]
        if name == "ldtrack":  # the front door is a floor of its own, not the floor of the unknown
            return None
    return name if name in FLOOR_OF else None


def check_floor(module: Module) -> Complaints:
    """A module stands on a known floor and imports from its own package or from below."""
    home = home_of(module.name)
    if home is None:
        return [f"{module.name} has no floor; give it one in FLOORS"]
    complaints = []
    for line, source, name in module.imports():
        if source.split(".")[0] != "ldtrack":
            continue
        # `from ldtrack import core` names a module, `from ldtrack import AIClient` the front door.
        target = (home_of(f"{source}.{name}") if name else None) or home_of(source)
        if target is None:
            complaints.append(f"{module.name}:{line} imports {source}, which has no floor")
        elif target != home and FLOOR_OF[target] >= FLOOR_OF[home]:
            complaints.append(f"{module.name}:{line} imports {target}, which is not below {home}")
    return complaints


def check_pure(module: Module) -> Complaints:
    """The core does not wait, and asks the world for nothing."""
    if home_of(module.name) != "ldtrack.core":
        return []
    complaints = [
        f"{module.name}:{line} imports {source}{f' ({name})' if name else ''}, which the core may not"
        for line, source, name in module.imports()
        if source.split(".")[0] in IMPURE and (source, name) not in PURE_NAMES
    ]
    waiting = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    for node in ast.walk(module.tree):
        if isinstance(node, waiting):
            complaints.append(f"{module.name}:{node.lineno} waits, which the core may not")
        if isinstance(node, ast.comprehension) and node.is_async:
            complaints.append(f"{module.name}:{node.iter.lineno} waits, which the core may not")
        if isinstance(node, ast.Call):
            called, forbidden = "", IMPURE_CALLS
            if isinstance(node.func, ast.Name):
                called = node.func.id
            elif isinstance(node.func, ast.Attribute):
                called, forbidden = node.func.attr, CLOCK_CALLS
            if called in forbidden:
                complaints.append(f"{module.name}:{node.lineno} calls {called}(), which the core may not")
    return complaints


def check_size(module: Module) -> Complaints:
    """A file and a function can be read in one sitting; one that grows hides a noun."""
    lines = len(module.source.splitlines())
    complaints = [f"{module.name} has {lines} lines, more than {MAX_LINES}"] if lines > MAX_LINES else []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                where = f"{module.name}:{node.lineno} {node.name}"
                complaints.append(f"{where} has {length} lines, more than {MAX_FUNCTION_LINES}")
    return complaints


def check_event_names(module: Module) -> Complaints:
    """Event names are spelled in one file, so that they can be compared with LaunchDarkly's in one look."""
    if module.name == EVENT_TABLE or EVENT_PREFIX not in module.source:
        return []
    return [f"{module.name} spells {EVENT_PREFIX}, which only {EVENT_TABLE} may"]


def check_docstring(module: Module) -> Complaints:
    """A file opens with what it is for."""
    return [] if ast.get_docstring(module.tree) else [f"{module.name} does not open with a docstring"]


def exports_of(module: Module) -> list[str] | None:
    """What `__all__` says, or None if there is none."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            return list(ast.literal_eval(node.value))
    return None


def check_exports(module: Module, has: Callable[[str], bool]) -> Complaints:
    """A public module that offers anything says what, and has what it says, once."""
    exports = exports_of(module)
    if exports is None:
        is_public = not any(part.startswith("_") for part in module.name.split("."))
        offers = [node for node in module.tree.body if isinstance(node, PUBLIC_NODES)]
        public = [node.name for node in offers if not node.name.startswith("_")]
        return (
            [f"{module.name} offers {', '.join(public)} and has no __all__"] if is_public and public else []
        )
    missing = [f"{module.name} exports {name}, which it does not have" for name in exports if not has(name)]
    twice = [f"{module.name} exports {name} twice" for name in set(exports) if exports.count(name) > 1]
    return missing + sorted(twice)


MODULES = [Module.read(path) for path in sorted(ROOT.rglob("*.py"))]
every_module = pytest.mark.parametrize("module", [pytest.param(module, id=module.name) for module in MODULES])


def test_the_package_was_found() -> None:
    """The checks below look at the package, not at an empty folder."""
    assert {"ldtrack", "ldtrack.core", "ldtrack.exceptions", EVENT_TABLE} <= {
        module.name for module in MODULES
    }


@every_module
def test_imports_point_down(module: Module) -> None:
    """A module stands on a known floor and imports only from its own package or from below."""
    assert check_floor(module) == []


@every_module
def test_the_core_is_pure(module: Module) -> None:
    """The core has no waiting, clock, randomness, SDK, thread, log or I/O."""
    assert check_pure(module) == []


@every_module
def test_files_and_functions_stay_small(module: Module) -> None:
    """No file and no function outgrows one sitting."""
    assert check_size(module) == []


@every_module
def test_event_names_have_one_home(module: Module) -> None:
    """Only the event table spells LaunchDarkly's event names."""
    assert check_event_names(module) == []


@every_module
def test_files_open_with_their_purpose(module: Module) -> None:
    """Every file opens with a docstring."""
    assert check_docstring(module) == []


@every_module
def test_exports_exist(module: Module) -> None:
    """`__all__` of every public module is there and true."""
    if module.name.endswith(".__main__"):
        assert exports_of(module) is None, "importing __main__ would run it; it has nothing to export"
    else:
        imported = importlib.import_module(module.name)
        assert check_exports(module, lambda name: hasattr(imported, name)) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        pytest.param("ldtrack.core.slots", "import ldtrack.tracking", id="upwards"),
        pytest.param("ldtrack.core.slots", "from ldtrack.typing import Ledger", id="one floor up"),
        pytest.param("ldtrack.core.slots", "from ldtrack import client", id="a module from the front door"),
        pytest.param("ldtrack.core.slots", "from ldtrack import Tracker", id="a name from the front door"),
        pytest.param("ldtrack.core.slots", "from .. import tracking", id="relative, a module"),
        pytest.param("ldtrack.core.slots", "from ..tracking.run import Run", id="relative, a name"),
        pytest.param("ldtrack.ledgers.memory", "import ldtrack.delivery.relay", id="sideways"),
        pytest.param("ldtrack.tracing", "import ldtrack.dashboard", id="sideways between edges"),
        pytest.param("ldtrack", "from ldtrack.testing import strict", id="the front door looks at an edge"),
        pytest.param("ldtrack.client", "def f():\n    import ldtrack.cli", id="inside a function"),
        pytest.param(
            "ldtrack.typing",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ldtrack.client import AIClient",
            id="for type checkers only",
        ),
        pytest.param("ldtrack.client", "import ldtrack.nowhere.module", id="of an unknown module"),
        pytest.param("ldtrack.nowhere", "", id="by an unknown module"),
        pytest.param("ldtrack.nowhere.module", "", id="by an unknown package's module"),
    ],
)
def test_an_import_off_the_floors_is_reported(name: str, source: str) -> None:
    """Negative control: every way of importing what is not below is seen."""
    assert len(check_floor(Module.parse(name, source))) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "ldtrack.core.slots",
            "from ldtrack.exceptions import LdtrackError\nfrom ldtrack.core import events",
        ),
        ("ldtrack.tracking.run", "import anyio, attrs\nfrom ldtrack.ledgers import MemoryLedger"),
        ("ldtrack", "from ldtrack.client import AIClient"),
        ("ldtrack.pytest_plugin", "from ldtrack import AIClient\nfrom ldtrack.testing import strict"),
        ("ldtrack.__main__", "from ldtrack.cli import main"),
    ],
)
def test_an_import_from_below_is_fine(name: str, source: str) -> None:
    """The control's control: what the floors allow is not reported."""
    assert check_floor(Module.parse(name, source)) == []


def test_relative_imports_of_a_package_start_at_itself() -> None:
    """In `__init__.py` one dot is the package, not its parent."""
    assert check_floor(Module.parse("ldtrack.core", "from . import slots", is_package=True)) == []
    assert len(check_floor(Module.parse("ldtrack.core", "from .. import tracking", is_package=True))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio",
        "import os.path",
        "import time as clock",
        "from time import monotonic_ns",
        "from datetime import datetime",
        "import datetime",
        "from urllib.request import urlopen",
        "import ldclient",
        "def f():\n    import random",
        "async def f(): ...",
        "f = [x async for x in y]",
        "open('file')",
        "def f():\n    print('hello')",
        "x = __import__('time')",
        "f = lambda date: date.today()",
    ],
)
def test_an_impure_core_is_reported(source: str) -> None:
    """Negative control: the core cannot wait, or ask the world for anything, unseen; other floors may."""
    assert len(check_pure(Module.parse("ldtrack.core.slots", source))) == 1
    assert check_pure(Module.parse("ldtrack.tracking.run", source)) == []


@pytest.mark.parametrize(
    "source",
    ["from datetime import date, timedelta", "import math, json, base64, hmac", "x.open()\nself.print()"],
)
def test_a_pure_core_is_fine(source: str) -> None:
    """The control's control: values and arithmetic are not reported."""
    assert check_pure(Module.parse("ldtrack.core.slots", source)) == []


def test_a_long_file_and_a_long_function_are_reported() -> None:
    """Negative control: one line over the limit is seen, the limit itself is not."""
    body = "    pass\n"
    at_limit = "async def f():\n" + body * (MAX_FUNCTION_LINES - 1)
    assert check_size(Module.parse("ldtrack.client", at_limit)) == []
    assert len(check_size(Module.parse("ldtrack.client", at_limit + body))) == 1
    assert check_size(Module.parse("ldtrack.client", "pass\n" * MAX_LINES)) == []
    assert len(check_size(Module.parse("ldtrack.client", "pass\n" * (MAX_LINES + 1)))) == 1


def test_a_stray_event_name_is_reported() -> None:
    """Negative control: an event name elsewhere is seen, even in a docstring; in the table it is at home."""
    source = f'"""Sends {EVENT_PREFIX}tokens:total."""'
    assert len(check_event_names(Module.parse("ldtrack.tracking.run", source))) == 1
    assert check_event_names(Module.parse(EVENT_TABLE, source)) == []


def test_a_file_without_purpose_is_reported() -> None:
    """Negative control: code before the docstring is no docstring."""
    assert len(check_docstring(Module.parse("ldtrack.client", "x = 1\n'Too late.'"))) == 1


@pytest.mark.parametrize(
    ("name", "source", "complaints"),
    [
        pytest.param(
            "ldtrack.client", "__all__ = ['A', 'B']\nclass A: ...", 1, id="a name that is not there"
        ),
        pytest.param("ldtrack.client", "__all__ = ['A', 'A']\nclass A: ...", 1, id="a name said twice"),
        pytest.param("ldtrack.client", "class A: ...", 1, id="nothing said"),
        pytest.param("ldtrack.core._help", "class A: ...", 0, id="a private module need not say"),
        pytest.param("ldtrack.client", "class _A: ...", 0, id="nothing public"),
        pytest.param(
            "ldtrack.client", "__all__ = ['A']\nclass A: ...\nclass B: ...", 0, id="not all is public"
        ),
    ],
)
def test_untrue_exports_are_reported(name: str, source: str, complaints: int) -> None:
    """Negative control: a missing name, a repeated one and a missing `__all__` are seen."""
    namespace: dict[str, object] = {}
    exec(source, namespace)
    assert len(check_exports(Module.parse(name, source), namespace.__contains__)) == complaints
