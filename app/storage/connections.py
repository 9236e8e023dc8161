"""What every process has told of its open sockets."""

from importlib.resources import files
from typing import Any, Final

import msgspec

from app.constants import CONNECTIONS_LIFE_SECONDS, PUSH_PUBLISH_SECONDS
from app.storage.redis import RRedis

_SCRIPT: Final = (files(__package__) / "connections.lua").read_text()
_KEY: Final = "gatehouse:connections"


class PodSockets(msgspec.Struct, frozen=True):
    """The sockets of one process; `users` are counted by name."""

    total: int
    users: dict[str, int]


class ConnectionDirectory:
    """A place in Redis where processes tell of their sockets.

    What a process has told is forgotten when it says nothing any more.

    Args:
        redis: Where that is.
    """

    def __init__(self, redis: RRedis) -> None:
        self._redis = redis

    async def tell(self, pod: str, sockets: PodSockets) -> None:
        """Say what sockets a process has.

        Raises:
            Unavailable: Redis is away.
        """
        await self._run(pod, msgspec.json.encode(sockets).decode())

    async def leave(self, pod: str) -> None:
        """Say that a process has ended.

        Raises:
            Unavailable: Redis is away.
        """
        await self._run(pod)

    async def list(self) -> dict[str, PodSockets]:
        """Return the sockets of every process.

        Raises:
            Unavailable: Redis is away.
        """
        told = iter(await self._run())
        return {
            pod.decode(): msgspec.json.decode(sockets, type=PodSockets)
            for pod, sockets in zip(told, told, strict=True)
        }

    async def _run(self, *arguments: str) -> Any:
        return await self._redis.run_script(
            _SCRIPT,
            [_KEY],
            [CONNECTIONS_LIFE_SECONDS, *arguments],
            PUSH_PUBLISH_SECONDS,
        )
