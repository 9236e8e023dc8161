"""Realms in Keycloak: as they are, and what is done to them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from gatehouse_operator.errors import NotAllowed, NotThere, Refused
from gatehouse_operator.keycloak.admin import AdminApi
from gatehouse_operator.reconcile.actions import Action, Do, What
from gatehouse_operator.reconcile.ownership import MARKS
from gatehouse_operator.reconcile.realms import (
    FROM_MAP,
    SETTINGS,
    RealmState,
    Role,
)

Representation = dict[str, Any]


class Realms:
    """The realms of a Keycloak.

    Args:
        api: Keycloak's.
    """

    def __init__(self, api: AdminApi) -> None:
        self._api = api

    async def all(self) -> list[Representation]:
        """Return the realms that the operator may see.

        Keycloak refuses to list them to who may see none.
        """
        try:
            found: list[Representation] = await self._api.get()
        except NotAllowed:
            return []
        return found

    async def find(self, realm: str) -> Representation | None:
        """Return a realm; None if there is none of this name."""
        found: Representation | None = await self._api.find(realm)
        return found

    async def create(self, realm: str, wanted: RealmState) -> None:
        """Make a realm; its maker has every right in it, with a new token."""
        body = {
            "realm": realm,
            "enabled": True,
            **wanted.settings,
            "attributes": dict(wanted.attributes),
        }
        await self._api.post(body=body)
        self._api.forget_token()

    async def delete(self, realm: str) -> None:
        """Remove a realm, with all users in it."""
        await self._api.delete(realm)

    async def release(self, found: Representation) -> None:
        """Let a realm be nobody's; it stays as it is."""
        attributes = {
            key: value
            for key, value in (found.get("attributes") or {}).items()
            if key not in MARKS
        }
        body = {"attributes": attributes}
        await self._api.put(found["realm"], body=body)

    async def read(
        self, found: Representation, wanted: RealmState
    ) -> RealmState:
        """Return a realm's state, so far as somebody wants it.

        Args:
            found: Its representation.
            wanted: What is asked for.
        """
        realm = found["realm"]
        roles, groups, users = await asyncio.gather(
            self._roles(realm, wanted),
            self._groups(realm, wanted),
            self._users(realm, wanted),
        )
        return RealmState(
            settings={key: found.get(key) for key in SETTINGS},
            attributes=found.get("attributes") or {},
            roles=roles,
            groups=groups,
            users=users,
        )

    async def carry_out(
        self, realm: str, action: Action, password: str
    ) -> None:
        """Do one thing to a realm.

        Args:
            realm: Its name.
            action: What to do.
            password: Of the user, if one is to be made.

        Raises:
            KeycloakError: It is not done.
        """
        if action.what is What.USER:
            await self._add_user(realm, action, password)
        else:
            await self._doing[action.what](self, realm, action)

    async def _roles(self, realm: str, wanted: RealmState) -> dict[str, Role]:
        found = await self._api.get_all(
            realm, "roles", briefRepresentation="false"
        )
        asked = {
            name
            for name, role in wanted.roles.items()
            if role.composites is not None
        }
        return {
            one["name"]: Role(
                one.get("description"),
                await self._composites(realm, one)
                if one["name"] in asked
                else None,
                is_from_map=FROM_MAP in (one.get("attributes") or {}),
            )
            for one in found
        }

    async def _composites(
        self, realm: str, role: Representation
    ) -> frozenset[str]:
        if not role.get("composite"):
            return frozenset()
        path = (realm, "roles-by-id", role["id"], "composites", "realm")
        return frozenset(one["name"] for one in await self._api.get(*path))

    async def _groups(
        self, realm: str, wanted: RealmState
    ) -> dict[str, frozenset[str] | None] | None:
        if wanted.groups is None:
            return None
        found = await self._api.get_all(realm, "groups")
        return {
            one["name"]: frozenset(await self._group_roles(realm, one["id"]))
            if wanted.groups.get(one["name"]) is not None
            else None
            for one in found
        }

    async def _group_roles(self, realm: str, group: str) -> list[str]:
        path = (realm, "groups", group, "role-mappings", "realm")
        return [one["name"] for one in await self._api.get(*path)]

    async def _users(
        self, realm: str, wanted: RealmState
    ) -> dict[str, frozenset[str]]:
        return {
            name: frozenset()
            for name in wanted.users
            if await self._api.get(realm, "users", username=name, exact="true")
        }

    async def _change(self, realm: str, action: Action) -> None:
        await self._api.put(realm, body=action.body)

    async def _change_role(self, realm: str, action: Action) -> None:
        path = (realm, "roles")
        if action.do is Do.ADD:
            await self._api.post(*path, body=action.body)
        elif action.do is Do.CHANGE:
            await self._api.put(*path, action.name, body=action.body)
        else:
            await self._api.delete(*path, action.name)

    async def _change_composite(self, realm: str, action: Action) -> None:
        part = await self._role(realm, action.name)
        path = (realm, "roles", action.within, "composites")
        if action.do is Do.ADD:
            await self._api.post(*path, body=[part])
        else:
            await self._api.delete(*path, body=[part])

    async def _change_group(self, realm: str, action: Action) -> None:
        if action.do is Do.ADD:
            await self._api.post(realm, "groups", body={"name": action.name})
        else:
            group = await self._group(realm, action.name)
            await self._api.delete(realm, "groups", group)

    async def _change_group_role(self, realm: str, action: Action) -> None:
        role = await self._role(realm, action.name)
        group = await self._group(realm, action.within)
        path = (realm, "groups", group, "role-mappings", "realm")
        if action.do is Do.ADD:
            await self._api.post(*path, body=[role])
        else:
            await self._api.delete(*path, body=[role])

    async def _add_user(
        self, realm: str, action: Action, password: str
    ) -> None:
        roles = [
            await self._role(realm, name) for name in action.body["realmRoles"]
        ]
        # Keycloak asks a user for what his profile lacks before he is in.
        name = action.name.capitalize()
        user = await self._api.post(
            realm,
            "users",
            body={
                "username": action.name,
                "enabled": True,
                "firstName": name,
                "lastName": name,
                "email": f"{action.name}@example.com",
                "emailVerified": True,
                "credentials": [{"type": "password", "value": password}],
            },
        )
        path = (realm, "users", user, "role-mappings", "realm")
        await self._api.post(*path, body=roles)

    async def _role(self, realm: str, name: str) -> Representation:
        try:
            found: Representation = await self._api.get(realm, "roles", name)
        except NotThere:
            raise Refused(f"the realm has no role {name!r}") from None
        return found

    async def _group(self, realm: str, name: str) -> str:
        found = await self._api.get(realm, "groups", search=name, exact="true")
        for one in found:
            if one["name"] == name:
                return str(one["id"])
        raise Refused(f"the realm has no group {name!r}")

    _doing: Final[
        dict[What, Callable[["Realms", str, Action], Awaitable[None]]]
    ] = {
        What.REALM: _change,
        What.REALM_ROLE: _change_role,
        What.COMPOSITE: _change_composite,
        What.GROUP: _change_group,
        What.GROUP_ROLE: _change_group_role,
    }
