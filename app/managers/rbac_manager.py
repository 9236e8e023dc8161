"""Who may do what, decided for both protocols by one object.

The map in force is one immutable `Snapshot`. `apply` makes a new one and
puts it in the old one's place by one assignment, so that a check sees the
old map or the new one and never a part of each, and needs no lock. Nothing
keeps a copy: the next message on an open socket is decided by the new map.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import structlog

from app.constants import RBAC_REMEMBERED_ROLE_SETS
from app.managers.rbac_rules import (
    NOBODY,
    Catalogue,
    Check,
    HttpChecks,
    WsChecks,
    compile_map,
    find_faults,
    find_unknown,
)
from app.schemas.me import Permissions
from app.schemas.permissions import (
    ANY,
    Permission,
    PermissionMap,
    PermissionMapError,
)
from app.schemas.user import UserModel
from app.utils.metrics import rbac_reload_seconds

__all__ = ["Catalogue", "RBACManager", "Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A map in force: what it says and where it is from.

    `revision` is the map's own, or rises by one with every map that this
    process applies; `lines` are those of the sets of roles that somebody has
    asked for.
    """

    permission_map: PermissionMap
    digest: str
    source: str
    revision: int
    ws: WsChecks
    http: HttpChecks
    lines: dict[frozenset[str], Permissions] = field(default_factory=dict)


class RBACManager:
    """Decides whether a user may do something; without a map he may not.

    Args:
        catalogue: What this version asks permission for.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._snapshot: Snapshot | None = None
        self._watchers: list[Callable[[], None]] = []

    @property
    def snapshot(self) -> Snapshot | None:
        """The map in force; None before the first."""
        return self._snapshot

    def apply(
        self,
        permission_map: PermissionMap,
        *,
        source: str,
        strict: bool = False,
        revision: int | None = None,
    ) -> Snapshot:
        """Put a map in force, or leave the old one if the new one is wrong.

        Args:
            permission_map: The new map.
            source: Where it is from, for logs.
            strict: The map must have a rule for every handler and none
                without a handler. Else such rules are only warned of, and
                handlers without a rule denied.
            revision: The map's own number; None where it has none, and the
                next one is given to it.

        Raises:
            PermissionMapError: A line for each fault, which names it.
        """
        began = perf_counter()
        faults = permission_map.undeclared()
        if strict:
            faults = find_faults(permission_map, self.catalogue)
        if faults:
            raise PermissionMapError(faults)
        self._warn_of_unknown(permission_map, source)
        snapshot = self._compile(permission_map, source, revision)
        self._snapshot = snapshot
        for tell in self._watchers:
            tell()
        rbac_reload_seconds.observe(perf_counter() - began)
        return snapshot

    def watch(self, tell: Callable[[], None]) -> None:
        """Call this whenever another map has come into force."""
        self._watchers.append(tell)

    def _compile(
        self, permission_map: PermissionMap, source: str, revision: int | None
    ) -> Snapshot:
        ws, http = compile_map(permission_map, self.catalogue)
        return Snapshot(
            permission_map=permission_map,
            digest=permission_map.digest,
            source=source,
            revision=revision or self._next_revision,
            ws=ws,
            http=http,
        )

    @property
    def _next_revision(self) -> int:
        return self._snapshot.revision + 1 if self._snapshot else 1

    def _warn_of_unknown(
        self, permission_map: PermissionMap, source: str
    ) -> None:
        logger = structlog.get_logger(__name__)
        for permission in find_unknown(permission_map, self.catalogue):
            logger.warning(
                "permission unknown to this version",
                permission=str(permission),
                source=source,
            )

    def check_ws_permission(self, pkg_id: int, user: UserModel) -> bool:
        """Say whether the user may send this message."""
        return self.ws_check(pkg_id).permits(user.roles)

    def ws_check(self, pkg_id: int) -> Check:
        """Return whom the map in force permits to send this message.

        It holds for this moment: another map may come whenever one waits.
        """
        snapshot = self._snapshot
        return NOBODY if snapshot is None else snapshot.ws.get(pkg_id, NOBODY)

    def check_http_permission(
        self, method: str, template: str, user: UserModel
    ) -> bool:
        """Say whether the user may use this method of this route template.

        `HEAD` is no permission of its own: ask for `GET`.
        """
        snapshot = self._snapshot
        if snapshot is None:
            return False
        checks = snapshot.http.get(template)
        if not checks:
            return False
        check = checks.get(method) or checks.get(ANY)
        return check is not None and check.permits(user.roles)

    def permissions_of(self, user: UserModel) -> Permissions:
        """List what the user may do, as sorted lines of the map.

        They are those of everybody with these roles: do not change them.
        """
        snapshot = self._snapshot
        if snapshot is None:
            return Permissions(http=[], ws=[])
        lines = snapshot.lines.get(user.roles)
        if lines is None:
            lines = self._lines(snapshot, user.roles)
            if len(snapshot.lines) < RBAC_REMEMBERED_ROLE_SETS:
                snapshot.lines[user.roles] = lines
        return lines

    def _lines(self, snapshot: Snapshot, roles: frozenset[str]) -> Permissions:
        http = [
            str(Permission.http(method, template))
            for template, checks in snapshot.http.items()
            for method, check in checks.items()
            if check.permits(roles)
        ]
        ws = [
            str(Permission.ws(self.catalogue.ws[number]))
            for number, check in snapshot.ws.items()
            if check.permits(roles)
        ]
        return Permissions(http=sorted(http), ws=sorted(ws))

    def required_roles(self, method: str, template: str) -> str | list[str]:
        """Name who may use this method of this route template.

        `*` is every signed-in user; `a & b` is whoever has both roles; an
        empty list is nobody.
        """
        snapshot = self._snapshot
        checks = snapshot.http.get(template, {}) if snapshot else {}
        check = checks.get(method) or checks.get(ANY)
        return check.describe() if check else []

    def required_ws_roles(self, pkg_id: int) -> str | list[str]:
        """Name who may send this message, as `required_roles` does."""
        snapshot = self._snapshot
        check = snapshot.ws.get(pkg_id) if snapshot else None
        return check.describe() if check else []
