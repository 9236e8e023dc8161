"""Brings one realm in Keycloak to be as its spec says."""

from functools import partial

from gatehouse_operator.errors import (
    NotAllowed,
    NotKept,
    NotOwned,
)
from gatehouse_operator.keycloak.account import Account
from gatehouse_operator.keycloak.realms import Realms, Representation
from gatehouse_operator.kube import Kube
from gatehouse_operator.reconcile.actions import Action, What, named
from gatehouse_operator.reconcile.ownership import (
    UID,
    Claim,
    Owner,
    claim,
    is_deleted_with,
)
from gatehouse_operator.reconcile.realms import (
    RealmState,
    plan_realm,
    wanted_realm,
)
from gatehouse_operator.reconcile.status import Report
from gatehouse_operator.resources.realm import KeycloakRealmSpec
from gatehouse_operator.resources.resource import Resource
from gatehouse_operator.sync.carry import Carried
from gatehouse_operator.sync.guard import (
    check_still_there,
    read_secret,
    read_spec,
)
from gatehouse_operator.sync.view import View


class RealmSync:
    """Brings realms.

    Args:
        kube: The cluster.
        realms: Keycloak's realms.
        account: With which Keycloak is asked.
        view: What is known of the cluster.
        cluster: Its id.
    """

    def __init__(
        self,
        kube: Kube,
        realms: Realms,
        account: Account,
        view: View,
        cluster: str,
    ) -> None:
        self._kube = kube
        self._realms = realms
        self._account = account
        self._view = view
        self._cluster = cluster

    async def bring(self, resource: Resource) -> Report:
        """Make a realm as its spec says.

        Raises:
            Trouble: It is not so.
        """
        spec = read_spec(KeycloakRealmSpec, resource)
        owner = Owner(
            self._cluster, resource.namespace, resource.name, resource.uid
        )
        wanted = wanted_realm(spec, owner, self._view.map_roles)
        found = await self._find(spec.realm)
        if spec.paused:
            return await self._paused(found, wanted)
        made = _claimed(found, spec, owner)
        if found is None:
            await check_still_there(self._kube, resource)
            await self._realms.create(spec.realm, wanted)
            await self._account.grant(spec.realm)
            found = await self._must_find(spec.realm)
        carried = Carried()
        actions = await self._plan(found, wanted)
        while actions:
            await check_still_there(self._kube, resource)
            await carried.out(actions, partial(self._carry_out, spec))
            found = await self._must_find(spec.realm)
            actions = carried.left(await self._plan(found, wanted))
        return Report(
            trouble=carried.trouble,
            made=(made, f"realm {spec.realm}") if made else None,
            changed=carried.changed,
        )

    async def forget(self, resource: Resource) -> None:
        """Remove or release the realm of a resource that has gone.

        Raises:
            Trouble: It is not done.
        """
        found = await self._realms.find(resource.spec["realm"])
        if found is not None:
            await self.let_go(found, resource.uid)

    async def let_go(self, found: Representation, uid: str) -> None:
        """Do with a realm what its policy says, if it is of this owner."""
        attributes = found.get("attributes") or {}
        if attributes.get(UID) != uid:
            return
        if is_deleted_with(attributes):
            await self._realms.delete(found["realm"])
        else:
            await self._realms.release(found)

    async def _find(self, realm: str) -> Representation | None:
        """Return a realm, with the rights to keep it."""
        try:
            return await self._seen(realm)
        except NotAllowed:
            if not await self._account.grant(realm):
                raise
        return await self._seen(realm)

    async def _seen(self, realm: str) -> Representation | None:
        """Return a realm.

        Raises:
            NotAllowed: There is one, and the account has no right in it.
                Keycloak tells it the name all the same, and no more.
        """
        found = await self._realms.find(realm)
        if found is not None and "enabled" not in found:
            raise NotAllowed(f"the account has no right in the realm {realm}")
        return found

    async def _must_find(self, realm: str) -> Representation:
        found = await self._find(realm)
        if found is None:
            raise NotKept("the realm has gone again")
        return found

    async def _plan(
        self, found: Representation, wanted: RealmState
    ) -> list[Action]:
        actual = await self._realms.read(found, wanted)
        return plan_realm(wanted, actual, found["realm"])

    async def _paused(
        self, found: Representation | None, wanted: RealmState
    ) -> Report:
        if found is None:
            return Report(is_paused=True, drifted=("realm",))
        left = named(await self._plan(found, wanted))
        return Report(is_paused=True, drifted=left)

    async def _carry_out(
        self, spec: KeycloakRealmSpec, action: Action
    ) -> None:
        password = ""
        if action.what is What.USER:
            password = await self._password(spec, action.name)
        await self._realms.carry_out(spec.realm, action, password)

    async def _password(self, spec: KeycloakRealmSpec, name: str) -> str:
        """Return the password of a user that is to be made."""
        users = (spec.demo and spec.demo.users) or ()
        (source,) = (u.password_from for u in users if u.username == name)
        return await read_secret(self._kube, source.name, source.key)


def _claimed(
    found: Representation | None, spec: KeycloakRealmSpec, owner: Owner
) -> str:
    if found is None:
        return "Created"
    said = claim(found.get("attributes") or {}, owner, spec.adopt)
    if said is Claim.REFUSED:
        raise NotOwned(
            f"realm {spec.realm} is there, and is not of this resource"
        )
    return "Adopted" if said is Claim.TAKEN_OVER else ""
