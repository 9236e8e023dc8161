"""What must not be committed is not in any tracked file."""

import re
from collections.abc import Iterator

import pytest

from tests.docs.repository import ROOT, named, tracked_files

FORBIDDEN = {
    "a package registry's host": (
        r"https?://[^\s)]*"
        r"(?:pypi|pythonhosted|npmjs|maven|golang|crates|debian)"
    ),
    "a path of one machine": (
        r"(?<![\w.-])/(?:root|home/\w+|Users/\w+|work|farm)/"
    ),
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a token": (
        r"\beyJ[\w-]{12,}\.eyJ[\w-]{12,}\.[\w-]{12,}"
        r"|\bgh[pousr]_\w{30,}|\bAKIA[0-9A-Z]{16}\b|\bxox[abprs]-\w{10,}"
    ),
}


def lines_with(pattern: str) -> Iterator[str]:
    """Yield `file:line` of each line of a tracked text that matches."""
    expression = re.compile(pattern)
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            if expression.search(line):
                yield f"{named(path)}:{number}"


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_names(what: str) -> None:
    """No tracked file has what only one machine or one person may know."""
    assert list(lines_with(FORBIDDEN[what])) == []


def test_no_lock_that_names_hosts() -> None:
    """No lock file is tracked that says where packages came from."""
    locks = {"uv.lock", "poetry.lock", "Pipfile.lock"}
    names = {path.name for path in tracked_files()}
    assert locks & names == set()


def test_no_packages_under_tests() -> None:
    """No `__init__.py` is under tests/: pytest imports by path."""
    inits = (ROOT / "tests").rglob("__init__.py")
    assert [named(path) for path in inits] == []
