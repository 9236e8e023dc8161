"""A link in a text leads somewhere."""

import re
from pathlib import Path

import pytest

from tests.docs.repository import markdown_files, named

LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
ELSEWHERE = ("http://", "https://", "mailto:")


def anchors(path: Path) -> set[str]:
    """The fragments by which the headings of a text can be linked."""
    text = path.read_text(encoding="utf-8")
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        for heading in HEADING.findall(text)
    }


def leads_somewhere(link: str, source: Path) -> bool:
    """Whether a relative link names a file, and a heading if it says so."""
    name, _, fragment = link.partition("#")
    target = source.parent / name if name else source
    if not target.exists():
        return False
    return not fragment or fragment in anchors(target)


@pytest.mark.parametrize("path", markdown_files(), ids=named)
def test_relative_links_resolve(path: Path) -> None:
    """A relative link names a file that exists, and a heading in it."""
    links = LINK.findall(path.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith(ELSEWHERE)]
    dead = [link for link in local if not leads_somewhere(link, path)]
    assert dead == []
