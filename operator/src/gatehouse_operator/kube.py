"""What the operator of Keycloak asks of the API server."""

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import structlog
from lightkube import AsyncClient, SingleConfig
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.core_v1 import ObjectReference
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference
from lightkube.resources.core_v1 import ConfigMap, Secret
from lightkube.types import PatchType

from app.schemas.permissions import PermissionMap, PermissionMapError
from gatehouse_operator.events import Events
from gatehouse_operator.resources.base import GROUP, VERSION
from gatehouse_operator.resources.resource import Key, Resource

CLIENT: Final = "KeycloakClient"
REALM: Final = "KeycloakRealm"
MADE_FOR_CLIENT: Final = "gatehouse.dev/keycloak-client"
"""Of the Secrets that were made for clients."""
_MAP: Final = "rbac.json"
_COMPONENT: Final = "gatehouse-keycloak"
_API: Final = f"{GROUP}/{VERSION}"

KINDS: Final = {
    kind: create_namespaced_resource(GROUP, VERSION, kind, f"{kind.lower()}s")
    for kind in (REALM, CLIENT)
}

logger = structlog.get_logger(__name__)


class Kube:
    """The custom resources, Secrets and Events of one namespace.

    Args:
        client: Of that namespace.
        compiled_name: The ConfigMap with the role map in force.
    """

    def __init__(self, client: AsyncClient, compiled_name: str) -> None:
        self._client = client
        self._compiled_name = compiled_name
        self._events = Events(client, _COMPONENT)

    @property
    def namespace(self) -> str:
        """The namespace."""
        return str(self._client.namespace)

    async def resources(self) -> list[Resource]:
        """Return every resource, realms first."""
        return [
            Resource.of(body)
            for kind in KINDS.values()
            async for body in self._client.list(kind)
        ]

    async def is_still(self, resource: Resource) -> bool:
        """Say whether a resource is there, with this spec."""
        try:
            body = await self._client.get(KINDS[resource.kind], resource.name)
        except ApiError as error:
            if error.status.code == HTTPStatus.NOT_FOUND:
                return False
            raise
        there = Resource.of(body)
        return (there.uid, there.generation) == (
            resource.uid,
            resource.generation,
        )

    async def set_status(
        self, resource: Resource, status: Mapping[str, Any]
    ) -> Resource | None:
        """Write a status.

        Returns:
            The resource as it is then; None if it has gone meanwhile.
        """
        kind = KINDS[resource.kind].Status
        patch = {"metadata": {"uid": resource.uid}, "status": dict(status)}
        try:
            written = await self._client.patch(
                kind, resource.name, patch, patch_type=PatchType.MERGE
            )
        except ApiError as error:
            gone = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
            if error.status.code not in gone:
                raise
            return None
        return Resource.of(written)

    async def tell(
        self, resource: Resource, reason: str, message: str, *, warns: bool
    ) -> None:
        """Post an Event about a resource."""
        subject = ObjectReference(
            apiVersion=_API,
            kind=resource.kind,
            name=resource.name,
            namespace=resource.namespace,
            uid=resource.uid,
        )
        await self._events.tell(
            subject, reason, message, key=str(time.time_ns()), warns=warns
        )

    async def secret(self, name: str) -> Secret | None:
        """Return a Secret; None if there is none."""
        try:
            return await self._client.get(Secret, name)
        except ApiError as error:
            if error.status.code == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def secrets(self) -> list[Secret]:
        """Return the Secrets that were made for clients."""
        found = self._client.list(Secret, labels={MADE_FOR_CLIENT: "true"})
        return [one async for one in found]

    async def create_secret(
        self,
        name: str,
        data: Mapping[str, str],
        owner: Resource | None = None,
    ) -> None:
        """Make a Secret.

        Args:
            name: Its name.
            data: What it holds.
            owner: The resource with which it goes; None if it stays.
        """
        metadata = ObjectMeta(name=name)
        if owner is not None:
            metadata.labels = {MADE_FOR_CLIENT: "true"}
            metadata.ownerReferences = [_reference(owner)]
        await self._client.create(
            Secret(metadata=metadata, stringData=dict(data))
        )

    async def put_right(self, name: str, data: Mapping[str, str]) -> None:
        """Write these keys of a Secret that we have made, and no others."""
        encoded = {
            key: base64.b64encode(value.encode()).decode()
            for key, value in data.items()
        }
        patch = {
            "metadata": {"labels": {MADE_FOR_CLIENT: "true"}},
            "data": encoded,
        }
        await self._client.patch(
            Secret, name, patch, patch_type=PatchType.MERGE
        )

    async def delete_secret(self, name: str) -> None:
        """Remove a Secret."""
        try:
            await self._client.delete(Secret, name)
        except ApiError as error:
            if error.status.code != HTTPStatus.NOT_FOUND:
                raise

    async def map_roles(self) -> frozenset[str]:
        """Return every role that the role map in force names.

        The signature is not looked at: a role gives nobody anything.
        """
        try:
            found = await self._client.get(ConfigMap, self._compiled_name)
        except ApiError as error:
            if error.status.code == HTTPStatus.NOT_FOUND:
                return frozenset()
            raise
        try:
            document = json.loads((found.data or {})[_MAP])
            permission_map = PermissionMap.parse(document["map"])
        except (KeyError, TypeError, ValueError, PermissionMapError):
            logger.warning("compiled map is not readable")
            return frozenset()
        return frozenset(permission_map.roles)


def values(secret: Secret) -> dict[str, str]:
    """Return what a Secret holds; a value that is no text is left out."""
    found = {}
    for key, value in (secret.data or {}).items():
        try:
            found[key] = base64.b64decode(value).decode()
        except ValueError:
            continue
    return found


def owner_of(secret: Secret) -> str:
    """Return the UID of the resource that a Secret goes with."""
    owners = (secret.metadata and secret.metadata.ownerReferences) or []
    return next((one.uid for one in owners if one.controller), "")


def owner_key(body: Mapping[str, Any]) -> Key | None:
    """Return the resource with which a Secret goes, as kopf shows it."""
    for one in body["metadata"].get("ownerReferences") or ():
        if one.get("kind") == CLIENT:
            return Key(CLIENT, one["name"])
    return None


def cluster_id(config: SingleConfig) -> str:
    """Tell this cluster from others, by the authority of its API server."""
    cluster = config.cluster
    if cluster.certificate_auth_data:
        authority = base64.b64decode(cluster.certificate_auth_data)
    elif cluster.certificate_auth:
        authority = Path(
            config.abs_file(cluster.certificate_auth)
        ).read_bytes()
    else:
        authority = cluster.server.encode()
    return hashlib.sha256(authority.strip()).hexdigest()[:12]


def _reference(owner: Resource) -> OwnerReference:
    return OwnerReference(
        apiVersion=_API,
        kind=owner.kind,
        name=owner.name,
        uid=owner.uid,
        controller=True,
    )
