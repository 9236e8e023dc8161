"""The operator's role map in Redis, and what pods say of it."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from app import constants as c
from app.exceptions import Unavailable
from app.schemas.permissions import (
    ACKNOWLEDGED,
    ACKNOWLEDGING,
    MAP_KEY,
    REVISION_KEY,
    Acknowledgement,
)
from app.storage.redis import RRedis

T = TypeVar("T")


class RoleMaps:
    """The place in Redis where the operator puts its map.

    Args:
        redis: Where that is.
        listening: For a connection that waits, without a deadline.
    """

    def __init__(self, redis: RRedis, listening: RRedis) -> None:
        self._redis = redis
        self._listening = listening

    async def revision(self) -> int:
        """Return the number of the map that is there; 0 if there is none.

        Raises:
            Unavailable: Redis is away.
        """
        found = await _bounded(self._redis.client.get(REVISION_KEY))
        return int(found) if found and found.isdigit() else 0

    async def read(self) -> bytes:
        """Return the signed map; nothing if there is none.

        Raises:
            Unavailable: Redis is away.
        """
        found: Any = await _bounded(self._redis.client.get(MAP_KEY))
        return found or b""

    async def acknowledge(self, said: Acknowledgement) -> None:
        """Say which map is in force; it is forgotten if not said again.

        Raises:
            Unavailable: Redis is away.
        """
        now, life = time.time(), c.ACKNOWLEDGED_LIFE_SECONDS
        pipeline = self._redis.client.pipeline()
        pipeline.set(
            f"{ACKNOWLEDGED}{said.pod}", said.model_dump_json(), ex=life
        )
        pipeline.zadd(ACKNOWLEDGING, {said.pod: now})
        pipeline.zremrangebyscore(ACKNOWLEDGING, 0, now - 10 * life)
        await _bounded(pipeline.execute())

    async def withdraw(self, pod: str) -> None:
        """Take back what a process has said, which ends now.

        Raises:
            Unavailable: Redis is away; what was said is forgotten later.
        """
        pipeline = self._redis.client.pipeline()
        pipeline.delete(f"{ACKNOWLEDGED}{pod}")
        pipeline.zrem(ACKNOWLEDGING, pod)
        await _bounded(pipeline.execute())

    def pubsub(self) -> PubSub:
        """Return a connection of its own that can be subscribed."""
        return self._listening.client.pubsub()


async def _bounded(call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(c.ROLE_MAP_TIMEOUT_SECONDS):
            return await call
    except (RedisError, OSError, TimeoutError):
        raise Unavailable("Redis cannot be reached") from None
