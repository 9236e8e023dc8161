"""What the operator of role maps asks of the API server."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Final

import structlog
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.models.core_v1 import ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import PatchType

from app.schemas.permissions import PermissionMapError, seal, unseal
from gatehouse_operator.events import Events
from gatehouse_operator.reconcile.role_maps import (
    FORCE,
    Compiled,
    Recorded,
    Source,
)

LABEL: Final = "gatehouse.dev/role-map"
MAP: Final = "rbac.json"
"""The signed map, as pods read it."""
_SOURCES: Final = "sources.json"
_COMPONENT: Final = "gatehouse-rbac"

logger = structlog.get_logger(__name__)


class Cluster:
    """The ConfigMaps and Events of one namespace.

    Args:
        client: Of that namespace.
        compiled_name: The ConfigMap with what is in force.
        key: Signs it.
    """

    def __init__(
        self, client: AsyncClient, compiled_name: str, key: bytes
    ) -> None:
        self._client = client
        self._events = Events(client, _COMPONENT)
        self._name = compiled_name
        self._key = key

    async def compiled(self) -> tuple[Compiled | None, str | None]:
        """Return what is in force, and the version of its ConfigMap.

        What is there but was not made with our key is not in force.
        """
        found = await self._find(self._name)
        if found is None:
            return None, None
        version = (found.metadata and found.metadata.resourceVersion) or None
        data = found.data or {}
        if MAP not in data:
            return None, version
        try:
            sealed = unseal(data[MAP].encode(), self._key, self._name)
        except PermissionMapError as error:
            logger.warning("compiled map is not ours", reason=str(error))
            return None, version
        sources = {
            uid: Recorded(**one)
            for uid, one in json.loads(data.get(_SOURCES, "{}")).items()
        }
        compiled = Compiled(sealed.revision, sealed.permission_map, sources)
        return compiled, version

    async def sources(self) -> list[Source]:
        """Return the maps that people edit, as they are now."""
        found = self._client.list(ConfigMap, labels={LABEL: "true"})
        return [_source_of(one) async for one in found]

    async def record(self, compiled: Compiled, version: str | None) -> None:
        """Write what is to be in force, if nobody else has meanwhile.

        Args:
            compiled: What is to be in force.
            version: That of the ConfigMap when it was read; None if there
                was none.

        Raises:
            ApiError: 409, somebody else was faster; or anything else.
        """
        sealed = seal(compiled.revision, compiled.permission_map, self._key)
        sources = {u: asdict(one) for u, one in compiled.sources.items()}
        recorded = json.dumps(sources, ensure_ascii=False)
        data = {MAP: sealed.decode(), _SOURCES: recorded}
        if version is None:
            metadata = ObjectMeta(name=self._name)
            await self._client.create(ConfigMap(metadata=metadata, data=data))
            return
        # Whoever has made it keeps his labels.
        patch = {"metadata": {"resourceVersion": version}, "data": data}
        await self._client.patch(
            ConfigMap, self._name, patch, patch_type=PatchType.MERGE
        )

    async def seed(self, name: str, texts: Mapping[str, str]) -> None:
        """Make a map for people to edit, unless it is there."""
        metadata = ObjectMeta(name=name, labels={LABEL: "true"})
        try:
            await self._client.create(
                ConfigMap(metadata=metadata, data=dict(texts))
            )
        except ApiError as error:
            if error.status.code != HTTPStatus.CONFLICT:
                raise

    async def tell(
        self, source: Source, reason: str, message: str, *, warns: bool
    ) -> None:
        """Post an Event about a map, once, however many replicas there are.

        One that cannot be posted keeps no map from being in force.

        Args:
            source: The map.
            reason: In one word.
            message: In a sentence.
            warns: Whether somebody has to do something.
        """
        subject = ObjectReference(
            apiVersion="v1",
            kind="ConfigMap",
            name=source.name,
            namespace=self._client.namespace,
            uid=source.uid,
        )
        await self._events.tell(
            subject, reason, message, key=str(source.version), warns=warns
        )

    async def _find(self, name: str) -> ConfigMap | None:
        try:
            return await self._client.get(ConfigMap, name)
        except ApiError as error:
            if error.status.code == HTTPStatus.NOT_FOUND:
                return None
            raise


def _source_of(found: ConfigMap) -> Source:
    metadata = found.metadata or ObjectMeta()
    annotations = metadata.annotations or {}
    return Source(
        uid=metadata.uid or "",
        name=metadata.name or "",
        created=str(metadata.creationTimestamp),
        version=int(metadata.resourceVersion or 0),
        texts=dict(found.data or {}),
        force=annotations.get(FORCE),
    )
