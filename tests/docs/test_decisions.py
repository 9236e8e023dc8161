"""Decisions are one page each, of one shape, and can be found."""

from pathlib import Path

import pytest

from tests.docs.repository import ROOT

FOLDER = ROOT / "docs" / "decisions"
DECISIONS = sorted(FOLDER.glob("*.md"))
PAGE_LINES = 50


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_decision_is_one_page(path: Path) -> None:
    """A decision has context, decision and consequences on one page."""
    text = path.read_text(encoding="utf-8")
    parts = ("**Context.**", "**Decision.**", "**Consequences.**")
    assert [part for part in parts if part not in text] == []
    assert len(text.splitlines()) <= PAGE_LINES


def test_first_decision_names_the_others() -> None:
    """The first decision links to every other one."""
    index = DECISIONS[0].read_text(encoding="utf-8")
    missing = [p.name for p in DECISIONS[1:] if f"({p.name})" not in index]
    assert missing == []
