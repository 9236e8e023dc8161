"""A pool of connections to Redis whose users wait for each other.

The client's own refuses whoever comes while all connections are in use, which
looks as if Redis were away: a burst of requests would make events wait, and
limits be kept by each process. Such a moment is over in milliseconds. The
client's pool that waits cannot be one of Sentinels; this can.
"""

import asyncio
from typing import Any

from redis.asyncio.connection import ConnectionPool
from redis.exceptions import MaxConnectionsError

from app.constants import REDIS_CONNECT_TIMEOUT_SECONDS


class WaitingPool(ConnectionPool):
    """Gives connections out in the order in which they are asked for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._free = asyncio.Semaphore(self.max_connections)
        self._given: set[Any] = set()

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return a connection that is ready, and nobody else's.

        Raises:
            MaxConnectionsError: None has become free in a while.
        """
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()  # at once
        try:
            connection = await super().get_connection()  # type: ignore[no-untyped-call]
        except BaseException:
            self._free.release()
            raise
        self._given.add(connection)
        return connection

    async def release(self, connection: Any) -> None:
        """Take a connection back, also one that was not given out."""
        try:
            await super().release(connection)
        finally:
            if connection in self._given:
                self._given.remove(connection)
                self._free.release()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(REDIS_CONNECT_TIMEOUT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            message = "every connection to Redis is in use"
            raise MaxConnectionsError(message) from None
