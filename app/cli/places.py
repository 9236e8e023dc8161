"""Where in a file something is that a role map says."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import yaml

_FINDING: Final = re.compile(
    r"(?P<key>[^:]+):(?P<line>\d+): (?P<why>.*)", re.DOTALL
)


@dataclass(frozen=True)
class Place:
    """Where the text of a role begins, counted from 1.

    `is_block` says that its lines are lines of the file.
    """

    line: int
    column: int
    is_block: bool = False


def places_of(data: bytes) -> dict[str, Place]:
    """Return where the text of each key of a ConfigMap begins.

    Args:
        data: Its YAML, or JSON, which is read without errors.
    """
    root = yaml.compose(data, Loader=yaml.BaseLoader)
    lines = data.decode().split("\n")
    return {
        key.value: _place(value, lines)
        for key, value in _pairs(_value(root, "data"))
    }


def located(
    findings: Iterable[str], name: str, places: dict[str, Place]
) -> Iterator[str]:
    """Say `file:line:column: why` of what is found in the lines of roles.

    Args:
        findings: `role:line: why`; others keep their words.
        name: What the file is called.
        places: Where roles begin in it.
    """
    for finding in findings:
        match = _FINDING.fullmatch(finding)
        place = places.get(match["key"]) if match else None
        if match is None or place is None:
            yield f"{name}: {finding}"
        else:
            below = int(match["line"]) - 1 if place.is_block else 0
            line = place.line + below
            where = f"{name}:{line}:{place.column}"
            yield f"{where}: {match['key']}: {match['why']}"


def _place(value: yaml.Node, lines: list[str]) -> Place:
    """Find the first character of a text; a block's is below its key."""
    mark = value.start_mark
    style = value.style if isinstance(value, yaml.ScalarNode) else None
    if style != "|":
        quote = 1 if style else 0
        return Place(mark.line + 1, mark.column + 1 + quote)
    first = mark.line + 1
    while first < len(lines) and not lines[first].strip():
        first += 1
    text = lines[first] if first < len(lines) else ""
    column = len(text) - len(text.lstrip(" ")) + 1
    return Place(mark.line + 2, column, is_block=True)


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    for name, value in _pairs(node):
        if name.value == key:
            return value
    return None


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []
