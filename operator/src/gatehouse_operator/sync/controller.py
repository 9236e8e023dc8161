"""Looks at every resource, again and again, and tells what came of it.

Events of the API server put a resource into the queue at once. A look at
everything, some seconds apart, puts all of them there: that is how drift in
Keycloak is found, and whatever an event was missed for. Workers take one at
a time, each resource is with one of them at most, and one that has failed
comes back later.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Protocol

import structlog
from httpx2 import HTTPError
from lightkube.core.exceptions import ApiError

from gatehouse_operator.errors import (
    ClusterAway,
    ClusterRefused,
    NotKept,
    SecretMissing,
    Trouble,
)
from gatehouse_operator.keycloak_metrics import (
    drift_total,
    queue_depth,
    reconcile_seconds,
    reconciles_total,
    resources_ready,
)
from gatehouse_operator.kube import CLIENT, REALM, Kube
from gatehouse_operator.probes import Health, rounds_total
from gatehouse_operator.reconcile.status import (
    READY,
    SECRET_READY,
    SYNCED,
    Report,
    facts_of,
    facts_of_trouble,
    transitions,
    with_facts,
)
from gatehouse_operator.resources.resource import Key, Resource
from gatehouse_operator.sync.guard import NotNow
from gatehouse_operator.sync.sweep import Sweep
from gatehouse_operator.sync.view import View
from gatehouse_operator.workqueue import WorkQueue

_WORKERS: Final = 8
_REFUSALS: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
"""What the API server says of a write that it would never take."""

logger = structlog.get_logger(__name__)


class Sync(Protocol):
    """Brings the resources of one kind."""

    async def bring(self, resource: Resource) -> Report:
        """Make what a resource is about as its spec says."""

    async def forget(self, resource: Resource) -> None:
        """Do what is to be done when a resource has gone."""


class Controller:
    """Brings all resources.

    Args:
        kube: The cluster.
        view: What is known of it.
        syncs: Who brings which kind.
        sweep: Looks at all of Keycloak.
        health: Is told of every look that was good.
        compare_seconds: The time between two looks at everything.
    """

    def __init__(
        self,
        kube: Kube,
        view: View,
        syncs: Mapping[str, Sync],
        sweep: Sweep,
        health: Health,
        compare_seconds: float,
    ) -> None:
        self._kube = kube
        self._view = view
        self._syncs = syncs
        self._sweep = sweep
        self._health = health
        self._seconds = compare_seconds
        self._queue: WorkQueue[Key] = WorkQueue()
        self._gone: dict[Key, Resource] = {}

    def heard(self, resource: Resource, *, is_deleted: bool) -> None:
        """Take in what the API server says of a resource."""
        if is_deleted:
            self._is_gone(resource)
            return
        known = self._view.get(resource.key)
        self._view.put(resource)
        if known is None or (known.uid, known.generation) != (
            resource.uid,
            resource.generation,
        ):
            self._queue.add(resource.key)

    def wake(self, key: Key) -> None:
        """Look at a resource: something of it has changed."""
        self._queue.add(key)

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(self._work())
            group.create_task(self._look_around())

    async def _look_around(self) -> None:
        while True:
            self._health.beat()
            try:
                await self._look()
            except (Trouble, HTTPError, OSError) as error:
                rounds_total.labels("failed").inc()
                self._sweep.lost_sight()
                logger.warning("look failed", reason=str(error))
            except Exception:
                rounds_total.labels("failed").inc()
                self._sweep.lost_sight()
                logger.exception("look failed, for no reason we know")
            else:
                rounds_total.labels("done").inc()
                self._health.note()
            await asyncio.sleep(self._seconds)

    async def _look(self) -> None:
        """Look at everything, and have all of it compared."""
        known = self._view.snapshot()
        found = await self._kube.resources()
        for resource in self._view.replace(known, found):
            self._is_gone(resource)
        self._view.map_roles = await self._kube.map_roles()
        try:
            await self._sweep.look(self._kube.namespace)
        finally:  # also when Keycloak is away: the resources are to say so
            for resource in self._view.all():
                self._queue.add(resource.key)
            self._count()

    def _is_gone(self, resource: Resource) -> None:
        """Let go of what was kept for a resource, not for its successor."""
        self._view.remove(resource)
        self._gone[resource.key] = resource
        self._queue.add(resource.key)

    def _count(self) -> None:
        found = self._view.all()
        for kind in self._syncs:
            of_kind = [one for one in found if one.kind == kind]
            ready = sum(
                one.condition(READY).get("status") == "True" for one in of_kind
            )
            resources_ready.labels(kind, "true").set(ready)
            resources_ready.labels(kind, "false").set(len(of_kind) - ready)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            queue_depth.set(len(self._queue))
            began = time.monotonic()
            try:
                await self._handle(key)
            except (HTTPError, OSError) as error:
                self._failed(key, trouble_of(error))
            except Exception:
                self._queue.failed(key)
                reconciles_total.labels(key.kind, "failed").inc()
                logger.exception("not brought", kind=key.kind, name=key.name)
            finally:
                self._queue.done(key)
                spent = time.monotonic() - began
                reconcile_seconds.labels(key.kind).observe(spent)

    async def _handle(self, key: Key) -> None:
        gone = self._gone.get(key)
        if gone is not None and not await self._forgotten(key, gone):
            return
        resource = self._view.get(key)
        if resource is not None:
            await self._bring(resource)

    async def _forgotten(self, key: Key, gone: Resource) -> bool:
        try:
            await self._syncs[key.kind].forget(gone)
        except Trouble as error:
            self._failed(key, error)
            return False
        if self._gone.get(key) is gone:
            del self._gone[key]
        self._queue.succeeded(key)
        logger.info("let go", kind=key.kind, name=key.name)
        return True

    async def _bring(self, resource: Resource) -> None:
        key = resource.key
        try:
            report = await self._syncs[key.kind].bring(resource)
        except NotNow:
            self._queue.add_later(key, self._seconds)
            return
        except Trouble as trouble:
            await self._in_trouble(resource, trouble)
            return
        except (HTTPError, OSError) as error:
            await self._in_trouble(resource, trouble_of(error))
            return
        await self._tell_of(resource, report)
        if report.trouble is not None:
            await self._in_trouble(resource, report.trouble, report)
            return
        self._queue.succeeded(key)
        reconciles_total.labels(key.kind, "done").inc()
        await self._write(resource, facts_of(report), _extra(report))
        if report.again_in is not None:
            self._queue.add_later(key, report.again_in)

    def _failed(self, key: Key, trouble: Trouble) -> int:
        logger.warning(
            "not brought",
            kind=key.kind,
            name=key.name,
            reason=str(trouble) or trouble.reason,
        )
        reconciles_total.labels(key.kind, "failed").inc()
        return self._queue.failed(key, trouble.retry_after)

    async def _in_trouble(
        self,
        resource: Resource,
        trouble: Trouble,
        report: Report | None = None,
    ) -> None:
        failures = self._failed(resource.key, trouble)
        secret = report.secret if report else None
        facts = facts_of_trouble(trouble, failures, secret)
        if facts:
            await self._write(resource, facts, report.extra if report else {})

    async def _tell_of(self, resource: Resource, report: Report) -> None:
        """Tell what has changed."""
        had = resource.condition(SYNCED)
        is_drift = (
            (
                had.get("status") == "True"
                or had.get("reason") == NotKept.reason
            )
            and resource.status.get("observedGeneration")
            == resource.generation
            and not report.made
        )
        fields = ", ".join(report.changed)
        if report.made:
            await self._say(resource, *report.made)
        elif report.changed and is_drift:
            drift_total.labels(resource.kind).inc()
            await self._say(resource, "DriftCorrected", fields)
        elif report.changed:
            await self._say(resource, "Updated", fields)
        for reason, message in report.told:
            await self._say(resource, reason, message)

    async def _write(
        self, resource: Resource, facts: Mapping[str, Any], extra: Any
    ) -> None:
        """Write the status, if it says something else than it did."""
        old = resource.status.get("conditions") or []
        new = with_facts(old, facts, resource.generation, _now())
        status = {
            **resource.status,
            "conditions": new,
            "observedGeneration": resource.generation,
            **{k: v for k, v in extra.items() if v is not None},
        }
        if status == dict(resource.status):
            return
        written = await self._kube.set_status(resource, status)
        if written is None:
            return
        if self._view.get(resource.key) is not None:
            self._view.put(written)
        for condition in transitions(old, new):
            await self._say_transition(resource, condition)
        if resource.kind == REALM:
            self._wake_clients(resource.name)

    async def _say_transition(
        self, resource: Resource, condition: Mapping[str, Any]
    ) -> None:
        kind, status = condition["type"], condition["status"]
        message = condition["message"] or kind
        if kind == READY and status == "True":
            await self._say(resource, "Ready", "as its spec says")
        elif kind == SYNCED and status != "True":
            await self._say(
                resource,
                condition["reason"],
                message,
                warns=condition["reason"] != "Paused",
            )
        elif (
            kind == SECRET_READY
            and status == "False"
            and condition["reason"] != SecretMissing.reason  # said by Synced
        ):
            await self._say(resource, condition["reason"], message, warns=True)

    async def _say(
        self,
        resource: Resource,
        reason: str,
        message: str,
        *,
        warns: bool = False,
    ) -> None:
        await self._kube.tell(resource, reason, message, warns=warns)

    def _wake_clients(self, realm: str) -> None:
        for one in self._view.all():
            if one.kind == CLIENT and one.spec.get("realmRef") == realm:
                self._queue.add(one.key)


def trouble_of(error: Exception) -> Trouble:
    """Say what it means that the API server has not done something."""
    if isinstance(error, ApiError) and error.status.code in _REFUSALS:
        return ClusterRefused(str(error))
    return ClusterAway(str(error))


def _extra(report: Report) -> dict[str, Any]:
    """Return the fields of the status beside its conditions."""
    found = dict(report.extra)
    if report.made or report.changed:
        found["lastSyncTime"] = _now()
    return found


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
