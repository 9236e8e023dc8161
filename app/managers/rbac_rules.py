"""The role map against the code: what is decided by which roles.

The map speaks of names and wildcards, the code of numbers and route
templates; `compile_map` makes tables of the one for the other, so that a
check is a look-up and a comparison of sets.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPMethod
from typing import Final, TypeAlias

from app.schemas.permissions import (
    ANY,
    AllOf,
    Permission,
    PermissionMap,
    Rule,
    roles_of,
)


@dataclass(frozen=True)
class Catalogue:
    """What this version of the service asks permission for.

    Args:
        ws: The name of each message, by its number.
        http: The methods of each route template; `*` where it answers any.
        handlers: The function behind a permission, for people to read.

    Raises:
        ValueError: Two messages have one name.
    """

    ws: Mapping[int, str]
    http: Mapping[str, frozenset[str]]
    handlers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.ws.values())) < len(self.ws):
            message = f"two messages have one name: {dict(self.ws)}"
            raise ValueError(message)

    def permissions(self) -> Iterator[Permission]:
        """Give every permission of this version."""
        for template, methods in self.http.items():
            for method in sorted(methods):
                yield Permission.http(method, template)
        for number in sorted(self.ws):
            yield Permission.ws(self.ws[number])

    def sayable(self) -> Iterator[Permission]:
        """Give every permission that a line of a role map may name."""
        yield Permission.ws(ANY)
        for number, name in self.ws.items():
            yield Permission.ws(name)
            yield Permission.ws(str(number))
        for template, methods in self.http.items():
            for method in sorted({*HTTPMethod, ANY}):
                if _has(methods, method):
                    yield Permission.http(method, template)


@dataclass(frozen=True, slots=True)
class Check:
    """All rules of one action, to hold a user's roles against.

    One that is satisfied is enough: `anyone`, a role in `any_of`, or every
    role of one set in `all_of`.
    """

    anyone: bool
    any_of: frozenset[str]
    all_of: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, rules: list[Rule]) -> "Check":
        """Join the rules of one action."""
        groups = [r for r in rules if isinstance(r, AllOf)]
        others = [r for r in rules if not isinstance(r, AllOf)]
        return cls(
            anyone=ANY in others,
            any_of=frozenset(role for r in others for role in roles_of(r)),
            all_of=tuple(frozenset(group.all) for group in groups),
        )

    def permits(self, roles: frozenset[str]) -> bool:
        """Say whether somebody with these roles may do it."""
        if self.anyone or not self.any_of.isdisjoint(roles):
            return True
        for group in self.all_of:  # noqa: SIM110  (a generator costs more)
            if group <= roles:
                return True
        return False

    def describe(self) -> str | list[str]:
        """Name who may: `*`, or each role or `role & role` that is enough."""
        if self.anyone:
            return ANY
        groups = {" & ".join(sorted(group)) for group in self.all_of}
        return sorted(self.any_of | groups)


ANYBODY: Final = Check(anyone=True, any_of=frozenset(), all_of=())
NOBODY: Final = Check(anyone=False, any_of=frozenset(), all_of=())

WsChecks: TypeAlias = Mapping[int, Check]
HttpChecks: TypeAlias = Mapping[str, Mapping[str, Check]]


def compile_map(
    permission_map: PermissionMap, catalogue: Catalogue
) -> tuple[WsChecks, HttpChecks]:
    """Return a check for each action of the catalogue that has a rule."""
    ws = {
        number: Check.of(rules)
        for number, name in catalogue.ws.items()
        if (rules := _pick(permission_map.ws, str(number), name, ANY))
    }
    http = {
        template: _methods(permission_map.http.get(template, {}), methods)
        for template, methods in catalogue.http.items()
    }
    return ws, http


def _methods(
    listed: Mapping[str, Rule], methods: frozenset[str]
) -> dict[str, Check]:
    if ANY in methods:
        methods = methods.union(listed)
    return {
        method: Check.of(rules)
        for method in methods
        if (rules := _pick(listed, *{method, ANY}))
    }


def _pick(listed: Mapping[str, Rule], *keys: str) -> list[Rule]:
    return [listed[key] for key in keys if key in listed]


def find_unknown(
    permission_map: PermissionMap, catalogue: Catalogue
) -> list[Permission]:
    """Return the map's permissions that this version does not have."""
    known = {ANY, *catalogue.ws.values(), *map(str, catalogue.ws)}
    unknown = [
        Permission.http(method, template)
        for template, methods in permission_map.http.items()
        for method in methods
        if not _has(catalogue.http.get(template, frozenset()), method)
    ]
    unknown += [Permission.ws(k) for k in permission_map.ws if k not in known]
    return sorted(unknown)


def _has(methods: frozenset[str], method: str) -> bool:
    if method == ANY:
        return bool(methods)
    return method in methods or ANY in methods


def find_unruled(
    permission_map: PermissionMap, catalogue: Catalogue
) -> list[Permission]:
    """Return this version's permissions that the map has no rule for."""
    ws, http = compile_map(permission_map, catalogue)
    unruled = [
        Permission.http(method, template)
        for template, methods in catalogue.http.items()
        for method in methods
        if not (http[template] if method == ANY else method in http[template])
    ]
    unruled += [
        Permission.ws(name)
        for number, name in catalogue.ws.items()
        if number not in ws
    ]
    return sorted(unruled)


def find_faults(
    permission_map: PermissionMap, catalogue: Catalogue
) -> list[str]:
    """Return a line for all in which a map and this version differ."""
    return [
        *permission_map.undeclared(),
        *(
            f"{permission}: a handler without a rule"
            for permission in find_unruled(permission_map, catalogue)
        ),
        *(
            f"{permission}: a rule without a handler"
            for permission in find_unknown(permission_map, catalogue)
        ),
    ]
