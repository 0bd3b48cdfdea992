"""What the pages link to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import CHECKOUT, PAGES, links_of

LINKS = [
    pytest.param(page, link, id=f"{page.name}: {link}")
    for page in [*PAGES, CHECKOUT / "CHANGELOG.md"]
    for link in dict.fromkeys(links_of(page))
    if "://" not in link
]


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_relative_link_leads_somewhere(page: Path, link: str) -> None:
    """The file or folder exists, and so does the heading."""
    target, _, anchor = link.partition("#")
    found = (page.parent / target).resolve() if target else page
    assert found.exists()
    assert found.is_relative_to(CHECKOUT)
    if anchor:
        assert anchor in anchors_of(found)


def test_links_were_found() -> None:
    """The README leads to every page of the documentation but those that another page leads to."""
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links_of(page)}
    assert set(PAGES[1:]) <= linked
