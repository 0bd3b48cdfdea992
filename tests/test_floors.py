"""Imports point down, the core is pure, files are small, event names have one home, exports are true."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from house_rules import (
    EVENT_PREFIX,
    EVENT_TABLE,
    MAX_FUNCTION_LINES,
    MAX_LINES,
    ROOT,
    Module,
    check_docstring,
    check_event_names,
    check_exports,
    check_floor,
    check_limits,
    check_pure,
    check_reasons,
    check_size,
    check_test_docstrings,
    exports_of,
)

HERE = Path(__file__).parent
TESTS = [path.relative_to(HERE) for path in sorted(HERE.rglob("test_*.py"))]
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
def test_time_is_limited_in_one_way(module: Module) -> None:
    """Only one file knows how a wait is ended, since half of the ways to do it lose a cancellation."""
    assert check_limits(module) == []


@every_module
def test_files_open_with_their_purpose(module: Module) -> None:
    """Every file opens with a docstring."""
    assert check_docstring(module) == []


@every_module
def test_exceptions_to_rules_have_reasons(module: Module) -> None:
    """Whoever silences a tool says which rule, and why."""
    assert check_reasons(module) == []


@every_module
def test_exports_exist(module: Module) -> None:
    """`__all__` of every public module is there and true."""
    if module.name.endswith(".__main__"):
        assert exports_of(module) is None, "importing __main__ would run it; it has nothing to export"
    else:
        imported = importlib.import_module(module.name)
        assert check_exports(module, lambda name: hasattr(imported, name)) == []


@pytest.mark.parametrize("path", TESTS, ids=str)
def test_tests_say_what_they_test(path: Path) -> None:
    """Every test's docstring is the behaviour it tests."""
    assert check_test_docstrings(Module.parse(str(path), (HERE / path).read_text(encoding="utf-8"))) == []


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


@pytest.mark.parametrize(
    ("source", "complaints"),
    [
        ("with anyio.move_on_after(1): ...", 1),
        ("with fail_at(1): ...", 1),
        ("with anyio.CancelScope(deadline=1, shield=True): ...", 1),
        ("with anyio.CancelScope(shield=True), Limit(1): ...", 0),
    ],
)
def test_a_limit_of_anyios_is_reported(source: str, complaints: int) -> None:
    """Negative control: each way to limit the time with anyio is seen; a shield alone limits nothing."""
    assert len(check_limits(Module.parse("ldtrack.client", source))) == complaints


def test_a_file_without_purpose_is_reported() -> None:
    """Negative control: code before the docstring is no docstring."""
    assert len(check_docstring(Module.parse("ldtrack.client", "x = 1\n'Too late.'"))) == 1


def test_a_test_without_docstring_is_reported() -> None:
    """Negative control: silent tests are seen, also in classes and among coroutines."""
    source = "class Box:\n    async def test_a(self): ...\ndef test_b(): ...\ndef help(): ..."
    assert len(check_test_docstrings(Module.parse("test_box", source))) == 2


@pytest.mark.parametrize(
    ("comment", "complaints"),
    [
        ("# noqa", 1),
        ("# noqa: S105", 1),
        ("# noqa: S105 - an event name", 0),
        ("# noqa: S105, SLF001 - an event name of our own", 0),
        ("# type: ignore  # it is Any", 1),
        ("# type: ignore[misc]", 1),
        ("# type: ignore[misc]  # it is Any", 0),
        ("# pyright: ignore[reportAny] - it is Any", 0),
        ("# pragma: no cover", 1),
        ("# pragma: no cover - for type checkers", 0),
        ("# an ordinary remark", 0),
    ],
)
def test_an_exception_without_reason_is_reported(comment: str, complaints: int) -> None:
    """Negative control: a silenced tool needs both the rule and a reason."""
    assert len(check_reasons(Module.parse("ldtrack.client", f"x = 1  {comment}"))) == complaints


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
