"""What a change of the map gives and takes."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from app.schemas.permissions.model import (
    AllOf,
    Permission,
    PermissionMap,
    roles_of,
)
from app.schemas.permissions.names import SIGNED_IN


@dataclass(frozen=True, slots=True)
class MapDiff:
    """Permissions by the role that gained or lost them.

    As text it is `+2 -1 permissions in 1 role`, with a real minus sign.
    Users who need several roles at once are named `a & b`.
    """

    added: Mapping[str, tuple[Permission, ...]]
    removed: Mapping[str, tuple[Permission, ...]]

    def __str__(self) -> str:
        gained = sum(map(len, self.added.values()))
        lost = sum(map(len, self.removed.values()))
        roles = len({*self.added, *self.removed})
        noun = "role" if roles == 1 else "roles"
        return f"+{gained} \N{MINUS SIGN}{lost} permissions in {roles} {noun}"


def diff(old: PermissionMap | None, new: PermissionMap) -> MapDiff:
    """Compare two maps; against no map, everything is added."""
    before = _granted(old) if old else {}
    after = _granted(new)
    return MapDiff(_beyond(after, before), _beyond(before, after))


def _granted(permission_map: PermissionMap) -> dict[str, set[Permission]]:
    granted: dict[str, set[Permission]] = defaultdict(set)
    for permission, rule in permission_map.rules():
        roles = roles_of(rule) or (SIGNED_IN,)
        if isinstance(rule, AllOf):
            roles = (" & ".join(roles),)
        for role in roles:
            granted[role].add(permission)
    return granted


def _beyond(
    these: Mapping[str, set[Permission]], those: Mapping[str, set[Permission]]
) -> dict[str, tuple[Permission, ...]]:
    return {
        role: tuple(sorted(more))
        for role, permissions in sorted(these.items())
        if (more := permissions - those.get(role, set()))
    }
