"""What is known of the cluster, between one look at all of it and the next.

Events make it newer at once, and a look at everything makes it right: an
event that was missed is made up for, whatever was missed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from gatehouse_operator.resources.resource import Key, Resource


class View:
    """The custom resources of a namespace, and what Keycloak has of them.

    `hints` are representations from Keycloak's lists, each good for one
    comparison: what is not as it should be is read again before it is
    changed.
    """

    def __init__(self) -> None:
        self._resources: dict[Key, Resource] = {}
        self.hints: dict[tuple[str, str], dict[str, Any]] = {}
        self.map_roles: frozenset[str] = frozenset()
        self._realms: dict[str, str] = {}

    def snapshot(self) -> dict[Key, str]:
        """Return the UID of every resource."""
        return {one.key: one.uid for one in self._resources.values()}

    def replace(
        self, known: Mapping[Key, str], resources: Iterable[Resource]
    ) -> list[Resource]:
        """Take a look at everything.

        Args:
            known: What was there before the look; what was heard of since
                then may be newer than it.
            resources: What was seen.

        Returns:
            Which have gone.
        """
        found = list(resources)
        for one in found:
            self.put(one)
        uids = {one.uid for one in found}
        return [
            one
            for one in self._resources.values()
            if one.uid not in uids and known.get(one.key) == one.uid
        ]

    def put(self, resource: Resource) -> None:
        """Note a resource, unless a newer state of it is known."""
        there = self._resources.get(resource.key)
        if there is not None and there.version > resource.version:
            return
        self._resources[resource.key] = resource
        if "realm" in resource.spec:
            self._realms[resource.name] = resource.spec["realm"]

    def get(self, key: Key) -> Resource | None:
        """Return a resource, if it is there."""
        return self._resources.get(key)

    def remove(self, resource: Resource) -> None:
        """Forget a resource, if it has no successor of its name yet."""
        there = self._resources.get(resource.key)
        if there is not None and there.uid == resource.uid:
            del self._resources[resource.key]

    def all(self) -> list[Resource]:
        """Return every resource."""
        return list(self._resources.values())

    def realm_named(self, name: str) -> str | None:
        """Return the realm of a KeycloakRealm that is or was there."""
        return self._realms.get(name)

    def uids(self) -> set[str]:
        """Return the UID of every resource."""
        return set(self.snapshot().values())
