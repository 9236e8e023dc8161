"""Keeps the right role map in force, whatever was heard or missed.

Each round looks at everything: what people have written, what is recorded,
what Redis has. It is begun when something has changed, and every few seconds
anyhow, so nothing depends on a message that may be lost; a round that finds
all as it should be only reads. Two replicas may do this at once: the API
server takes one of two writes to the compiled ConfigMap, and the other
replica begins anew.
"""

import asyncio
import random
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NoReturn

import httpx2
import structlog
from lightkube.core.exceptions import ApiError

from app.schemas.permissions import (
    Acknowledgement,
    PermissionMap,
    diff,
    seal,
    to_lines,
)
from gatehouse_operator.cluster import Cluster
from gatehouse_operator.probes import Health, rounds_total
from gatehouse_operator.publisher import Publisher, RedisAway
from gatehouse_operator.reconcile.role_maps import (
    Compiled,
    Rejected,
    Source,
    decide,
    is_behind,
)
from gatehouse_operator.role_map_metrics import map_revision, rejected_maps
from gatehouse_operator.settings import RoleMapSettings, editable_name
from gatehouse_operator.state import State

_ROUND_SECONDS: Final = 2.0
_BACKOFF_SECONDS: Final = (0.1, 0.5, 1, 2, 4)
"""How long to wait after failures, at most; an edit is looked at at once."""
_CONVERGE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.02
_AWAY_SECONDS: Final = 0.2
"""How long to wait before pods are looked for in a Redis that was away."""

logger = structlog.get_logger(__name__)


@dataclass
class News:
    """A map that this replica has recorded.

    `changed` are the sources that have brought it about; `began` is when
    that was seen.
    """

    changed: Collection[Source]
    old: Compiled | None
    new: Compiled
    began: float
    is_published: bool = False
    is_told: bool = False


class Keeper:
    """Keeps the right map in force.

    Args:
        settings: How long a deleted map stays, and who may not be locked out.
        built_in: In force where nobody edits one.
        cluster: Where maps are, and what was decided on them.
        publisher: The way to the pods.
        state: What people wait on.
        health: Is told when all is as it should be.
    """

    def __init__(
        self,
        settings: RoleMapSettings,
        built_in: PermissionMap,
        cluster: Cluster,
        publisher: Publisher,
        state: State,
        health: Health,
    ) -> None:
        self._settings = settings
        self._built_in = built_in
        self._cluster = cluster
        self._publisher = publisher
        self._state = state
        self._health = health
        self._changed = asyncio.Event()
        self._missing: dict[str, float] = {}
        self._told: set[tuple[str, int, str]] = set()
        self._news: News | None = None
        self._published = asyncio.Event()

    def wake(self) -> None:
        """Look at once: something has changed."""
        self._changed.set()

    async def run(self) -> NoReturn:
        """Go round until cancelled."""
        failures = 0
        while True:
            self._changed.clear()
            self._health.beat()
            try:
                await self._round()
            except (ApiError, RedisAway, httpx2.HTTPError) as error:
                pause = _BACKOFF_SECONDS[
                    min(failures, len(_BACKOFF_SECONDS) - 1)
                ]
                failures += 1
                rounds_total.labels("failed").inc()
                if not _is_conflict(error) or failures > 1:
                    logger.warning("round failed", reason=str(error))
                await self._pause(pause * random.uniform(0.5, 1))  # noqa: S311
            except Exception:
                rounds_total.labels("failed").inc()
                logger.exception("round failed, for no reason we know")
                await self._pause(_ROUND_SECONDS)
            else:
                failures = 0
                rounds_total.labels("done").inc()
                self._health.note()
                await self._pause(_ROUND_SECONDS)

    async def follow(self) -> NoReturn:
        """Tell of each map when every pod has it, until cancelled."""
        while True:
            await self._published.wait()
            self._published.clear()
            if self._news is not None:
                await self._converge(self._news)

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until something has changed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _round(self) -> None:
        began = time.monotonic()
        # In this order: what is recorded was decided on what was there then.
        compiled, version = await self._cluster.compiled()
        sources = await self._cluster.sources()
        if is_behind(sources, compiled):
            return
        if compiled is None and not sources:
            texts = to_lines(self._built_in)
            name = editable_name(self._settings.release)
            await self._cluster.seed(name, texts)
        outcome = decide(
            sources,
            compiled,
            self._built_in,
            admin_role=self._settings.admin_role,
            forgotten=self._forgotten(sources, compiled),
            known_revision=await self._known_revision(compiled),
        )
        new = outcome.compiled
        if new != compiled:
            await self._cluster.record(new, version)
        if compiled is None or compiled.revision < new.revision:
            changed = _changed(sources, compiled, new)
            self._news = News(changed, compiled, new, began)
        try:
            await self._publish(new)
        finally:  # it is recorded, whether or not Redis is there
            await self._say_rejected(outcome.rejected)
            await self._say_accepted()
            said = await self._acknowledged()
            await self._state.write(new, outcome.rejected, said)

    async def _acknowledged(self) -> list[Acknowledgement] | None:
        try:
            return await self._publisher.acknowledged()
        except RedisAway:
            return None

    async def _known_revision(self, compiled: Compiled | None) -> int:
        try:
            return await self._publisher.revision()
        except RedisAway:
            if compiled is None:
                raise  # pods may have seen any number
            return 0

    async def _publish(self, compiled: Compiled) -> None:
        key = self._settings.rbac_signing_key.get_secret_value().encode()
        sealed = seal(compiled.revision, compiled.permission_map, key)
        await self._publisher.publish(compiled.revision, sealed)
        map_revision.set(compiled.revision)
        if self._news is not None and not self._news.is_published:
            self._news.is_published = True
            self._published.set()

    def _forgotten(
        self, sources: Collection[Source], compiled: Compiled | None
    ) -> set[str]:
        """Return the sources that have been gone for long enough."""
        there = {source.uid for source in sources}
        recorded = compiled.sources if compiled else {}
        now = time.monotonic()
        self._missing = {
            uid: self._missing.get(uid, now)
            for uid in recorded
            if uid not in there
        }
        grace = self._settings.delete_grace_seconds
        return {u for u, t in self._missing.items() if now - t >= grace}

    async def _say_rejected(self, rejected: Collection[Rejected]) -> None:
        """Tell of every map that is not in force as it is, once."""
        rejected_maps.set(len(rejected))
        told, self._told = self._told, set()
        for one in rejected:
            reason = "; ".join(one.findings)
            this = (one.source.uid, one.source.version, reason)
            self._told.add(this)
            if this not in told:
                await self._cluster.tell(
                    one.source, "Rejected", reason, warns=True
                )

    async def _say_accepted(self) -> None:
        """Tell what the map that was recorded last has changed, once."""
        news = self._news
        if news is None or news.is_told:
            return
        news.is_told = True
        old, new = news.old, news.new
        change = diff(old.permission_map if old else None, new.permission_map)
        digest = new.permission_map.digest
        message = f"revision {new.revision}, digest {digest[:12]}: {change}"
        logger.info(
            "role map compiled", revision=new.revision, changes=str(change)
        )
        for source in news.changed:
            await self._cluster.tell(source, "Accepted", message, warns=False)

    async def _converge(self, news: News) -> None:
        """Tell when every pod has said that a map is in force there.

        Args:
            news: The map, until there is a newer one.
        """
        revision = news.new.revision
        late: list[str] = []
        while time.monotonic() - news.began < _CONVERGE_SECONDS:
            said = await self._acknowledged()
            if self._news is not news:
                return
            if said is None:
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            late = [one.pod for one in said if one.revision < revision]
            if said and not late:
                spent = (time.monotonic() - news.began) * 1000
                swept = sum(one.swept for one in said)
                message = (
                    f"{len(said)}/{len(said)} pods in {spent:.0f} ms,"
                    f" {swept} sockets told of revision {revision}"
                )
                self.wake()  # for the state to say so
                for source in news.changed:
                    await self._cluster.tell(
                        source, "Converged", message, warns=False
                    )
                return
            await asyncio.sleep(_LOOK_SECONDS)
        if late:
            message = f"revision {revision} is not in force on: "
            for source in news.changed:
                await self._cluster.tell(
                    source,
                    "Stale",
                    message + ", ".join(sorted(late)),
                    warns=True,
                )


def _changed(
    sources: Collection[Source], old: Compiled | None, new: Compiled
) -> list[Source]:
    """Return the sources that have brought about a change."""
    before = old.sources if old else {}
    return [
        source
        for source in sources
        if source.uid in new.sources
        and (
            source.uid not in before
            or before[source.uid].texts != source.texts
        )
    ]


def _is_conflict(error: Exception) -> bool:
    return (
        isinstance(error, ApiError)
        and error.status.code == HTTPStatus.CONFLICT
    )
