"""A map written by role, one permission a line.

    # what an editor may do
    include reader
    ws CREATE_AUTHOR
    http POST /authors

Each role is a key with a text; the key `_signed-in` holds what every
signed-in user may do. `*` stands for every PkgID or every method. A word
that begins with `#` starts a comment. `include` gives a role everything that
another one has, over any number of steps but never in a circle.

Words are separated by spaces and lines by line feeds: tabs, carriage
returns, other Unicode spaces and invisible characters are refused, because
an editor does not show them and the other programs that check these lines
might read them otherwise. Comments may hold any visible character.

Lines cannot say that a user needs several roles at once (`{"all": [...]}`).
All else that a map can say they say without loss.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile
from typing import Any, Final

from app.schemas.permissions import names
from app.schemas.permissions.model import (
    AllOf,
    Permission,
    PermissionMap,
    roles_of,
)
from app.schemas.permissions.names import (
    ANY,
    SIGNED_IN,
    PermissionMapError,
    show,
)

FORBIDDEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f"
    r"\u205f-\u206f\u3000\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""Characters that no line may hold, not even in a comment."""
MOST_OF_LINE: Final = 2000
"""How many characters a line may have; a template has 1,000."""
MOST_GRANTS: Final = 250_000
"""How many permissions all roles together may have, those that they include
counted for each: of more, no ConfigMap could hold the map as JSON."""

_FORMS: Final = {
    "ws": (names.PACKAGE,),
    "http": (names.METHOD, names.TEMPLATE),
    "include": (names.ROLE,),
}
_USAGE: Final = {
    "ws": "ws <PkgID name, number or *>",
    "http": "http <METHOD or *> <route template>",
    "include": "include <role>",
}


@dataclass(frozen=True, slots=True)
class RoleLines:
    """What the text of one role says.

    `includes` maps each included role to the line that includes it.
    """

    permissions: tuple[Permission, ...]
    includes: Mapping[str, int]


def parse_role(key: str, text: str) -> RoleLines:
    """Read the lines of one role.

    Raises:
        PermissionMapError: `key:line: why` for each bad line.
    """
    permissions: dict[Permission, None] = {}
    includes: dict[str, int] = {}
    findings = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            words = _words(line)
        except ValueError as error:
            findings.append(f"{key}:{number}: {error}")
            continue
        if words[:1] == ["include"]:
            includes.setdefault(words[1], number)
        elif words:
            permissions[Permission(" ".join(words))] = None
    if findings:
        raise PermissionMapError(findings)
    return RoleLines(tuple(permissions), includes)


def _words(line: str) -> list[str]:
    bad = FORBIDDEN.search(line)
    if bad:
        message = (
            f"character U+{ord(bad[0]):04X} in column {bad.start() + 1};"
            " use plain spaces and line feeds"
        )
        raise ValueError(message)
    if len(line) > MOST_OF_LINE:
        message = f"{len(line)} characters are too many for a line"
        raise ValueError(message)
    spaced = filter(None, line.split(" "))
    words = list(takewhile(lambda word: not word.startswith("#"), spaced))
    return [words[0], *_arguments(words[0], words[1:])] if words else []


def _arguments(verb: str, words: list[str]) -> list[str]:
    if verb not in _FORMS:
        message = f"{show(verb)} is none of {', '.join(_FORMS)}"
        raise ValueError(message)
    if len(words) != len(_FORMS[verb]):
        message = f"not of the form: {_USAGE[verb]}"
        raise ValueError(message)
    return list(map(names.check, words, _FORMS[verb]))


def from_lines(texts: Mapping[str, str]) -> PermissionMap:
    """Make a map of the texts of its roles.

    Several roles with one permission become `{"any": [...]}`, and any role
    together with `_signed-in` becomes `*`.

    Raises:
        PermissionMapError: `key:line: why` for each bad line, each include
            of a role that is not there, and a circle of includes; or there
            are too many permissions with what is included.
    """
    parsed: dict[str, RoleLines] = {}
    findings: list[str] = []
    for key in sorted(texts):
        try:
            if key != SIGNED_IN:
                names.check(key, names.ROLE_KEY)
            parsed[key] = parse_role(key, texts[key])
        except PermissionMapError as error:
            findings += error.findings
        except ValueError as error:
            findings.append(str(error))
    findings += _unknown_includes(parsed, texts)
    if findings:
        raise PermissionMapError(findings)
    return _build(_expand(parsed))


def _unknown_includes(
    parsed: Mapping[str, RoleLines], known: Iterable[str]
) -> Iterator[str]:
    for key, lines in parsed.items():
        for role, number in lines.includes.items():
            if role not in known:
                yield f"{key}:{number}: there is no role {show(role)}"


def _expand(
    parsed: Mapping[str, RoleLines],
) -> dict[str, frozenset[Permission]]:
    graph = {key: list(lines.includes) for key, lines in parsed.items()}
    expanded: dict[str, frozenset[Permission]] = {}
    grants = 0
    try:
        for key in TopologicalSorter(graph).static_order():
            included = (expanded[role] for role in graph[key])
            own = parsed[key].permissions
            expanded[key] = frozenset(own).union(*included)
            grants += len(expanded[key])
            if grants > MOST_GRANTS:
                message = (
                    f"{key}: with what each role includes there are more than"
                    f" {MOST_GRANTS} permissions"
                )
                raise PermissionMapError([message])
    except CycleError as error:
        raise PermissionMapError([_circle(error, parsed)]) from None
    return expanded


def _circle(error: CycleError, parsed: Mapping[str, RoleLines]) -> str:
    # graphlib lists it from the included role to the including one.
    circle: list[str] = error.args[1][:0:-1]
    first = circle.index(min(circle))
    circle = circle[first:] + circle[:first]
    line = parsed[circle[0]].includes[circle[1 % len(circle)]]
    path = " -> ".join([*circle, circle[0]])
    return f"{circle[0]}:{line}: includes go in a circle: {path}"


def _build(granted: Mapping[str, Iterable[Permission]]) -> PermissionMap:
    holders: dict[Permission, list[str]] = defaultdict(list)
    for key, permissions in granted.items():
        for permission in permissions:
            holders[permission].append(key)
    ws: dict[str, Any] = {}
    http: dict[str, dict[str, Any]] = defaultdict(dict)
    for permission, keys in holders.items():
        rule = ANY if SIGNED_IN in keys else {"any": keys}
        match permission.split(" "):
            case ["ws", package]:
                ws[package] = rule
            case [_, method, template]:
                http[template][method] = rule
    roles = [key for key in granted if key != SIGNED_IN]
    return PermissionMap.parse({"roles": roles, "ws": ws, "http": http})


def to_lines(permission_map: PermissionMap) -> dict[str, str]:
    """Write a map as the texts of its roles, in a fixed order.

    Raises:
        PermissionMapError: A line for each rule or role that lines cannot
            say: an `all`, an undeclared role, a role that is no legal key.
    """
    findings = _unsayable(permission_map)
    if findings:
        raise PermissionMapError(findings)
    lines: dict[str, list[str]] = {role: [] for role in permission_map.roles}
    for permission, rule in permission_map.rules():
        for key in roles_of(rule) or (SIGNED_IN,):
            lines.setdefault(key, []).append(f"{permission}\n")
    return {key: "".join(lines[key]) for key in sorted(lines)}


def _unsayable(permission_map: PermissionMap) -> list[str]:
    return [
        *(
            names.fault(role, names.ROLE_KEY)
            for role in permission_map.roles
            if not re.fullmatch(names.ROLE_KEY, role)
        ),
        *permission_map.undeclared(),
        *(
            f"{permission}: lines cannot say all of {', '.join(rule.all)}"
            for permission, rule in permission_map.rules()
            if isinstance(rule, AllOf)
        ),
    ]
