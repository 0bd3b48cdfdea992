"""Readers that other packages bring along: found by their entry points, once, and never in the way."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recorded import chat_chunk

from ldtrack.providers import MappingReader, OpenAIChatReader, ReaderRegistry, TextReader
from ldtrack.providers import installed as installed_module
from ldtrack.providers import registry as registry_module
from ldtrack.providers.installed import GROUP, entries, installed_readers
from ldtrack.testing import recording

ACME = """
from ldtrack.typing import CONTENT, Reading, Wants

MADE = []


class AcmeReader:
    wants = Wants.EVERY
    marks_end = True
    usage_hint = ""

    def __init__(self):
        MADE.append(self)

    def recognises(self, item):
        return "acme" in item if isinstance(item, dict) else type(item).__module__ == __name__

    def read(self, item):
        return CONTENT


class Part:
    pass


class Angry(AcmeReader):
    def recognises(self, item):
        raise RuntimeError("no idea")


class Proud(AcmeReader):
    def __init__(self):
        pass

    @property
    def wants(self):
        raise RuntimeError("everything")


reader = AcmeReader()
number = 5
"""
Install = Callable[..., Any]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package ``acme_readers`` with these entry points."""

    def make(**entries: str) -> None:
        (tmp_path / "acme_readers.py").write_text(ACME)
        (tmp_path / "acme_leaving.py").write_text('raise SystemExit("needs a GPU")')
        folder = tmp_path / "acme_readers-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-readers\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (folder / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))
        monkeypatch.syspath_prepend(tmp_path)

    entries.cache_clear()
    installed_readers.cache_clear()
    yield make
    entries.cache_clear()
    installed_readers.cache_clear()
    sys.modules.pop("acme_readers", None)


def names_of(readers: tuple[Any, ...]) -> list[str]:
    return [type(reader).__name__ for reader in readers]


@pytest.mark.parametrize("value", ["acme_readers:AcmeReader", "acme_readers:reader"], ids=["class", "object"])
def test_a_package_brings_a_reader(install: Install, value: str) -> None:
    """Its class or its object, for mappings as for types of its own."""
    install(acme=value)
    registry = ReaderRegistry()
    reader = registry.find({"acme": "Hi"})
    assert type(reader).__name__ == "AcmeReader"
    assert registry.find(sys.modules["acme_readers"].Part()) is reader


def test_what_it_does_not_know_is_read_as_before(install: Install) -> None:
    """A mapping that is nobody's is a mapping; an object that is nobody's is only timed."""
    install(acme="acme_readers:reader")
    assert isinstance(ReaderRegistry().find({"text": "Hi"}), MappingReader)
    assert ReaderRegistry().find(object()) is None


def test_nobody_is_imported_before_it_is_needed(install: Install) -> None:
    """Not when a registry is made, and not for what the user's readers or ours know."""
    install(acme="acme_readers:reader")
    registry = ReaderRegistry()
    assert isinstance(registry.find(chat_chunk({"content": "Hi"})), OpenAIChatReader)
    assert isinstance(registry.find("Hi"), TextReader)
    assert "acme_readers" not in sys.modules
    registry.find({"text": "Hi"})
    assert "acme_readers" in sys.modules


def test_packages_are_looked_for_when_a_registry_is_made(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when a stream begins: that would read files in the event loop."""
    install(acme="acme_readers:reader")
    registry = ReaderRegistry()
    monkeypatch.setattr(installed_module, "distributions", None)
    assert type(registry.find({"acme": "Hi"})).__name__ == "AcmeReader"


async def test_packages_are_imported_when_a_client_is_entered(install: Install) -> None:
    """A stream need not wait for that, either; whoever makes the client may not be imported to its end."""
    install(acme="acme_readers:reader")
    ld = recording()
    assert "acme_readers" not in sys.modules
    async with ld.ai:
        assert "acme_readers" in sys.modules


def test_only_packages_of_our_group_are_parsed(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of all the others nothing is made, so that nothing about them can be wrong."""
    install(acme="acme_readers:reader")
    folder = tmp_path / "aaa_other-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: aaa-other\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[console_scripts]\nthis line has no equals sign\n")
    with caplog.at_level(logging.WARNING, "ldtrack"):
        assert names_of(installed_readers()) == ["AcmeReader"]
    assert caplog.records == []


def test_packages_are_looked_for_once(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stream and every registry shares what was found."""
    install(acme="acme_readers:AcmeReader")
    looks: list[None] = []

    def counted() -> Any:
        looks.append(None)
        return installed_readers()

    monkeypatch.setattr(registry_module, "installed_readers", counted)
    first, second = ReaderRegistry(), ReaderRegistry()
    found = [registry.find({"acme": "Hi"}) for registry in (first, first, second, second)]
    assert len(looks) == 2, "once in each registry"
    assert len({id(reader) for reader in found}) == 1
    assert installed_readers.cache_info().misses == 1
    assert [type(made).__name__ for made in sys.modules["acme_readers"].MADE].count("AcmeReader") == 2


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("acme_readers:missing", "could not be loaded"),
        ("acme_nowhere:reader", "could not be loaded"),
        ("acme_readers:number", "gives no reader but 5"),
        ("acme_leaving:reader", "could not be loaded"),
    ],
    ids=["no such name", "no such module", "no reader", "a module that exits"],
)
def test_a_broken_entry_point(
    install: Install, caplog: pytest.LogCaptureFixture, value: str, said: str
) -> None:
    """It is logged once and left out; the others are there."""
    install(acme="acme_readers:reader", broken=value)
    with caplog.at_level(logging.WARNING, "ldtrack"):
        for _ in range(3):
            assert type(ReaderRegistry().find({"acme": "Hi"})).__name__ == "AcmeReader"
    (record,) = caplog.records
    assert "broken" in record.getMessage()
    assert said in record.getMessage()
    assert names_of(installed_readers()) == ["AcmeReader"]


def test_a_reader_whose_property_raises(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    """Python 3.11 asks for it to see whether it is a reader, later ones do not: nothing is raised here."""
    install(acme="acme_readers:reader", proud="acme_readers:Proud")
    with caplog.at_level(logging.WARNING, "ldtrack"):
        assert names_of(installed_readers())[0] == "AcmeReader"
    left_out = [record for record in caplog.records if "could not be loaded" in record.getMessage()]
    assert len(left_out) + len(installed_readers()) == 2


def test_a_package_whose_entry_points_cannot_be_read(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, and the others are there."""
    install(acme="acme_readers:reader")
    folder = tmp_path / "aaa_broken-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: aaa-broken\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\nthis line has no equals sign\n")
    with caplog.at_level(logging.WARNING, "ldtrack"):
        for _ in range(3):
            assert type(ReaderRegistry().find({"acme": "Hi"})).__name__ == "AcmeReader"
    (record,) = caplog.records
    assert "entry points of a package cannot be read" in record.getMessage()


def test_a_package_that_is_found_by_two_paths(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader is there once."""
    install(acme="acme_readers:reader")
    monkeypatch.syspath_prepend(f"{tmp_path}/.")
    assert names_of(installed_readers()) == ["AcmeReader"]


def test_a_reader_that_fails_when_asked(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody chose it, so it is logged once, left out, and keeps nobody else from being asked."""
    install(a_angry="acme_readers:Angry", b_calm="acme_readers:AcmeReader")
    registry = ReaderRegistry()
    with caplog.at_level(logging.WARNING, "ldtrack"):
        for _ in range(3):
            assert type(registry.find({"acme": "Hi"})).__name__ == "AcmeReader"
    assert [record.getMessage().count("is not asked again") for record in caplog.records] == [1]


def test_the_user_s_readers_come_first(install: Install) -> None:
    """What was passed was chosen; what is installed was not."""
    install(acme="acme_readers:reader")

    class Mine(OpenAIChatReader):
        def recognises(self, item: object) -> bool:
            return True

    mine = Mine()
    assert ReaderRegistry([mine]).find({"acme": "Hi"}) is mine


def test_without_any_package(install: Install) -> None:
    """Nothing is installed with us."""
    assert installed_readers() == ()
