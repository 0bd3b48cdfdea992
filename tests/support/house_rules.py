"""The house rules that a machine can check, as plain functions from one parsed module to its complaints.

Rule for this file: a checker gets text and never imports what it checks, so that it can be shown bad code.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

import ldtrack

ROOT = Path(ldtrack.__file__).parent

# Lowest first. Names on one line are one floor; a module may import from its own package and from below.
FLOORS = (
    ("ldtrack.exceptions",),
    ("ldtrack.core",),
    ("ldtrack.typing", "ldtrack.ids", "ldtrack.limit", "ldtrack.loops"),
    ("ldtrack.ledgers", "ldtrack.delivery"),
    ("ldtrack.tracking",),
    ("ldtrack.providers",),
    ("ldtrack.configs",),
    ("ldtrack.running",),
    ("ldtrack.running_graphs",),
    ("ldtrack.providers.runners", "ldtrack.agents"),
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

# Below anyio 4.16 these lose a cancellation that comes in the same turn of the loop as their end.
LIMIT = "ldtrack.limit"
ANYIO_LIMITS = frozenset({"move_on_after", "move_on_at", "fail_after", "fail_at"})

EXCEPTION = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:\s*ignore|pragma:|fmt:|ruff:)")
REASONED = re.compile(
    r"# (noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*|(type|pyright): ignore\[[\w, -]+\]|pragma: no (cover|branch))"
    r" +[-#] +\S"
)

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


def check_limits(module: Module) -> Complaints:
    """What may take only so long is limited in one way."""
    if module.name == LIMIT:
        return []
    return [
        f"{module.name}:{node.lineno} limits the time with anyio; use {LIMIT}.Limit"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and _limits(node)
    ]


def _limits(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in ANYIO_LIMITS or (
        name == "CancelScope" and any(word.arg == "deadline" for word in call.keywords)
    )


def check_docstring(module: Module) -> Complaints:
    """A file opens with what it is for."""
    return [] if ast.get_docstring(module.tree) else [f"{module.name} does not open with a docstring"]


def check_reasons(module: Module) -> Complaints:
    """An exception to a rule names the rule, and says why on the same line."""
    return [
        f"{module.name}:{number} makes an exception without naming the rule and the reason"
        for number, line in enumerate(module.source.splitlines(), start=1)
        if EXCEPTION.search(line) and not REASONED.search(line)
    ]


def check_test_docstrings(module: Module) -> Complaints:
    """A test says in its docstring what behaviour it holds on to."""
    return [
        f"{module.name}:{node.lineno} {node.name} does not say which behaviour it tests"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]


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
