"""Brings one client in Keycloak, and its Secret, to be as its spec says."""

from functools import partial

from gatehouse_operator.errors import (
    ClientSecretMissing,
    NotKept,
    NotOwned,
    NotThere,
    RealmNotReady,
    Refused,
    SecretMissing,
)
from gatehouse_operator.keycloak.clients import (
    Clients,
    Place,
    Representation,
)
from gatehouse_operator.kube import REALM, Kube
from gatehouse_operator.reconcile.actions import Action, named
from gatehouse_operator.reconcile.clients import (
    BUILT_IN,
    ClientState,
    plan_client,
    wanted_client,
)
from gatehouse_operator.reconcile.ownership import (
    UID,
    Claim,
    Owner,
    claim,
    is_deleted_with,
)
from gatehouse_operator.reconcile.status import SYNCED, Report
from gatehouse_operator.resources.base import Adopt
from gatehouse_operator.resources.client import KeycloakClientSpec
from gatehouse_operator.resources.resource import Key, Resource
from gatehouse_operator.sync.carry import Carried
from gatehouse_operator.sync.guard import (
    NotNow,
    check_still_there,
    read_secret,
    read_spec,
)
from gatehouse_operator.sync.secrets import ClientSecrets
from gatehouse_operator.sync.view import View

_KEY = "client-secret"
_PARTLY = {error.reason for error in (NotKept, Refused, SecretMissing)}
"""Of a realm that is there and ours, though not all of it is as it should."""


class ClientSync:
    """Brings clients.

    Args:
        kube: The cluster.
        clients: Keycloak's clients.
        secrets: Writes what clients sign in with.
        view: What is known of the cluster.
        cluster: Its id.
    """

    def __init__(
        self,
        kube: Kube,
        clients: Clients,
        secrets: ClientSecrets,
        view: View,
        cluster: str,
    ) -> None:
        self._kube = kube
        self._clients = clients
        self._secrets = secrets
        self._view = view
        self._cluster = cluster

    async def bring(self, resource: Resource) -> Report:
        """Make a client as its spec says.

        Raises:
            Trouble: It is not so.
        """
        spec = read_spec(KeycloakClientSpec, resource)
        realm = self._realm_of(spec)
        owner = self._owner(resource)
        wanted = wanted_client(spec, owner, await self._existing(spec))
        found = self._view.hints.pop((realm, spec.client_id), None)
        is_hint = found is not None
        if found is None:
            found = await self._find(realm, spec)
        if spec.paused:
            return await self._paused(realm, found, wanted)
        made = _claimed(found, spec, owner)
        if found is None:
            await check_still_there(self._kube, resource)
            await self._clients.create(realm, spec.client_id, wanted)
            found = await self._must_find(realm, spec)
        actions = await self._plan(realm, found, wanted)
        if actions and is_hint:  # it may be so no more
            found = await self._must_find(realm, spec)
            made = _claimed(found, spec, owner)
            actions = await self._plan(realm, found, wanted)
        place = Place(realm, found["id"])
        carried = Carried()
        while actions:
            await check_still_there(self._kube, resource)
            await carried.out(actions, partial(self._clients.carry_out, place))
            found = await self._must_find(realm, spec)
            actions = carried.left(await self._plan(realm, found, wanted))
        secret = await self._secrets.bring(resource, spec, place, found)
        return Report(
            trouble=carried.trouble,
            made=(made, f"client {spec.client_id} of {realm}")
            if made
            else None,
            changed=carried.changed,
            secret=secret.fact,
            told=secret.told,
            extra={"clientUuid": place.uuid, "secretHash": secret.hash},
            again_in=secret.again_in,
        )

    async def forget(self, resource: Resource) -> None:
        """Remove or release the client of a resource that has gone.

        Raises:
            Trouble: It is not done.
        """
        realm = self._view.realm_named(resource.spec.get("realmRef", ""))
        if realm is None:
            return
        try:
            found = await self._clients.find(realm, resource.spec["clientId"])
        except NotThere:
            return
        if found is not None:
            await self.let_go(realm, found, resource.uid)

    async def let_go(
        self, realm: str, found: Representation, uid: str
    ) -> None:
        """Do with a client what its policy says, if it is of this owner."""
        attributes = found.get("attributes") or {}
        if attributes.get(UID) != uid:
            return
        place = Place(realm, found["id"])
        if is_deleted_with(attributes):
            await self._clients.delete(place)
        else:
            await self._clients.release(place)

    def _owner(self, resource: Resource) -> Owner:
        return Owner(
            self._cluster, resource.namespace, resource.name, resource.uid
        )

    def _realm_of(self, spec: KeycloakClientSpec) -> str:
        there = self._view.get(Key(REALM, spec.realm_ref))
        if there is None:
            raise RealmNotReady(f"there is no KeycloakRealm {spec.realm_ref}")
        synced = there.condition(SYNCED)
        if not synced:
            raise NotNow("the realm comes first, and then its clients")
        if synced["status"] == "False" and synced["reason"] not in _PARTLY:
            why = synced["message"]
            raise RealmNotReady(f"KeycloakRealm {spec.realm_ref}: {why}")
        return str(there.spec["realm"])

    async def _existing(self, spec: KeycloakClientSpec) -> str | None:
        if spec.secret is None or spec.secret.existing is None:
            return None
        name, key = spec.secret.existing, spec.secret.key or _KEY
        try:
            return await read_secret(self._kube, name, key)
        except SecretMissing as error:
            raise ClientSecretMissing(str(error)) from None

    async def _find(
        self, realm: str, spec: KeycloakClientSpec
    ) -> Representation | None:
        try:
            return await self._clients.find(realm, spec.client_id)
        except NotThere:
            raise RealmNotReady(f"Keycloak has no realm {realm}") from None

    async def _must_find(
        self, realm: str, spec: KeycloakClientSpec
    ) -> Representation:
        found = await self._find(realm, spec)
        if found is None:
            raise NotKept("the client has gone again")
        return found

    async def _plan(
        self, realm: str, found: Representation, wanted: ClientState
    ) -> list[Action]:
        actual = await self._clients.read(realm, found, wanted)
        return plan_client(wanted, actual)

    async def _paused(
        self,
        realm: str,
        found: Representation | None,
        wanted: ClientState,
    ) -> Report:
        if found is None:
            return Report(is_paused=True, drifted=("clientId",))
        left = named(await self._plan(realm, found, wanted))
        return Report(is_paused=True, drifted=left)


def _claimed(
    found: Representation | None, spec: KeycloakClientSpec, owner: Owner
) -> str:
    if found is None:
        return "Created"
    attributes = found.get("attributes") or {}
    said = claim(attributes, owner, spec.adopt)
    is_keycloaks = spec.client_id in BUILT_IN and spec.adopt != Adopt.FORCE
    if said is Claim.REFUSED or (said is Claim.TAKEN_OVER and is_keycloaks):
        raise NotOwned(
            f"client {spec.client_id} is there, and is not of this resource"
        )
    return "Adopted" if said is Claim.TAKEN_OVER else ""
