"""Looks at the open sockets: who does not read, and how many there are."""

import asyncio
import time
from contextlib import suppress
from typing import NoReturn

from app.constants import (
    CONNECTIONS_BEAT_SECONDS,
    CONNECTIONS_LOOK_SECONDS,
    WS_SEND_QUEUE_COUNT_SECONDS,
    WS_SEND_QUEUE_LOOK_SECONDS,
)
from app.exceptions import Unavailable
from app.managers.websocket_connection_manager import (
    WebSocketConnectionManager,
)
from app.storage.connections import ConnectionDirectory, PodSockets
from app.utils import metrics


async def watch_readers(sockets: WebSocketConnectionManager) -> NoReturn:
    """Close sockets that read too slowly."""
    while True:
        for socket in tuple(sockets.lagging):
            if not socket.outlet.look():
                sockets.lagging.discard(socket)
        await asyncio.sleep(WS_SEND_QUEUE_LOOK_SECONDS)


async def count_unread(sockets: WebSocketConnectionManager) -> NoReturn:
    """Say how much all clients together have not read yet."""
    while True:
        unread = 0
        async for some in sockets.in_turns():
            unread += sum(socket.outlet.wire.unread_bytes for socket in some)
        metrics.ws_send_queue_bytes.set(unread)
        await asyncio.sleep(WS_SEND_QUEUE_COUNT_SECONDS)


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
        self._told = -1
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
        now, changes = time.monotonic(), self._sockets.changes
        age = now - self._told_at
        if changes == self._told and age < CONNECTIONS_BEAT_SECONDS:
            return
        sockets = PodSockets(len(self._sockets), self._sockets.usernames)
        await self._directory.tell(self._pod, sockets)
        self._told, self._told_at = changes, now

    async def close(self) -> None:
        """Tell that this process has ended, if Redis is there."""
        with suppress(Unavailable):
            await self._directory.leave(self._pod)
