"""Publishes events in their order, by one process at a time.

A transaction holds the lock, publishes the oldest events and removes them.
If it dies after the first half, the next one publishes the same events again
and Redis knows them (`storage/pubsub.py`); so each is pushed once. While
Redis is away events wait in their table, and no request waits for them.
"""

import asyncio
from typing import NoReturn

import structlog

from app.constants import (
    DB_RETRY_DELAY_SECONDS,
    PUSH_BATCH_SIZE,
    PUSH_POLL_SECONDS,
)
from app.exceptions import AppError
from app.managers.push_hub import PushHub
from app.storage.db import Database
from app.storage.outbox import forget, oldest
from app.storage.pubsub import PushStream

logger = structlog.get_logger(__name__)


class OutboxPublisher:
    """Moves events from the database to Redis.

    Args:
        database: Where they wait.
        stream: Where they go.
        hub: Knows how far this process has come.
    """

    def __init__(
        self, database: Database, stream: PushStream, hub: PushHub
    ) -> None:
        self._database = database
        self._stream = stream
        self._hub = hub
        self._fails = False

    async def run(self) -> NoReturn:
        """Publish whatever is committed, until cancelled."""
        while True:
            await self._database.outbox.wait(PUSH_POLL_SECONDS)
            if self._database.ready and not await self._try():
                await asyncio.sleep(DB_RETRY_DELAY_SECONDS)

    async def close(self) -> None:
        """Publish what is left; what cannot be, another process finds."""
        if self._database.ready:
            await self._try()

    async def _try(self) -> bool:
        """Say whether all is published; log when that changes."""
        try:
            while await self._publish() == PUSH_BATCH_SIZE:
                pass
        except AppError as error:
            if not self._fails:
                logger.warning("events wait", reason=error.detail)
            self._fails = True
        else:
            self._fails = False
        return not self._fails

    async def _publish(self) -> int:
        async with self._database.unit_of_work() as session:
            events = await oldest(session)
            if events:
                await self._stream.publish(events, self._hub.position)
                await forget(session, events)
            return len(events)
