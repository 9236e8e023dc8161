"""Looks at all of Keycloak: for comparison, and for what is left over."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import structlog

from gatehouse_operator.errors import NotAllowed, NotThere, Trouble
from gatehouse_operator.keycloak.admin import MASTER
from gatehouse_operator.keycloak.clients import Clients
from gatehouse_operator.keycloak.realms import Realms
from gatehouse_operator.keycloak_metrics import orphans_total
from gatehouse_operator.reconcile.orphans import Orphans
from gatehouse_operator.reconcile.ownership import OWNER, UID
from gatehouse_operator.sync.client import ClientSync
from gatehouse_operator.sync.realm import RealmSync
from gatehouse_operator.sync.view import View

logger = structlog.get_logger(__name__)


class Left(NamedTuple):
    """An object in Keycloak; `client_id` is empty for a realm."""

    realm: str
    client_id: str


class Sweep:
    """Lists what is in Keycloak.

    Args:
        realms: Keycloak's realms.
        clients: Keycloak's clients.
        syncs: Who lets go of a realm, and of a client.
        view: What is known of the cluster.
        cluster: Its id.
        orphan_grace: How long an object stays whose resource is gone, in
            seconds.
    """

    def __init__(
        self,
        realms: Realms,
        clients: Clients,
        syncs: tuple[RealmSync, ClientSync],
        view: View,
        cluster: str,
        orphan_grace: float,
    ) -> None:
        self._realms = realms
        self._clients = clients
        self._realm_sync, self._client_sync = syncs
        self._view = view
        self._cluster = cluster
        self._orphans: Orphans[Left] = Orphans(orphan_grace)

    def lost_sight(self) -> None:
        """Note that a look has failed."""
        self._orphans.lost_sight()

    async def look(self, namespace: str) -> None:
        """Look at every realm that the operator may see.

        Args:
            namespace: Whose objects are ours.

        Raises:
            Trouble: Not all could be seen.
        """
        path = f"{self._cluster}/{namespace}/"
        owned: dict[Left, str] = {}
        objects: dict[Left, dict[str, Any]] = {}
        kept = self._kept_clients()
        self._view.hints.clear()
        for realm in await self._realms.all():
            name = realm["realm"]
            if name == MASTER:
                continue
            there = {Left(name, ""): realm}
            clients = await self._clients_of(name)
            there |= {Left(name, one["clientId"]): one for one in clients}
            self._view.hints.update(
                ((name, one["clientId"]), one)
                for one in clients
                if one["clientId"] in kept
            )
            owned |= dict(_owned(there, path))
            objects |= there
        uids = self._view.uids()
        for left in self._orphans.look(owned, uids, time.monotonic()):
            await self._let_go(left, objects[left], owned[left])

    def _kept_clients(self) -> set[str]:
        return {one.spec.get("clientId", "") for one in self._view.all()}

    async def _clients_of(self, realm: str) -> list[dict[str, Any]]:
        """Return the clients; none of a realm that is not ours to look at."""
        try:
            return await self._clients.all(realm)
        except (NotAllowed, NotThere):
            return []

    async def _let_go(
        self, left: Left, found: dict[str, Any], uid: str
    ) -> None:
        try:
            if left.client_id:
                await self._client_sync.let_go(left.realm, found, uid)
            else:
                await self._realm_sync.let_go(found, uid)
        except Trouble as error:
            logger.warning("orphan stays", **left._asdict(), reason=str(error))
        else:
            orphans_total.inc()
            logger.info("orphan let go", **left._asdict())


def _owned(
    objects: Mapping[Left, Mapping[str, Any]], path: str
) -> Iterator[tuple[Left, str]]:
    """Give the objects that say they are of this namespace, with the UID."""
    for left, one in objects.items():
        attributes = one.get("attributes") or {}
        if attributes.get(OWNER, "").startswith(path) and UID in attributes:
            yield left, attributes[UID]
