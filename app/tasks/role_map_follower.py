"""The operator's role map, put in force as soon as it is there.

It comes by three ways, each of which is enough. Redis says that there is
another one, which takes milliseconds; its number is asked for twice a second,
because what is published is forgotten when nobody hears it; and it is
mounted as a file, for as long as Redis is away or empty. Whatever the way, it
must be signed, and newer than the one in force: what comes late, or again,
changes nothing.

When a map is in force and every socket has been told, the pod says so; the
operator counts that.
"""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import structlog
from redis.exceptions import RedisError

from app import constants as c
from app.exceptions import Unavailable
from app.managers.push_hub import PushHub
from app.managers.rbac_manager import RBACManager
from app.schemas.permissions import (
    CHANGED,
    Acknowledgement,
    PermissionMapError,
    diff,
    read_file,
    unseal,
)
from app.storage.role_maps import RoleMaps
from app.utils.reconnecting import Reconnecting

logger = structlog.get_logger(__name__)


class RoleMapFollower:
    """Follows the operator's map.

    Args:
        key: That of the signature.
        maps: Where Redis has it.
        mounted: Where it is mounted, if it is.
        rbac: Where it is put in force.
        hub: Tells the sockets.
    """

    def __init__(
        self,
        key: bytes,
        maps: RoleMaps,
        mounted: Path | None,
        rbac: RBACManager,
        hub: PushHub,
    ) -> None:
        self._key = key
        self._maps = maps
        self._mounted = mounted
        self._rbac = rbac
        self._hub = hub
        self._revision = 0
        self._complained: str | None = None
        self._reconnecting = Reconnecting(
            c.PUSH_RECONNECT_SECONDS, c.PUSH_RECONNECT_MAX_SECONDS
        )

    async def listen(self) -> NoReturn:
        """Look whenever Redis says so; connect again when that fails."""
        while True:
            with suppress(RedisError, OSError, TimeoutError):
                await self._hear()
            await asyncio.sleep(self._reconnecting.pause())

    async def poll(self) -> NoReturn:
        """Look twice a second."""
        while True:
            try:
                if await self._maps.revision() > self._revision:
                    await self.look()
            except Unavailable:
                await self._look_at_file()
            if not self._revision:
                await self._look_at_file()
            await asyncio.sleep(c.ROLE_MAP_POLL_SECONDS)

    async def acknowledge(self, pod: str, host: str | None) -> NoReturn:
        """Say which map is in force, when it has changed and now and then.

        What was said is taken back in the end: nobody waits for a process
        that is gone.

        Args:
            pod: What this process is called.
            host: What Kubernetes calls its pod, if it does.
        """
        try:
            while True:
                await self._say(pod, host)
        finally:
            with suppress(Unavailable):  # it is forgotten by itself
                await self._maps.withdraw(pod)

    async def _say(self, pod: str, host: str | None) -> None:
        told, sockets = await self._hub.told_of_map(c.ACKNOWLEDGE_SECONDS)
        if told and told == self._revision:
            said = Acknowledgement(
                pod=pod,
                revision=told,
                applied_at=time.time(),
                swept=sockets,
                host=host,
                sockets=self._hub.open_sockets,
            )
            with suppress(Unavailable):  # it is said again
                await self._maps.acknowledge(said)

    async def look(self) -> None:
        """Put Redis' map in force, if it is newer.

        Raises:
            Unavailable: Redis is away.
        """
        data = await self._maps.read()
        if data:
            self._take(data, "redis")

    async def _hear(self) -> None:
        async with self._maps.pubsub() as pubsub:
            async with asyncio.timeout(c.REDIS_CONNECT_TIMEOUT_SECONDS):
                await pubsub.subscribe(CHANGED)
            async for message in pubsub.listen():
                if message["type"] == "subscribe":
                    self._reconnecting.works()
                elif message["type"] == "message":
                    with suppress(Unavailable):  # it is polled, too
                        await self.look()

    async def _look_at_file(self) -> None:
        if self._mounted is None:
            return
        try:
            data = await asyncio.to_thread(read_file, self._mounted)
        except (OSError, PermissionMapError) as error:
            self._complain(f"{self._mounted}: {error}")
        else:
            self._take(data, str(self._mounted))

    def _take(self, data: bytes, source: str) -> None:
        """Put a map in force, unless it is bad or no news."""
        try:
            sealed = unseal(data, self._key, source)
            if sealed.revision <= self._revision:
                return
            old = self._rbac.snapshot
            self._rbac.apply(
                sealed.permission_map,
                source=source,
                revision=sealed.revision,
            )
        except PermissionMapError as error:
            self._complain("; ".join(error.findings))
            return
        self._revision = sealed.revision
        self._complained = None
        logger.info(
            "role map applied",
            source=source,
            revision=sealed.revision,
            digest=sealed.digest,
            changes=str(
                diff(
                    old.permission_map if old else None, sealed.permission_map
                )
            ),
        )

    def _complain(self, reason: str) -> None:
        """Say once what is wrong with a map."""
        if reason != self._complained:
            self._complained = reason
            logger.error(
                "role map refused, the last good one stays", error=reason
            )
