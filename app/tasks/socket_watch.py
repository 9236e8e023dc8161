"""Looks at the open sockets: who does not read, and how many there are."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import NoReturn

from app.constants import (
    CONNECTIONS_BEAT_SECONDS,
    CONNECTIONS_LOOK_SECONDS,
    PUSH_CHUNK,
    WS_SEND_QUEUE_LOOK_SECONDS,
)
from app.exceptions import Unavailable
from app.managers.websocket_connection_manager import (
    WebSocketConnectionManager,
)
from app.storage.connections import ConnectionDirectory, PodSockets
from app.utils import metrics


async def watch_readers(sockets: WebSocketConnectionManager) -> NoReturn:
    """Close sockets that read too slowly, and count what is unread."""
    while True:
        unread = 0
        for number, socket in enumerate(sockets, 1):
            unread += socket.outlet.look()
            if number % PUSH_CHUNK == 0:
                await asyncio.sleep(0)
        metrics.ws_send_queue_bytes.set(unread)
        await asyncio.sleep(WS_SEND_QUEUE_LOOK_SECONDS)


class ConnectionsHeartbeat:
    """Tells the other processes of this one's sockets.

    Args:
        pod: This process's name.
        sockets: Those that are open.
        directory: Where it is told.
    """

    def __init__(
        self,
        pod: str,
        sockets: WebSocketConnectionManager,
        directory: ConnectionDirectory,
    ) -> None:
        self._pod = pod
        self._sockets = sockets
        self._directory = directory
        self._told: PodSockets | None = None
        self._told_at = 0.0

    async def run(self) -> NoReturn:
        """Tell what has changed, and now and then what has not."""
        while True:
            with suppress(Unavailable):
                await self.beat()
            await asyncio.sleep(CONNECTIONS_LOOK_SECONDS)

    async def beat(self) -> None:
        """Tell of the sockets, if it is time to.

        Raises:
            Unavailable: Redis is away.
        """
        now, sockets = time.monotonic(), await self._count()
        age = now - self._told_at
        if sockets == self._told and age < CONNECTIONS_BEAT_SECONDS:
            return
        await self._directory.tell(self._pod, sockets)
        self._told, self._told_at = sockets, now

    async def close(self) -> None:
        """Tell that this process has ended, if Redis is there."""
        with suppress(Unavailable):
            await self._directory.leave(self._pod)

    async def _count(self) -> PodSockets:
        """Count a few at a time, so that many hold nobody up."""
        sockets = list(self._sockets)
        names: Counter[str] = Counter()
        for start in range(0, len(sockets), PUSH_CHUNK):
            some = sockets[start : start + PUSH_CHUNK]
            names.update(s.user.username for s in some if s.user)
            await asyncio.sleep(0)
        return PodSockets(len(sockets), dict(names))
