"""What the texts name is there: values, settings, metrics and files."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.docs.repository import ROOT, markdown_files, named, tracked_files

PAGES: Final = [
    path
    for path in markdown_files()
    if path.parent in {ROOT, ROOT / "docs"} and path.stem != "CHANGELOG"
]
SCHEMA: Final = json.loads(
    (ROOT / "charts" / "gatehouse" / "values.schema.json").read_text("utf-8")
)
QUOTED: Final = re.compile(r"`([^`\n]+)`")
GIVEN: Final = re.compile(r"--set ([A-Za-z.]+)=")
VALUE: Final = re.compile(r"([a-z]\w*(?:\.\w+)+)(?:[:=].*)?")
NAME: Final = re.compile(r"([A-Za-z]+(?:_[A-Za-z0-9]+)+)(?:\{.*\})?")
FILE: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)+/?|[\w-]+\.(?:py|md|lua|json)")
MADE: Final = re.compile(r"^`([^`\n]+)` (?:[^\n]+\n)+\n```", re.MULTILINE)
"""A file that a page has in the block below, as docs/apps.md has a package."""
OTHERS: Final = {
    *("KC_DB_POOL_MAX_SIZE", "pg_dump"),
    *("docker/.env", "migrations/versions"),
    *("keycloakclients/status", "keycloakrealms/status", "rbacstates/status"),
}
"""What is Keycloak's or PostgreSQL's, made on the spot, or no file."""
WRITTEN: Final = "\n".join(
    path.read_bytes().decode("utf-8", errors="replace").lower()
    for path in tracked_files()
    if path.suffix not in {".md", ".txt"}
    and path.parent != ROOT / "tests/docs"
)
WORDS: Final = frozenset(re.findall(r"\w+", WRITTEN))
PLACES: Final = frozenset(
    f"/{named(place)}"
    for path in tracked_files()
    for place in (path, *path.parents)
    if place.is_relative_to(ROOT)
)


def is_value(path: list[str], schema: dict[str, Any] = SCHEMA) -> bool:
    """Say whether the chart has a value, or an object that may hold it."""
    if not path:
        return True
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if "properties" not in schema:
        return schema.get("type") == "object"
    name, *rest = path
    found = schema["properties"].get(name)
    return found is not None and is_value(rest, found)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_values_are_those_of_the_chart(page: Path) -> None:
    """In the text as `keycloak.mode`, and in commands as `--set`."""
    text = page.read_text("utf-8")
    quoted = [VALUE.fullmatch(name) for name in QUOTED.findall(text)]
    given = [found[1] for found in quoted if found] + GIVEN.findall(text)
    paths = [name.split(".") for name in given]
    ours = [p for p in paths if p[0] in SCHEMA["properties"]]
    assert [] == [path for path in ours if not is_value(path)]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_settings_and_metrics_are_those_of_the_code(page: Path) -> None:
    """A name with underscores is written in something else than a text."""
    quoted = set(QUOTED.findall(page.read_text("utf-8"))) - OTHERS
    names = [found[1] for q in quoted if (found := NAME.fullmatch(q))]
    assert [] == [name for name in names if name.lower() not in WORDS]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_are_there(page: Path) -> None:
    """By the end of their path at least: `server/drain.py`."""
    text = page.read_text("utf-8")
    quoted = set(QUOTED.findall(text)) - OTHERS - set(MADE.findall(text))
    paths = [q.rstrip("/") for q in quoted if FILE.fullmatch(q)]
    missing = [
        path
        for path in paths
        if not (ROOT / path).exists()
        and not any(place.endswith(f"/{path}") for place in PLACES)
    ]
    assert [] == missing
