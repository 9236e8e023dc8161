"""All that a process needs for pushes, from the outbox to its sockets."""

import asyncio
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from enum import IntEnum
from functools import partial

from app.constants import PUSH_CLOSE_SECONDS
from app.managers.push_history import PushHistory
from app.managers.push_hub import PushHub
from app.managers.rbac_manager import RBACManager
from app.managers.websocket_connection_manager import (
    WebSocketConnectionManager,
)
from app.settings import Settings
from app.storage.connections import ConnectionDirectory
from app.storage.db import Database
from app.storage.pubsub import PushStream
from app.storage.redis import RRedis
from app.tasks.outbox_publisher import OutboxPublisher
from app.tasks.pubsub_listener import PubSubListener
from app.tasks.socket_watch import (
    ConnectionsHeartbeat,
    count_unread,
    watch_readers,
)
from app.tasks.supervisor import Supervisor


class Pushing:
    """Publishes events, delivers pushes and tells of the sockets.

    Args:
        settings: Where Redis is.
        database: Where events wait.
        redis: Where pushes are remembered.
        pushes: Every push, and the message that reads the same.
        rbac: Decides who may read.
        sockets: Those that are open.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        redis: RRedis,
        pushes: Mapping[IntEnum, IntEnum | None],
        rbac: RBACManager,
        sockets: WebSocketConnectionManager,
    ) -> None:
        self._listening = RRedis(
            settings, settings.main_redis_db, hurried=True
        )
        stream = PushStream(redis, self._listening)
        self.history = PushHistory(stream)
        self.hub = PushHub(
            pushes,
            rbac,
            sockets,
            self.history,
            settings.ws_send_queue_max_bytes,
        )
        self.directory = ConnectionDirectory(redis)
        self._publisher = OutboxPublisher(
            database, stream, self.hub, settings.outbox_max_events
        )
        self._listener = PubSubListener(stream, self.hub)
        self._heartbeat = ConnectionsHeartbeat(
            process_name(settings.pod_name), sockets, self.directory
        )
        self._watch = partial(watch_readers, sockets)
        self._count = partial(count_unread, sockets)

    def start(self, supervisor: Supervisor) -> None:
        """Start everything that runs in the background."""
        supervisor.start("outbox", self._publisher.run)
        supervisor.start("pushes", self._listener.run)
        supervisor.start("role map pushes", self.hub.tell_of_role_maps)
        supervisor.start("slow readers", self._watch)
        supervisor.start("unread bytes", self._count)
        supervisor.start("connections", self._heartbeat.run)

    async def close(self) -> None:
        """Publish the last events, and leave; that may not take long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PUSH_CLOSE_SECONDS):
                await self._publisher.close()
                await self._heartbeat.close()
        await self._listening.close()


def process_name(pod: str | None) -> str:
    """Return a name that no other process has: the pod's, and then some."""
    return f"{pod or socket.gethostname()}-{secrets.token_hex(3)}"
