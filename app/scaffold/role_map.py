"""Adding a rule to a role map whose every other character stays."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from app.schemas.permissions import (
    ANY,
    AnyOf,
    PermissionMap,
    Rule,
    roles_of,
)

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key with its value, and where they are in the text."""

    key: str
    start: int
    value: int
    end: int


def rules_of(
    role_map: PermissionMap, name: str, number: int
) -> dict[str, Rule]:
    """Return the rules that hold for a message, by their keys."""
    keys = (name, str(number), ANY)
    return {key: role_map.ws[key] for key in keys if key in role_map.ws}


def sufficient_roles(rule: Rule) -> list[str]:
    """Return roles with which somebody satisfies a rule; none for `*`."""
    roles = list(roles_of(rule))
    return roles[:1] if isinstance(rule, AnyOf) else roles


def with_rule(
    text: str, name: str, role: str, numbers: Mapping[str, int]
) -> str:
    """Return the map with a rule, behind those of lower numbers.

    Args:
        text: A role map, as JSON.
        name: A message that has no rule in it.
        role: Who may send it.
        numbers: The number of each message, this one among them.
    """
    outer = _entries(text, _skip(text, 0))
    start = next(entry.value for entry in outer if entry.key == "ws")
    rule = f"{json.dumps(name)}: {json.dumps(role)}"
    entries = list(_entries(text, start))
    if not entries:
        end = text.index("}", start)
        return f"{text[: start + 1]}\n    {rule}\n  {text[end:]}"
    lower = [e for e in entries if _number(e, numbers) < numbers[name]]
    after = lower[-1] if lower else entries[-1]
    between = text[start + 1 : entries[0].start]
    return f"{text[: after.end]},{between}{rule}{text[after.end :]}"


def _number(entry: _Entry, numbers: Mapping[str, int]) -> int:
    if entry.key.isdigit():
        return int(entry.key)
    return numbers.get(entry.key, 0)


def _entries(text: str, start: int) -> Iterator[_Entry]:
    """Give the entries of the object that begins at `start`."""
    at = _skip(text, start + 1)
    while text[at] != "}":
        key, colon = _DECODER.raw_decode(text, at)
        value = _skip(text, _skip(text, colon) + 1)
        _, end = _DECODER.raw_decode(text, value)
        yield _Entry(key, at, value, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return at if space is None else space.end()
