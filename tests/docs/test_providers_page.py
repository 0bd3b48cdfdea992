"""The table of providers says what the readers say."""

from __future__ import annotations

from pages import CHECKOUT, blocks_of, rows_of

from ldtrack.providers.registry import PROVIDERS

PAGE = CHECKOUT / "docs" / "providers.md"
ROWS = rows_of(PAGE, "what is read")


def test_every_reader_is_in_the_table() -> None:
    """And no other one is."""
    assert {row[1].strip("`") for row in ROWS} == {type(reader).__name__ for reader in PROVIDERS}


def test_what_has_to_be_asked_for_is_in_the_table() -> None:
    """A reader that has a hint has a row that does not say "nothing", and only such a reader."""
    hinting = {type(reader).__name__ for reader in PROVIDERS if reader.usage_hint}
    asking = {row[1].strip("`") for row in ROWS if not row[2].startswith(("nothing: ", "there is none"))}
    assert asking - {"MappingReader"} == hinting


def test_a_reader_takes_fifteen_lines() -> None:
    """The one on the page is whole, blank lines and imports included."""
    (block,) = [block for block in blocks_of(PAGE) if "class AcmeReader" in block.code]
    assert len(block.code.rstrip().splitlines()) <= 15
