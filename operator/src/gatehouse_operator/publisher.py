"""The way of a map to the pods: Redis."""

from importlib.resources import files
from typing import Any, Final, cast

import pydantic
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.schemas.permissions import (
    ACKNOWLEDGED,
    ACKNOWLEDGING,
    CHANGED,
    MAP_KEY,
    REVISION_KEY,
    Acknowledgement,
)

_SCRIPT: Final = (files(__package__) / "publish.lua").read_text()


class RedisAway(Exception):
    """Redis cannot be reached, or refuses."""


class Publisher:
    """Publishes maps, and reads what pods say of them.

    Args:
        redis: The database that the pods use.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def publish(self, revision: int, sealed: bytes) -> int:
        """Put a map there, unless a newer one is; it may be there already.

        Args:
            revision: The map's number.
            sealed: The map.

        Returns:
            The number of the map that is there now.

        Raises:
            RedisAway: It is not known whether it is there.
        """
        arguments = (2, MAP_KEY, REVISION_KEY, revision, sealed, CHANGED)
        try:
            return int(
                await cast("Any", self._redis.eval(_SCRIPT, *arguments))
            )
        except (RedisError, OSError) as error:
            raise RedisAway(f"Redis: {type(error).__name__}") from error

    async def revision(self) -> int:
        """Return the number of the map that is there; 0 if there is none.

        Raises:
            RedisAway: Nobody knows.
        """
        try:
            return int(await self._redis.get(REVISION_KEY) or 0)
        except (RedisError, OSError) as error:
            raise RedisAway(f"Redis: {type(error).__name__}") from error

    async def acknowledged(self) -> list[Acknowledgement]:
        """Return what each pod has said lately.

        Raises:
            RedisAway: Nobody can be heard.
        """
        try:
            pods: Any = await self._redis.zrange(ACKNOWLEDGING, 0, -1)
            keys = [ACKNOWLEDGED.encode() + pod for pod in pods]
            said = await self._redis.mget(keys) if keys else []
        except (RedisError, OSError) as error:
            raise RedisAway(f"Redis: {type(error).__name__}") from error
        return [one for text in said if text for one in _read(text)]


def _read(text: bytes | str) -> list[Acknowledgement]:
    """Read what a pod has said; what no pod says is left out."""
    try:
        return [Acknowledgement.model_validate_json(text)]
    except pydantic.ValidationError:
        return []
