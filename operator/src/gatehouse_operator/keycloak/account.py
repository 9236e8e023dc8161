"""The operator's own account in Keycloak, and its rights.

It is a client of the realm `master` that may make realms, and may in each
realm that it keeps do what it must: that and no more. Whoever sets Keycloak
up gives the operator a credential with which it makes this account, once;
where there is such a credential, it is used for nothing else but to set the
account's rights in a realm.
"""

from typing import Any, Final

import structlog

from gatehouse_operator.errors import KeycloakError, NotThere
from gatehouse_operator.keycloak.admin import MASTER, AdminApi
from gatehouse_operator.keycloak.clients import Clients, Place

NEEDED: Final = frozenset(
    {"manage-realm", "manage-clients", "manage-users", "view-events"}
)
"""In each realm: its settings and roles, its clients, the roles of users and
of groups, and reading events, which none can give who may not."""
_CREATE: Final = "create-realm"

logger = structlog.get_logger(__name__)


class Account:
    """The account, as somebody with more rights sees it.

    Args:
        client_id: Its name.
        bootstrap: An API of an administrator; None if nobody gave one.
        api: The account's own.
    """

    def __init__(
        self, client_id: str, bootstrap: AdminApi | None, api: AdminApi
    ) -> None:
        self._client_id = client_id
        self._bootstrap = bootstrap
        self._api = api

    async def grant(self, realm: str) -> bool:
        """Set the account's rights in a realm to what it must do.

        Returns:
            Whether it could be done.
        """
        admin = self._bootstrap
        if admin is None:
            return False
        try:
            await self._set_rights(admin, realm)
        except KeycloakError as error:
            logger.warning("rights not set", realm=realm, reason=str(error))
            return False
        self._api.forget_token()
        return True

    async def _set_rights(self, admin: AdminApi, realm: str) -> None:
        rights = await _client(admin, f"{realm}-realm")
        user = await _user(admin, self._client_id)
        path = (MASTER, "users", user, "role-mappings", "clients")
        has = await admin.get(*path, rights["id"])
        all_roles = await admin.get(MASTER, "clients", rights["id"], "roles")
        too_many = [one for one in has if one["name"] not in NEEDED]
        missing = [one for one in all_roles if one["name"] in NEEDED]
        await admin.post(*path, rights["id"], body=missing)
        if too_many:
            await admin.delete(*path, rights["id"], body=too_many)


async def make_account(admin: AdminApi, client_id: str) -> str:
    """Make the account, if it is not there, and return its secret.

    Args:
        admin: An administrator's API.
        client_id: The account's name.

    Raises:
        KeycloakError: It is not made.
    """
    clients = Clients(admin)
    found = await clients.find(MASTER, client_id)
    if found is None:
        body = {
            "clientId": client_id,
            "description": "The operator of Gatehouse",
            "publicClient": False,
            "standardFlowEnabled": False,
            "directAccessGrantsEnabled": False,
            "serviceAccountsEnabled": True,
        }
        uuid = await admin.post(MASTER, "clients", body=body)
    else:
        uuid = found["id"]
    user = await _user(admin, client_id)
    role = await admin.get(MASTER, "roles", _CREATE)
    path = (MASTER, "users", user, "role-mappings", "realm")
    await admin.post(*path, body=[role])
    return await clients.secret(Place(MASTER, uuid))


async def _user(admin: AdminApi, client_id: str) -> str:
    found = await _client(admin, client_id)
    path = (MASTER, "clients", found["id"], "service-account-user")
    return str((await admin.get(*path))["id"])


async def _client(admin: AdminApi, client_id: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = await admin.get(
        MASTER, "clients", clientId=client_id
    )
    if not found:
        raise NotThere(f"{MASTER} has no client {client_id}")
    return found[0]
