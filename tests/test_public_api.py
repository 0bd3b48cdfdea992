"""What users may rely on is written down: cancellation in every docstring, every name on some page."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import CHECKOUT, PAGES

import ldtrack
import ldtrack.delivery
import ldtrack.ledgers
import ldtrack.testing
import ldtrack.typing

PUBLIC = (ldtrack, ldtrack.delivery, ldtrack.ledgers, ldtrack.testing, ldtrack.typing)
EXPORTS = {f"{module.__name__}.{name}": getattr(module, name) for module in PUBLIC for name in module.__all__}
DUNDERS = {"__aenter__", "__aexit__", "__anext__"}
CONTRACT = re.compile(r"\bcancel|\bno wait\b|\bshielded\b|\bfirst wait\b", re.IGNORECASE)


def coroutines() -> Iterator[Any]:
    """Every public coroutine function of an exported class, wherever it is defined."""
    for export, thing in EXPORTS.items():
        if not inspect.isclass(thing):
            continue
        for name in dir(thing):
            member = inspect.getattr_static(thing, name)
            is_public = name in DUNDERS or not name.startswith("_")
            if is_public and (inspect.iscoroutinefunction(member) or name == "__anext__"):
                yield pytest.param(member, id=f"{export}.{name}")


@pytest.mark.parametrize("coroutine", [*coroutines()])
def test_a_coroutine_says_what_cancelling_it_does(coroutine: Any) -> None:
    """One sentence of the docstring is the cancellation contract."""
    assert coroutine.__doc__, "it has no docstring"
    assert CONTRACT.search(coroutine.__doc__), coroutine.__doc__


def test_coroutines_were_found() -> None:
    """The check above looks at inherited methods and at dunders, too."""
    found = {param.id for param in coroutines()}
    assert {
        "ldtrack.AIClient.completion_config",
        "ldtrack.AIClient.__aexit__",
        "ldtrack.Run.call",
        "ldtrack.Tracker.track_feedback",
        "ldtrack.TrackedStream.__anext__",
        "ldtrack.typing.Ledger.flush",
        "ldtrack.testing.Recording.aclose",
    } <= found


def test_a_docstring_without_the_contract_is_reported() -> None:
    """Negative control: that something is awaited is not enough."""
    assert not CONTRACT.search("Awaits the ledger, and returns whether it was the first.")


PROSE = {page.name: page.read_text(encoding="utf-8") for page in PAGES}


@pytest.mark.parametrize(
    "name", sorted({*ldtrack.__all__, *ldtrack.delivery.__all__, *ldtrack.ledgers.__all__})
)
def test_every_name_is_on_a_page(name: str) -> None:
    """A user who meets a name finds it in the README or in docs/."""
    assert any(re.search(rf"\b{name}\b", text) for text in PROSE.values())


@pytest.mark.parametrize("name", ldtrack.testing.__all__)
def test_every_fake_is_on_the_testing_page(name: str) -> None:
    """What is there for tests is described where testing is."""
    if name not in {"Recording", "RecordedEvent"}:  # what `recording` and `.events` give
        assert re.search(rf"\b{name}\b", PROSE["testing.md"])


def test_every_class_and_function_has_a_docstring() -> None:
    """`help()` answers for everything that is exported, and for its public methods."""
    silent = [export for export, thing in EXPORTS.items() if not isinstance(thing, str) and not thing.__doc__]
    for export, thing in EXPORTS.items():
        if inspect.isclass(thing):
            own = {name: member for name, member in vars(thing).items() if not name.startswith("_")}
            silent += [
                f"{export}.{name}"
                for name, member in own.items()
                if (inspect.isfunction(member) or isinstance(member, property)) and not member.__doc__
            ]
    assert silent == []


def test_the_typed_use_covers_the_whole_api() -> None:
    """`tests/typing/api.py` imports every exported name, and can be imported itself."""
    script = Path(__file__).parent / "typing" / "api.py"
    tree = ast.parse(script.read_text(encoding="utf-8"))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    exported = {name for module in PUBLIC for name in module.__all__}
    assert exported - used == set()
    runpy.run_path(str(script))


def test_methods_of_the_typed_use_cover_the_classes() -> None:
    """Every public method of the classes that users hold is called there."""
    script = Path(__file__).parent / "typing" / "api.py"
    tree = ast.parse(script.read_text(encoding="utf-8"))
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    held = (
        ldtrack.AIClient,
        ldtrack.Tracker,
        ldtrack.Run,
        ldtrack.TrackedStream,
        ldtrack.AgentGraphDefinition,
        ldtrack.GraphTracker,
        ldtrack.GraphRun,
        ldtrack.delivery.LaunchDarklyEvents,
        ldtrack.delivery.Relay,
        ldtrack.ledgers.SQLiteLedger,
        ldtrack.testing.Recording,
    )
    methods = {name for owner in held for name in dir(owner) if not name.startswith("_")}
    assert methods - called - {"sweep"} == set()


def test_the_changelog_says_what_there_is() -> None:
    """The entry of this version names the classes that users hold."""
    text = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    entry = text.partition(f"## [{ldtrack.__version__}]")[2].partition("\n## [")[0]
    for name in (
        "AIClient",
        "Tracker",
        "Run",
        "TrackedStream",
        "TokenSigner",
        "MemoryLedger",
        "SQLiteLedger",
        "PostgresLedger",
        "RedisLedger",
        "LaunchDarklyEvents",
        "Relay",
        "ldtrack.testing",
    ):
        assert f"`{name}`" in entry
