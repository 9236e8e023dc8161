"""docs/reliability.md names tests and files that exist."""

import re

from tests.docs.repository import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
FAULTS = [
    line.split("|")[1:-1] for line in PAGE.splitlines() if "`test_" in line
]


def test_every_fault_has_its_row() -> None:
    """Numbers rise without a gap, and each row has a remedy and a test."""
    numbers = {int(row[0]) for row in FAULTS}
    assert set(range(1, 26)) == numbers
    assert [5] * len(FAULTS) == [len(row) for row in FAULTS]


def test_every_test_exists() -> None:
    """Each name is that of a test function in its file."""
    named = [
        name for row in FAULTS for name in re.findall(r"`(\S+::\S+)`", row[4])
    ]
    missing = [name for name in named if not exists(*name.split("::"))]
    assert [] == missing
    assert len(FAULTS) <= len(named)


def exists(file: str, function: str) -> bool:
    """Say whether a file of tests has this function."""
    text = (ROOT / "tests" / "app" / file).read_text(encoding="utf-8")
    return (
        re.search(rf"^(async )?def {function}\(", text, re.MULTILINE)
        is not None
    )


def test_every_remedy_has_its_home() -> None:
    """Each file or folder of the code is there."""
    homes = [
        ROOT / "app" / name
        for row in FAULTS
        for name in re.findall(r"`(\S+)`", row[3])
    ]
    assert [] == [str(home) for home in homes if not home.exists()]
