"""Clients in Keycloak: as they are, and what is done to them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gatehouse_operator.errors import NotThere, Refused
from gatehouse_operator.keycloak.admin import AdminApi
from gatehouse_operator.reconcile.actions import Action, Do, What
from gatehouse_operator.reconcile.clients import (
    SETTINGS,
    ClientState,
    Mapper,
)
from gatehouse_operator.reconcile.ownership import MARKS
from gatehouse_operator.resources.client import AUDIENCE_MAPPER

Representation = dict[str, Any]

CREATED: Final = "client.secret.creation.time"
"""The attribute with the time when the secret was made, since the epoch."""


@dataclass(frozen=True)
class Place:
    """Where a client is: its realm, and Keycloak's id for it."""

    realm: str
    uuid: str


class Clients:
    """The clients of all realms.

    Args:
        api: Keycloak's.
    """

    def __init__(self, api: AdminApi) -> None:
        self._api = api

    async def all(self, realm: str) -> list[Representation]:
        """Return the clients of a realm."""
        return await self._api.get_all(realm, "clients")

    async def find(self, realm: str, client_id: str) -> Representation | None:
        """Return a client, by the name with which it signs in."""
        found = await self._api.get(realm, "clients", clientId=client_id)
        return next((one for one in found), None)

    async def create(
        self, realm: str, client_id: str, wanted: ClientState
    ) -> str:
        """Make a client, and return its id."""
        body = {
            "clientId": client_id,
            "protocol": "openid-connect",
            **wanted.settings,
            "attributes": dict(wanted.attributes),
        }
        return await self._api.post(realm, "clients", body=body)

    async def delete(self, place: Place) -> None:
        """Remove a client."""
        await self._api.delete(place.realm, "clients", place.uuid)

    async def release(self, place: Place) -> None:
        """Let a client be nobody's; it stays as it is."""
        body = {"attributes": dict.fromkeys(MARKS, "")}
        await self._api.put(place.realm, "clients", place.uuid, body=body)

    async def read(
        self, realm: str, found: Representation, wanted: ClientState
    ) -> ClientState:
        """Return a client's state, so far as somebody wants it.

        Args:
            realm: Its realm.
            found: Its representation.
            wanted: What is asked for.
        """
        place = Place(realm, found["id"])
        mappers = {
            one["name"]: Mapper(
                one["protocolMapper"], one.get("config", {}), one["id"]
            )
            for one in found.get("protocolMappers") or ()
        }
        roles = None
        if wanted.roles is not None:
            roles = frozenset(await self._roles(place))
        account = await self._account(place, found, wanted)
        return ClientState(
            settings={key: found.get(key) for key in SETTINGS},
            attributes=found.get("attributes") or {},
            roles=roles,
            default_scopes=frozenset(found.get("defaultClientScopes") or ()),
            optional_scopes=frozenset(found.get("optionalClientScopes") or ()),
            audiences=_of_kind(mappers, is_audience=True),
            mappers=_of_kind(mappers, is_audience=False),
            account_realm=account[0],
            account_clients=account[1],
        )

    async def secret(self, place: Place) -> str:
        """Return a client's secret."""
        path = (place.realm, "clients", place.uuid, "client-secret")
        return str((await self._api.get(*path)).get("value") or "")

    async def new_secret(self, place: Place) -> bool:
        """Have Keycloak make another secret.

        Returns:
            Whether the old one still works, which is so where the realm has
            a policy for it.
        """
        path = (place.realm, "clients", place.uuid, "client-secret")
        await self._api.ask(*path)
        return await self._api.find(*path, "rotated") is not None

    async def carry_out(self, place: Place, action: Action) -> None:
        """Do one thing to a client.

        Raises:
            KeycloakError: It is not done.
        """
        await self._doing[action.what](self, place, action)

    async def _roles(self, place: Place) -> list[str]:
        path = (place.realm, "clients", place.uuid, "roles")
        return [one["name"] for one in await self._api.get_all(*path)]

    async def _account(
        self, place: Place, found: Representation, wanted: ClientState
    ) -> tuple[frozenset[str] | None, Mapping[str, frozenset[str]] | None]:
        """Return what the service account has, but not what all users have."""
        if wanted.account_realm is None and wanted.account_clients is None:
            return None, None
        if not found.get("serviceAccountsEnabled"):
            return frozenset(), {}
        user = await self._account_user(place)
        said = await self._api.get(place.realm, "users", user, "role-mappings")
        default = f"default-roles-{place.realm.lower()}"
        realm = {one["name"] for one in said.get("realmMappings") or ()}
        clients = {
            client: frozenset(one["name"] for one in mapping["mappings"])
            for client, mapping in (said.get("clientMappings") or {}).items()
        }
        return frozenset(realm - {default}), clients

    async def _account_user(self, place: Place) -> str:
        path = (place.realm, "clients", place.uuid, "service-account-user")
        return str((await self._api.get(*path))["id"])

    async def _change(self, place: Place, action: Action) -> None:
        await self._api.put(
            place.realm, "clients", place.uuid, body=action.body
        )

    async def _change_role(self, place: Place, action: Action) -> None:
        path = (place.realm, "clients", place.uuid, "roles")
        if action.do is Do.ADD:
            await self._api.post(*path, body={"name": action.name})
        else:
            await self._api.delete(*path, action.name)

    async def _change_scope(self, place: Place, action: Action) -> None:
        scope = await self._scope(place.realm, action.name)
        kind = "optional-client-scopes"
        if action.what is What.DEFAULT_SCOPE:
            kind = "default-client-scopes"
        path = (place.realm, "clients", place.uuid, kind, scope)
        if action.do is Do.ADD:
            await self._api.put(*path)
        else:
            await self._api.delete(*path)

    async def _scope(self, realm: str, name: str) -> str:
        for one in await self._api.get(realm, "client-scopes"):
            if one["name"] == name:
                return str(one["id"])
        raise Refused(f"the realm has no client scope {name!r}")

    async def _change_mapper(self, place: Place, action: Action) -> None:
        client = (place.realm, "clients", place.uuid)
        path = (*client, "protocol-mappers", "models")
        if action.do is Do.ADD:
            await self._api.post(*path, body=action.body)
        elif action.do is Do.CHANGE:
            await self._api.put(*path, action.body["id"], body=action.body)
        else:
            await self._api.delete(*path, action.body["id"])

    async def _change_account(self, place: Place, action: Action) -> None:
        user = await self._account_user(place)
        path = [place.realm, "users", user, "role-mappings"]
        source = [place.realm, "roles", action.name]
        if action.within:
            client = await self.find(place.realm, action.within)
            if client is None:
                raise Refused(f"the realm has no client {action.within!r}")
            path += ["clients", client["id"]]
            source = [place.realm, "clients", client["id"]]
            source += ["roles", action.name]
        else:
            path += ["realm"]
        try:
            role = await self._api.get(*source)
        except NotThere:
            owner = action.within or "the realm"
            raise Refused(f"{owner} has no role {action.name!r}") from None
        if action.do is Do.ADD:
            await self._api.post(*path, body=[role])
        else:
            await self._api.delete(*path, body=[role])

    _doing: Final[
        dict[What, Callable[["Clients", Place, Action], Awaitable[None]]]
    ] = {
        What.CLIENT: _change,
        What.CLIENT_ROLE: _change_role,
        What.DEFAULT_SCOPE: _change_scope,
        What.OPTIONAL_SCOPE: _change_scope,
        What.MAPPER: _change_mapper,
        What.ACCOUNT_ROLE: _change_account,
    }


def _of_kind(
    mappers: Mapping[str, Mapper], *, is_audience: bool
) -> dict[str, Mapper]:
    return {
        name: mapper
        for name, mapper in mappers.items()
        if (mapper.kind == AUDIENCE_MAPPER) is is_audience
    }
