"""Writes the `RbacState` of a release: what holds now, for people to wait on.

It is written when it says something else than before, and read again after
somebody else has written: both replicas write it, and say the same.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import structlog
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.types import PatchType

from app.schemas.permissions import Acknowledgement
from gatehouse_operator.reconcile.role_maps import Compiled, Rejected
from gatehouse_operator.reconcile.status import (
    ACCEPTED,
    CONVERGED,
    PUBLISHED,
    Fact,
    with_facts,
)
from gatehouse_operator.resources.base import GROUP, VERSION

logger = structlog.get_logger(__name__)

KIND: Final = "RbacState"
_RESOURCE: Final = create_namespaced_resource(
    GROUP, VERSION, KIND, f"{KIND.lower()}s"
)
_GENERATION: Final = 1
"""There is no spec that could change."""


def facts_of(
    compiled: Compiled,
    rejected: Collection[Rejected],
    said: Collection[Acknowledgement] | None,
) -> dict[str, Fact]:
    """Return the conditions.

    Args:
        compiled: The map that is recorded.
        rejected: The maps that are not in it as they are.
        said: What pods say; None if Redis is away.
    """
    accepted = Fact("True", "AllAccepted")
    if rejected:
        names = ", ".join(sorted(one.source.name for one in rejected))
        accepted = Fact("False", "Rejected", f"see the Events of: {names}")
    if said is None:
        away = Fact("False", "RedisAway", "pods have the mounted map")
        unknown = Fact("Unknown", "RedisAway", "pods cannot be heard")
        return {ACCEPTED: accepted, PUBLISHED: away, CONVERGED: unknown}
    late = sorted(one.pod for one in said if one.revision < compiled.revision)
    converged = Fact("True", "AllPods")
    if late:
        converged = Fact("False", "Stale", f"not yet on: {', '.join(late)}")
    elif not said:
        converged = Fact("Unknown", "NoPods", "no pod has said anything")
    published = Fact("True", "InRedis")
    return {ACCEPTED: accepted, PUBLISHED: published, CONVERGED: converged}


class State:
    """The `RbacState` of a release.

    Args:
        client: Of its namespace.
        name: Its name.
    """

    def __init__(self, client: AsyncClient, name: str) -> None:
        self._client = client
        self._name = name
        self._written: dict[str, Any] | None = None
        self._is_written = True

    async def write(
        self,
        compiled: Compiled,
        rejected: Collection[Rejected],
        said: Collection[Acknowledgement] | None,
    ) -> None:
        """Write what holds now, if it says something else than before.

        A state that cannot be written keeps no map from being in force.

        Args:
            compiled: The map that is recorded.
            rejected: The maps that are not in it as they are.
            said: What pods say; None if Redis is away.
        """
        try:
            await self._write(compiled, rejected, said)
        except ApiError as error:
            if self._is_written:
                logger.warning("state not written", reason=str(error))
            self._is_written = False
        else:
            self._is_written = True

    async def _write(
        self,
        compiled: Compiled,
        rejected: Collection[Rejected],
        said: Collection[Acknowledgement] | None,
    ) -> None:
        total = len(said or ())
        done = sum(one.revision >= compiled.revision for one in said or ())
        facts = facts_of(compiled, rejected, said)
        told = {
            "revision": compiled.revision,
            "digest": compiled.permission_map.digest[:12],
            "pods": f"{done}/{total}",
        }
        if self._written == self._merged(self._written, told, facts):
            return
        there = await self._read()
        status = self._merged(there, told, facts)
        if status != there:
            await self._client.patch(
                _RESOURCE.Status,
                self._name,
                {"status": status},
                patch_type=PatchType.MERGE,
            )
        self._written = status

    def _merged(
        self,
        there: dict[str, Any] | None,
        told: dict[str, Any],
        facts: dict[str, Fact],
    ) -> dict[str, Any]:
        old = (there or {}).get("conditions") or []
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            **told,
            "conditions": with_facts(old, facts, _GENERATION, now),
        }

    async def _read(self) -> dict[str, Any]:
        try:
            body = await self._client.get(_RESOURCE, self._name)
        except ApiError as error:
            if error.status.code != HTTPStatus.NOT_FOUND:
                raise
            return await self._create()
        return dict(body.get("status") or {})

    async def _create(self) -> dict[str, Any]:
        metadata = ObjectMeta(name=self._name)
        try:
            await self._client.create(_RESOURCE(metadata=metadata))
        except ApiError as error:
            if error.status.code != HTTPStatus.CONFLICT:
                raise
        return {}
